"""MTCNN's weights, as the PyPI package `mtcnn` carries them, become three ONNX networks.

The wheel holds a joblib list of Keras weights per network (convolutions HWIO, PReLU slopes, dense layers) for the
architectures of Zhang et al. 2016 (https://arxiv.org/abs/1604.02878). The graphs take NCHW RGB, (x − 127.5) / 128, and
give `boxes` (regression), `landmarks` (O-Net: five x, then five y) and `scores` (softmax: no face, face). P-Net takes
any size and keeps NCHW. The dense layers expect the features in the order width, height, channel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facelab.core.errors import IntegrityError, UnsupportedError
from facelab.zoo.graph import GraphBuilder, flat_prelu, prelu

POOLS = {
    "pnet": [(2, "SAME_UPPER"), None, None],
    "rnet": [(3, "SAME_UPPER"), (3, "VALID"), None],
    "onet": [(3, "SAME_UPPER"), (3, "VALID"), (2, "SAME_UPPER"), None],
}
"""After each convolution and PReLU: the pooling window (stride 2) and its padding."""
SIDES = {"pnet": None, "rnet": 24, "onet": 48}
HEADS = {
    "pnet": ("boxes", "scores"),
    "rnet": ("boxes", "scores"),
    "onet": ("boxes", "landmarks", "scores"),
}
WIDTH = {"boxes": 4, "landmarks": 10, "scores": 2}
ARRAYS = {"pnet": 13, "rnet": 16, "onet": 21}


def load_weights(path: Path, network: str) -> list[np.ndarray]:
    """Return the weight arrays of one network. Call it only for a file whose SHA-256 was checked: it is a pickle.

    Raises UnsupportedError if joblib or lz4 is not installed, IntegrityError if the file holds other arrays.
    """
    try:
        import joblib
        import lz4.frame  # noqa: F401  joblib names it only in an obscure message
    except ImportError as e:
        raise UnsupportedError(
            "MTCNN's weights need the packages joblib and lz4",
            where=path,
            got=str(e),
            fix="make setup",
        ) from e
    weights = joblib.load(path)
    if not isinstance(weights, list) or len(weights) != ARRAYS[network]:
        raise IntegrityError(
            f"the file does not hold the weights of {network}",
            where=path,
            expected=f"a list of {ARRAYS[network]} arrays",
            got=f"{len(weights) if isinstance(weights, list) else type(weights).__name__}",
            fix="install mtcnn 1.0 (make setup)",
        )
    return [np.asarray(w, dtype=np.float32) for w in weights]


def build(weights: list[np.ndarray], network: str):
    """Return the ModelProto of `pnet`, `rnet` or `onet` with these weights."""
    side = SIDES[network]
    g = GraphBuilder(f"mtcnn_{network}", [("image", (None, 3, side, side))])
    rest = iter(weights)
    x = "image"
    for pool in POOLS[network]:
        kernel, bias, slope = next(rest), next(rest), next(rest)
        x = prelu(g, g.node("Conv", x, kernel.transpose(3, 2, 0, 1), bias), slope)
        if pool:
            window, padding = pool
            x = g.node("MaxPool", x, kernel_shape=[window] * 2, strides=[2, 2], auto_pad=padding)
    if side:
        x = g.node("Flatten", g.node("Transpose", x, perm=[0, 3, 2, 1]))
        matrix, bias, slope = next(rest), next(rest), next(rest)
        x = flat_prelu(g, g.node("Gemm", x, matrix, bias), slope)
    outputs, shapes = {}, {}
    for head in HEADS[network]:
        matrix, bias = next(rest), next(rest)
        y = (
            g.node("Gemm", x, matrix, bias)
            if side
            else g.node("Conv", x, matrix.transpose(3, 2, 0, 1), bias)
        )
        outputs[head] = g.node("Softmax", y, axis=1) if head == "scores" else y
        shapes[head] = (None, WIDTH[head]) if side else (None, WIDTH[head], None, None)
    return g.finish(outputs, shapes)


def convert(source: Path, network: str) -> bytes:
    """Return the serialised ONNX network made from a weights file of the wheel."""
    return build(load_weights(source, network), network).SerializeToString(deterministic=True)

"""MTCNN's weights, as the PyPI package `mtcnn` carries them, become three ONNX networks.

The wheel holds a joblib list of Keras weights per network (convolutions HWIO, PReLU slopes, dense layers) for the
architectures of Zhang et al. 2016 (https://arxiv.org/abs/1604.02878). The graphs take NCHW RGB, (x − 127.5) / 128, and
give `boxes` (regression), `landmarks` (O-Net: five x, then five y) and `scores` (softmax: no face, face). P-Net takes
any size and keeps NCHW. The dense layers expect the features in the order width, height, channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelab.core import plain_pickle
from facelab.core.errors import BadInputError, IntegrityError, UnsupportedError
from facelab.zoo._graph import GraphBuilder, flat_prelu, prelu

if TYPE_CHECKING:
    from onnx import ModelProto


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


MAX_WEIGHTS = 64 << 20
"""Bytes that a file of weights may unpack to; the largest of the wheel has 1.6 MB."""


def load_weights(data: bytes, network: str, *, where: object = None) -> list[np.ndarray]:
    """Return the weight arrays of one network from a file's bytes. The pickle in it is read as data: no code runs.

    Raises UnsupportedError if lz4 is not installed, IntegrityError if the file holds other arrays.
    """
    weights = _read(data, where)
    held = weights if isinstance(weights, list) else []
    if len(held) != ARRAYS[network] or not all(isinstance(w, np.ndarray) for w in held):
        raise IntegrityError(
            f"the file does not hold the weights of {network}",
            where=where,
            expected=f"a list of {ARRAYS[network]} arrays",
            got=len(weights) if isinstance(weights, list) else type(weights).__name__,
            fix="install mtcnn 1.0 (make setup)",
        )
    return [np.asarray(w, dtype=np.float32) for w in held]


def _read(data: bytes, where: object) -> object:
    try:
        import lz4.frame
    except ImportError as e:
        raise UnsupportedError(
            "MTCNN's weights need the package lz4",
            where=where,
            got=str(e),
            fix="make setup",
        ) from e
    try:
        unpacked = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=MAX_WEIGHTS)
        return plain_pickle.read(unpacked, where=where, joblib=True)
    except (RuntimeError, BadInputError) as e:
        raise IntegrityError(
            "the file holds no weights of MTCNN",
            where=where,
            expected="an LZ4 frame with a list of arrays",
            got=getattr(e, "got", None) or str(e)[:160],
            fix="install mtcnn 1.0 (make setup)",
        ) from None


def build(weights: list[np.ndarray], network: str) -> ModelProto:
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


def convert(data: bytes, network: str, *, where: object = None) -> bytes:
    """Return the serialised ONNX network made from the bytes of a weights file of the wheel."""
    return build(load_weights(data, network, where=where), network).SerializeToString(
        deterministic=True
    )

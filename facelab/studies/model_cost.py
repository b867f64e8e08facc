"""What a model costs: milliseconds before, in and after the network, and memory, measured in its own process."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import lifetime
from facelab.core.errors import FacelabError, UnsupportedError
from facelab.core.isolated import module_command
from facelab.core.machine import peak_rss_bytes, rss_bytes
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.timing import interleave, ratio
from facelab.embedding import Embedder
from facelab.zoo.runtimes import Model


def cost(
    kind: str,
    name: str,
    *,
    threads: int,
    images: Sequence[np.ndarray],
    repeats: int = 3,
    landmarks: Sequence[np.ndarray] | None = None,
    timeout_s: float = 120,
) -> dict:
    """Measure one detector or embedder (`kind`) in a new process, so that its peak memory is its own.

    Returns seconds (n,) as `pre`, `run`, `post`, `total`; `load_s`; `model_bytes` (resident memory after loading, less
    that before) and `peak_bytes` (the whole process). `landmarks` (5, 2), one per image, are for embedders.
    Raises UnsupportedError with the child's last line where it fails.
    """

    with ScratchFolder() as folder:
        arrays: dict[str, Any] = {f"i{k}": v for k, v in enumerate(images)}
        arrays |= {f"l{k}": v for k, v in enumerate(landmarks or [])}
        np.savez(Path(folder) / "in.npz", **arrays)
        job = json.dumps(
            {"kind": kind, "name": name, "threads": threads, "repeats": repeats, "folder": folder}
        )
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = lifetime.run(
            module_command("facelab.studies.model_cost", job),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
        )
        if done.returncode:
            raise UnsupportedError(
                f"{name} cannot be measured",
                got=(done.stderr.strip().splitlines() or ["?"])[-1],
                fix="load and run the model once in a fresh Python process; it prints the whole error",
            )
        value = json.loads((Path(folder) / "out.json").read_text())
    return {k: np.array(v) if isinstance(v, list) else v for k, v in value.items()}


def _child() -> None:
    import time

    import cv2

    job = json.loads(sys.argv[1])
    cv2.setNumThreads(job["threads"])
    with np.load(Path(job["folder"]) / "in.npz") as z:
        images = [z[k] for k in z.files if k[0] == "i"]
        landmarks = [z[k] for k in z.files if k[0] == "l"]
    before, started = rss_bytes(), time.perf_counter()
    call = _detector(job) if job["kind"] == "detector" else _embedder(job)
    loaded = time.perf_counter() - started
    inputs = list(zip(images, landmarks or [None] * len(images)))
    call(*inputs[0])
    model_bytes = rss_bytes() - before
    parts = [call(*pair) for _ in range(job["repeats"]) for pair in inputs]
    value = {k: [getattr(p, k) for p in parts] for k in ("pre", "run", "post", "total")}
    value |= {"load_s": loaded, "model_bytes": model_bytes, "peak_bytes": peak_rss_bytes()}
    (Path(job["folder"]) / "out.json").write_text(json.dumps(value))


def _detector(job: dict) -> Callable:
    from facelab.detection import load

    detector = load(job["name"], threads=job["threads"])
    return lambda image, _: detector.detect(image).timings


def _embedder(job: dict) -> Callable:
    from facelab.embedding import load

    embedder = load(job["name"], threads=job["threads"])

    def call(image, points):
        embedder.embed(image, points)
        return embedder.timings

    return call


def batch_rates(
    embedder: Embedder,
    pictures: Sequence[np.ndarray],
    *,
    sizes: Sequence[int] = (1, 8, 32),
    repeats: int = 3,
) -> list[dict[str, Any]]:
    """Embed pictures in batches of each size, interleaved: what a batch gains, and whether it changes the answer.

    Pictures are scaled to the embedder's input. Returns one row per size of at most `len(pictures)`: `batch`,
    `seconds` (repeats,) per picture, `faces_per_s`, `gain` over the first size with its 95 % interval `lo`, `hi`, and
    `difference`, the largest one of an embedding's number from the first size's.
    """
    import cv2

    crops = np.stack([cv2.resize(p, embedder.input_size) for p in pictures])
    used = [n for n in sizes if n <= len(crops)] or [len(crops)]
    answers: dict[int, np.ndarray] = {}

    def embed(n: int) -> None:
        answers[n] = embedder.embed(crops, batch=n)

    # one face warms up; the timed calls give the answers, as a slow embedder takes seconds for each
    embedder.embed(crops[:1])
    seconds = interleave({n: functools.partial(embed, n) for n in used}, repeats=repeats, warmup=0)
    rows = []
    for n in used:
        gain, lo, hi = ratio(seconds[used[0]], seconds[n])
        rows.append(
            {
                "embedder": embedder.name,
                "batch": n,
                "seconds": seconds[n] / len(crops),
                "faces_per_s": len(crops) / float(np.median(seconds[n])),
                "gain": gain,
                "lo": lo,
                "hi": hi,
                "difference": float(np.abs(answers[n] - answers[used[0]]).max()),
            }
        )
    return rows


def binding(model: Model, tensor: np.ndarray, *, repeats: int = 30) -> dict[str, np.ndarray]:
    """Time an ONNX model's plain run against ONNX Runtime's IO binding, interleaved; seconds by way.

    The bound run reads the very same input and writes into outputs that are allocated once. Raises UnsupportedError
    for another runtime.
    """
    if model.runtime != "onnx":
        raise UnsupportedError(
            "IO binding is ONNX Runtime's",
            where=model.path,
            got=model.runtime,
            fix="open an .onnx file",
        )
    session = model.handle
    bound = session.io_binding()
    bound.bind_cpu_input(model.inputs[0].name, np.ascontiguousarray(tensor))
    for output in model.outputs:
        bound.bind_output(output.name)
    names, feed = [o.name for o in model.outputs], {model.inputs[0].name: tensor}
    return interleave(
        {
            "plain run": lambda: session.run(names, feed),
            "IO binding": lambda: session.run_with_iobinding(bound),
        },
        repeats=repeats,
        warmup=2,
    )


def _quantise(model: Model, tensors: Sequence[np.ndarray], out: Path) -> None:
    import onnx
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.rows = iter(tensors)

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {model.inputs[0].name: row}

    graph = onnx.load(model.path)
    # weights listed as inputs (old exports) hide them from the quantiser
    names = {i.name for i in graph.graph.initializer}
    inputs = [i for i in graph.graph.input if i.name not in names]
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)
    opset = max(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx"))
    # scales per channel came with opset 13; older exports get one scale a tensor
    q.quantize_static(
        graph,
        str(out),
        Reader(),
        quant_format=q.QuantFormat.QDQ,
        per_channel=opset >= 13,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
    )


def quantised_copy(model: Model, tensors: Sequence[np.ndarray], out: Path) -> Path:
    """Write an INT8 copy of an ONNX model (static, U8S8, min-max, per channel from opset 13); return its path.

    Raises UnsupportedError where ONNX Runtime's quantiser does not take the model.
    """
    import logging
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            _quantise(model, tensors, out)
    except FacelabError:
        raise
    except Exception as e:
        # the quantiser raises whatever its graph passes raise
        raise UnsupportedError(
            "ONNX Runtime's quantiser does not take the model",
            where=model.path,
            got=str(e).splitlines()[0][:160] if str(e) else type(e).__name__,
            fix="export the model with a newer opset",
        ) from e
    finally:
        logging.disable(logging.NOTSET)
    return out


def race(
    contenders: Mapping[str, Callable[[], object]], *, repeats: int = 20
) -> dict[str, np.ndarray]:
    """Time callables in interleaved rounds; seconds by name (see `facelab.core.timing.interleave`)."""
    return interleave(contenders, repeats=repeats, warmup=1)


if __name__ == "__main__":
    _child()

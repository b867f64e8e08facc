"""Memory that grows in ten ways, each planted into a run of frames in its own process."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import fresh, html_table
from facelab.core.errors import BadInputError
from facelab.core.safety.scratch import ScratchFolder
from facelab.tracing import MemoryWatch

EXPECTED = {
    "nothing": "no growth",
    "cache that fills": "warm-up",
    "swaps that glibc keeps": "retention",
    "malloc without free": "native leak",
    "mapping without unmap": "native leak",
    "dicts in a list": "Python objects",
    "frames in a list": "held array",
    "NodeArg of each old session": "session held by a NodeArg",
    "old sessions in a list": "held sessions",
    "threads that never end": "threads",
    "files that stay open": "descriptors",
}
"""Planted case → the verdict that must be given."""
LEAK = 16_384
"""Bytes that the planted leaks lose per frame."""
SIDE = 1200
SWAP_EVERY = 40
_held: list[Any] = []


@dataclass(frozen=True)
class LeakTable:
    """One row per planted case: expected verdict, given verdict, its sentence, slope and visible leak in bytes."""

    rows: tuple[dict[str, Any], ...]

    @property
    def right(self) -> int:
        """Cases whose verdict is the expected one."""
        return sum(r["verdict"] == r["expected"] for r in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"schema": "facelab.leaks/1", "right": self.right, "rows": list(self.rows)}

    def to_frame(self) -> Any:
        """Return one row per case as a pandas DataFrame."""
        import pandas

        return pandas.DataFrame(list(self.rows))

    def text(self) -> str:
        """Return the table for a terminal."""
        lines = [f"{r['case']:<28} {r['verdict']:<26} {r['what']}" for r in self.rows]
        return "\n".join([*lines, f"{self.right} of {len(self.rows)} verdicts right"])

    def _repr_html_(self) -> str:
        rows = [[r["case"], r["expected"], r["verdict"], r["what"]] for r in self.rows]
        caption = f"{self.right} of {len(self.rows)} verdicts right"
        return html_table.table(["planted", "expected", "verdict", "what"], rows, caption=caption)


def leak_table(*, frames: int = 600, cases: tuple[str, ...] = tuple(EXPECTED)) -> LeakTable:
    """Run each planted case in its own process and return its verdict.

    Raises BadInputError for an unknown case.
    """
    unknown = [c for c in cases if c not in EXPECTED]
    if unknown:
        raise BadInputError(
            f"no case is named {unknown[0]!r}",
            expected=", ".join(EXPECTED),
            got=unknown[0],
            fix="choose one of them",
        )
    rows = []
    for case in cases:
        report = fresh.call("facelab.studies.planted_leaks:planted", case, frames, threads=1).value
        keys = (
            "verdict",
            "what",
            "growth_bytes_per_frame",
            "visible_bytes_per_frame",
            "peak_rss_mb",
        )
        series = {k: report["readings"][k] for k in ("frame", "rss", "in_use")}
        row = {"case": case, "expected": EXPECTED[case], "frames": frames}
        rows.append({**row, **{k: report[k] for k in keys}, "readings": series})
    return LeakTable(tuple(rows))


def planted(case: str, frames: int) -> dict[str, Any]:
    """Run one case in this process and return the report as plain JSON; meant for a fresh process."""
    with ScratchFolder() as folder:
        each = _plant(case, Path(folder), frames)
        _work(0)  # what numpy loads at its first call is not the case's
        watch = MemoryWatch(settle=frames // 5, every=5)
        for frame in range(frames):
            _work(frame)
            each(frame)
            watch.tick(frame)
        report = watch.finish().to_dict()
        _held.clear()
    return report


def _work(frame: int) -> None:
    """Do the work of a frame that every case does."""
    np.full((240, 320, 3), frame % 256, np.uint8).astype(np.float32).mean()


def _plant(case: str, folder: Path, frames: int) -> Callable[[int], None]:
    """Return what a case does after each frame."""
    library = ctypes.CDLL("libc.so.6", use_errno=True)
    library.malloc.restype = ctypes.c_void_p
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    stop = threading.Event()

    def malloc(_: int) -> None:
        ctypes.memset(library.malloc(LEAK), 1, LEAK)

    def mapping(_: int) -> None:
        ctypes.memset(library.mmap(None, LEAK, 3, 0x22, -1, 0), 1, LEAK)

    def thread(frame: int) -> None:
        if frame % 10 == 0:
            threading.Thread(target=stop.wait, daemon=True, name="planted").start()

    def file(frame: int) -> None:
        if frame % 5 == 0:
            _held.append((folder / "open.txt").open("w"))

    def cache(frame: int) -> None:
        if frame < frames // 6:
            _held.append(np.ones(300_000 * 600 // frames, np.uint8))

    simple: dict[str, Callable[[int], None]] = {
        "nothing": lambda _: None,
        "cache that fills": cache,
        "malloc without free": malloc,
        "mapping without unmap": mapping,
        "dicts in a list": lambda k: _held.extend({"frame": k, "box": [k, k]} for _ in range(40)),
        "frames in a list": lambda _: _held.append(np.ones(LEAK, np.uint8)),
        "threads that never end": thread,
        "files that stay open": file,
    }
    return simple[case] if case in simple else _swaps(case, folder)


def _swaps(case: str, folder: Path) -> Callable[[int], None]:
    """Return hot reload of a model of 6 MB, as it is usually written."""
    import onnxruntime

    model = heavy_model(folder / "heavy.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    given = {"x": np.ones((1, SIDE), np.float32)}
    current: list[Any] = []
    kept: list[bytes] = []

    def swap(frame: int) -> None:
        if frame % SWAP_EVERY:
            return
        fresh_one = onnxruntime.InferenceSession(str(model), options)
        fresh_one.run(None, given)
        if current and case == "NodeArg of each old session":
            _held.append(current[0].get_inputs()[0])
        if current and case == "old sessions in a list":
            _held.append(current[0])
        current[:] = [fresh_one]

    def churn(frame: int) -> None:
        """Free 24 MB of blocks below the threshold; one small block above them keeps the heap from shrinking."""
        swap(frame)
        if frame % SWAP_EVERY == 0:
            blocks = [bytes(60_000) for _ in range(400 if frame < 3 * SWAP_EVERY else 0)]
            kept.append(bytes(600))
            del blocks
            gc.collect()

    swap(0)  # the first session allocates for good
    return churn if case == "swaps that glibc keeps" else swap


def heavy_model(path: Path, side: int = SIDE, layers: int = 1) -> Path:
    """Write an ONNX model of `layers` matrix products with `side`² float32 weights each, and return its path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    names = ["x", *(f"h{k}" for k in range(1, layers)), "y"]
    weights = [numpy_helper.from_array(_weights(side, k), f"w{k}") for k in range(layers)]
    nodes = [helper.make_node("MatMul", [names[k], f"w{k}"], [names[k + 1]]) for k in range(layers)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, side]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "heavy", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def _weights(side: int, k: int) -> np.ndarray:
    return np.full((side, side), (k + 1) / side, np.float32)

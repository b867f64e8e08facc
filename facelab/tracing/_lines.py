"""The lines that allocate what is not freed again, by memray (extra `profile`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core.errors import UnsupportedError
from facelab.core.safety.scratch import ScratchFolder
from facelab.tracing._result import TableResult

MOST_FRAMES = 12


@dataclass(frozen=True)
class Lines(TableResult):
    """Lines by bytes that were allocated there and not freed: (place, bytes, blocks), largest first."""

    rows: tuple[tuple[str, int, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        keys = ("place", "bytes", "blocks")
        return {"schema": "facelab.lines/1", "rows": [dict(zip(keys, r)) for r in self.rows]}

    def _head(self) -> list[str]:
        return ["line", "bytes", "blocks"]

    def _rows(self) -> list[list[Any]]:
        return [list(r) for r in self.rows]

    def _caption(self) -> str:
        return f"{sum(r[1] for r in self.rows) / 1e6:.1f} MB allocated and not freed"


def allocating_lines(work: Callable[[], object], *, most: int = 10) -> Lines:
    """Run `work` under memray and return the lines whose memory was still allocated at its end.

    Parameters
    ----------
    work : callable
        Some hundred frames, after a warm-up. It runs about 10 % slower.
    most : int
        Lines to return.

    Returns
    -------
    Lines
        memray sees Python, numpy, OpenCV and ONNX Runtime. It does not see C's `malloc` called through ctypes.

    Raises
    ------
    UnsupportedError
        memray is not installed.

    Examples
    --------
    >>> kept = []
    >>> lines = allocating_lines(lambda: kept.append(bytearray(1 << 20)))
    """
    try:
        import memray
    except ImportError as e:
        raise UnsupportedError(
            "memray is not installed",
            got=str(e),
            fix="pip install 'facelab[profile]', or make setup",
        ) from e
    sizes: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    with ScratchFolder() as folder:
        path = Path(folder) / "memray.bin"
        with memray.Tracker(path):
            work()
        with memray.FileReader(path) as reader:
            for record in reader.get_leaked_allocation_records(merge_threads=True):
                place = _place(record.stack_trace(max_stacks=MOST_FRAMES))
                sizes[place] += record.size
                blocks[place] += record.n_allocations
    return Lines(tuple((k, n, blocks[k]) for k, n in sizes.most_common(most)))


def _place(frames: list[tuple[str, str, int]]) -> str:
    """Return the innermost frame outside installed libraries as file:line (function)."""
    outside = [f for f in frames if "site-packages" not in f[1] and not f[1].startswith("<")]
    if not (chosen := outside or frames):
        return "unknown"
    function, file, line = chosen[0]
    return f"{Path(file).name}:{line} ({function})"

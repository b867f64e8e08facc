"""What every trial needs: its setting, pictures with a known number of faces, and a witness of what records say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from facelab.core import degraded
from facelab.core.errors import FacelabError
from facelab.core.records import Record
from facelab.core.text_files import read_csv
from facelab.datasets import synthetic
from facelab.preprocess import read_image
from facelab.serving.degradation import Loss
from facelab.zoo.internals import mirror


class Unmeasured(Exception):
    """A row cannot be measured on this machine; the message says why."""


@dataclass(frozen=True)
class Setting:
    """What the trials run on.

    Parameters
    ----------
    detector : str
        The usual detector.
    pictures : int
        Pictures per value at most.
    seed : int
        Of everything that is drawn.
    """

    detector: str
    pictures: int = 12
    seed: int = 7

    @cached_property
    def files(self) -> tuple[str, list[bytes], list[int]]:
        """Where pictures come from, JPEG or PNG files, and the number of faces in each."""
        table = mirror.labelled("detection.csv")
        if table is not None:
            rows = read_csv(table, "list of photographs", fix="repair the mirror")[: self.pictures]
            files = [(Path(table).parent / r["path"]).read_bytes() for r in rows]
            name = f"{len(files)} labelled photographs"
            return name, files, [int(r["n_faces"]) for r in rows]
        import cv2

        n = min(self.pictures, 12)
        scenes = [synthetic.scene(3, self.seed * 1000 + k, (640, 480)) for k in range(n)]
        shown = [cv2.imencode(".png", np.ascontiguousarray(s.image[..., ::-1]))[1] for s in scenes]
        return (
            f"{n} rendered scenes",
            [s.tobytes() for s in shown],
            [len(s.faces) for s in scenes],
        )

    @cached_property
    def images(self) -> list[np.ndarray]:
        """The same pictures, decoded to RGB."""
        return [read_image(data) for data in self.files[1]]

    @property
    def counts(self) -> list[int]:
        """The number of faces in each picture."""
        return self.files[2]

    @property
    def source(self) -> str:
        """Where the pictures come from."""
        return self.files[0]


def found_share(found: Sequence[int], counts: Sequence[int]) -> float:
    """Return the share of faces that were counted; faces too many in one picture make up for none in another."""
    return sum(min(f, c) for f, c in zip(found, counts)) / max(1, sum(counts))


def timed(call: Callable[[Any], int], values: Sequence[Any]) -> tuple[list[int], float]:
    """Return what a call gives for each value, and its median milliseconds; one call before warms up."""
    call(values[0])
    out, seconds = [], []
    for value in values:
        started = time.perf_counter()
        out.append(call(value))
        seconds.append(time.perf_counter() - started)
    return out, 1e3 * float(np.median(seconds))


class Witness:
    """Makes a record every few milliseconds while a fallback may be active, and keeps what it says.

    Parameters
    ----------
    name : str
        The row that is waited for.
    """

    def __init__(self, name: str) -> None:
        self.name, self.seen = name, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(0.003)

    def look(self) -> None:
        """Make a record now, and keep what it says."""
        text = Record("fallbacks", "fallbacks", self.name, "witness", 1.0).degraded or ""
        self.seen |= self.name in text.split(", ")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.look()
        self._stop.set()
        self._thread.join()


def ended(name: str, seconds: float = 0.0) -> bool:
    """Return whether a fallback is no longer active in this process, waiting for it for a while."""
    until = time.monotonic() + seconds
    while name in degraded.active() and time.monotonic() < until:
        time.sleep(0.01)
    return name not in degraded.active()


def loss(
    name: str,
    metric: str,
    usual: float,
    fallen: float,
    n: int,
    *,
    took: tuple[float | None, float | None],
    shown: tuple[bool, bool, bool],
    method: str = "measured",
    note: str = "",
) -> Loss:
    """Return the loss of a row.

    `took` is milliseconds as usual and meanwhile; `shown` whether a record named it, an answer did, and it ended.
    """
    before, meanwhile = took
    recorded, answered, ended = shown
    return Loss(
        name,
        metric,
        float(usual),
        float(fallen),
        n,
        before,
        meanwhile,
        bool(recorded),
        bool(answered),
        bool(ended),
        method,
        note,
    )


def need(condition: Any, why: str) -> None:
    """Raise Unmeasured with a reason unless the condition holds."""
    if not condition:
        raise Unmeasured(why)


def first_line(e: FacelabError) -> str:
    """Return what an error says, in one line."""
    return f"{e.what}{f' ({e.got})' if e.got else ''}"[:300]

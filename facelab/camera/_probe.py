"""List cameras, and probe one: what it says, what it promises, and what it really delivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.camera._contract import Contract, same_rate
from facelab.camera._errors import NoFrameError, SourceEndedError
from facelab.camera._ledger import LedgerReport
from facelab.camera._source import Source
from facelab.core.errors import FacelabError
from facelab.core.result import Result

if TYPE_CHECKING:
    from facelab.camera.v4l2._kernel import Kernel


@dataclass(frozen=True)
class Probe(Result):
    """What a source promised and what was measured over some frames of each stream.

    Parameters
    ----------
    contract
        The promise.
    rates
        Stream → frames per second by its time stamps, None where fewer than two frames came.
    ages_s
        Stream → (median, 95th percentile) of the frames' ages at delivery.
    ledger
        The counts.
    device, controls
        What a V4L2 device says of itself; empty for other sources.
    schedule
        What the scheduler granted, where another process captured; None otherwise.
    """

    contract: Contract
    rates: dict[str, float | None]
    ages_s: dict[str, tuple[float, float]]
    ledger: LedgerReport
    device: dict[str, Any]
    controls: tuple[dict[str, Any], ...]
    schedule: dict[str, Any] | None = None

    @property
    def keeps_rate(self) -> bool | None:
        """Whether the first stream's rate is within 5 % of the promised one; None where one is unknown."""
        measured = next(iter(self.rates.values()), None)
        if measured is None or self.contract.rate is None:
            return None
        near = abs(measured - self.contract.rate) <= 0.05 * self.contract.rate
        return near or same_rate(measured, self.contract.rate)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "contract": self.contract.to_dict(),
            "rates": self.rates,
            "keeps_rate": self.keeps_rate,
            "ages_s": {k: list(v) for k, v in self.ages_s.items()},
            "ledger": self.ledger.to_dict(),
            "device": self.device,
            "controls": list(self.controls),
            "schedule": self.schedule,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per stream."""
        return [
            {
                "stream": s,
                "measured rate": rate,
                "age ms, median": 1e3 * self.ages_s[s][0],
                "age ms, 95 %": 1e3 * self.ages_s[s][1],
            }
            for s, rate in self.rates.items()
        ]


def probe(source: Source, frames: int = 30) -> Probe:
    """Read some frames of a source and compare them with its promise; the source is closed afterwards.

    Parameters
    ----------
    source
        A source that `open_source` returned.
    frames
        Frames to read of all streams together.

    Returns
    -------
    Probe
        What the source delivers beside what it promises.
    """
    from facelab.camera.process._capture import CaptureProcess
    from facelab.camera.v4l2._camera import V4L2Camera

    seen: dict[str, list[tuple[int, float, float]]] = {s: [] for s in source.streams}
    device: dict[str, Any] = {}
    controls: tuple[dict[str, Any], ...] = ()
    if isinstance(source, V4L2Camera):
        device = source.device.to_dict()
        controls = tuple(c.to_dict() for c in source.controls())
    with source:
        for _ in range(frames):
            try:
                frame = source.read()
            except (SourceEndedError, NoFrameError):
                break
            seen[frame.stream].append((frame.sequence, frame.time_s, frame.age_s))
            frame.__exit__(None, None, None)
        contract = source.contract
    return Probe(
        contract,
        {s: _rate(rows) for s, rows in seen.items()},
        {s: _ages(rows) for s, rows in seen.items()},
        source.ledger.report(),
        device,
        controls,
        source.schedule.to_dict() if isinstance(source, CaptureProcess) else None,
    )


def _rate(rows: list[tuple[int, float, float]]) -> float | None:
    if len(rows) < 2 or rows[-1][1] <= rows[0][1] or rows[-1][0] <= rows[0][0]:
        return None
    return (rows[-1][0] - rows[0][0]) / (rows[-1][1] - rows[0][1])


def _ages(rows: list[tuple[int, float, float]]) -> tuple[float, float]:
    if not rows:
        return 0.0, 0.0
    p50, p95 = np.percentile([r[2] for r in rows], [50, 95])
    return float(p50), float(p95)


def list_cameras(kernel: Kernel | None = None) -> list[dict[str, Any]]:
    """Return every video device: what it is and how many modes it offers, or why it cannot be opened.

    Parameters
    ----------
    kernel : Kernel or None
        The name of a notebook kernel.

    Returns
    -------
    list of dict[str, Any]
        Every video device.

    Examples
    --------
    >>> all("path" in camera for camera in list_cameras())  # none on most build machines
    True
    """
    from facelab.camera.v4l2._describe import describe, modes
    from facelab.camera.v4l2._kernel import LinuxKernel

    kernel = kernel or LinuxKernel()
    out: list[dict[str, Any]] = []
    for path in kernel.devices():
        try:
            fd = kernel.open(path)
        except OSError as e:
            out.append({"path": path, "problem": e.strerror})
            continue
        try:
            device = describe(kernel, fd, path)
            offers = modes(kernel, fd) if device.captures else ()
            formats = sorted({m.format for m in offers})
            out.append({**device.to_dict(), "modes": len(offers), "formats": formats})
        except (OSError, FacelabError) as e:
            out.append({"path": path, "problem": getattr(e, "strerror", None) or str(e)})
        finally:
            kernel.close(fd)
    return out

"""Temperatures from Linux's sysfs, checked: a sensor may be missing, fail, or tell nonsense."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from facelab.core.errors import UnsupportedError
from facelab.core.result import Result

SYSFS = "/sys/class/thermal"
PROCESSOR = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal", "coretemp")
"""Types of zones that mean the processor, best first; others follow in their own order."""
LOWEST_C, HIGHEST_C = -40.0, 150.0


@dataclass(frozen=True)
class Sensor(Result):
    """One thermal zone.

    Parameters
    ----------
    zone
        Name of its folder, such as `thermal_zone0`.
    kind
        What it says it measures.
    celsius
        Temperature, or None where it gave none.
    problem
        Why not, or None.
    """

    zone: str
    kind: str
    celsius: float | None
    problem: str | None


def sensors(root: str | os.PathLike[str] = SYSFS) -> list[Sensor]:
    """Return every thermal zone, those of the processor first.

    Parameters
    ----------
    root
        The folder of the zones; a different one than sysfs for tests.
    """
    folders = sorted(Path(root).glob("thermal_zone*"), key=_number)
    return sorted((_read(f) for f in folders), key=_rank)


def read_celsius(root: str | os.PathLike[str] = SYSFS) -> float:
    """Return the temperature of the processor in °C.

    Raises
    ------
    UnsupportedError
        No zone gives a temperature; what each said is in the error.
    """
    found = sensors(root)
    for sensor in found:
        if sensor.celsius is not None:
            return sensor.celsius
    said = _said(found) or "no thermal zone"
    raise UnsupportedError(
        "the temperature of this machine cannot be determined",
        where=os.fspath(root),
        got=said,
        fix="give the temperature yourself, or run on a machine that has a sensor",
    )


def _said(found: Iterable[Sensor]) -> str:
    return "; ".join(f"{s.zone} ({s.kind}): {s.problem}" for s in found)


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.removeprefix("thermal_zone")
    return (int(digits) if digits.isascii() and digits.isdigit() else 1 << 30, folder.name)


def _rank(sensor: Sensor) -> tuple[int, int]:
    kind = sensor.kind.lower()
    place = next((k for k, name in enumerate(PROCESSOR) if kind.startswith(name)), len(PROCESSOR))
    return (place, _number(Path(sensor.zone))[0])


def _read(folder: Path) -> Sensor:
    kind, problem, celsius = "unknown", None, None
    with contextlib.suppress(OSError):  # a zone without a type still has a temperature
        kind = (folder / "type").read_text(errors="replace").strip()[:64] or "unknown"
    try:
        text = (folder / "temp").read_text(errors="replace").strip()
        celsius = int(text) / 1000.0
    except OSError as e:  # some drivers answer EINVAL or EAGAIN while they sleep
        problem = e.strerror or type(e).__name__
    except ValueError:
        problem = "not a whole number of thousandths of a degree"
    if celsius is not None and not LOWEST_C <= celsius <= HIGHEST_C:
        celsius, problem = None, f"{celsius:g} °C is not believable"
    return Sensor(folder.name, kind, celsius, problem)

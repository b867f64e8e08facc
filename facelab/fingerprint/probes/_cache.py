"""The probes as decoded pictures, kept in the user's cache folder so that `compare` need not draw them again."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facelab.core.array_files import read_npz
from facelab.core.caches import cache_folder
from facelab.core.errors import FacelabError
from facelab.core.files import write_bytes
from facelab.core.hashing import sha256_bytes

EXOTIC = ("gray16",)
"""Probes in formats that camera pipelines do not meet and that even accurate decoders read differently."""
SCREEN = ("marks", "zone_plate", "portrait", "landscape", "edges", "bars")
"""The probes every hypothesis is tried on first: small, lossless, upright, and together they show everything."""
LARGE = "large"
"""Joins the screen where the output is so large that the others are only enlarged, which hides antialiasing."""
RAW_SCREEN = ("marks", "zone_plate", "texture", "edges", "bars", "face")


class Source(NamedTuple):
    """A decoded probe: pixels as stored (height × width × 3), EXIF orientation, landmarks and box in the upright
    picture (or None)."""

    name: str
    pixels: np.ndarray
    orientation: int = 1
    landmarks: tuple[tuple[float, ...], ...] | None = None
    box: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Picture:
    """One probe: its `source` for prediction, whether it is lossless, and its family (`image`, `yuyv`, …)."""

    name: str
    source: Source
    family: str
    lossy: bool
    range: str | None = None

    @property
    def plain(self) -> bool:
        """Whether every decoder gives the same upright pixels."""
        return (
            not self.lossy
            and self.source.orientation == 1
            and self.name not in (*EXOTIC, "alpha")
            and self.range is None
        )


@functools.cache
def pictures() -> dict[str, Picture]:
    """Return probe name → picture for the whole set."""
    path = _cache_path()
    if path is not None and (found := _read(path)) is not None:
        return found
    made, arrays, facts = _make()
    if path is not None:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            __facts__=np.frombuffer(json.dumps(facts).encode(), np.uint8),
            **arrays,
        )
        try:
            write_bytes(path, buffer.getvalue())
        except (OSError, FacelabError):
            return made  # a read-only home: draw them again next time
    return made


def remember() -> None:
    """Put the pictures into the cache folder unless they are there, while the probes are drawn anyway."""
    path = _cache_path()
    if path is not None and not path.exists():
        pictures()


def _make() -> tuple[dict[str, Picture], dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    from facelab.fingerprint.probes._set import probe_set

    made: dict[str, Picture] = {}
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, dict[str, Any]] = {}
    for p in probe_set():
        family = "image" if p.group == "image" else p.format
        face = p.face or {}
        facts[p.name] = {
            "orientation": p.orientation,
            "landmarks": face.get("landmarks"),
            "box": face.get("box"),
            "family": family,
            "lossy": p.format == "jpeg",
            "range": p.range,
        }
        arrays[p.name] = np.ascontiguousarray(p.pixels)
        made[p.name] = _picture(p.name, arrays[p.name], facts[p.name])
    return made, arrays, facts


def _picture(name: str, pixels: np.ndarray, fact: dict[str, Any]) -> Picture:
    marks = fact["landmarks"] and tuple(tuple(p) for p in fact["landmarks"])
    source = Source(name, pixels, fact["orientation"], marks, fact["box"] and tuple(fact["box"]))
    return Picture(name, source, fact["family"], fact["lossy"], fact["range"])


def _read(path: Path) -> dict[str, Picture] | None:
    try:
        z = read_npz(path, "probe pictures")
        facts = json.loads(z["__facts__"].tobytes())
        return {name: _picture(name, z[name], fact) for name, fact in facts.items()}
    except (FacelabError, ValueError, KeyError, TypeError):
        return None


def _cache_path() -> Path | None:
    """The file is named by the drawing code's own bytes, so that it is never stale."""
    folder = cache_folder()
    try:
        here = Path(__file__).parent
        code = b"".join(sorted(p.read_bytes() for p in here.glob("_*.py")))
    except OSError:
        return None
    return folder and folder / f"probe-pictures-{sha256_bytes(code)[:16]}.npz"

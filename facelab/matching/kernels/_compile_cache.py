"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call."""

from __future__ import annotations

from pathlib import Path

from facelab.core.compiled import makers

_ROOM = Path(__file__).parents[1]
FOLDERS = _ROOM / "kernels", _ROOM / "_search"
kernel, part = makers(*FOLDERS)

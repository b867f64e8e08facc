"""Where a user's caches are kept: files that may be deleted at any time and are made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """Return facelab's cache folder, which need not exist; None where the user has no home.

    `FACELAB_CACHE` decides, then `XDG_CACHE_HOME`, then `~/.cache`.
    """
    folder = os.environ.get("FACELAB_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(folder) if folder else Path.home() / ".cache") / "facelab"
    except RuntimeError:
        return None

"""Where the project is: the folder whose `notebooks/` holds a plan of facelab."""

from __future__ import annotations

import os
from pathlib import Path

PLAN = "notebooks/plan.toml"
_SCHEMA = b"facelab.plan/"


def project_root() -> Path:
    """Return the project's folder, seen from the working folder: the nearest one that facelab's plan marks.

    The mark is `notebooks/plan.toml` with facelab's schema; a project's `pyproject.toml` says nothing about facelab.
    Without one it is this checkout, and where the package is installed without a checkout, the user's data folder.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        if is_project(folder):
            return folder
    checkout = Path(__file__).resolve().parents[2]
    return checkout if is_project(checkout) else user_folder()


def installation_root() -> Path:
    """Return the folder for what this installation relies on: its checkout, else the user's data folder.

    Unlike `project_root`, it does not follow the working folder: a project that a stranger sent vouches for nothing.
    """
    return Path(__file__).resolve().parents[2] if in_checkout() else user_folder()


def in_checkout() -> bool:
    """Return whether facelab runs from a checkout, where `make setup` installs everything; else pip installed it."""
    folder = Path(__file__).resolve().parents[2]
    return is_project(folder) and (folder / "Makefile").is_file()


def is_project(folder: Path) -> bool:
    """Return whether a folder holds a plan of facelab."""
    try:
        with (folder / PLAN).open("rb") as f:
            return _SCHEMA in f.read(1 << 16)
    except OSError:
        return False


def own_folders(root: Path) -> list[Path]:
    """Return where a project keeps its own modules: beside its notebooks, and in its root."""
    return [root / "notebooks", root]


def user_folder() -> Path:
    """Return the folder for this user's data where there is no project.

    >>> user_folder().name
    'facelab'
    """
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "facelab"


def package_file(name: str) -> Path:
    """Return the path of a file that is part of the installed package.

    >>> package_file("zoo/data/catalogue.toml").is_file()
    True
    """
    return Path(__file__).resolve().parents[1] / name

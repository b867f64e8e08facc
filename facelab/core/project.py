"""Where the project is: the folder that holds `notebooks/` and `pyproject.toml`."""

from __future__ import annotations

from pathlib import Path


def project_root() -> Path:
    """Return the folder that holds this checkout's `pyproject.toml` and `notebooks/`, seen from the working folder.

    Falls back to the folder above the installed package.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return Path(__file__).resolve().parents[2]


def package_file(name: str) -> Path:
    """Return the path of a file that is part of the installed package.

    >>> package_file("zoo/data/catalogue.toml").is_file()
    True
    """
    return Path(__file__).resolve().parents[1] / name

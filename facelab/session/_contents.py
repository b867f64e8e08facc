"""Notebooks as JupyterLab wants to see them, and as they are committed.

JupyterLab writes what the kernel says of its language into a notebook that it opens, and marks it as changed where the
file says less. The committed form says "python" alone, since a version would change with each machine.
"""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

KERNEL = "facelab"
COMMITTED = {"name": "python"}


class Notebooks(AsyncLargeFileManager):
    """The server's files; a notebook of facelab's kernel is read with that kernel's language, and written without."""

    async def get(self, path: str, *args: Any, **options: Any) -> dict[str, Any]:
        """Read a file or a folder, as Jupyter's own manager does."""
        model = await super().get(path, *args, **options)
        _set(model, COMMITTED, IPythonKernel.language_info)
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Write a file, as Jupyter's own manager does."""
        _set(model, IPythonKernel.language_info, COMMITTED)
        return await super().save(model, path)


def _set(model: dict[str, Any], there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Exchange the language of a notebook of facelab's kernel, where it is `there`."""
    if model.get("type") != "notebook" or not isinstance(model.get("content"), dict):
        return
    metadata = model["content"].get("metadata", {})
    if (
        metadata.get("kernelspec", {}).get("name") == KERNEL
        and metadata.get("language_info") == there
    ):
        metadata["language_info"] = dict(wanted)

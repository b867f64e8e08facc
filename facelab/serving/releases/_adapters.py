"""From a release's folder to what requests use: a classifier, an embedder or a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facelab.deploy.manifest import Manifest
from facelab.preprocess import PreprocessSpec


def task_adapter(folder: Path, manifest: Manifest) -> Any:
    """Return the classifier, embedder or detector of a release, or None for a task that facelab has no class for.

    Parameters
    ----------
    folder : Path
        A verified snapshot.
    manifest : Manifest
        Its manifest; `task` decides.

    Returns
    -------
    Any
        The classifier, embedder or detector of a release, or None for a task that facelab
        has no class for.
    """
    path, spec = folder / manifest.model, PreprocessSpec.load(folder / "preprocess.json")
    if manifest.task == "emotion":
        from facelab.emotion import EmotionClassifier

        return EmotionClassifier(path, spec=spec, threads=1)
    if manifest.task == "embedding":
        from facelab.embedding import load

        return load(path, spec=spec, threads=1)
    if manifest.task == "detection":
        from facelab.detection import load

        return load(path, spec=spec, threads=1)
    return None

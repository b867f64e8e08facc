"""Wire both pipelines and a model together for `facelab fingerprint compare --model M --images DIR`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.fingerprint import Comparison
from facelab.fingerprint.probes import nominal_face
from facelab.studies.fingerprint_cost import find_images, measure


def attach_cost(
    comparison: Comparison,
    model: str,
    images: str,
    pipelines: tuple[str | None, str | None],
    classes: str | None,
    task: str | None,
    threshold: float | None,
) -> None:
    """Measure what the mismatch costs and let it decide the severities of `comparison`."""
    files, labels = find_images(images)
    train, infer = (
        _preparer(side, target, option)
        for side, target, option in zip(
            (comparison.train, comparison.infer),
            pipelines,
            ("--train-pipeline", "--infer-pipeline"),
        )
    )
    run, entry_classes = _model(model)
    names = classes.split(",") if classes else entry_classes
    cost = measure(
        train, infer, run, files, labels=labels, classes=names, task=task, threshold=threshold
    )
    comparison.cost = cost.to_dict()
    for finding in comparison.findings:
        finding.severity, finding.severity_from = cost.severity, "measured agreement"


def _model(name: str) -> tuple[Callable[..., np.ndarray], list[Any] | None]:
    from facelab.zoo import load_catalogue
    from facelab.zoo.runtimes import open_model

    entry = (
        None if Path(name).suffix else next((e for e in load_catalogue() if e.name == name), None)
    )
    model = open_model(entry or name)
    classes = getattr(entry, "labels", None)

    def run(tensor: np.ndarray) -> np.ndarray:
        return model.run(_shaped(tensor, model.inputs[0]))[0]

    return run, list(classes) if classes else None


def _shaped(tensor: np.ndarray, info: Any) -> np.ndarray:
    """Give the tensor the model's number of axes and float type: a batch or channel axis of one may come and go."""
    x = np.asarray(tensor)
    want = len(info.shape)
    if x.ndim == want - 1:
        x = x[None]
    if x.ndim == want + 1 and x.shape[0] == 1:
        x = x[0]
    return x.astype(np.float32) if x.dtype == np.float64 else x


def _preparer(side: Any, target: str | None, option: str) -> Callable[..., Any]:
    if target is not None:
        return _from_code(target)
    if side.spec is None:
        raise BadInputError(
            "the cost needs a way to run each side's preprocessing",
            where=side.path or side.name,
            expected="a fingerprint with a spec, or a pipeline",
            got="neither",
            fix=f"add {option} FILE.py:function",
        )
    from facelab.preprocess import apply
    from facelab.preprocess.spec import PreprocessSpec

    spec = PreprocessSpec.from_dict(side.spec, where=side.path)
    needs_face = any(s.op == "align" or getattr(s, "region", None) == "face" for s in spec.stages)

    def prepare(path: Path) -> np.ndarray:
        return apply(spec, str(path), face=_whole(path) if needs_face else None)

    return prepare


def _from_code(target: str) -> Callable[..., Any]:
    from facelab.fingerprint.capture import as_array, load_pipeline
    from facelab.fingerprint.probes import Probe

    handle = load_pipeline(target).call

    def prepare(path: Path) -> np.ndarray:
        face = _whole(path)
        stand_in = Probe(
            path.stem, path.name, "image", path.suffix.lstrip("."), (0, 0), b"", face, ()
        )
        return as_array(handle(str(path), stand_in))

    return prepare


def _whole(path: Path) -> dict:
    """An image of a face is taken to be cropped to it: the nominal face for its size."""
    from facelab.preprocess.image import read_image

    h, w = read_image(path).shape[:2]
    return nominal_face((w, h))

"""Emotions of the faces in pictures: find, crop by the model's spec, classify."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, MissingAssetError
from facelab.core.files import read_json, write_json
from facelab.core.project import project_root
from facelab.detection import Detector
from facelab.emotion._classifier import EmotionClassifier
from facelab.emotion._train import MODEL
from facelab.emotion.sources import whole as whole_box
from facelab.preprocess import read_image
from facelab.zoo.internals import models_folder

LAST = "last.json"


@dataclass(frozen=True)
class Prediction:
    """One face: its box (xyxy, pixels of the picture), the detector's score, and a probability for each class.

    The score is None where the whole picture is taken for a face.
    """

    box: tuple[float, float, float, float]
    score: float | None
    probabilities: dict[str, float]

    @property
    def emotion(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "box": [round(v, 2) for v in self.box],
            "score": self.score,
            "emotion": self.emotion,
            "probability": self.probabilities[self.emotion],
            "probabilities": self.probabilities,
        }


def predict(
    image: np.ndarray, detector: Detector, classifier: EmotionClassifier
) -> list[Prediction]:
    """Return a prediction for each face that `detector` finds in an RGB uint8 image, best score first.

    Parameters
    ----------
    image : ndarray
        A picture, (height, width, 3) uint8 RGB.
    detector : Detector
        A detector of `detection.load`.
    classifier : EmotionClassifier
        A classifier of `emotion.load`.

    Returns
    -------
    list of Prediction
        A prediction for each face that `detector` finds in an RGB uint8 image, best score
        first.

    Examples
    --------
    >>> from facelab import detection, emotion
    >>> from facelab.preprocess import read_image
    >>> image = read_image("photo.jpg")
    >>> (face,) = predict(image, detection.load("haar"), emotion.load("bundle"))
    >>> sorted(face.probabilities)
    ['anger', 'joy', 'neutral']
    """
    found = detector.detect(image)
    probabilities = classifier.classify(image, found.boxes)
    return [
        Prediction(
            (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            float(score),
            {c: float(v) for c, v in zip(classifier.classes, row)},
        )
        for box, score, row in zip(found.boxes, found.scores, probabilities)
    ]


def whole(image: np.ndarray, classifier: EmotionClassifier) -> list[Prediction]:
    """Return the prediction for a picture that is a cropped face, as evaluation takes it: no detector, no margin.

    Parameters
    ----------
    image : ndarray
        A picture, (height, width, 3) uint8 RGB.
    classifier : EmotionClassifier
        A classifier of `emotion.load`.

    Returns
    -------
    list of Prediction
        One, whose box is the whole picture.
    """
    row = classifier.classify(image, np.array([whole_box(image, classifier.spec)]))[0]
    named = {c: float(v) for c, v in zip(classifier.classes, row)}
    return [Prediction((0.0, 0.0, float(image.shape[1]), float(image.shape[0])), None, named)]


def predict_files(
    files: Iterable[Path],
    detector: Detector,
    classifier: EmotionClassifier,
    *,
    crops_below: float = 0,
) -> tuple[list[tuple[Path, list[Prediction]]], dict[Path, str]]:
    """Return the predictions of each image file, and why a file could not be read; the others go on.

    Parameters
    ----------
    files : Iterable[path]
        Picture files.
    detector : Detector
        A detector of `detection.load`.
    classifier : EmotionClassifier
        A classifier of `emotion.load`.
    crops_below : float
        A picture whose shorter side is below this many pixels is a face itself: it is taken whole.

    Returns
    -------
    list of tuple[path, list[Prediction]]
        The predictions of each image file that can be read.
    dict[path, str]
        What is wrong with the others, in one line each.

    Raises
    ------
    BadInputError
        Where none of the files can be read, naming the first.
    """
    found: list[tuple[Path, list[Prediction]]] = []
    errors: dict[Path, str] = {}
    first: FacelabError | None = None
    for file in files:
        try:
            image = read_image(file)
        except FacelabError as e:
            first = first or e
            errors[file] = "; ".join(" ".join(line.split()) for line in str(e).splitlines())
        else:
            cropped = min(image.shape[:2]) < crops_below
            faces = whole(image, classifier) if cropped else predict(image, detector, classifier)
            found.append((file, faces))
    if first is not None and not found:
        raise first
    return found, errors


def annotate(
    found: Iterable[tuple[Path, list[Prediction]]], folder: str | os.PathLike[str]
) -> list[Path]:
    """Write each picture with its faces' boxes, emotions and probabilities as PNG, and return the files.

    Pictures of one name from several folders are numbered. The drawn letters are ASCII: a class with other letters
    appears as `#` and its number, and `classes.txt` beside the pictures says which it is.

    Parameters
    ----------
    found : Iterable[tuple[path, list[Prediction]]]
        What a detector found.
    folder : str or path
        A folder.

    Returns
    -------
    list of path
        The paths of the pictures.
    """
    import cv2

    from facelab.core.files import write_bytes, write_text
    from facelab.core.png import encode_png
    from facelab.detection.internals import drawn

    out, colour = Path(folder), (0, 158, 115)
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    numbers: dict[str, str] = {}
    for file, faces in found:
        image = read_image(file)
        boxes = np.array([p.box for p in faces], float).reshape(-1, 4)
        picture = drawn(image, boxes, [colour] * len(faces))
        ratio = picture.shape[1] / image.shape[1]
        size = max(0.4, picture.shape[1] / 1400)
        for p in faces:
            name = p.emotion
            if not name.isascii():
                number = f"#{list(p.probabilities).index(name)}"
                numbers[name] = number
                name = number
            words = f"{name} {p.probabilities[p.emotion]:.2f}"
            place = max(2, round(p.box[0] * ratio)), max(12, round(p.box[1] * ratio) - 4)
            for shade, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, shade, thick)
        target = out / f"{file.stem}.png"
        if target in written:
            target = out / f"{file.stem}_{len(written)}.png"
        write_bytes(target, encode_png(picture))
        written.append(target)
    if numbers:
        lines = [f"{number}\t{name}\n" for name, number in sorted(numbers.items())]
        write_text(out / "classes.txt", "".join(lines))
    return written


def default_folder() -> Path:
    """Return where a training goes that names no folder: `models/emotion`.

    Returns
    -------
    path
        Where a training goes that names no folder.
    """
    return models_folder() / "emotion"


def remember(folder: Path) -> None:
    """Note `folder` as the last training, for commands that are given no model.

    Parameters
    ----------
    folder : path
        The folder of a training.
    """
    write_json(default_folder() / LAST, {"folder": str(Path(folder).resolve())})


def find_model(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the model file: `given` (a file, or the folder of a training or quantisation), else the one
    trained last.

    Trained last is the newest of what the command trained and what notebook 03 left.

    Parameters
    ----------
    given : str or path or None
        A model file or a folder of a training; None for the default.

    Returns
    -------
    path
        The model file.

    Raises
    ------
    MissingAssetError
        Naming the command that makes one.
    BadInputError
        The folder holds several models.
    """
    if given is not None:
        path = Path(given)
        path = _inside(path) if path.is_dir() else path
        if not path.is_file():
            raise MissingAssetError(
                "there is no model",
                where=path,
                expected="a .tflite, .onnx or .keras file, or its folder",
                fix="check the path, or train one: facelab emotion train --data synthetic",
            )
        return path
    folders = [default_folder()]
    if (last := default_folder() / LAST).is_file():
        folders.append(Path(read_json(last)["folder"]))
    reports = project_root() / "reports"
    folders += [
        reports / kind / "03_emotion_finetune" / "model" for kind in ("latest", "interactive")
    ]
    there = [f / MODEL for f in folders if (f / MODEL).is_file()]
    if not there:
        raise MissingAssetError(
            "no emotion classifier has been trained yet",
            where=default_folder(),
            fix="facelab emotion train --data synthetic",
        )
    return max(there, key=lambda p: p.stat().st_mtime)


def _inside(folder: Path) -> Path:
    """Return a folder's model: what a training wrote, else the only `.tflite` or `.onnx` (of `facelab quantize`)."""
    found = (
        [folder / MODEL]
        if (folder / MODEL).is_file()
        else (sorted(folder.glob("*.tflite")) or sorted(folder.glob("*.onnx")))
    )
    if len(found) > 1:
        raise BadInputError(
            "the folder holds several models",
            where=folder,
            expected="one model",
            got=", ".join(p.name for p in found[:8]),
            fix="name the file",
        )
    return found[0] if found else folder / MODEL

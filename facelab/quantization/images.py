"""From what a user names (a folder of images, a CSV, synthetic) to a model's float input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_array, sha256_file
from facelab.datasets.labels import SEVEN, UnknownLabelError
from facelab.detection.internals import bounded, in_order, prepared
from facelab.emotion.internals import FaceSet, in_classes, sources, to_tensor
from facelab.preprocess import PreprocessSpec, read_image
from facelab.quantization import _labelled as labelled
from facelab.quantization._labelled import FaceOf
from facelab.quantization._rows import HELD, Rows
from facelab.quantization._subject import Subject
from facelab.quantization.calibration import Samples

FREE = 640
"""Side of the square, in pixels, for networks that take any size."""


def read(
    subject: Subject,
    data: str,
    *,
    crop: str = "detect",
    n: int = 300,
    seed: int = 11,
    most: int | None = None,
    unlabelled: bool = False,
    label_map: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Samples:
    """Read images for a model by its own spec.

    For a classifier `data` is whatever `facelab emotion train --data` takes; images without labels where they all lie
    in the folder itself, or with `unlabelled`. For an embedder, a detector or another network it is a folder of
    images, searched through all its sub-folders. `crop` names the detector
    that finds faces where the spec needs them, `detect` the best one here, `whole` none. A classifier whose spec does
    not crop is fed what `emotion evaluate` feeds it: the face that is found, else the whole picture. At most `most`
    images are read, spread evenly over the folder. `label_map` says which class a label of the data means. `say` is
    called with a line on what was found. Raises BadInputError for what cannot be read or does not suit.
    """
    from facelab.emotion.internals import Seen, check_crop, face_finder

    check_crop(crop)
    cut, seen = None, Seen("")
    if subject.task == "classifier" and not needs_face(subject.spec) and crop != "whole":
        cut, seen = face_finder(crop)
    if subject.task != "classifier" or unlabelled or _is_flat(data):
        read = _network(subject, Path(data), crop, cut, most)
    else:
        read = _with_labels(subject, data, crop, cut, n, seed, label_map or {}, say)
    for line in seen.said():
        say(f"{data}: {line}")
    return read


def _with_labels(
    subject: Subject,
    data: str,
    crop: str,
    cut: sources.FindFace | None,
    n: int,
    seed: int,
    label_map: Mapping[str, str],
    say: Callable[[str], None],
) -> Samples:
    """Return a classifier's labelled images. Folders that label nothing (one per person) have a way out here."""
    try:
        if _of_this_bench(subject):
            return _bench(subject, data, crop, n, seed, label_map, say)
        face_of = finder(crop) if needs_face(subject.spec) else None
        return labelled.read(
            subject, data, face_of=face_of, cut=cut, n=n, seed=seed, label_map=label_map, say=say
        )
    except UnknownLabelError as e:
        raise UnknownLabelError(
            e.what,
            where=e.where,
            expected=e.expected,
            got=e.got,
            fix=f"correct the label, say what it means with --label-map {e.got}=CLASS (an empty CLASS drops it), or "
            "take the images without labels with --unlabelled: the model is then judged by agreement alone",
        ) from None


def _bench(
    subject: Subject,
    data: str,
    crop: str,
    n: int,
    seed: int,
    label_map: Mapping[str, str],
    say: Callable[[str], None],
) -> Samples:
    from facelab.emotion import collect

    # a class may be absent from an evaluation; a calibration set that lacks one is refused where it is checked
    found = collect(
        data,
        subject.spec,
        classes=subject.classes,
        crop=crop,
        n=n,
        seed=seed,
        to_train=False,
        label_map=label_map,
    )
    for line in found.notes:
        say(f"{data}: {line}")
    return from_faces(subject, found.faces, source=data)


def _is_flat(data: str) -> bool:
    """Return whether a folder holds its own images and no folders: then nothing labels them."""
    folder = Path(data)
    return folder.is_dir() and not any(
        p.is_dir() and not p.name.startswith(".") for p in folder.iterdir()
    )


def _of_this_bench(subject: Subject) -> bool:
    """Return whether a classifier sees what facelab's own see: RGB crops of faces, by the emotions' own names."""
    crop = subject.spec.find("crop")
    return (
        set(subject.classes) <= set(SEVEN)
        and crop is not None
        and crop.region == "face"
        and subject.spec.find("resize") is not None
        and subject.spec.find("color") is None
    )


def from_faces(subject: Subject, faces: FaceSet, *, source: str = "") -> Samples:
    """Return crops that were made by the model's spec as its float input."""
    faces = in_classes(faces, subject.classes)
    return Samples(
        to_tensor(subject.spec, faces.images),
        tuple(faces.hashes()),
        faces.names,
        subject.spec,
        source,
        faces.labels,
        faces.classes,
        faces.identities,
    )


def _network(
    subject: Subject, folder: Path, crop: str, cut: sources.FindFace | None, most: int | None
) -> Samples:
    from facelab.detection.internals import find_images

    spec, free = subject.spec, any(n is None for n in subject.spec.output_shape()[1:])
    files = [Path(f) for f in find_images(folder)]
    if most is not None and len(files) > most:
        files = [
            files[i] for i in np.unique(np.linspace(0, len(files) - 1, most).round().astype(int))
        ]
    prepare = _Preparation(spec, free, finder(crop) if needs_face(spec) else None, cut)
    tensors: list[np.ndarray] | None = []
    shapes, hashes, used, faces, missed = set(), [], [], [], []
    for file in files:
        image, face = prepare.read(file)
        if face is None:
            missed.append(file)
            continue
        tensor = prepare.tensor(image, face)
        if tensors is not None and tensor.nbytes * len(files) <= HELD:
            tensors.append(tensor)
        else:
            tensors = None
        shapes.add(tensor.shape)
        # the picture itself, whatever its file's encoding: a re-saved PNG of the same pixels is the same image
        hashes.append(sha256_array(image))
        used.append(file)
        faces.append(face)
    if not used:
        raise BadInputError(
            "no face was found in any image",
            where=folder,
            got=f"{len(missed)} images without a face",
            fix="name another detector with --crop",
        )
    shape = _one_shape(shapes, subject)
    return Samples(
        Rows(lambda i: prepare.again(used[i], faces[i]), range(len(used)), shape)
        if tensors is None
        else np.stack(tensors),
        tuple(hashes),
        tuple(map(str, used)),
        spec,
        f"{folder}"
        + (f", {len(missed)} without a face left out" if missed else "")
        + (f", fitted into {FREE}×{FREE}" if free else ""),
    )


Face = dict[str, Any]


@dataclass(frozen=True)
class _Preparation:
    """From an image file to a network's input: the spec, whether the network takes any size, who finds the face.

    `cut` finds the box that is cut out for a spec without a stage that needs the face.
    """

    spec: PreprocessSpec
    free: bool
    face_of: FaceOf | None
    cut: sources.FindFace | None = None

    def read(self, file: Path) -> tuple[np.ndarray, Face | None]:
        """Return the pixels and the face (empty where the spec needs none, None where none is found)."""
        image = fitted(read_image(file)) if self.free else read_image(file)
        if self.cut is not None:
            return image, {"cut": self.cut(image)}
        return image, {} if self.face_of is None else self.face_of(image)

    def tensor(self, image: np.ndarray, face: Face) -> np.ndarray:
        """Return the input without its batch axis."""
        pixels = in_order(labelled.cut_out(image, face.get("cut")), self.spec.input_order)
        return prepared(
            self.spec, pixels, face={k: v for k, v in face.items() if k != "cut"} or None
        )[0]

    def again(self, file: Path, face: Face) -> np.ndarray:
        """Read and prepare a file whose face is known."""
        return self.tensor(fitted(read_image(file)) if self.free else read_image(file), face)


def fitted(image: np.ndarray, side: int = FREE) -> np.ndarray:
    """Return an image on a black square of `side`, at its top left, shrunk by area averaging where it is larger.

    A network of any input size gets one size here, since calibration and comparison take tensors of one shape.
    """
    small, _ = bounded(image, side)
    return np.pad(small, ((0, side - small.shape[0]), (0, side - small.shape[1]), (0, 0)))


def _one_shape(shapes: set[tuple[int, ...]], subject: Subject) -> tuple[int, ...]:
    if len(shapes) > 1:
        raise BadInputError(
            "the images give tensors of different sizes",
            where=subject.file,
            expected="a spec with a fixed size",
            got=sorted(shapes)[:3],
            fix="give images of one size, or a spec that resizes to one",
        )
    return next(iter(shapes))


def needs_face(spec: PreprocessSpec) -> bool:
    """Return whether a spec has a stage that works on a face's place."""
    return any(s.op == "align" or (s.op == "crop" and s.region == "face") for s in spec.stages)


def finder(crop: str) -> FaceOf:
    """Return a function from RGB pixels to the main face (a box, landmarks where the detector has them), or None."""
    from facelab import detection
    from facelab.embedding.internals import find_face
    from facelab.emotion.internals import detector_name

    if crop == "whole":
        return lambda image: {"box": (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))}
    detector = detection.load(detector_name(crop))

    def find(image: np.ndarray):
        found = find_face(detector, image)
        if found is None:
            return None
        face = {"box": tuple(float(v) for v in found.boxes[0])}
        return face | ({} if found.landmarks is None else {"landmarks": found.landmarks[0]})

    return find


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file or of a SavedModel's files, in order of their names."""
    if path.is_file():
        return sha256_file(path)
    from facelab.core.hashing import sha256_json

    return sha256_json(
        [[str(p.relative_to(path)), sha256_file(p)] for p in sorted(path.rglob("*")) if p.is_file()]
    )

"""What a classifier is built on: facelab's own pre-trained backbone, a catalogue entry, a SavedModel, a hub address."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, IntegrityError, did_you_mean
from facelab.core.safety.scratch import ScratchFolder
from facelab.datasets.labels import SEVEN
from facelab.emotion import sources
from facelab.emotion._network import SUFFIXES, network
from facelab.emotion._pretrain import pretrain
from facelab.emotion._recipe import Backbone
from facelab.emotion._spec import SIZE, emotion_spec
from facelab.preprocess import PreprocessSpec
from facelab.zoo import load_catalogue
from facelab.zoo.internals import data_folder, models_folder, require, source_file, trust

OWN, NONE = "facelab", "none"
PRETRAIN_SEED = 1007
"""The seed of the faces that the backbone is pre-trained on: identities of another seed are other identities."""


@dataclass(frozen=True)
class Choice:
    """A backbone that was named: where it is (None: facelab's own or none) and the preprocessing of its input."""

    name: str
    where: Backbone
    spec: PreprocessSpec

    @property
    def size(self) -> int:
        """The width of its input in pixels."""
        return self.spec.resized_to()[0]


def choose(
    name: str, *, size: int | None = None, spec: Any = None, layer: str | None = None
) -> Choice:
    """Return the backbone that `name` means, without training or downloading anything.

    `facelab` (pre-trained on synthetic faces when needed), `none` (random weights), a catalogue entry (its file must
    be here: a SavedModel archive, Keras weights of MobileNetV2, or a classifier that is a Keras file), a Keras file
    of a whole model, the folder of a SavedModel, or a hub address. `spec` (a Keras file's preprocessing, if it is not
    beside it) and `layer` (whose output its features are) are for Keras files, `size` for the others.
    Raises MissingAssetError with the command that fetches an entry, BadInputError for another word.
    """
    if (file := _keras_file(name)) is not None:
        if size is not None:
            raise BadInputError(
                "a Keras file has its own input size",
                where=file,
                got=f"--size {size}",
                fix="leave the size out",
            )
        chosen = network(file, spec=spec, layer=layer)
        return Choice(name, chosen, chosen.spec)
    if spec is not None or layer is not None:
        raise BadInputError(
            "a preprocessing or a layer of the backbone is for a Keras file",
            expected=", ".join(SUFFIXES),
            got=f"--backbone {name}",
            fix="leave --spec and --backbone-layer out",
        )
    where, wanted = _of_others(name)
    return Choice(name, where, emotion_spec(size or wanted))


def _keras_file(name: str) -> Path | None:
    """Return the Keras file that a path or a classifier of the catalogue means, or None."""
    path = Path(name)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return path
    catalogue = load_catalogue()
    if name not in catalogue.names or catalogue.model(name).kind != "emotion":
        return None
    entry = catalogue.model(name)
    if Path(entry.file or "").suffix not in SUFFIXES:
        return None
    require(entry)  # says how to fetch it
    return source_file(entry)


def _of_others(name: str) -> tuple[Path | str | None, int]:
    """Return where a backbone that is not a Keras file of a whole model is, and its usual size."""
    if name in (OWN, NONE):
        return None, SIZE
    entries = {e.name: e for e in load_catalogue().of_kind("aux", family="backbone")}
    if name in entries:
        entry = entries[name]
        path = require(entry)
        where = (
            path if path.suffix == ".h5" else unpacked(path, models_folder() / "backbones" / name)
        )
        return where if where.suffix == ".h5" else str(where), entry.options["input_size"][0]
    foreign = (Path(name) / "saved_model.pb").is_file() or name.startswith("https://")
    if foreign and not os.environ.get(trust.TRUST_MODEL):
        raise trust.refuse_stranger(name, "training on this backbone", "training has no sandbox")
    if (Path(name) / "saved_model.pb").is_file():
        return str(Path(name).resolve()), SIZE
    if name.startswith("https://"):
        return name, 224
    known = [OWN, NONE, *entries]
    raise BadInputError(
        f"there is no backbone {name!r}{did_you_mean(name, known)}",
        expected=", ".join(known)
        + ", a Keras file of a whole model, the folder of a SavedModel, or an https address",
        got=name,
        fix="choose a name of the list, or give a folder or an address",
    )


def unpacked(archive: Path, folder: Path) -> Path:
    """Return the folder of the SavedModel inside a `.tar.gz`, unpacking it once. Raises IntegrityError for another."""
    if not (folder / "saved_model.pb").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                ScratchFolder(dir=folder.parent, prefix=".tmp") as name,
                tarfile.open(archive) as tar,
            ):
                inside = Path(name) / "model"
                tar.extractall(inside, filter="data")
                found = next(iter(sorted(inside.rglob("saved_model.pb"))), None)
                if found is None:
                    raise IntegrityError(
                        "the archive holds no SavedModel",
                        where=archive,
                        expected="saved_model.pb",
                        fix="name the archive of a SavedModel (TensorFlow Hub's .tar.gz)",
                    )
                found.parent.replace(folder)
        except (tarfile.TarError, EOFError, OSError) as e:
            raise IntegrityError(
                "the archive cannot be unpacked",
                where=archive,
                got=str(e)[:120],
                fix="fetch it again",
            ) from None
    return folder


def weights(
    choice: Choice,
    spec: PreprocessSpec,
    *,
    n: int,
    epochs: int,
    seed: int = PRETRAIN_SEED,
    copies: int = 2,
    classes: Sequence[str] = SEVEN,
    workers: int = 2,
    progress: bool = False,
    on_line: Callable[[str], None] | None = None,
) -> Backbone:
    """Return what `facelab.emotion._train` takes as `backbone`; facelab's own is pre-trained now unless it is kept.

    `n`, `epochs`, `copies` and `seed` are those of the pre-training, on synthetic faces of all seven emotions. Its
    weights are kept in `models/backbones`, the crops in `data/cache`.
    """
    if choice.name != OWN:
        return choice.where
    faces = sources.synthetic(
        n,
        seed,
        spec,
        classes=tuple(classes),
        workers=workers,
        cache=data_folder() / "cache",
        progress=progress,
    )
    return pretrain(
        faces,
        spec,
        models_folder() / "backbones",
        epochs=epochs,
        seed=seed,
        copies=copies,
        on_line=on_line,
    )

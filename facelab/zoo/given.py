"""What a user names as a model: a catalogue name, a file, a bundle, or the folder of a training or quantisation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.files import read_json
from facelab.core.hashing import sha256_file
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo._catalogue import ModelEntry, load_catalogue

TRAINED = "emotion_fp32.tflite"
"""The file that a training's folder is known by."""
MODELS = (".tflite", ".onnx", ".keras", ".h5", ".hdf5")
MANIFEST, BUNDLE = "manifest.json", "facelab.bundle/"
MAX_MANIFEST = 4 << 20


@dataclass(frozen=True)
class Given:
    """A model's file with what is beside it; `spec` and `labels` are set where the file's folder is a bundle.

    `said` is one line for a reader: what was recognised.
    """

    path: Path
    said: str
    spec: PreprocessSpec | None = None
    labels: tuple[str, ...] = ()


def resolve(model: str | os.PathLike[str]) -> Given | None:
    """Return the file that a path means, or None for a name of the catalogue.

    A folder is a bundle (`facelab bundle`), a training (`facelab emotion train`) or holds one model (`facelab
    quantize --out`). A bundle's model and preprocessing are read only where their hashes are those of its manifest.

    Parameters
    ----------
    model : str or path
        What the user gave. A path that does not exist is returned as it is, for the reader to refuse.

    Raises
    ------
    BadInputError
        The folder holds several models or none, the bundle's files were changed, or a name of the catalogue is that
        of a file or folder here as well: in a stranger's folder, that one would be taken for the catalogue's.
    """
    path = Path(model)
    if str(model) in load_catalogue().names:
        if path.exists():
            raise BadInputError(
                "the name means a model of the catalogue, and something in this folder has it too",
                where=path.resolve(),
                expected="one of them",
                got=str(model),
                fix=f"write ./{model} for what is here; rename it to take the catalogue's",
            )
        return None
    if not path.is_dir():
        return Given(path, f"{path.name}: a file")
    if _is_bundle(path):
        return _of_bundle(path)
    if (path / TRAINED).is_file():
        return Given(path / TRAINED, f"{path.name}: the folder of a training, {TRAINED}")
    found = [p for suffix in MODELS for p in sorted(path.glob(f"*{suffix}"))]
    tflite = [p for p in found if p.suffix == ".tflite"]
    found = tflite if len(tflite) == 1 else found
    if len(found) != 1 or (path / "saved_model.pb").is_file():
        return Given(path, f"{path.name}: a folder")
    return Given(found[0], f"{path.name}: a folder with one model, {found[0].name}")


def recognised(model: str | os.PathLike[str]) -> str:
    """Return one line about what a model was recognised as, for commands to say."""
    given = resolve(model)
    if given is not None:
        known = same_content(given.path)
        return given.said + (f" with the content of the catalogue's {known.name}" if known else "")
    entry = load_catalogue().model(str(model))
    family = f" of the family {entry.family}" if entry.family else ""
    return f"{entry.name}: {entry.kind}{family} of the catalogue"


def same_content(path: Path) -> ModelEntry | None:
    """Return the catalogue's entry of a file with exactly this content, or None."""
    if not path.is_file():
        return None
    size = path.stat().st_size
    alike = [e for e in load_catalogue() if e.bytes == size and e.sha256]
    return next((e for e in alike if e.sha256 == sha256_file(path)), None) if alike else None


def _is_bundle(folder: Path) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        value = read_json(folder / MANIFEST, max_bytes=MAX_MANIFEST)
    except BadInputError:
        return False
    return isinstance(value, dict) and str(value.get("schema", "")).startswith(BUNDLE)


def _of_bundle(folder: Path) -> Given:
    manifest = read_json(folder / MANIFEST, max_bytes=MAX_MANIFEST)
    files = {f.get("path"): f for f in manifest.get("files", []) if isinstance(f, dict)}
    model = str(manifest.get("model", ""))
    for name in (model, "preprocess.json"):
        known = files.get(name, {}).get("sha256")
        path = folder / name
        if not name or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            got = "no such file"
        else:
            got = sha256_file(path)
        if got != known:
            raise BadInputError(
                "the bundle was changed or is damaged",
                where=path,
                expected=f"SHA-256 {known}",
                got=got,
                fix="get the bundle again; facelab bundle verify lists what differs",
            )
    labels = manifest.get("labels", [])
    labels = tuple(map(str, labels)) if isinstance(labels, list) else ()
    task, name = manifest.get("task", "unknown"), manifest.get("name", folder.name)
    return Given(
        folder / model,
        f"{folder.name}: a bundle of {name} (task {task}, hash {str(manifest.get('hash'))[:8]})",
        PreprocessSpec.load(folder / "preprocess.json"),
        labels,
    )

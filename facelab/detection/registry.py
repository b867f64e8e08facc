"""`load`: a catalogue name or a user's own file in, a ready `Detector` out."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, FacelabError, did_you_mean
from facelab.detection import families as package
from facelab.detection.base import Detector
from facelab.detection.neural import NeuralDetector
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.catalogue import ModelEntry, load_catalogue
from facelab.zoo.runtimes import Model, ModelRunError, open_model
from facelab.zoo.store import find

CASCADE = ("pnet", "rnet", "onet")


def families() -> list[str]:
    """Return the names of the detector families: the files in `facelab/detection/families`."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(package.__path__))


def family_class(name: str) -> type[Detector]:
    """Return a family's detector class. Raises BadInputError for an unknown one."""
    if name not in families():
        raise BadInputError(f"no detector family is named {name!r}{did_you_mean(name, families())}",
                            expected=", ".join(families()), got=name)
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}").DETECTOR


def available() -> list[ModelEntry]:
    """Return the catalogue's detectors whose files are on this machine, in the catalogue's order. Downloads nothing."""
    return [e for e in load_catalogue().of_kind("detector") if e.family in families() and _is_here(e)]


def _is_here(entry: ModelEntry) -> bool:
    try:
        return find(entry) is not None
    except FacelabError:
        return False


def load(name_or_path: str | os.PathLike, *, family: str | None = None, threads: int | None = None,
         spec: PreprocessSpec | str | os.PathLike | None = None, **options: Any) -> Detector:
    """Load a detector by its catalogue name, or from a file (for MTCNN a folder of three).

    `spec` (a `PreprocessSpec` or its file) replaces the preprocessing of the catalogue; for a file, the spec beside it
    (`<file>.preprocess.json`) or the family's customary one. A file's `family` may be left out where its outputs tell.
    `threads` bounds the runtime. `options` are the family's own, among them `score_threshold` and `nms_threshold`.
    Raises BadInputError for unknown names and options and for a model whose input does not fit the spec or whose
    outputs are not the family's, MissingAssetError with the command that fetches the weights.
    """
    spec = spec if spec is None or isinstance(spec, PreprocessSpec) else PreprocessSpec.load(spec)
    text = os.fspath(name_or_path)
    if (entry := entry_named(text, "detector")) is not None:
        return _from_entry(entry, family, threads, spec, options)
    return _from_file(Path(text), family, threads, spec or sidecar(Path(text)), options)


def entry_named(text: str, kind: str) -> ModelEntry | None:
    """Return the catalogue's entry of this name, or whose file has this stem; None where `text` is a file's path.

    Raises BadInputError for a name that is neither, or of another kind.
    """
    catalogue = load_catalogue()
    by_stem = {Path(e.file).stem: e for e in catalogue.of_kind(kind) if e.file}
    if text in catalogue.names:
        entry = catalogue.model(text)
        if entry.kind != kind:
            raise BadInputError(f"{text!r} is no {kind}", expected=f"a {kind} of the catalogue", got=entry.kind)
        return entry
    if Path(text).exists():
        return None
    if text in by_stem:
        return by_stem[text]
    names = [e.name for e in catalogue.of_kind(kind)]
    raise BadInputError(f"no {kind} and no file is named {text!r}{did_you_mean(text, names)}",
                        expected="a catalogue name or a model file", got=text,
                        fix="facelab assets list shows the names")


def sidecar(path: Path) -> PreprocessSpec | None:
    """Return the spec that lies beside a model file (`<file>.preprocess.json`, with or without its suffix), or None."""
    for beside in (path.with_name(path.name + ".preprocess.json"), path.with_suffix(".preprocess.json")):
        if beside.is_file():
            return PreprocessSpec.load(beside)
    return None


def _from_entry(entry: ModelEntry, name: str | None, threads: int | None, spec: PreprocessSpec | None,
                options: dict) -> Detector:
    if name not in (None, entry.family):
        raise BadInputError("the model is of another family", where=entry.name, expected=entry.family, got=name)
    kind = family_class(entry.family)
    known = option_names(kind)
    merged = {k: v for k, v in entry.options.items() if k in known} | checked(options, known, entry.name)
    if entry.builtin:
        return kind(entry.name, **merged)
    if entry.parts:
        return kind(entry.name, [open_model(p, threads=threads) for p in load_catalogue().parts(entry)], **merged)
    return _build(kind, entry.name, open_model(entry, threads=threads), spec or entry.spec, merged)


def _from_file(path: Path, name: str | None, threads: int | None, spec: PreprocessSpec | None,
               options: dict) -> Detector:
    if name is None:
        return _guessed(path, threads, spec, options)
    kind = family_class(name)
    merged = checked(options, option_names(kind), path)
    if "models" in inspect.signature(kind).parameters:
        return kind(path.name, [open_model(_part(path, p), threads=threads) for p in CASCADE], **merged)
    if "model" not in inspect.signature(kind).parameters:
        raise BadInputError(f"{name} has no model file: it is part of a Python module", where=path,
                            fix="load it by its catalogue name")
    return _build(kind, path.name, open_model(path, threads=threads), spec, merged)


def _guessed(path: Path, threads: int | None, spec: PreprocessSpec | None, options: dict) -> Detector:
    """Load a file of the one family whose decoder takes its outputs."""
    model, fitting, refused = open_model(path, threads=threads), [], {}
    for name in families():
        kind = family_class(name)
        if not issubclass(kind, NeuralDetector):
            continue
        try:
            fitting.append(_build(kind, path.name, model, spec, checked(options, option_names(kind), path)))
        except (BadInputError, ModelRunError) as e:
            refused[e.what] = e
    if len(fitting) == 1:
        return fitting[0]
    broken = [e for e in refused.values() if isinstance(e, ModelRunError)]
    # a spec that does not fit, and a model that does not run, are no question of the family
    if not fitting and (broken or len(refused) == 1):
        raise (broken or list(refused.values()))[0]
    raise BadInputError("the model's family cannot be told from its outputs", where=path,
                        expected=", ".join(families()), got=", ".join(d.family for d in fitting) or "none that fits",
                        fix="name the family, e.g. --family yunet")


def _part(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*{part}*")) if folder.is_dir() else []
    if len(found) != 1:
        raise BadInputError("mtcnn is a folder with one file for each of its networks", where=folder,
                            expected=f"one file named *{part}*", got=", ".join(p.name for p in found) or "none")
    return found[0]


def _build(kind: type[Detector], name: str, model: Model, spec: PreprocessSpec | None, options: dict) -> Detector:
    if "spec" in inspect.signature(kind).parameters:
        options["spec"] = spec
    return kind(name, model, **options)


def option_names(kind: type) -> list[str]:
    """Return the names of a family's options: the keyword-only parameters of its class and those above it."""
    signatures = [inspect.signature(c.__init__) for c in kind.__mro__ if "__init__" in vars(c)]
    return list(dict.fromkeys(p.name for s in signatures for p in s.parameters.values() if p.kind is p.KEYWORD_ONLY))


def checked(options: dict, known: list[str], where: object) -> dict:
    """Return the options that are set. Raises BadInputError for one the family does not have."""
    for key in options:
        if key not in known:
            raise BadInputError(f"the family has no option {key!r}{did_you_mean(key, known)}", where=where,
                                expected=", ".join(sorted(known)), got=key)
    return {k: v for k, v in options.items() if v is not None}

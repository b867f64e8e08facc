"""`load`: a catalogue name or a user's own file in, a ready `Embedder` out."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, FacelabError, did_you_mean
from facelab.detection.registry import checked, entry_named, option_names, sidecar
from facelab.embedding import families as package
from facelab.embedding.base import Embedder
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.catalogue import ModelEntry, load_catalogue
from facelab.zoo.runtimes import Model, open_model
from facelab.zoo.store import find


def families() -> list[str]:
    """Return the names of the embedder families: the files in `facelab/embedding/families`."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(package.__path__))


def family_class(name: str) -> type[Embedder]:
    """Return a family's embedder class. Raises BadInputError for an unknown one."""
    if name not in families():
        raise BadInputError(f"no embedder family is named {name!r}{did_you_mean(name, families())}",
                            expected=", ".join(families()), got=name)
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}").EMBEDDER


def available() -> list[ModelEntry]:
    """Return the catalogue's embedders whose files are on this machine, in the catalogue's order. Downloads nothing."""
    return [e for e in load_catalogue().of_kind("embedder") if e.family in families() and _is_here(e)]


def _is_here(entry: ModelEntry) -> bool:
    try:
        return find(entry) is not None
    except FacelabError:
        return False


def load(name_or_path: str | os.PathLike, *, family: str | None = None, threads: int | None = None,
         spec: PreprocessSpec | str | os.PathLike | None = None, **options: Any) -> Embedder:
    """Load an embedder by its catalogue name, or from a file with a spec or of a stated `family`.

    `spec` (a `PreprocessSpec` or its file) replaces the preprocessing of the catalogue; for a file, the spec beside it
    (`<file>.preprocess.json`) or the family's customary one.
    `threads` bounds the runtime; `options` are the family's own (`dim`, `metric`). Raises BadInputError for unknown
    names and options and for a model whose input does not fit the spec or whose output is no embedding,
    MissingAssetError with the command that fetches the weights.
    """
    spec = spec if spec is None or isinstance(spec, PreprocessSpec) else PreprocessSpec.load(spec)
    text = os.fspath(name_or_path)
    if (entry := entry_named(text, "embedder")) is not None:
        return _from_entry(entry, family, threads, spec, options)
    spec = spec or sidecar(Path(text))
    if family is None and spec is None:
        raise BadInputError("a model file needs its spec or its family: nothing in it says how faces are prepared",
                            where=text, expected=f"--spec FILE, or a family: {', '.join(families())}",
                            fix="write the spec, or name the family, e.g. --family arcface")
    # with a spec, nothing of a family is left but its name
    kind = family_class(family or "arcface")
    return _build(kind, Path(text).name, open_model(text, threads=threads), spec,
                  checked(options, option_names(kind), text))


def _from_entry(entry: ModelEntry, name: str | None, threads: int | None, spec: PreprocessSpec | None,
                options: dict) -> Embedder:
    if name not in (None, entry.family):
        raise BadInputError("the model is of another family", where=entry.name, expected=entry.family, got=name)
    kind = family_class(entry.family)
    known = option_names(kind)
    merged = {k: v for k, v in entry.options.items() if k in known} | checked(options, known, entry.name)
    # the entry's own spec is checked by the embedder, so that a spec given instead of it is the one that counts
    return _build(kind, entry.name, open_model(entry, threads=threads, spec=spec), spec or entry.spec, merged)


def _build(kind: type[Embedder], name: str, model: Model, spec: PreprocessSpec | None, options: dict) -> Embedder:
    if "spec" in inspect.signature(kind).parameters:
        options = {**options, "spec": spec}
    return kind(name, model, **options)

"""`load`: a catalogue name or a user's own file in, a ready `Embedder` out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.embedding import _families as package
from facelab.embedding._base import Embedder
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.families import (
    Families,
    checked,
    entry_named,
    given_spec,
    option_names,
    sidecar,
    with_spec,
)
from facelab.zoo.given import resolve, same_content
from facelab.zoo.internals import ModelEntry
from facelab.zoo.runtimes import open_model

FAMILIES = Families("embedder", package, "EMBEDDER")


def families() -> list[str]:
    """Return the names of the embedder families, such as "arcface".

    Returns
    -------
    list of str
        The names of the embedder families, such as "arcface".

    Examples
    --------
    >>> {"arcface", "facenet", "sface"} <= set(families())
    True
    """
    return FAMILIES.names()


def family_class(name: str) -> type:
    """Return a family's class. Raises BadInputError for an unknown name."""
    return FAMILIES.named(name)


def available() -> list[ModelEntry]:
    """Return the catalogue's embedders whose files are on this machine. Downloads nothing.

    Returns
    -------
    list of ModelEntry
        The catalogue's embedders whose files are on this machine.

    Examples
    --------
    >>> all(entry.kind == "embedder" for entry in available())
    True
    """
    return FAMILIES.available()


def load(
    name_or_path: str | os.PathLike[str],
    *,
    family: str | None = None,
    threads: int | None = None,
    spec: PreprocessSpec | str | os.PathLike[str] | None = None,
    **options: Any,
) -> Embedder:
    """Load an embedder by its catalogue name, from a bundle, or from a file with a spec or of a stated `family`.

    `spec` (a `PreprocessSpec` or its file) replaces the preprocessing of the catalogue; for a file, the spec beside it
    (`<file>.preprocess.json`) or the family's customary one.
    `threads` bounds the runtime; `options` are the family's own (`dim`, `metric`).

    Parameters
    ----------
    name_or_path : str or path
        A name of `available()`, or a model file.
    family : str or None
        The model family; None for the one that the catalogue or the file states.
    threads : int or None
        Threads of the runtime; None for all cores.
    spec : PreprocessSpec or str or path or None
        The preprocessing to apply.
    **options : Any
        The family's own options.

    Returns
    -------
    Embedder
        The embedder.

    Raises
    ------
    BadInputError
        For unknown names and options and for a model whose input does not fit the spec or
        whose output is not an embedding, MissingAssetError with the command that fetches
        the weights.

    Examples
    --------
    >>> import numpy as np
    >>> embedder = load("dlib-resnet")
    >>> embedder.embed(np.zeros((150, 150, 3), np.uint8)).shape
    (1, 128)
    """
    spec = given_spec(spec)
    text = os.fspath(name_or_path)
    if (entry := entry_named(text, "embedder")) is not None:
        # the entry's own spec is checked by the embedder, so that a spec given instead of it is the one that counts
        kind, merged = FAMILIES.of_entry(entry, family, options)
        return kind(
            entry.name,
            open_model(entry, threads=threads, spec=spec),
            **with_spec(kind, spec or entry.spec, merged),
        )
    found = resolve(text)
    text = text if found is None else str(found.path)
    spec = spec or (found and found.spec) or sidecar(Path(text))
    if family is None and spec is None and (known := same_content(Path(text))) is not None:
        family, spec = known.family, known.spec
    if family is None and spec is None:
        raise BadInputError(
            "a model file needs its spec or its family: nothing in it says how faces are prepared",
            where=text,
            expected=f"--spec FILE, or a family: {', '.join(families())}",
            fix="write the spec, or name the family, e.g. --family arcface",
        )
    # with a spec, nothing of a family is left but its name
    kind = family_class(family or "arcface")
    merged = checked(options, option_names(kind), text)
    return kind(Path(text).name, open_model(text, threads=threads), **with_spec(kind, spec, merged))

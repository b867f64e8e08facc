"""`load` and `available`: a model of the catalogue by its name, or any model's file by its path."""

from __future__ import annotations

import os
from pathlib import Path

from facelab.core.errors import BadInputError, did_you_mean
from facelab.preprocess import PreprocessSpec
from facelab.zoo._assets import Kind
from facelab.zoo._catalogue import ModelEntry, load_catalogue
from facelab.zoo.families import is_here
from facelab.zoo.runtimes import Model, open_model


def available(kind: Kind | None = None) -> list[ModelEntry]:
    """Return the catalogue's models whose files are on this machine. Downloads nothing.

    Parameters
    ----------
    kind : str or None
        `detector`, `embedder`, …: only models of this kind; None for all.

    Returns
    -------
    list of ModelEntry
        In the catalogue's order.

    Examples
    --------
    >>> from facelab import zoo
    >>> all(entry.kind == "detector" for entry in zoo.available("detector"))
    True
    """
    catalogue = load_catalogue()
    entries = list(catalogue.entries) if kind is None else catalogue.of_kind(kind)
    return [entry for entry in entries if is_here(entry)]


def load(
    model: str | os.PathLike[str], *, threads: int | None = None, spec: PreprocessSpec | None = None
) -> Model:
    """Open a model by its name in the catalogue or by its file's path, and check that its input fits its spec.

    Parameters
    ----------
    model : str or path
        A name of `load_catalogue().names`, or the path of a file of any format that `runtimes` opens.
    threads : int or None
        Threads of the runtime; None for all cores.
    spec : PreprocessSpec or None
        What prepares the input; None for the catalogue's own.

    Returns
    -------
    Model
        Opened; call it with one array per input.

    Raises
    ------
    BadInputError
        Neither a name nor a file, or the spec does not fit the input.
    MissingAssetError
        The file is not on this machine; the message has the command that gets it.
    IntegrityError
        The file is not the one that the catalogue names.

    Examples
    --------
    >>> from facelab import zoo
    >>> zoo.load("mtcnn-rnett")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: no model and no file is named 'mtcnn-rnett'; did you mean 'mtcnn-rnet'?
      expected: a catalogue name or a model file
      got:      mtcnn-rnett
      fix:      facelab assets list shows the names
    """
    catalogue = load_catalogue()
    if str(model) in catalogue.names:
        return open_model(catalogue.model(str(model)), threads=threads, spec=spec)
    if Path(model).exists():
        return open_model(model, threads=threads, spec=spec)
    raise BadInputError(
        f"no model and no file is named {str(model)!r}{did_you_mean(str(model), catalogue.names)}",
        expected="a catalogue name or a model file",
        got=model,
        fix="facelab assets list shows the names",
    )

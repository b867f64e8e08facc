"""The preprocessing as code and graphs inside a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.fingerprint.probes import frames_for
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.emit import available, emit, write

GRAPHS = {"onnx": ".onnx", "tflite": ".tflite"}


def check(spec: PreprocessSpec, languages: Sequence[str], size: tuple[int, int] | None) -> None:
    """Refuse a language that cannot do the preprocessing exactly, before anything is written.

    Parameters
    ----------
    spec : PreprocessSpec
        What is to be emitted.
    languages : sequence of str
        Names of `facelab.preprocess.emit.available()`.
    size : (int, int) or None
        Width and height of the picture that a graph is fixed to.

    Raises
    ------
    UnsupportedError, BadInputError
        As `emit` does.
    """
    for language in languages:
        emit(spec, language, **_options(language, size))


def _options(language: str, size: tuple[int, int] | None) -> dict[str, Any]:
    return {"size": size} if size is not None and language in GRAPHS else {}


def write_code(
    folder: Path,
    model: Path,
    spec: PreprocessSpec,
    languages: Sequence[str],
    size: tuple[int, int] | None,
) -> list[str]:
    """Write `code/LANGUAGE/…` into a bundle and return the paths below the bundle.

    A graph is also merged with the model where the model is of its kind.

    Parameters
    ----------
    folder, model : Path
        The bundle and its model's file.
    spec, languages, size
        As for `check`.

    Returns
    -------
    list of str
        Paths below `folder`, sorted.
    """
    paths: list[Path] = []
    for language in languages:
        options = _options(language, size)
        if GRAPHS.get(language) == model.suffix.lower():
            options["merge"] = model
        target = folder / "code" / language
        paths += write(spec, language, target, frames=frames_for(spec), **options)
    return sorted(str(p.relative_to(folder)) for p in paths)


def languages_of(text: str | None) -> tuple[str, ...]:
    """Return the languages in a list with commas, each once.

    Parameters
    ----------
    text : str or None
        Such as `c,go,onnx`.

    Returns
    -------
    tuple of str
        Names of `available()`.

    Raises
    ------
    BadInputError
        A name is unknown.

    Examples
    --------
    >>> languages_of("go, c,go"), languages_of(None)
    (('go', 'c'), ())
    """
    names = tuple(dict.fromkeys(t.strip() for t in (text or "").split(",") if t.strip()))
    for name in names:
        if name not in available():
            raise BadInputError(
                f"no code can be generated for {name!r}",
                expected=", ".join(available()),
                fix="write names of this list with commas between",
            )
    return names


PAGE = """
## Preprocessing as code
`code/` has it for {names}, generated from `preprocess.json`; the README in each folder says how to verify it against
golden tensors. Use this instead of writing it by hand.
"""


def page(languages: Sequence[str]) -> str:
    """Return the README's part about the code; nothing without languages."""
    return PAGE.format(names=", ".join(languages)) if languages else ""

"""Preprocessing that cannot differ: programs and graphs written from a spec, with golden tensors to prove them.

An emitter is one module of this folder with a function `emit(spec, name, …)`, and one line of `EMITTERS`.
"""

from __future__ import annotations

import importlib
import inspect
import keyword
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facelab.core import plugins
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean
from facelab.preprocess.emit._files import Emitted
from facelab.preprocess.emit._golden import Frame, fitting, golden_files
from facelab.preprocess.emit._readme import readme
from facelab.preprocess.spec import PreprocessSpec

__all__ = ["EMITTERS", "Emitted", "Frame", "available", "emit", "write"]

EMITTERS = {
    "c": "C99 and C++17: one header and one source, no dependency, no allocation",
    "go": "Go: one package, standard library only, with golden tests and a benchmark",
    "javascript": "JavaScript: one ES module with TypeScript declarations, for browsers and Node",
    "python": "Python: one file, numpy only",
    "onnx": "ONNX: a graph for one picture size, alone or in front of a model",
    "tflite": "TFLite: a graph of LiteRT's built-in operators, as far as whole numbers carry it",
}
"""Language → what is written. The code is in the module of the same name."""
_GO = """
    break case chan const continue default defer else fallthrough for func go goto if import interface main map package
    range return select struct switch type var
"""
_RESERVED = {*_GO.split(), *keyword.kwlist, "math", "numpy", "onnxruntime", "pathlib", "sys"}
_ALIASES = {
    "js": "javascript",
    "typescript": "javascript",
    "ts": "javascript",
    "golang": "go",
    "py": "python",
}


def available() -> dict[str, str]:
    """Return {language: what is written}, with what other packages bring (entry points `facelab.emitters`)."""
    plugins.refuse_twins("facelab.emitters", list(EMITTERS))
    more = plugins.installed("facelab.emitters")
    return EMITTERS | {n: f"by {p.dist.name if p.dist else p.value}" for n, p in more.items()}


def emit(spec: PreprocessSpec, to: str, *, name: str = "preprocess", **options: Any) -> Emitted:
    """Write a spec as a program or graph.

    Parameters
    ----------
    spec : PreprocessSpec
        What is to be done; file decoding is left out, so the program takes what decode gives: raw pixels or a frame.
    to : str
        A language of `available()`.
    name : str
        The name of files and functions: a letter, then letters, digits and underscores.
    options
        What the language's emitter takes besides (`onnx` and `tflite`: `size`, `face`, `merge`).

    Returns
    -------
    Emitted
        The files, not yet written.

    Raises
    ------
    UnsupportedError
        The language cannot do a stage exactly; the stage is named. Nothing is approximated.
    BadInputError
        The language or the name is unknown.

    Examples
    --------
    >>> from facelab.preprocess import PreprocessSpec
    >>> spec = PreprocessSpec("s", [{"op": "decode", "format": "gray8", "order": "gray", "size": [2, 1]},
    ...                             {"op": "cast", "dtype": "float32"}])
    >>> sorted(emit(spec, "c", name="tiny").files)
    ['tiny.c', 'tiny.h', 'tiny_check.c']
    """
    language = _ALIASES.get(to.lower(), to.lower())
    known_languages = available()
    if language not in known_languages:
        raise BadInputError(
            f"no code can be generated for {to[:40]!r}{did_you_mean(to, known_languages)}",
            expected=", ".join(known_languages),
            fix="choose one of these",
        )
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", name) or name in _RESERVED:
        raise BadInputError(
            "the name cannot be that of a function in every language",
            expected="a letter, then letters, digits and underscores; not a keyword or a known module",
            got=repr(name)[:60],
            fix="give another name",
        )
    module = (
        importlib.import_module(f"facelab.preprocess.emit.{language}")
        if language in EMITTERS
        else plugins.load("facelab.emitters", language)
    )
    known = set(inspect.signature(module.emit).parameters) - {"spec", "name"}
    if unknown := sorted(set(options) - known):
        raise BadInputError(
            f"{language} code takes no {unknown[0]!r}",
            expected=", ".join(sorted(known)) or "no further option",
            got=", ".join(unknown),
            fix="leave it out",
        )
    written = module.emit(spec, name, **options)
    if not isinstance(written, Emitted):
        raise UnsupportedError(
            f"the emitter {language!r} of another package returned no code",
            where=getattr(module, "__file__", None),
            expected="facelab.preprocess.emit.Emitted",
            got=type(written).__name__,
            fix="let its emit(spec, name) return Emitted(files={NAME: TEXT}, …)",
        )
    return written


def write(
    spec: PreprocessSpec,
    to: str,
    folder: Path,
    *,
    name: str = "preprocess",
    frames: Iterable[Frame] = (),
    **options: Any,
) -> list[Path]:
    """Write a language's files into a folder, with golden tensors of `frames` (testdata/) and a README.

    Parameters
    ----------
    spec, to, name, options
        As for `emit`.
    folder : Path
        Where the files go; files of the same names are replaced.
    frames : iterable of Frame
        Inputs whose golden tensors the emitted check compares with.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UnsupportedError, BadInputError
        As for `emit`; nothing is written then.
    """
    emitted = emit(spec, to, name=name, **options)
    golden = golden_files(spec, fitting(spec, emitted, frames))
    page = readme(spec, emitted, name, golden=bool(golden))
    files: dict[str, str | bytes] = {**emitted.files, **golden, "README.md": page}
    return Emitted(emitted.language, files).save(Path(folder))

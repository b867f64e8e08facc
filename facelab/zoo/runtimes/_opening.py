"""`open_model`: a path or a catalogue entry in, an opened and checked `Model` out."""

from __future__ import annotations

import os
from pathlib import Path

from facelab.core import events
from facelab.core.errors import BadInputError, IntegrityError
from facelab.core.machine import cores
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo._catalogue import ModelEntry
from facelab.zoo._store import require
from facelab.zoo.runtimes._base import Model, show_shape

SUFFIXES = {
    ".onnx": "onnx",
    ".tflite": "litert",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".dat": "dlib",
    ".xml": "opencv",
}
OTHERS = {"litert": ("tflite_c",)}
"""Runtimes that read the files of another one, and are used where somebody names them."""


def open_model(
    model: str | os.PathLike[str] | ModelEntry,
    *,
    threads: int | None = None,
    spec: PreprocessSpec | None = None,
    made_here: bool = False,
    runtime: str | None = None,
) -> Model:
    """Open a model file, or a catalogue entry's file on this machine, and check that its input fits its spec.

    The runtime follows the entry, or the suffix: .onnx, .tflite, .keras/.h5/.hdf5, .dat (dlib), .xml (OpenCV
    cascade). `runtime` names another one for the same kind of file: "tflite_c" runs a TFLite file on the C library
    that phones and boards use. `threads` limits the runtime's threads (default: OMP_NUM_THREADS, else all cores); with
    fewer cores than that, the model uses these and says so in `degraded` (`cores_missing`).

    A file that nobody verified is first opened in its own process (`facelab.zoo.runtimes._trial`) unless it was
    `made_here`, by the caller; a stranger's Keras model stays in such a process.
    Raises MissingAssetError with the command that gets the file, IntegrityError for a file that is not a model or
    another model, BadInputError or UnsupportedError for one that cannot be opened.

    Examples
    --------
    >>> open_model("no/such/file.onnx")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: the model file does not exist
      where:    no/such/file.onnx
      fix:      check the path; facelab assets list shows the models facelab knows by name
    """
    if isinstance(model, ModelEntry):
        return _open_entry(model, threads, spec, runtime)
    path = Path(model)
    if not path.is_file():
        raise BadInputError(
            "the model file does not exist",
            where=path,
            fix="check the path; facelab assets list shows the models facelab knows by name",
        )
    usual = SUFFIXES.get(path.suffix.lower())
    if usual is None:
        raise BadInputError(
            "the file's suffix names no runtime",
            where=path,
            expected=", ".join(SUFFIXES),
            got=path.suffix or "no suffix",
            fix="rename the file after its format",
        )
    runtime = _chosen(runtime, usual, path)
    if not made_here and runtime != "keras":
        from facelab.zoo.runtimes._trial import tried

        tried(path, runtime)
    opened = _open(path, runtime, threads, {"known": made_here})
    if spec is not None:
        check_spec(opened, spec)
    return opened


def open_here(path: Path, runtime: str | None = None, *, threads: int | None = None) -> Model:
    """Open a file in this process, no matter who made it: for processes that were started to bear the consequences."""
    return _open(path, runtime or SUFFIXES[path.suffix.lower()], threads, {})


def _chosen(wanted: str | None, usual: str, where: Path) -> str:
    """Return the runtime to use: the usual one of a file, or the wanted one where it reads the same files."""
    if wanted is None or wanted == usual:
        return usual
    if wanted in OTHERS.get(usual, ()):
        return wanted
    raise BadInputError(
        "this runtime does not read such a file",
        where=where,
        expected=", ".join((usual, *OTHERS.get(usual, ()))),
        got=wanted,
        fix="choose one of the expected runtimes, or leave it out",
    )


def _open_entry(
    entry: ModelEntry, threads: int | None, spec: PreprocessSpec | None, runtime: str | None
) -> Model:
    if entry.parts:
        raise BadInputError(
            f"{entry.name} is made of several networks",
            expected=", ".join(entry.parts),
            fix="open its parts, e.g. with load_catalogue().parts(entry)",
        )
    path = require(entry)
    chosen = _chosen(runtime, entry.runtime, path)
    opened = _open(path, chosen, threads, {**entry.options, "known": True})
    spec = spec or entry.spec
    if spec is not None and entry.runtime not in ("dlib", "opencv"):
        check_spec(opened, spec)
    wanted = entry.options.get("dim")
    if wanted is not None and opened.outputs and opened.outputs[0].shape[-1] not in (None, wanted):
        raise IntegrityError(
            f"{entry.name}: the model's output is not the promised one",
            where=opened.path,
            expected=f"{wanted} values",
            got=opened.outputs[0],
            fix=entry.fetch_command,
        )
    return opened


def _open(path: Path, runtime: str, threads: int | None, options: dict) -> Model:
    granted = threads
    if isinstance(threads, int) and threads > cores() >= 1:
        granted = cores()  # more threads than cores wait for each other
    with events.marked("model_load", path.name):
        opened = _open_file(path, runtime, granted, options)
    if granted != threads:
        opened.fall_back("cores_missing", f"{threads} threads asked, {granted} cores here")
    return opened


def _open_file(path: Path, runtime: str, threads: int | None, options: dict) -> Model:
    # imported here: each runtime is heavy, and one is enough
    if runtime == "onnx":
        from facelab.zoo.runtimes._onnx import open_onnx

        return open_onnx(path, threads=threads)
    if runtime == "litert":
        from facelab.zoo.runtimes._litert import open_litert

        return open_litert(path, threads=threads, resizable=bool(options.get("resizable")))
    if runtime == "tflite_c":
        from facelab.zoo.runtimes._tflite_c import open_tflite_c

        resizable = bool(options.get("resizable"))
        return open_tflite_c(path, threads=threads, resizable=resizable, delegate="auto")
    if runtime == "keras":
        from facelab.zoo.runtimes._keras import open_keras

        return open_keras(path, threads=threads, known=bool(options.get("known")))
    if runtime == "dlib":
        from facelab.zoo.runtimes._dlib import open_dlib

        return open_dlib(path)
    from facelab.zoo.runtimes._opencv import open_cascade

    return open_cascade(path)


def check_spec(model: Model, spec: PreprocessSpec) -> None:
    """Check that what a preprocessing spec produces is what the model's first input takes, before anything runs.

    Raises BadInputError naming both shapes and dtypes.
    """
    info, shape, dtype = model.inputs[0], spec.output_shape(), spec.output_dtype
    fits = len(shape) == len(info.shape) and all(
        a is None or b is None or a == b for a, b in zip(shape, info.shape)
    )
    if fits and dtype == info.dtype:
        return
    last = spec.stages[-1].op
    batch = len(shape) == len(info.shape) > 2 and shape[0] == 1 and (info.shape[0] or 1) > 1
    if batch and dtype == info.dtype and tuple(shape[1:]) == tuple(info.shape[1:]):
        raise BadInputError(
            "the model takes several images at once and no fewer",
            where=model.path,
            expected="a batch of one, or of any size",
            got=info,
            fix="export the model with a batch of one or a dynamic batch",
        )
    raise BadInputError(
        "the preprocessing spec does not fit the model's input",
        where=model.path,
        expected=info,
        got=f"{show_shape(shape)} {dtype} from the spec {spec.name!r} (last stage: {last})",
        fix=_quantize_stage(model)
        if fits and str(dtype).startswith("float")
        else "correct size, layout or cast in the spec, or use the model it was written for",
    )


def _quantize_stage(model: Model) -> str:
    """Return what to do where a spec gives reals of the right shape and the model takes integers."""
    info = model.inputs[0]
    scale, zero = model.quantization.get(info.name, (0.0, 0))
    if not scale:
        return f"correct the cast in the spec: the model takes {info.dtype}"
    return (
        f'add the last stage {{"op": "quantize", "dtype": "{info.dtype}", "scale": {scale!r}, "zero_point": {zero}, '
        '"rounding": "half_even", "saturate": true} to the spec: the scale is the model\'s own'
    )

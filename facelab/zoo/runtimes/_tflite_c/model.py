"""`TfliteCModel`: the runtime interface over a `Session`, and `open_tflite_c`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.zoo._integrity import refuse_impostor
from facelab.zoo.runtimes._base import Model, TensorInfo, thread_count
from facelab.zoo.runtimes._tflite_c.library import PATH, tflite_c_library
from facelab.zoo.runtimes._tflite_c.session import Refusal, Session, read_file

LARGEST = 2**31 - 1


class TfliteCModel(Model):
    """A TFLite model on the C library; the same interface, names and shapes as `LitertModel`.

    `quantization` maps an input's or output's name to its (scale, zero point); (0.0, 0) where it is not quantised.
    `delegate` is "xnnpack" or "none". An interpreter has state, so calls from several threads take turns.
    """

    runtime = "tflite_c"

    def __init__(
        self,
        path: Path,
        session: Session,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        threads: int,
        delegate: str,
    ):
        super().__init__(path, session, inputs, outputs, threads)
        self.delegate, self.library = delegate, session.lib
        tensors = (*session.inputs(), *session.outputs())
        self.quantization = {t.name: t.quantization for t in tensors}

    def _compute(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with self._turn:
            session = self.handle
            if session is None:
                raise self._closed()
            _resize(session, [feed[i.name].shape for i in self.inputs])
            for info, tensor in zip(self.inputs, session.inputs()):
                tensor.write(feed[info.name])
            session.invoke()
            return [tensor.read() for tensor in session.outputs()]


def _resize(session: Session, shapes: Sequence[tuple[int, ...]]) -> None:
    tensors = session.inputs()
    changed = [(k, s) for k, (t, s) in enumerate(zip(tensors, shapes)) if t.shape != s]
    for index, shape in changed:
        session.resize(index, shape)
    if changed:
        session.allocate()


def open_tflite_c(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    resizable: bool = False,
    delegate: str = "xnnpack",
    library_path: str | os.PathLike[str] | None = None,
) -> TfliteCModel:
    """Open a TFLite file with the C library.

    Parameters
    ----------
    path : path-like
        The file; it is read whole, so changing it later changes nothing.
    threads : int or None
        Threads of the interpreter and its delegate; None: OMP_NUM_THREADS, else all cores.
    resizable : bool
        Treats batch, height and width as open although the file fixes them.
    delegate : {"xnnpack", "none", "auto"}
        "xnnpack" computes as LiteRT does by default; "none" uses TFLite's own kernels; "auto" uses XNNPACK, or its own
        kernels where the library or the model has none: the model then says `delegate_missing` in `degraded`.
    library_path : path-like or None
        The library's file; see `library`.

    Returns
    -------
    TfliteCModel
        The opened model; inputs and outputs keep the file's order and names.

    Raises
    ------
    BadInputError, IntegrityError, UnsupportedError
        The file is not a TFLite model, the library refuses it, or there is no library.
    """
    path = Path(path)
    if delegate not in ("xnnpack", "none", "auto"):
        raise BadInputError(
            "the delegate is unknown",
            expected="xnnpack, none, auto",
            got=delegate,
            fix="choose one",
        )
    refuse_impostor(path)
    if delegate == "auto":
        return _open_auto(path, threads, resizable, library_path)
    lib, n = tflite_c_library(library_path), thread_count(threads)
    if delegate == "xnnpack" and not lib.has_xnnpack:
        raise UnsupportedError(
            "this TFLite C library was built without XNNPACK",
            where=lib.path,
            expected="TfLiteXNNPackDelegateCreate among its functions",
            fix=f"open the model with delegate='none', or name another library in {PATH}",
        )
    data = read_file(path, LARGEST)
    try:
        session = Session(lib, data, threads=n, xnnpack=delegate == "xnnpack")
        inputs = [t.info(resizable) for t in session.inputs()]
        outputs = [t.info(resizable) for t in session.outputs()]
        return TfliteCModel(path, session, inputs, outputs, n, delegate)
    except Refusal as e:
        raise _explain(str(e), path) from None


def _open_auto(
    path: Path,
    threads: int | None,
    resizable: bool,
    library_path: str | os.PathLike[str] | None,
) -> TfliteCModel:
    """Open with XNNPACK, or without it where it is missing or refuses the model."""

    def opened(delegate: str) -> TfliteCModel:
        return open_tflite_c(
            path,
            threads=threads,
            resizable=resizable,
            delegate=delegate,
            library_path=library_path,
        )

    why = "the library was built without XNNPACK"
    if tflite_c_library(library_path).has_xnnpack:
        try:
            return opened("xnnpack")
        except (BadInputError, UnsupportedError) as e:
            why = e.what
            if "XNNPack" not in str(e.got) and "Delegate" not in str(e.got):
                raise
    plain = opened("none")
    plain.fall_back("delegate_missing", why)
    return plain


def _explain(text: str, path: Path) -> FacelabError:
    if match := re.search(r"unresolved custom op: ([\w-]+)", text):
        return UnsupportedError(
            f"the TFLite C library does not know the model's custom operator {match[1]!r}",
            where=path,
            expected="built-in operators",
            got=text,
            fix="use the model from before the compilation for an Edge TPU"
            if "edgetpu" in match[1]
            else "export the model without custom operators",
        )
    if match := re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", text):
        return UnsupportedError(
            f"the TFLite C library has no operator {match[1]} of version {match[2]}",
            where=path,
            got=text,
            fix=f"convert the model for this version, or name a newer library in {PATH}",
        )
    if text.startswith("TfLiteModelCreate"):
        return BadInputError(
            "the file is not a TFLite model (no FlatBuffer)",
            where=path,
            expected="a TFLite FlatBuffer",
            got=f"{path.stat().st_size} bytes; {text}",
            fix="the file may be truncated; fetch it again",
        )
    return BadInputError(
        "the TFLite C library refuses the model",
        where=path,
        got=text,
        fix="export the model again",
    )

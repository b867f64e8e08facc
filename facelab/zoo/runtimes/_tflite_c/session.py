"""`Session`: a model's buffer, the model, its delegate and its interpreter, freed once and in the right order."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.files import read_input
from facelab.zoo.runtimes._base import TensorInfo
from facelab.zoo.runtimes._tflite_c.library import DTYPES, OK, REPORT, STATUS, Library

_KEPT_MESSAGES = 20


class Refusal(Exception):
    """A function of the C library failed; the message holds the function, its code and what the library said."""


class Messages:
    """What the library reports, formatted by the C library's own vsnprintf, newest last."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_MESSAGES)
        self.function = REPORT(self._report)
        self._vsnprintf = _vsnprintf()

    def _report(self, _: object, form: bytes | None, arguments: int | None) -> None:
        text = form or b""
        if self._vsnprintf is not None and form is not None:
            room = ctypes.create_string_buffer(1024)
            self._vsnprintf(room, len(room), form, arguments)
            text = room.value
        self.lines.append(text.decode("utf-8", "replace").strip())

    def take(self) -> str:
        """Return the messages since the last call as one line."""
        said = "; ".join(dict.fromkeys(line for line in self.lines if line))
        self.lines.clear()
        return said


def _vsnprintf() -> Any:
    try:
        function = ctypes.CDLL(None).vsnprintf
    except (
        AttributeError,
        OSError,
        TypeError,
    ):  # no C library by that name: messages stay unformatted
        return None
    function.restype = ctypes.c_int
    function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)
    return function


class Session:
    """An interpreter with all that it points to.

    TfLiteModelCreate does not copy: the interpreter reads weights from the buffer until it is deleted. So the buffer
    is a copy that belongs to this object, and nothing outside holds it. `close` deletes interpreter, delegate and
    model, in that order; so does losing the last reference. A forked child deletes nothing, since the threads of the
    parent's delegate do not exist there.
    """

    def __init__(self, lib: Library, data: bytes, *, threads: int, xnnpack: bool):
        self.lib, self.messages = lib, Messages()
        self._owned: dict[str, int] = {}
        self._buffer = np.frombuffer(data, np.uint8).copy()
        self.close = weakref.finalize(
            self, _free, lib, self._owned, self._buffer, self.messages, os.getpid()
        )
        self.close.atexit = False  # a thread may still compute
        model = lib.TfLiteModelCreateWithErrorReporter(
            self._buffer.ctypes.data, self._buffer.nbytes, self.messages.function, None
        )
        self._owned["model"] = self._made(model, "TfLiteModelCreate")
        options = self._made(lib.TfLiteInterpreterOptionsCreate(), "TfLiteInterpreterOptionsCreate")
        try:
            lib.TfLiteInterpreterOptionsSetNumThreads(options, threads)
            lib.TfLiteInterpreterOptionsSetErrorReporter(options, self.messages.function, None)
            if xnnpack:
                self._owned["delegate"] = self._delegate(threads)
                lib.TfLiteInterpreterOptionsAddDelegate(options, self._owned["delegate"])
            made = lib.TfLiteInterpreterCreate(model, options)
            self._owned["interpreter"] = self._made(made, "TfLiteInterpreterCreate")
        finally:
            lib.TfLiteInterpreterOptionsDelete(options)
        self.allocate()

    def _delegate(self, threads: int) -> int:
        options = self.lib.TfLiteXNNPackDelegateOptionsDefault()
        options.num_threads = threads
        made = self.lib.TfLiteXNNPackDelegateCreate(ctypes.byref(options))
        return self._made(made, "TfLiteXNNPackDelegateCreate")

    def _made(self, handle: int | None, function: str) -> int:
        if not handle:
            raise Refusal(f"{function} returned NULL: {self.messages.take() or 'no message'}")
        return handle

    def checked(self, status: int, function: str) -> None:
        """Raise Refusal where a status is not kTfLiteOk."""
        if status != OK:
            name = STATUS.get(status, str(status))
            raise Refusal(f"{function} returned {name}: {self.messages.take() or 'no message'}")

    @property
    def interpreter(self) -> int:
        """The TfLiteInterpreter*."""
        return self._owned["interpreter"]

    def allocate(self) -> None:
        """Call TfLiteInterpreterAllocateTensors."""
        status = self.lib.TfLiteInterpreterAllocateTensors(self.interpreter)
        self.checked(status, "TfLiteInterpreterAllocateTensors")

    def resize(self, index: int, shape: Sequence[int]) -> None:
        """Give an input another shape; `allocate` must follow."""
        dims = (ctypes.c_int * len(shape))(*shape)
        status = self.lib.TfLiteInterpreterResizeInputTensor(
            self.interpreter, index, dims, len(shape)
        )
        self.checked(status, "TfLiteInterpreterResizeInputTensor")

    def invoke(self) -> None:
        """Call TfLiteInterpreterInvoke."""
        status = self.lib.TfLiteInterpreterInvoke(self.interpreter)
        self.checked(status, "TfLiteInterpreterInvoke")

    def inputs(self) -> list[Tensor]:
        """Return the input tensors. Their addresses hold until the next `allocate`."""
        n = self.lib.TfLiteInterpreterGetInputTensorCount(self.interpreter)
        get = self.lib.TfLiteInterpreterGetInputTensor
        return [Tensor(self, get(self.interpreter, i)) for i in range(n)]

    def outputs(self) -> list[Tensor]:
        """Return the output tensors."""
        n = self.lib.TfLiteInterpreterGetOutputTensorCount(self.interpreter)
        get = self.lib.TfLiteInterpreterGetOutputTensor
        return [Tensor(self, get(self.interpreter, i)) for i in range(n)]


def _free(
    lib: Library, owned: dict[str, int], buffer: np.ndarray, messages: Messages, process: int
) -> None:
    # `buffer` and `messages` are here so that they outlive the interpreter
    if os.getpid() != process:
        return
    if (handle := owned.pop("interpreter", None)) is not None:
        lib.TfLiteInterpreterDelete(handle)
    if (handle := owned.pop("delegate", None)) is not None:
        lib.TfLiteXNNPackDelegateDelete(handle)
    if (handle := owned.pop("model", None)) is not None:
        lib.TfLiteModelDelete(handle)


class Tensor:
    """An input or output. Reads and writes are checked: dtype, shape and size in bytes, then the return code."""

    def __init__(self, session: Session, handle: int | None):
        self._session, self._lib = session, session.lib
        self._handle = session._made(handle, "TfLiteInterpreterGet…Tensor")

    @property
    def name(self) -> str:
        """The tensor's name in the file."""
        return (self._lib.TfLiteTensorName(self._handle) or b"").decode("utf-8", "replace")

    @property
    def shape(self) -> tuple[int, ...]:
        """The present shape; an output's is final only after `invoke`."""
        n = self._lib.TfLiteTensorNumDims(self._handle)
        return tuple(self._lib.TfLiteTensorDim(self._handle, i) for i in range(max(n, 0)))

    @property
    def signature(self) -> tuple[int | None, ...]:
        """The shape with None where the file leaves a size open; the present shape where it states none."""
        n, size = ctypes.c_int32(), ctypes.c_int32()
        shape = self.shape
        if not self._lib.has_signature:
            return shape
        get = self._lib.TfLiteOpaqueTensorGetNumDimsSignature
        if get(self._handle, ctypes.byref(n)) != OK or n.value != len(shape):
            return shape
        out: list[int | None] = []
        for i in range(n.value):
            status = self._lib.TfLiteOpaqueTensorGetDimSignature(self._handle, i, size)
            self._session.checked(status, "TfLiteOpaqueTensorGetDimSignature")
            out.append(size.value if size.value > 0 else None)
        return tuple(out)

    @property
    def dtype(self) -> str:
        """The numpy dtype's name. Raises UnsupportedError for a type that no array holds (strings, resources)."""
        number = self._lib.TfLiteTensorType(self._handle)
        if number not in DTYPES:
            raise UnsupportedError(
                f"the tensor {self.name!r} has a type that numpy lacks",
                expected=", ".join(DTYPES.values()),
                got=f"TfLiteType {number}",
                fix="export the model with numeric inputs and outputs",
            )
        return DTYPES[number]

    @property
    def quantization(self) -> tuple[float, int]:
        """(scale, zero point) of the whole tensor; (0.0, 0) where it is not quantised."""
        found = self._lib.TfLiteTensorQuantizationParams(self._handle)
        return float(found.scale), int(found.zero_point)

    def info(self, resizable: bool = False) -> TensorInfo:
        """Return what `Model` says of this tensor."""
        shape = self.signature
        if resizable and len(shape) == 4:
            shape = (None, None, None, shape[3])
        return TensorInfo(self.name, shape, self.dtype)

    def write(self, array: np.ndarray) -> None:
        """Copy an array into the tensor. Raises BadInputError where dtype, shape or bytes differ."""
        held = self._lib.TfLiteTensorByteSize(self._handle)
        if (array.dtype.name, array.shape, array.nbytes) != (self.dtype, self.shape, held):
            raise BadInputError(
                "the array is not what the tensor holds",
                where=self.name,
                expected=f"{self.shape} {self.dtype}, {held} bytes",
                got=f"{array.shape} {array.dtype.name}, {array.nbytes} bytes",
                fix="end the preprocessing with a quantize or cast stage for this input",
            )
        array = np.ascontiguousarray(array)
        status = self._lib.TfLiteTensorCopyFromBuffer(self._handle, array.ctypes.data, array.nbytes)
        self._session.checked(status, "TfLiteTensorCopyFromBuffer")

    def read(self) -> np.ndarray:
        """Return a copy of the tensor."""
        array = np.empty(self.shape, self.dtype)
        held = self._lib.TfLiteTensorByteSize(self._handle)
        if array.nbytes != held:
            raise Refusal(f"the tensor {self.name!r} has {held} bytes, its shape {array.nbytes}")
        status = self._lib.TfLiteTensorCopyToBuffer(self._handle, array.ctypes.data, array.nbytes)
        self._session.checked(status, "TfLiteTensorCopyToBuffer")
        return array


def read_file(path: Path, most: int) -> bytes:
    """Return a model file's bytes. Raises BadInputError for one that is larger than `most`."""
    size = path.stat().st_size
    if size > most:
        raise BadInputError(
            "the model file is too large for a TFLite model",
            where=path,
            expected=f"at most {most} bytes, which a FlatBuffer can address",
            got=f"{size} bytes",
            fix="use the model itself, not an archive that holds it",
        )
    return read_input(path, max_bytes=most, what="model file")

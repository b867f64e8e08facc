"""The C library: where it is, which functions it must have, and their types."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import NoReturn

from facelab.core.errors import BadInputError, UnsupportedError

PATH = "FACELAB_TFLITE_C"
"""The variable that names the library's file; without it the one of the extra `capi` is used."""
_PACKAGE, _STEM = "pymicro_wakeword", "libtensorflowlite_c"
_SUFFIXES = {"linux": ".so", "darwin": ".dylib", "win32": ".dll"}

OK = 0
STATUS = {
    0: "kTfLiteOk",
    1: "kTfLiteError",
    2: "kTfLiteDelegateError",
    3: "kTfLiteApplicationError",
    4: "kTfLiteDelegateDataNotFound",
    5: "kTfLiteDelegateDataWriteError",
    6: "kTfLiteDelegateDataReadError",
    7: "kTfLiteUnresolvedOps",
    8: "kTfLiteCancelled",
}
DTYPES = {
    1: "float32",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    8: "complex64",
    9: "int8",
    10: "float16",
    11: "float64",
    13: "uint64",
    16: "uint32",
    17: "uint16",
}
"""TfLiteType → numpy dtype, for the types that a numpy array holds."""

REPORT = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_void_p)
"""void report(void* user_data, const char* format, va_list args); a va_list arrives as one pointer."""


class QuantizationParams(ctypes.Structure):
    """TfLiteQuantizationParams, returned by value."""

    _fields_ = (("scale", c_float), ("zero_point", c_int32))


class XnnpackOptions(ctypes.Structure):
    """TfLiteXNNPackDelegateOptions: the two fields that are set here, and room for those that later versions have."""

    _fields_ = (("num_threads", c_int32), ("flags", c_uint32), ("rest", ctypes.c_char * 248))


_HANDLE = c_void_p
_FUNCTIONS = {
    "TfLiteVersion": (c_char_p, ()),
    "TfLiteModelCreate": (_HANDLE, (c_void_p, c_size_t)),
    "TfLiteModelCreateWithErrorReporter": (_HANDLE, (c_void_p, c_size_t, REPORT, c_void_p)),
    "TfLiteModelDelete": (None, (_HANDLE,)),
    "TfLiteInterpreterOptionsCreate": (_HANDLE, ()),
    "TfLiteInterpreterOptionsDelete": (None, (_HANDLE,)),
    "TfLiteInterpreterOptionsSetNumThreads": (None, (_HANDLE, c_int32)),
    "TfLiteInterpreterOptionsSetErrorReporter": (None, (_HANDLE, REPORT, c_void_p)),
    "TfLiteInterpreterOptionsAddDelegate": (None, (_HANDLE, _HANDLE)),
    "TfLiteInterpreterCreate": (_HANDLE, (_HANDLE, _HANDLE)),
    "TfLiteInterpreterDelete": (None, (_HANDLE,)),
    "TfLiteInterpreterAllocateTensors": (c_int, (_HANDLE,)),
    "TfLiteInterpreterInvoke": (c_int, (_HANDLE,)),
    "TfLiteInterpreterResizeInputTensor": (c_int, (_HANDLE, c_int32, POINTER(c_int), c_int32)),
    "TfLiteInterpreterGetInputTensorCount": (c_int32, (_HANDLE,)),
    "TfLiteInterpreterGetInputTensor": (_HANDLE, (_HANDLE, c_int32)),
    "TfLiteInterpreterGetOutputTensorCount": (c_int32, (_HANDLE,)),
    "TfLiteInterpreterGetOutputTensor": (_HANDLE, (_HANDLE, c_int32)),
    "TfLiteTensorType": (c_int, (_HANDLE,)),
    "TfLiteTensorNumDims": (c_int32, (_HANDLE,)),
    "TfLiteTensorDim": (c_int32, (_HANDLE, c_int32)),
    "TfLiteTensorByteSize": (c_size_t, (_HANDLE,)),
    "TfLiteTensorName": (c_char_p, (_HANDLE,)),
    "TfLiteTensorQuantizationParams": (QuantizationParams, (_HANDLE,)),
    "TfLiteTensorCopyFromBuffer": (c_int, (_HANDLE, c_void_p, c_size_t)),
    "TfLiteTensorCopyToBuffer": (c_int, (_HANDLE, c_void_p, c_size_t)),
}
_XNNPACK = {
    "TfLiteXNNPackDelegateOptionsDefault": (XnnpackOptions, ()),
    "TfLiteXNNPackDelegateCreate": (_HANDLE, (POINTER(XnnpackOptions),)),
    "TfLiteXNNPackDelegateDelete": (None, (_HANDLE,)),
}
_SIGNATURE = {
    "TfLiteOpaqueTensorGetNumDimsSignature": (c_int, (_HANDLE, POINTER(c_int32))),
    "TfLiteOpaqueTensorGetDimSignature": (c_int, (_HANDLE, c_int32, POINTER(c_int32))),
}


class Library:
    """A loaded `libtensorflowlite_c` with typed functions, reached as attributes by their names in C.

    Nothing here checks what a function returns: `open_tflite_c` does. `has_xnnpack` and `has_signature` say whether
    the build exports the XNNPACK delegate and the shapes that an input's signature leaves open.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        try:
            self._dll = ctypes.CDLL(str(self.path.resolve()))
        except OSError as e:
            raise UnsupportedError(
                "the TFLite C library cannot be loaded",
                where=self.path,
                got=str(e).splitlines()[0],
                fix=f"install the extra `capi`, or name a library for this machine in {PATH}",
            ) from None
        self._declare(_FUNCTIONS, needed=True)
        self.has_xnnpack = self._declare(_XNNPACK)
        self.has_signature = self._declare(_SIGNATURE)

    def _declare(self, functions: dict, *, needed: bool = False) -> bool:
        missing = [name for name in functions if not hasattr(self._dll, name)]
        if missing and needed:
            raise UnsupportedError(
                "the library lacks functions of the TFLite C API",
                where=self.path,
                expected=f"{len(functions)} functions, among them TfLiteModelCreate",
                got=f"{len(missing)} are missing, the first is {missing[0]}",
                fix=f"name a libtensorflowlite_c from version 2.14 on in {PATH}",
            )
        if missing:
            return False
        for name, (result, arguments) in functions.items():
            function = getattr(self._dll, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        return True

    @property
    def version(self) -> str:
        """The runtime's version, such as 2.17.1."""
        return self.TfLiteVersion().decode("ascii", "replace")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.path.name} has no function {name}")

    def __repr__(self) -> str:
        return f"<{self.path.name} {self.version}>"


def tflite_c_library(path: str | os.PathLike[str] | None = None) -> Library:
    """Return the C library: the given file, else the one that FACELAB_TFLITE_C names, else that of the extra `capi`.

    Raises
    ------
    BadInputError
        The named file does not exist.
    UnsupportedError
        There is no library, it is for another machine, or it lacks functions.
    """
    named = os.fspath(path) if path is not None else os.environ.get(PATH)
    found = Path(named) if named else _packaged()
    if not found.is_file():
        raise BadInputError(
            "the TFLite C library does not exist",
            where=found,
            fix=f"correct the path, or unset {PATH} and install the extra `capi`",
        )
    return _loaded(str(found.resolve()))


@functools.lru_cache(maxsize=8)
def _loaded(path: str) -> Library:
    return Library(path)


def _packaged() -> Path:
    """Return the library that the extra carries. The package itself is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    name = _STEM + _SUFFIXES.get(sys.platform, ".so")
    for folder in folders:
        for candidate in (Path(folder, "lib", name), Path(folder, "lib", name[3:])):
            if candidate.is_file():
                return candidate
    raise UnsupportedError(
        "there is no TFLite C library",
        expected=f"{name} from the extra `capi`, or a path in {PATH}",
        got=f"{_PACKAGE} without it" if folders else f"{_PACKAGE} is not installed",
        fix="install it: pip install 'facelab[capi]'",
    )

"""Three mistakes in C code around a TFLite model, made on purpose; each function runs in its own process.

Nothing here is checked, since that is the point: `facelab.core.fresh.call` bears the consequences.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from facelab.zoo.runtimes import Library, tflite_c_library


def _interpreter(lib: Library, buffer: Any, size: int) -> Any:
    model = lib.TfLiteModelCreate(ctypes.addressof(buffer), size)
    options = lib.TfLiteInterpreterOptionsCreate()
    lib.TfLiteInterpreterOptionsSetNumThreads(options, 1)
    made = lib.TfLiteInterpreterCreate(model, options)
    lib.TfLiteInterpreterAllocateTensors(made)
    return made


def _answers(lib: Library, interpreter: Any, tensors: np.ndarray) -> tuple[list[int], list[int]]:
    """Return (status of each copy, heart's output of each drawing), reading no status on the way."""
    into = lib.TfLiteInterpreterGetInputTensor(interpreter, 0)
    out = lib.TfLiteInterpreterGetOutputTensor(interpreter, 0)
    row = np.zeros(2, np.int8)
    statuses, answers = [], []
    for tensor in tensors:
        row_in = np.ascontiguousarray(tensor)
        statuses.append(lib.TfLiteTensorCopyFromBuffer(into, row_in.ctypes.data, row_in.nbytes))
        lib.TfLiteInterpreterInvoke(interpreter)
        lib.TfLiteTensorCopyToBuffer(out, row.ctypes.data, row.nbytes)
        answers.append(int(row[0]))
    return statuses, answers


def _buffer(path: str) -> tuple[Any, int]:
    data = Path(path).read_bytes()
    return ctypes.create_string_buffer(data, len(data)), len(data)


def float_bytes(path: str, tensors: str) -> dict[str, Any]:
    """Copy float32 arrays into an INT8 tensor and read no return code. `tensors` is an `.npy` of float32."""
    lib = tflite_c_library()
    buffer, size = _buffer(path)
    statuses, answers = _answers(lib, _interpreter(lib, buffer, size), np.load(tensors))
    return {"statuses": sorted(set(statuses)), "answers": answers}


def buffer_reused(path: str, tensors: str) -> dict[str, Any]:
    """Overwrite the model's buffer after the interpreter was made, as an allocator does with freed memory."""
    lib = tflite_c_library()
    buffer, size = _buffer(path)
    interpreter = _interpreter(lib, buffer, size)
    arrays = np.load(tensors)
    _, before = _answers(lib, interpreter, arrays)
    ctypes.memset(buffer, 0x5A, size)
    _, after = _answers(lib, interpreter, arrays)
    return {"before": before, "after": after}

"""`Model`: what every runtime offers: named inputs and outputs, arrays in, arrays out, misfits refused by name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from facelab.core import allocator
from facelab.core.degraded import Fallbacks
from facelab.core.errors import BadInputError, FacelabError, did_you_mean
from facelab.core.files import is_count
from facelab.core.machine import cores
from facelab.core.safety.turns import Turn


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its name, its shape (None where it is dynamic) and its numpy dtype's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {show_shape(self.shape)} {self.dtype}"


class ModelRunError(FacelabError):
    """The model was opened, but computing with it fails: the file is faulty or this runtime cannot run it."""

    exit_code = 2


class Model:
    """An opened model. Subclasses set the fields below and implement `_compute`.

    Calls from several threads are safe: ONNX Runtime computes them side by side, every other runtime in turn
    (`_turn`). A model is for the process that opened it; after a fork the child is refused.

    `path` is the file, `runtime` the runtime's name, `handle` the runtime's own object (an `InferenceSession`, an
    `Interpreter`, a Keras or a dlib model) for what this interface does not offer.
    """

    handle: Any
    """The runtime's own object; None once closed."""

    runtime = "?"

    quantization: Mapping[str, tuple[float, int]] = MappingProxyType({})
    """(scale, zero point) by the name of an input or output; empty where the runtime states none."""

    def __init__(
        self,
        path: Path,
        handle: Any,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        threads: int,
    ):
        self.path, self.handle, self.threads = Path(path), handle, threads
        self._turn, self._process = Turn(), os.getpid()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._fallbacks = Fallbacks()

    def fall_back(self, name: str, why: str) -> None:
        """Note that this model runs otherwise than asked, by a row of the degradation matrix, until it is closed."""
        self._fallbacks.say(name, why)

    @property
    def degraded(self) -> tuple[str, ...]:
        """The fallbacks with which this model runs."""
        return self._fallbacks.names

    def __repr__(self) -> str:
        return (
            f"<{self.runtime} {self.path.name}: {', '.join(map(str, self.inputs))} → "
            f"{', '.join(map(str, self.outputs))}>"
        )

    def run(self, *arrays: np.ndarray, **named: np.ndarray) -> list[np.ndarray]:
        """Compute all outputs, in the order of `outputs`.

        Inputs come in order or by name. Nothing is converted: an array whose dtype or shape does not fit, or that
        holds NaN or infinity, raises BadInputError naming the input; a failing computation raises ModelRunError, and
        one that gets no memory MemoryError.
        """
        feed = self._bind(arrays, named)
        if self.handle is None:
            raise self._closed()
        if os.getpid() != self._process:
            raise after_fork(self.path)
        try:
            outputs = self._compute(feed)
        except FacelabError:
            raise
        except Exception as e:
            # every runtime raises its own types (RuntimeError, ValueError, pybind classes without a common base)
            if self.handle is None:
                raise self._closed() from e
            if says_out_of_memory(
                e
            ):  # of the machine or of a limit: nothing is known about the model
                raise MemoryError(first_line(e)) from e
            raise ModelRunError(
                f"the model opens but does not run on {self.runtime}",
                where=self.path,
                got=first_line(e),
                fix="the file is faulty or made for another runtime; "
                "use another export of the model",
            ) from e
        return [np.asarray(o) for o in outputs]

    def __call__(self, *arrays: np.ndarray, **named: np.ndarray) -> list[np.ndarray]:
        return self.run(*arrays, **named)

    def close(self) -> None:
        """Let the runtime's object go and return its memory to the system; closing twice is allowed.

        Arrays that `run` returned stay valid. Memory that freed weights leave in the allocator is trimmed, which takes
        milliseconds. `run` raises BadInputError from then on. A call that is under way in another thread keeps the
        runtime's object alive until it ends; the memory then returns with the next trim.
        """
        self._fallbacks.end()
        if self.handle is not None:
            self.handle = None
            allocator.trim()

    def _closed(self) -> BadInputError:
        return BadInputError(
            "the model was closed",
            where=self.path,
            fix="open it again, or close it after its last call",
        )

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compute(self, feed: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        raise NotImplementedError

    def _bind(self, arrays: tuple, named: dict) -> dict[str, np.ndarray]:
        if len(arrays) + len(named) != len(self.inputs):
            unknown = [n for n in named if n not in {i.name for i in self.inputs}]
            hint = did_you_mean(unknown[0], [i.name for i in self.inputs]) if unknown else ""
            raise BadInputError(
                f"the model takes another number of inputs{hint}",
                where=self.path,
                expected=", ".join(map(str, self.inputs)),
                got=f"{len(arrays) + len(named)} arrays",
                fix="pass one array per input, in order or by name",
            )
        feed = {info.name: array for info, array in zip(self.inputs, arrays)}
        for name, array in named.items():
            if name in feed or name not in {i.name for i in self.inputs}:
                raise BadInputError(
                    f"{name!r} is given twice or is not an input of the model"
                    f"{did_you_mean(name, [i.name for i in self.inputs])}",
                    where=self.path,
                    expected=", ".join(i.name for i in self.inputs),
                    got=name,
                    fix="pass each input once, by one of these names",
                )
            feed[name] = array
        return {info.name: fit(feed[info.name], info, self.path) for info in self.inputs}


def after_fork(where: object) -> ModelRunError:
    """Return the error for a model that was opened before this process was forked: its threads are not here."""
    return ModelRunError(
        "the model was opened before this process was forked",
        where=where,
        expected="a model that this process opened",
        got="one whose threads run in the parent",
        fix="open the model in the worker, or start workers by spawn or forkserver",
    )


def fit(array: Any, info: TensorInfo, where: object) -> np.ndarray:
    """Return `array` if it fits an input, else raise BadInputError naming shape and dtype of both."""
    if not isinstance(array, np.ndarray):
        raise BadInputError(
            f"the input {info.name!r} takes a numpy array",
            where=where,
            expected=info,
            got=type(array).__name__,
            fix="convert it with numpy.asarray",
        )
    got = f"{show_shape(array.shape)} {array.dtype.name}"
    if array.dtype.name != info.dtype:
        raise BadInputError(
            f"the array's dtype does not fit the input {info.name!r}",
            where=where,
            expected=info,
            got=got,
            fix=f"end the preprocessing spec with a cast to {info.dtype}",
        )
    if len(array.shape) != len(info.shape) or any(
        w is not None and g != w for g, w in zip(array.shape, info.shape)
    ):
        raise BadInputError(
            f"the array's shape does not fit the input {info.name!r}",
            where=where,
            expected=info,
            got=got,
            fix="check size, layout and batch axis in the preprocessing spec",
        )
    if array.size == 0:
        raise BadInputError(
            f"the array for the input {info.name!r} is empty",
            where=where,
            expected=info,
            got=got,
            fix="pass at least one row",
        )
    if array.dtype.kind == "f":
        _check_finite(array, info, where)
    return array


def _check_finite(array: np.ndarray, info: TensorInfo, where: object) -> None:
    """Raise BadInputError for NaN or infinity.

    One sum is ten times as fast as isfinite over the array; a finite array whose sum overflows is looked at again.
    """
    with np.errstate(all="ignore"):
        suspicious = not np.isfinite(
            array.sum(dtype=np.float64 if array.dtype.itemsize < 4 else None)
        )
    if suspicious and not (finite := np.isfinite(array)).all():
        raise BadInputError(
            f"the array for the input {info.name!r} holds NaN or infinity",
            where=where,
            expected="finite numbers",
            got=f"{array.size - int(finite.sum())} of {array.size} elements are not finite",
            fix="check the image and the normalisation",
        )


def show_shape(shape: Sequence[int | None]) -> str:
    """Return a shape for a reader.

    Examples
    --------
    >>> show_shape((1, None, None, 3))
    '[1, ?, ?, 3]'
    """
    return "[" + ", ".join("?" if n is None else str(n) for n in shape) + "]"


_NO_MEMORY = re.compile(
    r"bad_alloc|bad allocation|allocate memory|failed to allocate|insufficient memory|out of memory|MemoryError",
    re.IGNORECASE,
)


def says_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; runtimes say it in the texts of many exceptions."""
    return bool(_NO_MEMORY.search(f"{error!r} {getattr(error, 'got', '')} {error.__cause__!r}"))


def first_line(error: BaseException, limit: int = 300) -> str:
    """Return the first line of an exception's message, cut to `limit` characters."""
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:limit]


def thread_count(threads: int | None) -> int:
    """Return the number of threads to use: the given one, else OMP_NUM_THREADS, else all cores of this process."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise BadInputError(
                "threads must be a whole number of at least 1",
                got=threads,
                fix="pass a number such as 1, or None for one per core",
            )
        return threads
    pinned = os.environ.get("OMP_NUM_THREADS", "")
    return int(pinned) if is_count(pinned) and int(pinned) > 0 else cores()

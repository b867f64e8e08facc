"""Read a pickle that comes from outside without unpickling it: lists, bytes, numbers and plain numpy arrays only.

The opcodes are read by `pickletools` and interpreted here. No name in the pickle is imported and nothing is called: the
few names that numpy and joblib write stand for values, which are checked and built by this module.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.narrow import is_dict, is_sequence, is_tuple

MAX_OPCODES = 5_000_000
MAX_DEPTH = 16
_CODE = re.compile(r"[<>|=]?(?:b1|\?|[iu][1248]|f[248])")
_MARK = object()
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = frozenset(
    """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
    SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    """.split()  # noqa: SIM905 a list of 17 names is harder to read
)
_PYTHON_2_TEXT = frozenset(("STRING", "BINSTRING", "SHORT_BINSTRING"))
_NOTHING_TO_DO = frozenset(("PROTO", "FRAME"))


@dataclass(frozen=True)
class _Name:
    """A module's name in the pickle, as text."""

    module: str
    name: str


@dataclass
class _Dtype:
    value: np.dtype[Any]


@dataclass
class _Array:
    value: np.ndarray | None = None


class _Wrapper:
    """joblib's place holder: the array's bytes follow it in the file."""


def read(data: bytes, *, where: object = None, joblib: bool = False) -> Any:
    """Return what a pickle holds: None, bools, numbers, text, bytes, lists, tuples, dicts and numpy arrays.

    With `joblib` the arrays' bytes stand between the opcodes, as `joblib.dump` writes them. Raises BadInputError,
    naming what the pickle asks for, for everything else and for damaged data.

    >>> import pickle
    >>> read(pickle.dumps(([b"a", 1], True)))
    ([b'a', 1], True)
    >>> read(pickle.dumps(print))
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: the pickle is not plain data
      expected: lists, tuples, bytes, numbers and numpy arrays
      got:      it ends with the name builtins.print
      fix:      use only packs from a source that you know; get the file again
    """
    machine = _Machine(io.BytesIO(data), joblib)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in old text
            return _resolved(machine.run(), {}, 0)
    except _RefusedError as e:
        reason = str(e)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError) as e:
        # what damaged opcodes make of the stack
        reason = f"{type(e).__name__}: {e}"[:160]
    raise BadInputError(
        "the pickle is not plain data",
        where=where,
        expected="lists, tuples, bytes, numbers and numpy arrays",
        got=reason,
        fix="use only packs from a source that you know; get the file again",
    )


class _RefusedError(Exception):
    pass


def _refuse(why: str) -> NoReturn:
    raise _RefusedError(why)


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, stream: io.BytesIO, joblib: bool):
        self.stream, self.joblib = stream, joblib
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for count, (op, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count > MAX_OPCODES:
                _refuse(f"more than {MAX_OPCODES:,} opcodes")
            name = op.name
            if name == "STOP":
                return self.stack.pop()
            if name in _VALUES:
                self.stack.append(_VALUES[name])
            elif name in _NUMBERS:
                self.stack.append(argument)
            elif name in _PYTHON_2_TEXT:
                self.stack.append(str(argument).encode("latin-1"))
            elif name not in _NOTHING_TO_DO:
                step = getattr(self, f"_{name.lower()}", None)
                if step is None:
                    _refuse(f"it holds the opcode {name}")
                step(argument)
        return _refuse("it has no end")

    # -- containers

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _since_mark(self) -> list[Any]:
        for k in range(len(self.stack) - 1, -1, -1):
            if self.stack[k] is _MARK:
                items = self.stack[k + 1 :]
                del self.stack[k:]
                return items
        return _refuse("a mark is missing")

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _dict(self, _: Any) -> None:
        self.stack.append(_pairs(self._since_mark()))

    def _last(self, n: int) -> None:
        items = tuple(self.stack[-n:])
        if len(items) != n or _MARK in items:
            _refuse("a tuple reaches below the stack")
        self.stack[-n:] = [items]

    def _tuple1(self, _: Any) -> None:
        self._last(1)

    def _tuple2(self, _: Any) -> None:
        self._last(2)

    def _tuple3(self, _: Any) -> None:
        self._last(3)

    def _target(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            _refuse(f"it fills something that is not a {kind.__name__}")
        return self.stack[-1]

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self._target(list).append(value)

    def _appends(self, _: Any) -> None:
        items = self._since_mark()
        self._target(list).extend(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._target(dict).update(_pairs([key, value]))

    def _setitems(self, _: Any) -> None:
        items = self._since_mark()
        self._target(dict).update(_pairs(items))

    # -- the memo

    def _put(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    _binget = _long_binget = _get

    # -- names, which stand for values

    def _global(self, argument: str) -> None:
        self.stack.append(_Name(*argument.split(" ", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            _refuse("a name is not text")
        self.stack.append(_Name(module, name))

    def _newobj(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not self.joblib or name != _Name("joblib.numpy_pickle", "NumpyArrayWrapper"):
            _refuse(f"it asks for an object of {_shown(name)}")
        if arguments != ():
            _refuse("joblib's wrapper has arguments")
        self.stack.append(_Wrapper())

    def _reduce(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            _refuse("it calls something that is not a name")
        module = name.module.replace("numpy.core", "numpy._core")
        build = _BUILDERS.get((module, name.name))
        if build is None:
            _refuse(f"it asks for {_shown(name)}")
        self.stack.append(build(*arguments))

    def _build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.value = _with_order(target.value, state)
        elif isinstance(target, _Array) and target.value is None:
            target.value = _filled(state)
        elif isinstance(target, _Wrapper):
            self.stack[-1] = _following(state, self.stream)
        else:
            _refuse("it sets the state of something that has none")


def _shown(name: Any) -> str:
    return f"{name.module}.{name.name}"[:100] if isinstance(name, _Name) else "an unnamed class"


def _pairs(items: list[Any]) -> dict[str, Any]:
    if len(items) % 2 or not all(type(k) in (str, int, bytes) for k in items[::2]):
        _refuse("a dictionary has keys that are not text or numbers")
    return dict(zip(items[::2], items[1::2]))


def _dtype(code: Any, align: Any = False, copy: Any = True) -> _Dtype:
    text = code.decode("ascii", "replace") if isinstance(code, bytes) else code
    if not isinstance(text, str) or not _CODE.fullmatch(text):
        _refuse(f"it asks for the number type {text!r}"[:100])
    if align not in (False, 0) or copy not in (False, True, 0, 1):
        _refuse("a number type has unusual arguments")
    return _Dtype(np.dtype(text))


def _with_order(dtype: np.dtype[Any], state: Any) -> np.dtype[Any]:
    """Return the dtype in the byte order that its pickled state names; every other field must be the plain one."""
    if not is_tuple(state) or not 8 <= len(state) <= 9 or state[0] not in (3, 4):
        _refuse("a number type has an unknown state")
    order = state[1].decode("ascii", "replace") if isinstance(state[1], bytes) else state[1]
    plain = state[2:5] == (None, None, None) and state[5:8] == (-1, -1, 0)
    if not plain or order not in ("<", ">", "|", "=") or (len(state) == 9 and state[8] is not None):
        _refuse("a number type is not a plain one")
    return dtype if order == "|" else dtype.newbyteorder(order)


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, bytearray)):
        _refuse("an array is not made of bytes and a number type")
    shape = (shape,) if isinstance(shape, int) else shape
    if not is_tuple(shape) or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        _refuse("an array has an impossible shape")
    if math.prod(shape) * dtype.value.itemsize != len(data):
        _refuse(f"an array of shape {shape} has {len(data)} bytes")
    if order not in ("C", "F"):
        _refuse("an array has an unknown order")
    return np.frombuffer(data, dtype.value).reshape(shape, order=order).copy()


def _filled(state: Any) -> np.ndarray:
    if not is_tuple(state) or len(state) != 5 or state[0] != 1:
        _refuse("an array has an unknown state")
    _, shape, dtype, fortran, data = state
    return _array(data, dtype, shape, "F" if fortran else "C")


def _following(state: Any, stream: io.BytesIO) -> np.ndarray:
    """Return the array whose bytes follow in the file: a byte that says how many others to leave out, then they."""
    known = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
    if not is_dict(state) or not set(state) <= known:
        _refuse("joblib's wrapper has an unknown state")
    if state.get("subclass") != _Name("numpy", "ndarray"):
        _refuse("joblib's wrapper is not of a plain array")
    dtype, shape = state.get("dtype"), state.get("shape")
    if not isinstance(dtype, _Dtype) or not is_tuple(shape):
        _refuse("joblib's wrapper names no shape")
    if not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        _refuse("an array has an impossible shape")
    if state.get("numpy_array_alignment_bytes") is not None:
        stream.read(int.from_bytes(stream.read(1), "little"))
    data = stream.read(min(math.prod(shape) * dtype.value.itemsize, 2**31))
    return _array(data, dtype, shape, state.get("order"))


def _shell(kind: Any, shape: Any, code: Any) -> _Array:
    if kind != _Name("numpy", "ndarray") or shape != (0,) or code not in (b"b", "b"):
        _refuse("an array is made in an unusual way")
    return _Array()


def _scalar(dtype: Any, data: Any) -> bool | int | float:
    return _array(data, dtype, (), "C").item()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        _refuse("bytes are encoded in an unusual way")
    return text.encode("latin-1")


def _bytes(data: Any = b"") -> bytes:
    return bytes(data) if isinstance(data, (bytes, bytearray)) else _refuse("bytes are not bytes")


_BUILDERS = {
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "_reconstruct"): _shell,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _array,
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytes"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytes,
}
"""What numpy's and Python's own picklers write → the function of this module that makes the value."""


def _resolved(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """Return the value with its arrays in place."""
    if depth > MAX_DEPTH:
        _refuse("it is nested too deeply")
    if isinstance(value, _Array):
        return value.value if value.value is not None else _refuse("an array is empty")
    if isinstance(value, _Name):
        _refuse(f"it ends with the name {_shown(value)}")
    if isinstance(value, (_Dtype, _Wrapper)) or value is _MARK:
        _refuse("it holds half an object")
    if id(value) in seen:
        return seen[id(value)]
    if is_dict(value):
        made: Any = {k: _resolved(v, seen, depth + 1) for k, v in value.items()}
    elif is_sequence(value):
        made = type(value)([_resolved(v, seen, depth + 1) for v in value])
    else:
        return value
    seen[id(value)] = made
    return made

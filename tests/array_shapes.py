"""While tests run: what front doors accept and give has the shapes and number types that their signatures state.

A signature says `Float64[np.ndarray, "n 4"]` (jaxtyping, imported for type checkers only). A hook on imports wraps each
function of facelab with such a signature before another module can take it. The check comes after the call: input that
a function refuses itself never reaches it, and what it took without a word must fit. Names of axes (`n`) mean one
number within a call.
"""

import functools
import importlib.abc
import inspect
import re
import sys
import threading
import types
import typing

import jaxtyping
import numpy as np
from beartype.door import is_bearable

KINDS = (
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Int",
    "Int64",
    "Integer",
    "Num",
    "Real",
    "Shaped",
    "UInt8",
)
NAMES = {kind: getattr(jaxtyping, kind) for kind in KINDS}
STATED = re.compile(rf"\b(?:{'|'.join(KINDS)})\[")
WRAPPED: set[str] = set()
"""Full names of the functions that are checked in this process."""
_MISSING = object()


class ShapeError(AssertionError):
    """An array does not have the shape or the number type that a signature states."""


def hints_of(function, namespace):
    """Return the annotations that state shapes, as objects."""
    stated = {k: v for k, v in function.__annotations__.items() if isinstance(v, str)}
    return {
        name: eval(text, {**NAMES, **namespace, "np": np, **NAMES})  # noqa: S307
        for name, text in stated.items()
        if STATED.search(text)
    }


def fits(value, hint):
    """Return whether a value fits; lists and tuples that the function makes an array of are let through."""
    if isinstance(value, tuple) and typing.get_origin(hint) is not tuple:
        return True
    holds = isinstance(value, (np.ndarray, tuple, dict)) or value is None
    return not holds or is_bearable(value, hint)


def checking(function, hints):
    """Return the function with a check of its arguments and its result after each call."""
    signature = inspect.signature(function)
    makes = function.__qualname__.endswith(".__init__")

    @functools.wraps(function)
    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments | {"return": result}
        with jaxtyping.jaxtyped("context"):
            for name, hint in hints.items():
                # a dataclass may convert what it is made of: its fields are what is stated
                value = getattr(args[0], name) if makes else given.get(name, _MISSING)
                if value is not _MISSING and not fits(value, hint):
                    shown = getattr(value, "dtype", type(value).__name__), np.shape(value)
                    raise ShapeError(
                        f"{function.__module__}.{function.__qualname__}: `{name}` is {shown}, "
                        f"stated is {function.__annotations__[name]}"
                    )
        return result

    return call


def wrap(module):
    """Wrap the functions and methods of one module whose annotations state shapes."""
    places = [module, *(v for v in vars(module).values() if isinstance(v, type))]
    for place in places:
        if getattr(place, "__module__", module.__name__) != module.__name__:
            continue
        for name, found in list(vars(place).items()):
            if not isinstance(found, types.FunctionType) or found.__module__ != module.__name__:
                continue
            if hints := hints_of(found, vars(module)):
                setattr(place, name, checking(found, hints))
                WRAPPED.add(f"{found.__module__}.{found.__qualname__}")


class Finder(importlib.abc.MetaPathFinder):
    """Finds facelab's modules by the other finders and has them wrapped once they are executed."""

    def __init__(self):
        self._asking = threading.local()

    def _found(self, name, path, target):
        """Return what the other finders say; one of them (of the lines that ran) asks all finders itself."""
        self._asking.now = True
        try:
            others = (f for f in sys.meta_path if f is not self and hasattr(f, "find_spec"))
            return next((s for f in others if (s := f.find_spec(name, path, target))), None)
        finally:
            self._asking.now = False

    def find_spec(self, name, path, target=None):
        if getattr(self._asking, "now", False) or not name.startswith("facelab."):
            return None
        spec = self._found(name, path, target)
        execute = getattr(getattr(spec, "loader", None), "exec_module", None)
        if execute is None:
            return spec

        def exec_module(module):
            execute(module)
            wrap(module)

        spec.loader.exec_module = exec_module
        return spec


def install():
    """Check every module of facelab that is imported from now on, and those that are here already."""
    if not any(isinstance(f, Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, Finder())
        for name, module in list(sys.modules.items()):
            if name.startswith("facelab."):
                wrap(module)

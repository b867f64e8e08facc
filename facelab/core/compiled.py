"""Numba functions whose machine code is kept on disk: every variant has a name and its own file.

Functions made in a loop or by another function share their source and differ in the values they were closed over.
Numba tells such variants apart only by a counter of the process. Code of two processes can therefore carry equal
names for different variants; a third process that loads both uses the first for both, and searches returned wrong
neighbours without any error. Numba also keeps an index beside numbered files, and two processes that store at once
can take one number for two variants. Here both names come from what a variant was compiled from. Processes that need
the same variant at the same time compile it once: the others wait for its file.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import glob
import hashlib
import os
import pickle
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from facelab.core.errors import IntegrityError
from facelab.core.files import atomic_path

PATIENCE_S = 120.0
"""How long a process waits for another one that compiles the same variant, before it compiles for itself."""


def digest_of(*folders: Path) -> str:
    """Return a digest of every source in folders: numba looks at one file only.

    Raises IntegrityError for a folder without sources.
    """
    digest = hashlib.sha256()
    for folder in folders:
        files = sorted(folder.rglob("*.py"))
        if not files:
            raise IntegrityError(
                "a folder of compiled code has no sources",
                where=folder,
                fix="name the folder as it is called now; its code would be taken from an old cache",
            )
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add a digest of what a function was closed over to its name, from which numba makes the names in the code."""
    if function.__closure__:
        digest = hashlib.sha256(repr(_constants(function)).encode()).hexdigest()[:12]
        function.__qualname__ = f"{function.__qualname__}_{digest}"
    return function


def _constants(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Return what a function was closed over, other compiled functions by what they were closed over themselves."""
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    return tuple(
        (c.py_func.__qualname__, _constants(c.py_func))
        if hasattr(c, "py_func")
        else (type(c).__name__, repr(c))
        for c in cells
    )


@functools.cache
def _file_class() -> type:
    """Return the class that stores machine code; made on first use, as importing numba takes a quarter second."""
    from numba.core.caching import IndexDataCacheFile

    class OneFilePerVariant(IndexDataCacheFile):
        """Machine code in one file per variant, with its key inside: what was stored for another key is not used."""

        def __init__(self, path: str, base: str, stamp: Any, sources: Callable[[], str]):
            super().__init__(cache_path=path, filename_base=base, source_stamp=stamp)
            self._folder, self._base, self._sources = Path(path), base, sources

        def _path(self, key: Any) -> Path:
            made_from = repr((self._version, self._source_stamp, self._sources()))
            generation = hashlib.sha256(made_from.encode()).hexdigest()[:12]
            variant = hashlib.sha256(repr(key).encode()).hexdigest()[:20]
            return self._folder / f"{self._base}.{generation}.{variant}.nbc"

        def _remove(self, *, but: str = "/") -> None:
            for old in self._folder.glob(f"{glob.escape(self._base)}.*.nbc"):
                if not old.name.startswith(but):
                    old.unlink(missing_ok=True)

        @contextlib.contextmanager
        def alone(self, key: Any) -> Generator[None]:
            """Let one process at a time make a variant that is not stored: the others then find it."""
            if self._path(key).exists():
                yield
                return
            with _locked(self._folder / f"{self._base}.lock"):
                yield

        def save(self, key: Any, data: Any) -> None:
            """Store a variant, and remove those of older sources."""
            path = self._path(key)
            with atomic_path(path) as tmp:
                tmp.write_bytes(self._dump((key, data)))  # pyright: ignore[reportUnknownMemberType] # numba
            self._remove(but=path.name.rsplit(".", 2)[0])

        def load(self, key: Any) -> Any:
            """Return a stored variant, or None where there is none, or none that can be read whole."""
            try:
                # as numba itself does: anyone who can write this folder can write the sources beside it
                stored, data = pickle.loads(self._path(key).read_bytes())  # noqa: S301
            except (OSError, pickle.UnpicklingError, EOFError, ValueError, TypeError):
                return None
            return data if stored == key else None

        def flush(self) -> None:
            """Remove all variants of this function."""
            self._remove()

    return OneFilePerVariant


@contextlib.contextmanager
def _locked(file: Path) -> Generator[None]:
    """Hold a lock between processes; without it where no file can be made, or after PATIENCE_S."""
    try:
        handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError:
        yield
        return
    try:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """Keep the garbage collector still: it would visit all that numba holds again and again, a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _compile_once(dispatcher: Any, key: Callable[[Any, Any], Any]) -> None:
    """Make a dispatcher compile what is not stored in one process at a time, without garbage collections."""
    from numba.core.compiler_lock import global_compiler_lock

    plain, cache = dispatcher.compile, dispatcher._cache

    @functools.wraps(plain)
    def compile_once(signature: Any) -> Any:
        # numba's own lock comes first: who holds it may need the variant that another thread is about to make
        with global_compiler_lock, _uncollected():
            name = key(signature, dispatcher.targetctx.codegen())
            with cache._cache_file.alone(name):
                return plain(signature)

    dispatcher.compile = compile_once


def _events() -> Any:
    from numba.core import event  # here: what is untyped, and takes long to import

    return event


class Compiling:
    """How long numba compiled, or loaded what it had compiled, inside a block; threads that wait for it count once.

    >>> with Compiling() as compiling:
    ...     pass
    >>> compiling.seconds
    0.0
    """

    def __enter__(self) -> Compiling:
        """Begin to measure."""
        events = _events()
        self._timer = events.TimingListener()
        events.register("numba:compiler_lock", self._timer)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop measuring."""
        _events().unregister("numba:compiler_lock", self._timer)

    @property
    def seconds(self) -> float:
        """Return the seconds so far."""
        return float(self._timer.duration) if self._timer.done else 0.0


def makers(
    *folders: Path, part_options: dict[str, Any] | None = None, **options: Any
) -> tuple[Any, Any]:
    """Return how a room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

    Both are kept on disk and run without the GIL. What Python never calls needs no wrapper for it: wrappers of
    functions with two dozen arguments took a third of the time to compile.

    Parameters
    ----------
    *folders
        All that the machine code may come from.
    part_options
        Options of `numba.njit` for parts alone.
    **options
        Options of `numba.njit` for both.
    """
    sources = functools.cache(lambda: digest_of(*folders))

    def kernel(function: Callable[..., Any], **more: Any) -> Callable[..., Any]:
        """Compile a function that Python calls; `more` are numba's options."""
        return compiled(
            function, sources, **{"nogil": True, "no_cfunc_wrapper": True, **options, **more}
        )

    def part(function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a function that only compiled functions call."""
        return kernel(function, no_cpython_wrapper=True, **(part_options or {}))

    return kernel, part


def compiled(
    function: Callable[..., Any], sources: Callable[[], str], *, stored: bool = True, **options: Any
) -> Callable[..., Any]:
    """Compile a function with numba (`njit` with `options`) and keep its machine code on disk.

    Parameters
    ----------
    function
        What is compiled, at its first call.
    sources
        Returns a digest of all sources that the machine code may come from; called once per variant.
    stored
        False for what only other compiled functions call: their files contain its code.
    **options
        Options of `numba.njit`, without `cache`.

    Returns
    -------
    Callable
        Numba's dispatcher. Where no folder can be written, it compiles again in each process.

    Notes
    -----
    A variant is named by its argument types, the processor, the sources, and the values that the function was closed
    over. Numba would pickle these, and another compiled function pickles differently in every process: such code was
    compiled again each time, for ten seconds.
    """
    from numba import njit

    function = _named(function)
    if not stored:
        return njit(**options)(function)
    try:
        dispatcher: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache can be written
        return njit(**options)(function)
    cache: Any = getattr(dispatcher, "_cache", None)  # numba states no types
    if not hasattr(cache, "_cache_file"):  # NUMBA_DISABLE_JIT returns the function itself
        return dispatcher

    made_from = function.__qualname__, repr(_constants(function)), repr(sorted(options.items()))

    def key(signature: Any, codegen: Any) -> tuple[Any, ...]:
        return signature, codegen.magic_tuple(), made_from

    cache._index_key = key
    stamp = cache._impl.locator.get_source_stamp()
    base = cache._impl.filename_base
    cache._cache_file = _file_class()(cache.cache_path, base, stamp, sources)
    _compile_once(dispatcher, key)
    return dispatcher

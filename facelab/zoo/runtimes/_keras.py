"""Keras models (.keras, .h5, .hdf5) on Keras 3: strangers' in a sandboxed process, others in this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import extras, fresh, lifetime, sandbox
from facelab.core.array_files import read_npz
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.files import loads_strict
from facelab.core.safety.scratch import ScratchFolder
from facelab.zoo import trust
from facelab.zoo._integrity import refuse_impostor
from facelab.zoo.runtimes._base import Model, ModelRunError, TensorInfo, first_line, thread_count
from facelab.zoo.runtimes._keras_worker import PipeClosedError, packed, receive, send

START_S, ANSWER_S = 120.0, 300.0
"""Seconds that the process of a stranger's model may take to open it, and to answer once."""


class KerasModel(Model):
    """A Keras model in inference mode; `handle` is the `keras.Model`."""

    runtime = "keras"

    def _compute(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        arrays = [feed[i.name] for i in self.inputs]
        # old HDF5 files take a list of one, newer models the array itself; Keras 3 warns where the structure differs
        bare = len(arrays) == 1 and not isinstance(
            getattr(self.handle, "_inputs_struct", None), (list, tuple)
        )
        out = self.handle(arrays[0] if bare else arrays, training=False)
        return [np.asarray(o) for o in (out if isinstance(out, (list, tuple)) else [out])]


class ConfinedKeras(Model):
    """A stranger's Keras model: it runs in a sandboxed process, which ends with this object or this process."""

    runtime = "keras"

    def __init__(self, path: Path, threads: int):
        self._folder = ScratchFolder(prefix="facelab-keras-")
        # a stranger's model may be slow: processor time is not bounded, each answer is
        confined = fresh.Confined(self._folder.name, (path,), seconds=None)
        limits = confined.limits() | {"outlives_thread": True}
        process = lifetime.Popen(
            sandbox.command(limits, "facelab.zoo.runtimes._keras_worker", path.resolve(), threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=sandbox.environment(os.path.realpath(self._folder.name), dict(os.environ)),
        )
        self._end = weakref.finalize(self, _end, process, self._folder)
        super().__init__(path, process, (), (), threads)
        try:
            self.inputs, self.outputs, self.threads = self._facts(self._answer(START_S))
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """End the process."""
        self._end()
        super().close()

    def _facts(self, body: bytes) -> tuple[Any, Any, int]:
        try:
            *sides, threads = loads_strict(body.decode())
            inputs, outputs = (
                tuple(TensorInfo(str(n), tuple(shape), np.dtype(t).name) for n, shape, t in ts)
                for ts in sides
            )
            return inputs, outputs, int(threads)
        except (BadInputError, ValueError, TypeError):
            raise self._nonsense() from None

    def _nonsense(self) -> ModelRunError:
        """Return the error for an answer that only a model that broke out of Keras would give."""
        return ModelRunError(
            "the process that runs the Keras model gave an answer that cannot be read",
            where=self.path,
            fix="do not use the file: its process does not do what facelab asks",
        )

    def _answer(self, seconds: float) -> bytes:
        late = threading.Timer(seconds, self.handle.kill)
        late.start()
        try:
            letter, body = receive(self.handle.stdout)
        except (PipeClosedError, OSError, ValueError):
            raise ModelRunError(
                "the process that runs the Keras model ended",
                where=self.path,
                expected=f"an answer within {seconds:g} s",
                got=fresh.ending(self.handle.wait()),
                fix="the file is faulty, or needs more memory than it may have",
            ) from None
        finally:
            late.cancel()
        if letter == b"e":
            try:
                kind, what, got, fix = map(str, loads_strict(body.decode()))
            except (BadInputError, ValueError, TypeError):
                raise self._nonsense() from None
            known = {"ModelRunError": ModelRunError, "UnsupportedError": UnsupportedError}
            raise known.get(kind, BadInputError)(what, where=self.path, got=got, fix=fix)
        return body

    def _compute(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with self._turn:
            send(self.handle.stdin, b"a", packed([feed[i.name] for i in self.inputs]))
            arrays = read_npz(self._answer(ANSWER_S), "model's answer", where=self.path)
        if set(arrays) != {str(k) for k in range(len(arrays))}:
            raise self._nonsense()
        return [arrays[str(k)] for k in range(len(arrays))]


def _end(process: subprocess.Popen, folder: ScratchFolder) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    folder.cleanup()


def open_keras(path: Path, *, threads: int | None = None, known: bool = False) -> Model:
    """Open a Keras file, without its training configuration.

    One that is not `known` by its published hash, that facelab did not make here and that the user did not trust runs
    in a sandboxed process. Raises IntegrityError, BadInputError, UnsupportedError, the last where there is no sandbox.
    """
    refuse_impostor(path)
    if known or trust.may_run_freely(path):
        return open_keras_here(path, threads=threads)
    if (why := sandbox.why_not()) is not None:
        raise trust.refuse_stranger(path, "opening a Keras model", why)
    return ConfinedKeras(path, thread_count(threads))


def open_keras_here(path: Path, *, threads: int | None = None) -> KerasModel:
    """Open a Keras file in this process, without its training configuration; TensorFlow is imported now, not before.

    The thread count is TensorFlow's and counts for the whole process: it is set by the first model. Raises
    IntegrityError, BadInputError or UnsupportedError.
    """
    refuse_impostor(path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _without_chatter():
            import keras
            import tensorflow as tf
    except ImportError as e:
        raise UnsupportedError(
            "TensorFlow cannot be imported, so Keras models cannot be opened",
            where=path,
            got=first_line(e),
            fix=extras.how_to_get("tensorflow"),
        ) from e
    n = thread_count(threads)
    # TensorFlow refuses after its first operation; the earlier setting then stays
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n)
    except RuntimeError:
        n = tf.config.threading.get_intra_op_parallelism_threads() or n
    try:
        model: Any = keras.models.load_model(path, compile=False)
    except Exception as e:
        raise BadInputError(
            "Keras refuses the model",
            where=path,
            got=first_line(e),
            fix="the file may be truncated, or need layers that this Keras does not have",
        ) from e
    return KerasModel(
        path, model, [_info(t) for t in model.inputs], [_info(t) for t in model.outputs], n
    )


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep what TensorFlow writes while it is imported, whatever its log level, off standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # closed already
        yield
        return
    try:
        sys.stderr.flush()
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _info(tensor: Any) -> TensorInfo:
    name = tensor.name.split(":")[0]
    return TensorInfo(
        name, tuple(None if n is None else int(n) for n in tensor.shape), str(tensor.dtype)
    )

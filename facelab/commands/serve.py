"""`facelab serve`: a small local HTTP service over the pipelines that the notebooks use."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import signal
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import click

from facelab.commands.common import FloatRange, note
from facelab.commands.release import Unsigned, policy_of, policy_option, trust, trust_options
from facelab.core.process import garbage
from facelab.core.safety.scratch import ScratchFolder


@click.command(epilog="Example: facelab serve --detector haar --check")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8700, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    metavar="NAME",
    help="Detector that requests may name; the first is the default; repeat.",
)
@click.option("--embedder", "embedders", multiple=True, metavar="NAME", help="Embedder; repeat.")
@click.option(
    "--emotion",
    type=click.Path(),
    metavar="DIR",
    help="A bundle, or a store of `facelab release`; watched, and swapped while requests run.",
)
@click.option(
    "--candidate",
    type=click.Path(),
    metavar="BUNDLE",
    help="A second emotion bundle for a canary.",
)
@click.option(
    "--rollout",
    type=click.Path(),
    metavar="FILE",
    help="Who gets the candidate (facelab.rollout/1); watched.",
)
@click.option(
    "--check", is_flag=True, help="Load everything, say whether it could serve, and stop."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--body-mb", default=8.0, show_default=True, type=FloatRange(0.01, 256), help="Largest body."
)
@click.option(
    "--megapixels",
    default=16.0,
    show_default=True,
    type=FloatRange(0.01, 60),
    help="Largest image.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Further host name that requests may use; repeat.",
)
@click.option(
    "--isolate/--no-isolate",
    default=True,
    show_default=True,
    help="Decode and detect in separate processes, which may die without the service.",
)
@click.option(
    "--answer-s",
    default=10.0,
    show_default=True,
    type=FloatRange(0.1, 600),
    help="Longest time for one answer; a process that needs longer is replaced.",
)
@trust_options
@policy_option
def command(
    host: str,
    port: int,
    detectors: tuple[str, ...],
    embedders: tuple[str, ...],
    emotion: str | None,
    candidate: str | None,
    rollout: str | None,
    check: bool,
    workers: int,
    body_mb: float,
    megapixels: float,
    allow_host: tuple[str, ...],
    isolate: bool,
    answer_s: float,
    keys: tuple[str, ...],
    unsigned: Unsigned | None,
    policy: str | None,
) -> None:
    """Answer POST /v1/detect, /v1/embed, /v1/emotion (an image) and /v1/verify (two), on this machine only.

    Every answer names in `degraded` the fallbacks that were active: `facelab recovery show` lists them. GET /healthz,
    /readyz and /metrics say how it is. There is no authentication: another --host than loopback lets
    everybody in who can reach it.
    """
    from facelab.serving import create_app
    from facelab.serving.degradation import Degradation
    from facelab.serving.internals import Limits

    if bool(candidate) != bool(rollout) or (candidate and not emotion):
        raise click.UsageError("--candidate and --rollout go together, with --emotion")
    limits = Limits(body_bytes=int(body_mb * 2**20), pixels=int(megapixels * 1e6), workers=workers)
    given = {"limits": limits, "hosts": _hosts(host, allow_host)}
    with _ended_in_order() as asked, contextlib.ExitStack() as stack:
        state = stack.enter_context(contextlib.closing(Degradation()))
        names = detectors or (default_detector(state),)
        trusted = trust(keys, unsigned)
        slot = _emotion(stack, emotion, candidate, rollout, trusted, policy_of(policy))
        if isolate and not check:
            _detectors(names), _embedders(embedders)  # a wrong name is said before the port is open
            app = _isolated(stack, names, embedders, slot, answer_s, state, given)
        else:
            make = _in_process(names, embedders, slot)
            make()
            if check:
                parts = (
                    ("detectors", names),
                    ("embedders", embedders),
                    ("emotion", (emotion, candidate)),
                )
                said = [
                    f"{what} {', '.join(filter(None, which))}"
                    for what, which in parts
                    if any(which)
                ]
                note(f"ready to serve: {'; '.join(said)}")
                return
            app = create_app(make, emotion=slot, degradation=state, **given)
        _run(app, host, port, asked)


def _in_process(names: tuple[str, ...], embedders: tuple[str, ...], slot: Any) -> Any:
    from facelab.serving.internals import FaceTasks

    return lambda: FaceTasks(_detectors(names), _embedders(embedders), slot)


def _isolated(
    stack: contextlib.ExitStack,
    names: tuple[str, ...],
    embedders: tuple[str, ...],
    slot: Any,
    answer_s: float,
    state: Any,
    given: dict[str, Any],
) -> Any:
    """Return the application whose workers are processes; they end with the stack."""
    from facelab.serving import create_app
    from facelab.serving.internals import Isolation

    made = Isolation(
        names, embedders, slot, limits=given["limits"], degradation=state, deadline_s=answer_s
    )
    stack.enter_context(made)
    return create_app(made.make, emotion=slot, degradation=state, **given)


@contextlib.contextmanager
def _ended_in_order() -> Generator[threading.Event]:
    """End with 0 where a service manager asks for it (SIGTERM), after the same clearing up as for Ctrl-C.

    The event says that it was asked: an exception is lost where it is raised in a destructor or a library's callback.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def end(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(app: Any, host: str, port: int, asked: threading.Event) -> None:
    from facelab.serving.internals import listen, server

    garbage.collect_as_usual()
    with listen(host, port) as bound:
        if not _loopback(host):
            note(f"{host} is not loopback: everybody who reaches it can use this service")
        address = f"http://{host}:{bound.getsockname()[1]}"
        up = functools.partial(note, f"{address} is up; stop it with Ctrl-C")
        server(app, up, asked).run(sockets=[bound])


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hosts(host: str, more: tuple[str, ...]) -> tuple[str, ...]:
    return ("127.0.0.1", "localhost", "::1", host.lower(), *(m.lower() for m in more))


DETECTORS = ("yunet-n", "blazeface-front", "haar")
"""What the service uses where nobody chose, best first."""


_SHAPES = {"yunet-n": {"input": (1, 3, 640, 640)}}
"""Inputs whose size the file leaves open, as large as the service's photographs make them."""


def default_detector(degradation: Any = None) -> str:
    """Return the best detector of `DETECTORS` that can be loaded here; a later one than the first is a fallback."""
    from facelab.detection import load
    from facelab.serving import degradation as fallbacks

    def way(name: str) -> Any:
        return fallbacks.Way(name, lambda: load(name, threads=1), _needed(name))

    chain = fallbacks.Chain([way(name) for name in DETECTORS], degradation=degradation)
    chain.get()
    for why in chain.why.values():
        note(f"not used: {why}")
    name = str(chain.used)
    if degradation is None:
        chain.close()
    return name


def _needed(name: str) -> int:
    """Return the bytes that a detector's weights and activations need; 0 where its file is not known."""
    from facelab.budget import cost_of
    from facelab.core.errors import FacelabError
    from facelab.zoo import find, load_catalogue

    try:
        found = find(load_catalogue().model(name))
        cost = cost_of(found.path, _SHAPES.get(name), known=True) if found is not None else None
    except FacelabError:
        return 0
    return 0 if cost is None else cost.weight_bytes + cost.arena_bytes


def _detectors(names: tuple[str, ...]) -> dict[str, Any]:
    from facelab.detection import load

    return {name: load(name, threads=1) for name in names}


def _embedders(names: tuple[str, ...]) -> dict[str, Any]:
    from facelab.embedding import load

    return {name: load(name, threads=1) for name in names}


def _emotion(
    stack: contextlib.ExitStack,
    emotion: str | None,
    candidate: str | None,
    rollout: str | None,
    trusted: Any,
    policy: Any,
) -> Any:
    if emotion is None:
        return None
    stable = _slot(stack, emotion, trusted, policy)
    if candidate is None or rollout is None:
        return stable
    from facelab.serving import Canary
    from facelab.serving.internals import same_emotions

    second = _slot(stack, candidate, trusted, policy)
    return stack.enter_context(Canary(stable, second, rollout, agree=same_emotions))


def _slot(stack: contextlib.ExitStack, path: str, trusted: Any, policy: Any) -> Any:
    """Return a slot that serves a store's current release or a bundle, and follows its changes."""
    from facelab.core.errors import BadInputError
    from facelab.serving import ModelSlot, ReleaseStore
    from facelab.serving.internals import task_adapter

    if not Path(path).is_dir():
        raise BadInputError(
            "there is no bundle and no store of releases",
            where=path,
            expected="a folder",
            fix="make one: facelab release promote BUNDLE --store DIR",
        )
    is_store = (Path(path) / "state.json").is_file()
    where = path if is_store else stack.enter_context(_temporary())
    store = ReleaseStore(where, trust=trusted)
    slot = stack.enter_context(
        ModelSlot(store, task="emotion", policy=policy, adapter=task_adapter, isolate=True)
    )
    swap = slot.follow() if is_store else slot.offer(path)
    if not swap.accepted:
        raise BadInputError(
            "the emotion classifier cannot be served",
            where=path,
            got=swap.why.partition("\n")[0],
            fix="facelab release verify says more",
        )
    slot.watch(None if is_store else path)
    return slot


@contextlib.contextmanager
def _temporary() -> Any:

    with ScratchFolder(prefix="fl-serve-") as folder:
        yield folder

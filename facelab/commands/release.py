"""`facelab release verify|promote|rollback|status`: which model a running service uses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

import click

from facelab.commands.common import emit, json_option, note
from facelab.core.safety.scratch import ScratchFolder

STORE = click.option(
    "--store",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of releases that `facelab serve --emotion DIR` follows.",
)
REASON = click.option("--reason", default="by command", metavar="TEXT", help="Kept in the audit.")

Unsigned = Literal["refuse", "allow"]
"""What happens to a bundle that nobody signed."""


def trust_options(function: Callable) -> Callable:
    """Add the options that say who may sign."""
    function = click.option(
        "--key",
        "keys",
        multiple=True,
        metavar="KEY",
        help="Trusted minisign public key: its base64 line, or its file; repeat.",
    )(function)
    return click.option(
        "--unsigned",
        type=click.Choice(["allow", "refuse"]),
        help="Bundles without a signature.  [default: refuse with --key, else allow]",
    )(function)


def policy_option(function: Callable) -> Callable:
    """Add the option that names the policy."""
    return click.option(
        "--policy", type=click.Path(), metavar="FILE", help="Budgets, as `facelab gate` takes them."
    )(function)


def trust(keys: tuple[str, ...], unsigned: Unsigned | None) -> Any:
    """Return what the options of `trust_options` say."""
    from facelab.serving.internals import Trust

    return Trust(keys, unsigned=unsigned or ("refuse" if keys else "allow"))


def policy_of(path: str | None) -> Any:
    """Return the policy of a file, or the default one."""
    from facelab.deploy import policy as policies

    return policies.load(path) if path else policies.default()


@click.group(epilog="Example: facelab release promote bundle --store releases")
def command() -> None:
    """Decide which verified bundle a running `facelab serve` uses, and go back."""


@command.command(epilog="Example: facelab release verify bundle --policy policy.toml")
@click.argument("bundle", type=click.Path())
@trust_options
@policy_option
@json_option
def verify(
    bundle: str, keys: tuple[str, ...], unsigned: Unsigned | None, policy: str | None, as_json: bool
) -> int:
    """Check the signature, the files, the budgets and the golden outputs of BUNDLE (exit 1 if one fails)."""
    with ScratchFolder(prefix="fl-verify-") as store:
        return _checked(bundle, store, keys, unsigned, policy, as_json, None)


@command.command(epilog="Example: facelab release promote bundle --store releases")
@click.argument("bundle", type=click.Path())
@STORE
@trust_options
@policy_option
@REASON
@click.option("--again", is_flag=True, help="Also a release that was rolled back before.")
@json_option
def promote(
    bundle: str,
    store: str,
    keys: tuple[str, ...],
    unsigned: Unsigned | None,
    policy: str | None,
    reason: str,
    again: bool,
    as_json: bool,
) -> int:
    """Verify BUNDLE and make it the current release of the store; a running service swaps to it.

    The load and the self-test run in this process: a model that crashes its runtime does not reach the service.
    """

    def make_current(releases: Any, name: str) -> None:
        releases.promote(name, reason=reason, again=again)

    return _checked(bundle, store, keys, unsigned, policy, as_json, make_current)


def _checked(
    bundle: str,
    store: str,
    keys: tuple[str, ...],
    unsigned: Unsigned | None,
    policy: str | None,
    as_json: bool,
    then: Callable[[Any, str], None] | None,
) -> int:
    from facelab.core.errors import BadInputError, CheckFailedError, IntegrityError
    from facelab.serving import ReleaseStore
    from facelab.serving.internals import tested

    if not Path(bundle).is_dir():
        raise BadInputError("the bundle does not exist", where=bundle, fix="check the path")
    releases = ReleaseStore(store, trust=trust(keys, unsigned))
    try:
        with _named(bundle, Path(store)):
            found = tested(bundle, releases, policy=policy_of(policy))
        if then is not None:
            then(releases, found.manifest.hash)
    except (IntegrityError, CheckFailedError) as e:
        if as_json:
            emit({"bundle": bundle, "ok": False, **e.as_dict()}, as_json=True, text="")
        else:
            note(f"error: {e}")
        return 1
    m = found.manifest
    value = {"bundle": bundle, "ok": True, "name": m.name, "task": m.task, "hash": m.hash}
    done = "is the current release" if then else "may be promoted"
    text = f"{m.name} {m.hash[:16]} ({m.task}, {found.signer}) {done}"
    emit({**value, "signer": found.signer, "current": then is not None}, as_json=as_json, text=text)
    return 0


@contextlib.contextmanager
def _named(bundle: str, store: Path) -> Generator[None]:
    """Let errors name the user's own files: the copy that was tested is gone by then."""
    from facelab.core.errors import FacelabError

    try:
        yield
    except FacelabError as e:
        copies = store / "releases"
        if e.where and Path(e.where).is_relative_to(copies):
            e.where = str(Path(bundle, *Path(e.where).relative_to(copies).parts[1:]))
        raise


@command.command(epilog="Example: facelab release rollback --store releases --reason 'too slow'")
@STORE
@REASON
@json_option
def rollback(store: str, reason: str, as_json: bool) -> None:
    """Withdraw the current release and make the one before current; a running service swaps back."""
    releases = _existing(store)
    bad = releases.current()
    good = releases.rollback(reason=reason)
    text = f"{good[:16]} is the current release; {str(bad)[:16]} was withdrawn: {reason}"
    emit({"current": good, "withdrawn": bad, "reason": reason}, as_json=as_json, text=text)


@command.command(epilog="Example: facelab release status --store releases")
@STORE
@json_option
def status(store: str, as_json: bool) -> None:
    """Print the current release, those that a rollback can reach, and who changed what."""
    releases = _existing(store)
    found, changes = releases.status(), releases.audit.read()
    lines = [f"current   {_line(found, found.current)}"]
    lines += [f"earlier   {_line(found, h)}" for h in reversed(found.stack[:-1])]
    lines += [f"withdrawn {h[:16]}: {why}" for h, why in found.withdrawn.items()]
    lines += [
        f"{c['at']}  {c['what']:<9} {str(c.get('after'))[:16]}  {c['reason']}  ({c['actor']})"
        for c in changes[-10:]
    ]
    emit({**found.to_dict(), "audit": changes}, as_json=as_json, text="\n".join(lines))


def _existing(store: str) -> Any:
    from facelab.core.errors import BadInputError
    from facelab.serving import ReleaseStore

    if not (Path(store) / "state.json").is_file():
        raise BadInputError(
            "the folder is not a store of releases",
            where=store,
            fix="make one: facelab release promote BUNDLE --store DIR",
        )
    return ReleaseStore(store)


def _line(found: Any, name: str | None) -> str:
    if name is None:
        return "none"
    return f"{name[:16]} {found.names.get(name, '')} ({found.signers.get(name, 'unknown')})"

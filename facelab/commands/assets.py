"""`facelab assets list|fetch|verify`: models and data sets, where they are and how they get here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from facelab import zoo
from facelab.commands.common import emit, json_option, note
from facelab.core.errors import BadInputError, FacelabError, did_you_mean
from facelab.zoo import internals

if TYPE_CHECKING:  # help needs neither numpy nor the catalogue
    from facelab.zoo.internals import Asset, Status

KINDS = ("detector", "embedder", "emotion", "liveness", "aux", "data")
kind_option = click.option(
    "--kind", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be repeated."
)


@click.group(epilog="Example: facelab assets fetch mtcnn sface")
def command() -> None:
    """List, fetch and verify models and data sets.

    A file is looked for in models/ (or data/), in an installed package that carries it, in FACELAB_MIRROR (a folder or
    an address, laid out by sha256, by name or with a MANIFEST.csv), and only `fetch` asks its official address.
    """


def everything() -> list[Asset]:
    """Return all models and data files of the catalogue and the registry."""
    return [*zoo.load_catalogue(), *internals.load_registry()]


def kind_of(asset: Asset) -> str:
    """Return a model's kind, or `data`."""
    return asset.kind if isinstance(asset, internals.ModelEntry) else "data"


def choose(names: tuple[str, ...], kinds: tuple[str, ...], assets: list[Asset]) -> list[Asset]:
    """Return the named assets and those of the kinds; without either, all. Raises BadInputError with a near name."""
    by_name = {a.name: a for a in assets}
    for name in names:
        if name not in by_name:
            raise BadInputError(
                f"nothing is named {name!r}{did_you_mean(name, by_name)}",
                fix="facelab assets list shows the names",
            )
    if not names and not kinds:
        return assets
    return [a for a in assets if a.name in names or kind_of(a) in kinds]


def row(asset: Asset, found: Status) -> dict:
    """Return what is known of an asset as plain JSON."""
    out = {
        "name": asset.name,
        "kind": kind_of(asset),
        "state": found.state,
        "place": found.place,
        "path": None if found.path is None else str(found.path),
        "bytes": asset.bytes,
        "sha256": asset.sha256 or None,
        "hash_note": asset.hash_note or None,
        "licence": asset.licence,
        "terms": asset.terms,
        "research_only": asset.research_only,
        "what": asset.what,
        "source": asset.source,
        "url": asset.url or None,
        "fetch": asset.fetch_command,
    }
    if isinstance(asset, internals.ModelEntry):
        out |= {"family": asset.family, "runtime": asset.runtime, "default": asset.default}
    if found.problem is not None:
        out["problem"] = found.problem.as_dict()
    return out


def table(rows: list[dict]) -> str:
    """Return the rows as aligned text."""
    lines = []
    for r in rows:
        state = f"{r['state']} ({r['place']})" if r["place"] else r["state"]
        marks = (" research-only" if r["research_only"] else "") + (
            " default" if r.get("default") else ""
        )
        lines.append(
            f"{r['name']:<28} {r['kind']:<9} {state:<17} {size(r['bytes']):>9}  {r['licence']}{marks}"
        )
    count = {
        s: sum(r["state"] == s for r in rows) for s in ("present", "unverified", "absent", "bad")
    }
    unverified = f"{count['unverified']} unverified, " if count["unverified"] else ""
    lines.append(
        f"{count['present']} present, {unverified}{count['absent']} absent, {count['bad']} bad"
    )
    return "\n".join(lines)


def size(n: int | None) -> str:
    """Return a number of bytes for a reader.

    >>> size(1234567), size(None)
    ('1.2 MB', '')
    """
    return "" if n is None else f"{n / 1e6:.1f} MB" if n >= 1e5 else f"{n / 1e3:.1f} kB"


@command.command("list", epilog="Example: facelab assets list --kind detector --present")
@kind_option
@click.option("--present", is_flag=True, help="Only what is on this machine.")
@click.option("--missing", is_flag=True, help="Only what is not.")
@json_option
def list_(kind: tuple[str, ...], present: bool, missing: bool, as_json: bool) -> None:
    """List models and data sets: what they are, whether they are here, and under which licence."""
    if present and missing:
        raise click.UsageError("--present and --missing exclude each other")
    rows = [row(a, zoo.status(a)) for a in choose((), kind, everything())]
    if present or missing:
        rows = [r for r in rows if (r["state"] == "present") == present]
    emit({"assets": rows}, as_json=as_json, text=table(rows))


@command.command("fetch", epilog="Example: facelab assets fetch sface mobilefacenet")
@click.argument("names", nargs=-1)
@kind_option
@click.option(
    "--all",
    "all_",
    is_flag=True,
    help="Everything that has a published hash and no research-only terms.",
)
@click.option(
    "--research-only",
    is_flag=True,
    help="With --kind or --all: also what may be used for research only.",
)
@click.option(
    "--trust-first-use",
    is_flag=True,
    help="Also download files whose hash nobody published; their hash is printed.",
)
@json_option
def fetch_(
    names: tuple[str, ...],
    kind: tuple[str, ...],
    all_: bool,
    research_only: bool,
    trust_first_use: bool,
    as_json: bool,
) -> int:
    """Get models and data sets, verified; what is here already is not downloaded again. Archives are unpacked."""
    if not (names or kind or all_):
        raise click.UsageError("name what to fetch, or give --kind or --all")
    chosen = choose(names, kind, everything())
    rows, failures = [], []
    for asset in chosen:
        if asset.name not in names and (
            reason := _not_in_bulk(asset, research_only, trust_first_use)
        ):
            note(f"{asset.name}: left out, {reason}")
            continue
        try:
            path = zoo.fetch(asset, trust_first_use=trust_first_use, progress=not as_json, say=note)
            if isinstance(asset, internals.DataEntry) and asset.unpack:
                path = internals.unpack(asset, path)
            rows.append(row(asset, zoo.status(asset)) | {"path": str(path)})
            note(f"{asset.name}: {path}")
        except FacelabError as e:
            if len(chosen) == 1:
                raise
            failures.append(e)
            rows.append(row(asset, internals.Status("absent", None, None, e)))
            note(f"error: {e}")
    emit({"assets": rows, "failed": len(failures)}, as_json=as_json, text=table(rows))
    return max((e.exit_code for e in failures), default=0)


def _not_in_bulk(asset: Asset, research_only: bool, trust_first_use: bool) -> str | None:
    if asset.research_only and not research_only:
        return "research-only (add --research-only, or name it)"
    if asset.file and not asset.sha256 and not trust_first_use:
        return "no published hash (add --trust-first-use)"
    return None


@command.command("verify", epilog="Example: facelab assets verify --kind embedder")
@click.argument("names", nargs=-1)
@kind_option
@json_option
def verify(names: tuple[str, ...], kind: tuple[str, ...], as_json: bool) -> int:
    """Check size and SHA-256 of what is here; a bad file in models/ or data/ is removed.

    A file whose hash nobody published is `unverified` unless it was trusted here (fetch --trust-first-use).
    Exit code 1 if a file is bad or unverified, or a named one is absent.
    """
    rows = [row(a, zoo.status(a)) for a in choose(names, kind, everything())]
    good = all(
        r["state"] == "present" or (r["state"] == "absent" and r["name"] not in names) for r in rows
    )
    shown = [r for r in rows if r["state"] != "absent" or r["name"] in names]
    for r in shown:
        if "problem" in r:
            p = r["problem"]
            note(
                f"{r['name']}: {p['what']}\n  where:    {p['where']}\n  expected: {p['expected']}\n"
                f"  got:      {p['got']}\n  fix:      {p['fix']}"
            )
    emit({"ok": good, "assets": shown}, as_json=as_json, text=table(shown))
    return 0 if good else 1

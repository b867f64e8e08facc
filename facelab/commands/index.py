"""`facelab index …`: collections of vectors on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import THREADS, Float, OutPath, emit, json_option, note
from facelab.commands.index_history import check, history

METRICS = ["cosine", "l2", "sqeuclidean", "ip"]
FOLDER = click.argument("folder", type=click.Path(path_type=Path))
METADATA = click.option(
    "--metadata",
    metavar="ADDRESS",
    help="etcd:http://host:2379, as it was created with. Default: SQLite in the folder.",
)
MODEL = click.option("--model-sha256", metavar="HEX", help="Hash of the model of these vectors.")
SPEC = click.option("--spec-sha256", metavar="HEX", help="Hash of their preprocessing spec.")


@click.group(epilog="Example: facelab index search people --queries Q.npy -k 5")
def command() -> None:
    """Keep vectors in collections that survive a crash, and search them exactly."""


command.add_command(history)
command.add_command(check)


def _source(model: str | None, spec: str | None) -> Any:
    from facelab.index.internals import Source

    if (model is None) != (spec is None):
        raise click.UsageError("--model-sha256 and --spec-sha256 belong together")
    return None if model is None or spec is None else Source(model, spec)


def _metadata(address: str | None) -> Any:
    from facelab.index import open_metadata

    return open_metadata(address) if address else None


def _open(folder: Path, metadata: str | None, *, write: bool, **options: Any) -> Any:
    from facelab.index import Collection, ShardedCollection

    kind = ShardedCollection if ShardedCollection.is_at(folder) else Collection
    return kind.open(folder, metadata=_metadata(metadata), write=write, **options)


def _status_text(status: Any) -> str:
    extra = "".join(f"; {t}" for t in (status.recovered, status.warning) if t)
    if hasattr(status, "shards"):
        name = status.name
        state = "generations " + ", ".join(str(s.generation) for s in status.shards)
    else:
        name, state = f"{status.name}/{status.shard}", f"generation {status.generation}"
    return (
        f"{name}: {status.vectors} vectors × {status.dimension} {status.dtype}, "
        f"{status.metric}; {state}, {status.segments} segments, "
        f"{status.active} rows in the log, {status.deleted} deleted{extra}"
    )


@command.command(epilog="Example: facelab index create faces --dimension 512 --metric cosine")
@FOLDER
@click.option("--dimension", type=click.IntRange(1, 65_536), required=True)
@click.option("--metric", type=click.Choice(METRICS), default="cosine", show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
)
@click.option("--name", help="Name in the metadata. Default: the folder's.")
@click.option("--shard", help="Which shard of that name this folder is. Default: 0.")
@click.option(
    "--shards",
    type=click.IntRange(1, 256),
    help="Number of shards in FOLDER; a hash of the id says which one a vector belongs to.",
)
@MODEL
@SPEC
@METADATA
@json_option
def create(
    folder: Path,
    dimension: int,
    metric: str,
    dtype: str,
    name: str | None,
    shard: str | None,
    shards: int | None,
    model_sha256: str | None,
    spec_sha256: str | None,
    metadata: str | None,
    as_json: bool,
) -> None:
    """Create an empty collection in a new FOLDER."""
    from facelab.index import Collection, ShardedCollection

    if shard is not None and shards is not None:
        raise click.UsageError("give --shard (this folder is one of several) or --shards, not both")
    kind: Any = ShardedCollection if shards else Collection
    which: dict[str, Any] = {"shards": shards} if shards else {"shard": shard or "0"}
    made = kind.create(
        folder,
        dimension=dimension,
        metric=metric,
        dtype=dtype,
        name=name,
        source=_source(model_sha256, spec_sha256),
        metadata=_metadata(metadata),
        **which,
    )
    with made:
        emit(made.status().to_dict(), as_json=as_json, text=_status_text(made.status()))


def _lines(path: Path | None) -> list[str] | None:
    from facelab.core.files import read_input

    if path is None:
        return None
    raw = read_input(path, max_bytes=1 << 30, what="list of names")
    return raw.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")


@command.command(epilog="Example: facelab index add people G.npy --ids ids.txt --labels names.txt")
@FOLDER
@click.argument("vectors")
@click.option(
    "--ids",
    type=click.Path(path_type=Path),
    help="One id per line. Default: hashes of the vectors.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="One label per line.")
@click.option("--upsert", is_flag=True, help="Replace vectors of the same ids (needs --ids).")
@MODEL
@SPEC
@METADATA
@json_option
def add(
    folder: Path,
    vectors: str,
    ids: Path | None,
    labels: Path | None,
    upsert: bool,
    model_sha256: str | None,
    spec_sha256: str | None,
    metadata: str | None,
    as_json: bool,
) -> None:
    """Add the VECTORS of a .npy or .npz file, all or none."""
    import numpy as np

    from facelab.matching import open_vectors

    names, people = _lines(ids), _lines(labels)
    if upsert and names is None:
        raise click.UsageError("--upsert needs --ids")
    rows = np.array(open_vectors(vectors, "the vectors"))
    made_by = _source(model_sha256, spec_sha256)
    with _open(folder, metadata, write=True) as c:
        if upsert:
            replaced = c.upsert(rows, names, labels=people, source=made_by)
        else:
            names, replaced = c.add(rows, names, labels=people, source=made_by), 0
        status = c.status()
    document = {"added": len(rows) - replaced, "replaced": replaced, **status.to_dict()}
    emit(
        document,
        as_json=as_json,
        text=f"{len(rows) - replaced} added, {replaced} replaced; {_status_text(status)}",
    )


@command.command(epilog="Example: facelab index delete people photo-17 photo-18")
@FOLDER
@click.argument("ids", nargs=-1, required=True)
@click.option("--missing-ok", is_flag=True, help="Pass over ids that are not there.")
@METADATA
@json_option
def delete(
    folder: Path, ids: tuple[str, ...], missing_ok: bool, metadata: str | None, as_json: bool
) -> None:
    """Delete vectors by their IDS, all or none."""
    with _open(folder, metadata, write=True) as c:
        count = c.delete(list(ids), missing_ok=missing_ok)
        left = len(c)
    emit({"deleted": count, "vectors": left}, as_json=as_json, text=f"{count} deleted, {left} left")


@command.command(epilog="Example: facelab index search people --queries Q.npy -k 5 --out hits.csv")
@FOLDER
@click.option("--queries", required=True, help="F.npy, F.npz or F.npz:NAME.")
@click.option("-k", "k", type=click.IntRange(1, 1_000_000), help="Default: 10.")
@click.option(
    "--threshold",
    type=Float(),
    help="All within it instead: a similarity (at least) or a distance (at most).",
)
@click.option("--metric", type=click.Choice(METRICS), help="Fail unless it is the collection's.")
@click.option("--out", type=OutPath(path_type=Path), help="Write the hits to a .csv or .json file.")
@click.option("--threads", type=THREADS)
@MODEL
@SPEC
@METADATA
@json_option
def search(
    folder: Path,
    queries: str,
    k: int | None,
    threshold: float | None,
    metric: str | None,
    out: Path | None,
    threads: int | None,
    model_sha256: str | None,
    spec_sha256: str | None,
    metadata: str | None,
    as_json: bool,
) -> None:
    """Find the nearest vectors of each query, exactly."""
    import numpy as np

    from facelab.matching import open_vectors

    if k is not None and threshold is not None:
        raise click.UsageError("give -k or --threshold, not both")
    asked = np.array(open_vectors(queries, "the queries"))
    made_by = _source(model_sha256, spec_sha256)
    with _open(folder, metadata, write=False, metric=metric, threads=threads) as c:
        if threshold is None:
            hits = c.search(asked, k or 10, source=made_by)
        else:
            hits = c.search_within(asked, threshold, source=made_by)
    if out is not None:
        hits.save(out)
        note(f"wrote {out}")
    shown = hits.rows()[:20]
    lines = [
        f"query {r['query']}  {r['rank']:>3}  {r['distance']:.4f}  {r['id']}"
        + (f"  {r['label']}" if r["label"] else "")
        for r in shown
    ]
    more = sum(map(len, hits.ids)) - len(shown)
    lines += [f"… {more} more"] if more else []
    emit(hits.to_dict(), as_json=as_json, text="\n".join(lines) or "no hits")


@command.command(epilog="Example: facelab index status people")
@FOLDER
@METADATA
@json_option
def status(folder: Path, metadata: str | None, as_json: bool) -> None:
    """Say what a collection holds and how it is stored."""
    with _open(folder, metadata, write=False) as c:
        found = c.status()
    emit(found.to_dict(), as_json=as_json, text=_status_text(found))


@command.command(epilog="Example: facelab index compact people")
@FOLDER
@METADATA
@json_option
def compact(folder: Path, metadata: str | None, as_json: bool) -> None:
    """Write all vectors into one segment (per shard), without deleted rows."""
    with _open(folder, metadata, write=True) as c:
        c.compact()
        found = c.status()
    emit(found.to_dict(), as_json=as_json, text=_status_text(found))


@command.command(epilog="Example: facelab index verify people")
@FOLDER
@METADATA
@json_option
def verify(folder: Path, metadata: str | None, as_json: bool) -> int:
    """Compare every byte of a collection with its hashes. Exit code 1 where one has changed."""
    from facelab import index

    found = index.verify(folder, metadata=_metadata(metadata))
    emit(found.to_dict() | {"good": found.good}, as_json=as_json, text=found.text())
    return 0 if found.good else 1


@command.command(epilog="Example: facelab index repair people")
@FOLDER
@click.option(
    "--older", is_flag=True, help="Go back to an older generation: what came later is lost."
)
@METADATA
@json_option
def repair(folder: Path, older: bool, metadata: str | None, as_json: bool) -> None:
    """Make the newest whole generation current where the metadata are lost or damaged."""
    from facelab import index

    found = index.repair(folder, metadata=_metadata(metadata), older=older)
    emit(found.to_dict(), as_json=as_json, text=found.text())


@command.command(epilog="Example: facelab index diff people backup/people")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
def diff(first: Path, second: Path, as_json: bool) -> int:
    """Compare two collections by content. Exit code 1 where they differ."""
    from facelab.index.internals import difference

    with _open(first, None, write=False) as a, _open(second, None, write=False) as b:
        found = difference(a, b)
    emit(found.to_dict() | {"alike": found.alike}, as_json=as_json, text=found.text())
    return 0 if found.alike else 1


@command.command(epilog="Example: facelab index shards sqlite:people/metadata.sqlite people")
@click.argument("address")
@click.argument("name", default="")
@json_option
def shards(address: str, name: str, as_json: bool) -> None:
    """List the shards that the metadata at ADDRESS know, with their generations."""
    from facelab import index
    from facelab.index.internals import shards

    found = shards(index.open_metadata(address), name)
    text = "\n".join(
        f"{s.name}/{s.shard}: generation {s.generation}, {s.vectors} vectors" for s in found
    )
    emit([s.to_dict() for s in found], as_json=as_json, text=text or "no shards")

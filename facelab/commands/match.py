"""`facelab match …`: benchmark matchers and search galleries."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from facelab.commands.common import (
    SEED,
    THREADS,
    Float,
    FloatRange,
    OutPath,
    emit,
    json_option,
    note,
)

METRICS = ["l2", "sqeuclidean", "ip", "cosine"]


@click.group(
    epilog="Example: facelab match search --gallery G.npy --queries Q.npy -k 10 --metric l2 --out R.npz"
)
def command() -> None:
    """Search galleries exactly, and measure what doing so costs."""


@contextlib.contextmanager
def _progress(description: str) -> Iterator[Callable[..., None]]:
    """Yield a callback (done, total) that draws a bar on standard error, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@command.command(
    epilog="Example: facelab match search --gallery G.npy --queries Q.npy -k 10 --metric l2 --out R.npz\n\n"
    "Example: facelab match search --gallery pairs.npz:b --queries pairs.npz:a "
    "--metric cosine --threshold 0.4 --out R.csv"
)
@click.option(
    "--gallery",
    required=True,
    help="Gallery vectors, (rows, dimensions) float32, float16 or int8: F.npy (streamed), F.npz or F.npz:NAME.",
)
@click.option("--queries", required=True, help="Query vectors, likewise.")
@click.option(
    "-k",
    "k",
    type=click.IntRange(1, 1_000_000),
    help="Neighbours per query; 10 if no threshold is given.",
)
@click.option(
    "--threshold",
    type=Float(),
    help="All rows within it instead: a cosine similarity or inner product (at least), or a distance (at most).",
)
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="l2",
    show_default=True,
    help="l2 is not squared; ip is the inner product, largest first; cosine is written as 1 - cosine.",
)
@click.option(
    "--out",
    required=True,
    type=OutPath(path_type=Path),
    help="The file to write: .npz (ids, distances, metric), .csv (one row per result) or .json.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "exhaustive", "screened"]),
    default="auto",
    show_default=True,
    help="screened builds int8 codes first (a quarter of the float32 gallery in memory).",
)
@click.option("--threads", type=THREADS, help="Threads; all cores if left out.")
@click.option("--scheduler", help="Address of a Dask scheduler: search over its workers.")
@click.option(
    "--shards",
    type=click.IntRange(1, 1_000_000),
    help="Row ranges to cut the gallery into (with --scheduler).",
)
@json_option
def search(
    gallery: str,
    queries: str,
    k: int | None,
    threshold: float | None,
    metric: str,
    out: Path,
    method: str,
    threads: int | None,
    scheduler: str | None,
    shards: int | None,
    as_json: bool,
) -> None:
    """Find the nearest gallery rows of each query, exactly, and write them to a file."""
    from facelab import matching
    from facelab.matching import internals as matching_internals

    if shards and not scheduler:
        raise click.UsageError("--shards needs --scheduler")
    matching_internals.check_output(out, [gallery, queries])
    with _progress("searching") as tell:
        done = matching.match_files(
            gallery,
            queries,
            k=k,
            threshold=threshold,
            metric=metric,
            method=method,
            threads=threads,
            scheduler=scheduler,
            shards=shards,
            progress=tell,
        )
    done.save(out)
    emit({**done.to_dict(), "out": str(out)}, as_json=as_json, text=f"{done.text()} → {out}")


@command.command(
    epilog="Example: facelab match bench --queries 1 --queries 64 --gallery 100000 --dimension 512 --json"
)
@click.option(
    "--queries",
    "batches",
    type=click.IntRange(1, 1_000_000),
    multiple=True,
    default=(8,),
    show_default=True,
    help="Queries per search; may be repeated: everybody prepares the gallery once.",
)
@click.option(
    "--gallery",
    "m",
    type=click.IntRange(1, 1_000_000_000),
    default=10_000,
    show_default=True,
    help="Gallery rows.",
)
@click.option(
    "--dimension",
    "d",
    type=click.IntRange(1, 1_000_000),
    default=512,
    show_default=True,
    help="Vector length.",
)
@click.option(
    "-k",
    "k",
    type=click.IntRange(1, 1_000_000),
    default=10,
    show_default=True,
    help="Neighbours per query.",
)
@click.option(
    "--metric",
    type=click.Choice(["sqeuclidean", "ip", "cosine"]),
    default="sqeuclidean",
    show_default=True,
    help="Distance.",
)
@click.option(
    "--data",
    type=click.Choice(["unit", "identities"]),
    default="unit",
    show_default=True,
    help="Random unit vectors, or clustered identities as embeddings are.",
)
@click.option(
    "--embeddings",
    type=click.Path(path_type=Path),
    help="A .npy of float32 embeddings to use instead: the last rows are the queries, the rest the gallery.",
)
@click.option(
    "--peer",
    "names",
    multiple=True,
    type=click.Choice(["numpy", "scipy", "sklearn", "faiss", "usearch", "numkong", "hnsw", "ivf"]),
    help="Only these libraries, however slow; default: the exact ones, without those that take minutes.",
)
@click.option("--approximate", is_flag=True, help="Also FAISS HNSW and IVF, with their recall.")
@click.option(
    "--threads", type=THREADS, default=1, show_default=True, help="Threads, for everybody."
)
@click.option(
    "--repeats",
    type=click.IntRange(3, 100_000),
    default=7,
    show_default=True,
    help="Interleaved rounds.",
)
@click.option(
    "--budget",
    type=FloatRange(min=0.1),
    default=20.0,
    show_default=True,
    help="Seconds to measure a batch.",
)
@click.option(
    "--pairs/--no-pairs", default=False, help="Also time all pairwise kernels on queries × gallery."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the synthetic data.")
@click.option(
    "--records", type=OutPath(path_type=Path), help="Append the records to this .jsonl file."
)
@json_option
def bench(
    batches: tuple[int, ...],
    m: int,
    d: int,
    k: int,
    metric: str,
    data: str,
    embeddings: Path | None,
    names: tuple[str, ...],
    approximate: bool,
    threads: int,
    repeats: int,
    budget: float,
    pairs: bool,
    seed: int,
    records: Path | None,
    as_json: bool,
) -> int:
    """Time facelab's search beside the installed peers on the same data; a wrong answer is a failure (exit code 1)."""
    from facelab.core import records as record_files
    from facelab.studies import matching as benchmark

    if embeddings:
        gallery, queries = benchmark.split_embeddings(embeddings, max(batches))
        (m, d), data = gallery.shape, embeddings.name
        _check_k(k, m)
    else:
        _check_k(k, m)
        gallery, queries = benchmark.make_data(data, m, max(batches), d, seed=seed)
    note(
        f"measuring {', '.join(map(str, batches))} queries × {m} rows × {d}, {threads} thread(s), up to {budget:g} s "
        "each …"
    )
    rows = benchmark.search_benchmark(
        gallery,
        queries,
        k,
        metric=metric,
        threads=threads,
        repeats=repeats,
        budget_s=budget,
        names=names or None,
        data=data,
        batches=batches,
        approximate=approximate,
    )
    if pairs:
        rows += benchmark.pairwise_benchmark(
            queries, gallery, metric=metric, threads=threads, repeats=repeats, budget_s=budget
        )
    if records:
        for row in rows:
            record_files.append(records, benchmark.as_record(row, run="bench", step="match"))
    shapes = [{"queries": n, "gallery": m, "dimension": d, "k": k} for n in batches]
    value = {"shape": shapes[-1], "shapes": shapes, "metric": metric, "data": data}
    value |= {"threads": threads, "results": [benchmark.as_dict(row) for row in rows]}
    emit(value, as_json=as_json, text=benchmark.table(rows))
    return 1 if any(not row.correct for row in rows) else 0


def _check_k(k: int, rows: int) -> None:
    """Raise BadInputError where more neighbours are asked for than the gallery has rows."""
    from facelab.core.errors import BadInputError

    if k > rows:
        raise BadInputError(
            "k is larger than the gallery",
            expected=f"at most {rows}",
            got=k,
            fix="ask for fewer neighbours",
        )

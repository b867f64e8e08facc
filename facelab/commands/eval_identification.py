"""`facelab eval identification`: search for persons among many (1:N)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import (
    SEED,
    THREADS,
    FloatRange,
    OutPath,
    note,
    progress,
    say_model,
)
from facelab.commands.json_file import emit_file, json_file_option


@click.command(
    epilog="Example: facelab eval identification --model dlib-resnet --people faces/ --enrol 1 --unknown 0.3"
)
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="Embedder of the catalogue, a model file with its spec, or a bundle.",
)
@click.option(
    "--people",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="One folder per person, with their pictures.",
)
@click.option(
    "--enrol",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Pictures to enrol per person.",
)
@click.option(
    "--unknown",
    type=FloatRange(0, 0.99),
    default=0.3,
    show_default=True,
    help="Share of the people that are not enrolled: their pictures must find nobody.",
)
@click.option(
    "--rank",
    "ranks",
    type=click.IntRange(1, 10_000),
    multiple=True,
    help="Ranks to report (repeat).  [default: 1, 5, 10]",
)
@click.option(
    "--fpir",
    "fpirs",
    type=FloatRange(1e-9, 1),
    multiple=True,
    help="False positive identification rates (repeat).  [default: 0.1, 0.01, 0.001]",
)
@click.option("--detector", metavar="NAME", help="Finds the faces.  [default: the best one here]")
@click.option("--family", metavar="NAME", help="Family of a model file without a spec.")
@click.option("--spec", metavar="JSON", help="Preprocessing instead of the model's own.")
@click.option(
    "--pictures",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Write a picture of each search that found somebody else or missed, with whom it found.",
)
@click.option("--threads", type=THREADS, help="Threads of the runtimes. Default: all cores.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the people left out.")
@json_file_option
def command(
    model: str,
    people: Any,
    enrol: Any,
    unknown: Any,
    ranks: Any,
    fpirs: Any,
    detector: str | None,
    family: str | None,
    spec: str | None,
    pictures: Any,
    threads: int | None,
    seed: int,
    json_path: Path | None,
) -> None:
    """Enrol some pictures of each person and search for the others (identification, 1:N).

    Rank-k is the share of searches by enrolled people whose person is among the first k. FPIR is the share of searches
    by people who are not enrolled that return somebody, FNIR that of searches by enrolled people that do not return
    them. Intervals resample people. A rate that the searches cannot support is refused.
    """
    from facelab import detection, embedding
    from facelab.embedding import internals as embedding_internals

    embedder = embedding.load(model, family=family, spec=spec, threads=threads)
    say_model(model, f"family {embedder.family}")
    finder = (
        detection.load(detector, threads=threads)
        if detector
        else embedding.default_detector(threads)
    )
    options = {k: v for k, v in (("ranks", ranks), ("fpirs", fpirs)) if v}
    found = embedding.identify(
        embedder,
        embedding.read_people(people),
        finder,
        enrol=enrol,
        unknown=unknown,
        seed=seed,
        progress=lambda items: progress(items, description=model),
        **options,
    )
    for name, error in found.errors.items():
        note(f"{name}: {error}")
    value = found.result.to_dict() | {"model": embedder.describe(), "detector": finder.describe()}
    if pictures:
        value["pictures"] = embedding_internals.write_searches(found, pictures)
        note(f"{len(value['pictures'])} pictures in {pictures}")
    emit_file(value, json_path, text=str(found.result))

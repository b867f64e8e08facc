"""`facelab eval embedder`: find, align and embed the faces of a list of pairs, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import (
    SEED,
    THREADS,
    FloatRange,
    OutPath,
    note,
    progress,
    say_model,
    strict_option,
    warn_first,
)
from facelab.commands.json_file import emit_file, json_file_option

if TYPE_CHECKING:
    from facelab.embedding import PairList


@click.command(
    epilog="Example: facelab eval embedder --model dlib-resnet --pairs pairs.csv --json out.json"
)
@click.option(
    "--model", required=True, metavar="NAME", help="An embedder of the catalogue, or a model file."
)
@click.option(
    "--pairs",
    "pairs_path",
    required=True,
    metavar="CSV",
    help="Columns a, b (image paths), same (0, 1); optionally dataset or group, and id_a, id_b.",
)
@click.option(
    "--images", metavar="DIR", help="Folder that the paths start from. Default: the CSV's."
)
@click.option(
    "--group", "groups", multiple=True, metavar="NAME", help="Only pairs of this group (repeat)."
)
@click.option(
    "--detector", metavar="NAME", help="Default: yunet-n where it is on this machine, else mtcnn."
)
@click.option(
    "--align",
    type=click.Choice(["umeyama", "affine3", "none"]),
    help="Alignment instead of the spec's own.",
)
@click.option(
    "--family",
    metavar="NAME",
    help="Family of a model file (arcface, adaface, …), where it has no spec.",
)
@click.option(
    "--spec",
    metavar="JSON",
    help="Preprocessing spec (facelab.preprocess/1) instead of the model's own.",
)
@click.option("--threads", type=THREADS, help="Threads of the runtimes. Default: all cores.")
@click.option(
    "--far",
    "fars",
    type=FloatRange(1e-9, 1),
    multiple=True,
    help="FAR target for TAR (repeat); one that the impostor pairs cannot support is refused.",
)
@click.option(
    "--bootstrap",
    "replicates",
    type=click.IntRange(10, 100_000),
    default=1000,
    show_default=True,
    help="Bootstrap replicates over identities (over pairs where identities are not known).",
)
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Seed of bootstrap and order."
)
@click.option(
    "--out",
    type=OutPath(),
    metavar="F.npz",
    help="Write a, b, same, failed (and ids) for `facelab eval verification`.",
)
@strict_option
@json_file_option
@click.pass_context
def command(
    ctx: click.Context,
    model: Any,
    pairs_path: Any,
    images: Any,
    groups: Any,
    detector: str | None,
    align: Any,
    family: str | None,
    spec: str | None,
    threads: int | None,
    fars: Any,
    replicates: int,
    seed: int,
    out: Any,
    strict: bool,
    json_path: Any,
) -> None:
    """Evaluate an embedder on labelled pairs of photographs, from detection to threshold.

    Failures to find a face stay in: such a pair is never accepted. Distances are squared L2, of normalised embeddings
    unless the embedder's owner compares raw ones (dlib).
    """
    from facelab import detection, embedding
    from facelab.metrics.plausibility import question_pairs

    pairs = _chosen(embedding.read_pairs(pairs_path), groups)
    embedder = _embedder(model, family, spec, threads, align)
    prepared = f", preprocessing {embedder.spec.name}" if hasattr(embedder, "spec") else ""
    say_model(model, f"family {embedder.family}{prepared}")
    finder = detection.load(detector, threads=threads) if detector else None
    result = embedding.evaluate(
        embedder,
        pairs,
        images or Path(pairs_path).parent,
        detector=finder or embedding.default_detector(threads),
        alignment=align,
        fars=fars,
        replicates=replicates,
        seed=seed,
        progress=lambda items: progress(items, description=model),
    )
    for name, error in result.faces.errors.items():
        note(f"{name}: {error}")
    if result.figures["shuffled"]:
        note(
            "note: the list's tenths differ in their share of genuine pairs; it was shuffled (seeded) for the folds"
        )
    arrays = _arrays(result.vectors, result.pairs)
    if out:
        _write(out, arrays, result.pairs)
    suspicion = question_pairs(arrays["a"], arrays["b"], arrays["same"], failed=arrays["failed"])
    value = result.to_dict() | {"suspicion": suspicion and suspicion.to_dict()}
    emit_file(value, json_path, text=warn_first(str(result), suspicion))
    for warning in result.figures["warnings"]:
        note(f"note: {warning}")
    ctx.exit(1 if strict and suspicion else 0)


def _embedder(
    model: str, family: str | None, spec: str | None, threads: int | None, align: str | None
) -> Any:
    from facelab import embedding
    from facelab.embedding import internals as embedding_internals

    embedder = embedding.load(model, family=family, spec=spec, threads=threads)
    if align is None:
        return embedder
    if not isinstance(embedder, embedding.NeuralEmbedder):
        raise click.UsageError(f"{model} cuts its own chips: --align does not apply to it")
    return embedder.with_spec(embedding_internals.with_alignment(embedder.spec, align))


def _chosen(pairs: PairList, groups: tuple[str, ...]) -> PairList:
    import numpy as np

    from facelab.core.errors import BadInputError, did_you_mean

    if not groups:
        return pairs
    if pairs.group is None:
        raise BadInputError(
            "the list of pairs has no groups",
            expected="a column `group`",
            fix="leave --group out, or add the column",
        )
    known = sorted(set(pairs.group.tolist()))
    for name in groups:
        if name not in known:
            raise BadInputError(
                f"no pair is of group {name!r}{did_you_mean(name, known)}",
                expected=", ".join(known),
                fix="name a group of the list",
            )
    return pairs.take(np.isin(pairs.group, groups))


def _arrays(rows: dict, pairs: Any) -> dict:
    import numpy as np

    a, b = (np.stack([rows[n] for n in side]) for side in (pairs.a, pairs.b))
    return {"a": a, "b": b, "same": pairs.same, "failed": np.isnan(a[:, 0]) | np.isnan(b[:, 0])}


def _write(path: str, arrays: dict, pairs: Any) -> None:
    import numpy as np

    from facelab.core.files import atomic_path

    if pairs.first is not None:
        arrays = arrays | {"ids": np.stack([pairs.first, pairs.second], axis=1)}
    with atomic_path(path) as tmp, tmp.open("wb") as f:
        np.savez_compressed(f, **arrays)

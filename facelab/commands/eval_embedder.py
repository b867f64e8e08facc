"""`facelab eval embedder`: find, align and embed the faces of a list of pairs, and compare them."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import SEED, THREADS, FloatRange, OutPath, note, progress
from facelab.commands.json_file import emit_file, json_file_option


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
@json_file_option
def command(
    model,
    pairs_path,
    images,
    groups,
    detector,
    align,
    family,
    spec,
    threads,
    fars,
    replicates,
    seed,
    out,
    json_path,
) -> None:
    """Evaluate an embedder on labelled pairs of photographs, from detection to threshold.

    Failures to find a face stay in: such a pair is never accepted. Distances are squared L2, of normalised embeddings
    unless the embedder's owner compares raw ones (dlib).
    """
    from facelab import detection
    from facelab.embedding import evaluate
    from facelab.metrics.verification_report import evaluate as verification

    pairs = _chosen(evaluate.read_pairs(pairs_path), groups)
    files = evaluate.locate(pairs, images or Path(pairs_path).parent)
    embedder = _embedder(model, family, spec, threads, align)
    finder = detection.load(detector, threads=threads) if detector else default_detector(threads)
    faces = evaluate.acquire(
        finder,
        files,
        progress=lambda i: progress(i, description=f"{finder.name} → {model}", total=len(files)),
    )
    for name, error in faces.errors.items():
        note(f"{name}: {error}")
    rows = evaluate.embed_faces(embedder, faces)
    order = evaluate.mixed_order(pairs.same, seed)
    if order is not None:
        note(
            "note: the list's tenths differ in their share of genuine pairs; it was shuffled (seeded) for the folds"
        )
        pairs = pairs.take(order)
    distance = evaluate.pair_distances(embedder, rows, pairs)
    value = verification(
        distance, pairs.same, pairs.first, pairs.second, fars=fars, replicates=replicates, seed=seed
    )
    value |= {
        "schema": "facelab.eval.embedder/1",
        "model": embedder.describe(),
        "detector": finder.describe(),
        "align": align or "as in the spec",
        "shuffled": order is not None,
        "errors": faces.errors,
        "failures": faces.failures,
        "groups": evaluate.by_group(distance, pairs, value["threshold"]["squared_l2"]),
    }
    for warning in value["warnings"]:
        note(f"note: {warning}")
    if out:
        _write(out, rows, pairs)
    emit_file(value, json_path, text=_text(value))


def default_detector(threads: int | None = None):
    """Return yunet-n, which needs the mirror or a download, or else MTCNN, which comes with a dependency.

    YuNet finds faces up to about 300 pixels; portraits are larger, so images are shrunk to 640 first.
    """
    from facelab import detection

    if any(e.name == "yunet-n" for e in detection.available()):
        return detection.load("yunet-n", threads=threads, max_side=640)
    return detection.load("mtcnn", threads=threads)


def _embedder(
    model: str, family: str | None, spec: str | None, threads: int | None, align: str | None
):
    from facelab import embedding
    from facelab.embedding.specs import with_alignment

    embedder = embedding.load(model, family=family, spec=spec, threads=threads)
    if align is None:
        return embedder
    if not hasattr(embedder, "with_spec"):
        raise click.UsageError(f"{model} cuts its own chips: --align does not apply to it")
    return embedder.with_spec(with_alignment(embedder.spec, align))


def _chosen(pairs, groups: tuple[str, ...]):
    import numpy as np

    from facelab.core.errors import BadInputError, did_you_mean

    if not groups:
        return pairs
    known = [] if pairs.group is None else sorted(set(pairs.group.tolist()))
    for name in groups:
        if name not in known:
            raise BadInputError(
                f"no pair is of group {name!r}{did_you_mean(name, known)}",
                expected=", ".join(known),
            )
    return pairs.take(np.isin(pairs.group, groups))


def _write(path: str, rows: dict, pairs) -> None:
    import numpy as np

    from facelab.core.files import atomic_path

    a, b = (np.stack([rows[n] for n in side]) for side in (pairs.a, pairs.b))
    arrays = {"a": a, "b": b, "same": pairs.same, "failed": np.isnan(a[:, 0]) | np.isnan(b[:, 0])}
    if pairs.first is not None:
        arrays["ids"] = np.stack([pairs.first, pairs.second], axis=1)
    with atomic_path(path) as tmp, tmp.open("wb") as f:
        np.savez_compressed(f, **arrays)


def _text(value: dict) -> str:
    from facelab.metrics.verification_report import as_text as verification_text

    rows = [
        f"{value['model']['name']} behind {value['detector']['name']}, alignment {value['align']}, "
        f"{len(value['failures'])} images without a face",
        verification_text(value),
    ]
    for g in value["groups"]:
        shares = ", ".join(
            f"{k.upper()} {'–' if g[k] is None else f'{g[k]:.3f}'}" for k in ("far", "frr")
        )
        rows.append(
            f"  {g['group']:<12} {g['pairs']:>5} pairs: accuracy {g['accuracy']:.4f}, {shares}"
        )
    return "\n".join(rows)

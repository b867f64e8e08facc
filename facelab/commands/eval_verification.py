"""`facelab eval verification`: ten-fold accuracy, TAR at FAR and EER, with intervals that know who is in the pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from facelab.commands.common import SEED, FloatRange, note
from facelab.commands.json_file import emit_file, json_file_option
from facelab.core.errors import BadInputError, at

if TYPE_CHECKING:
    from facelab.commands.pair_sources import PairArrays

DEFAULT_FARS = (1e-1, 1e-2, 1e-3, 1e-4)


@click.command(
    epilog="Example: facelab eval verification --embeddings pairs.npz --far 1e-2 --far 1e-3 --json out.json"
)
@click.option(
    "--embeddings",
    metavar="F.npz",
    help="Arrays a, b (n, d) and same (n,); optionally ids (n, 2), failed (n,).",
)
@click.option("--pairs", metavar="FILE", help="LFW's pairs.txt, or a CSV with columns a, b, same.")
@click.option(
    "--embeddings-dir", metavar="DIR", help="One .npy an image (Name/Name_0001.npy), with --pairs."
)
@click.option(
    "--missing-is-failure",
    is_flag=True,
    help="Count images without an .npy as failures to acquire instead of refusing.",
)
@click.option(
    "--bin", "pack", metavar="PACK.bin", help="An InsightFace verification pack, with --model."
)
@click.option(
    "--lfw", metavar="DIR", help="A folder of images in LFW's layout, with --model (and --pairs)."
)
@click.option(
    "--lfw-sklearn",
    is_flag=True,
    help="LFW in scikit-learn's data home (SCIKIT_LEARN_DATA), with --model.",
)
@click.option(
    "--download", is_flag=True, help="Let scikit-learn download LFW (200 MB) where it is missing."
)
@click.option(
    "--model",
    metavar="NAME",
    help="Embedder of the zoo (or an ONNX file with its spec) for --bin, --lfw and --lfw-sklearn.",
)
@click.option(
    "--detector",
    metavar="NAME",
    default="yunet-n",
    show_default=True,
    help="Face detector for --lfw and --lfw-sklearn.",
)
@click.option(
    "--flip",
    is_flag=True,
    help="Add the mirrored image's embedding before normalising (insightface's rule).",
)
@click.option(
    "--as-is",
    is_flag=True,
    help="Do not L2-normalise embeddings (thresholds still run from 0 to 3.99 squared).",
)
@click.option(
    "--far",
    "fars",
    type=FloatRange(1e-9, 1),
    multiple=True,
    help="FAR target for TAR (repeat); one that the impostor pairs cannot support is refused. "
    "Default: 0.1, 0.01, 0.001, 0.0001, of which unsupported ones are listed as refused.",
)
@click.option(
    "--bootstrap",
    "replicates",
    type=click.IntRange(10, 100_000),
    default=1000,
    show_default=True,
    help="Bootstrap replicates (over identities where they are known, over pairs otherwise).",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the bootstrap.")
@json_file_option
def command(as_is, fars, replicates, seed, json_path, **given) -> None:
    """Evaluate embeddings of pairs by the reference protocol (LFW's ten folds), with honest intervals.

    Distances are squared L2 between L2-normalised embeddings; "same" is distance < threshold.
    """
    from facelab.metrics.verification import check_same, distances

    arrays = _read(**given)
    with at(arrays.source):
        same = check_same(arrays.same)
        distance = distances(arrays.a, arrays.b, normalise=not as_is, failed=arrays.failed)
        if len(same) != len(distance):
            raise BadInputError(
                "there is not one label per pair", expected=len(distance), got=len(same)
            )
        value = evaluate(
            distance, same, arrays.first, arrays.second, fars=fars, replicates=replicates, seed=seed
        )
    value["source"], value["embedding_size"] = arrays.source, int(arrays.a.shape[1])
    value["normalised"], value["flip"] = not as_is, given["flip"]
    for warning in value["warnings"]:
        note(f"note: {warning}")
    emit_file(value, json_path, text=_text(value))


def _read(
    *,
    embeddings,
    embeddings_dir,
    pack,
    lfw,
    lfw_sklearn,
    pairs,
    model,
    flip,
    missing_is_failure,
    download,
    detector,
) -> PairArrays:
    """Read the pairs from the one source that the options name; the options are those of the command."""
    from facelab.commands import pair_sources

    sources = {
        "--embeddings": embeddings,
        "--embeddings-dir": embeddings_dir,
        "--bin": pack,
        "--lfw": lfw,
        "--lfw-sklearn": lfw_sklearn,
    }
    named = [name for name, value in sources.items() if value]
    if len(named) != 1:
        raise click.UsageError(
            "give one of --embeddings F.npz, --pairs with --embeddings-dir, --bin, --lfw, "
            "--lfw-sklearn" + (f" (got {', '.join(named)})" if named else "")
        )
    if download and not lfw_sklearn:
        raise click.UsageError("--download goes with --lfw-sklearn")
    if named[0] in ("--bin", "--lfw", "--lfw-sklearn") and not model:
        raise click.UsageError(f"{named[0]} holds images: name the embedder with --model")
    if embeddings:
        return pair_sources.from_npz(embeddings)
    if embeddings_dir:
        if not pairs:
            raise click.UsageError("--embeddings-dir needs --pairs")
        return pair_sources.from_folder(pairs, embeddings_dir, missing_is_failure)
    if pack:
        return pair_sources.from_bin(pack, model, flip)
    if lfw_sklearn:
        from facelab.datasets import sklearn_folder

        lfw, pairs = sklearn_folder(download=download)
    return pair_sources.from_images(str(lfw), pairs, model, detector, flip)


def evaluate(
    distance, same, first, second, *, fars=(), replicates: int = 1000, seed: int = 0
) -> dict:
    """Return every verification figure of squared distances (n,) as plain JSON.

    `first`, `second` are identities (n,) or None; an explicit FAR in `fars` that is not supported raises, the default
    ones are listed as refused.
    """
    import numpy as np

    from facelab.metrics import operating, verification

    options = {"first": first, "second": second, "replicates": replicates, "seed": seed}
    folds = verification.ten_fold(distance, same)
    honest = verification.accuracy_interval(distance, same, **options)
    naive = verification.naive_interval(folds.accuracy, len(same))
    eer, eer_threshold = operating.equal_error_rate(distance, same)
    threshold = float(np.median(folds.thresholds))
    value = {
        "schema": "facelab.eval.verification/1",
        "accuracy": folds.accuracy,
        "accuracy_std": folds.std,
        "folds": folds.folds,
        "fold_thresholds": folds.thresholds,
        "accuracy_interval": honest.as_dict(),
        "accuracy_interval_naive": naive.as_dict(),
        "accuracy_lo": honest.lo,
        "accuracy_hi": honest.hi,
        "distance": "squared L2",
        "threshold": verification.threshold_names(threshold),
        "eer": eer,
        "eer_threshold": verification.threshold_names(eer_threshold),
        "tar_at_far": _tars(distance, same, fars, options),
        "at_median_threshold": operating.acquisition_rates(distance, same, threshold),
        "counts": {
            "pairs": len(same),
            "genuine": int(same.sum()),
            "impostor": int((~same).sum()),
            "failed": int(np.isinf(distance).sum()),
            "identities": None
            if first is None
            else len(np.unique(np.concatenate([first, second]))),
        },
        "replicates": replicates,
        "seed": seed,
    }
    value["recommended"], why = _recommended(distance, same, options)
    value["warnings"] = _warnings(value, first is not None, why, len(same))
    return value


def _tars(distance, same, fars, options: dict) -> dict:
    from facelab.metrics.operating import tar_interval

    out = {}
    for target in fars or DEFAULT_FARS:
        try:
            out[f"{target:g}"] = tar_interval(distance, same, target, **options)
        except BadInputError as e:
            if fars:
                raise
            out[f"{target:g}"] = {
                "target": target,
                "tar": None,
                "refused": f"{e.what}: {e.expected}",
            }
    return out


def _recommended(distance, same, options: dict):
    """Return the recommendation at the smallest power of ten that half of the impostor pairs support, or why not."""
    from facelab.metrics.operating import recommend
    from facelab.metrics.verification import fold_of

    impostors = int((~same)[fold_of(len(same)) < 5].sum())
    if impostors < 30:
        return (
            None,
            f"{impostors} impostor pairs in the first five folds support no threshold at FAR 0.1",
        )
    target = 10.0 ** -math.floor(math.log10(impostors / 3) + 1e-9)
    try:
        return recommend(distance, same, target, **options), None
    except BadInputError as e:
        return None, str(e.what)


def _warnings(value: dict, has_ids: bool, why: str | None, n: int) -> list[str]:
    out = []
    if not has_ids:
        out.append(
            "identities are not known: the intervals take pairs as independent and may be many times too narrow "
            "(add an array `ids`)"
        )
    if why:
        out.append(f"no threshold is recommended: {why}")
    elif value["recommended"]["shared_identities"]:
        out.append(
            f"{value['recommended']['shared_identities']} identities lie in the half that chose the threshold "
            "and in the half that reports it: the report is too kind"
        )
    if n % 10:
        out.append(
            f"{n} pairs do not divide into ten equal folds: the first {n % 10} folds hold one pair more"
        )
    return out


def _text(value: dict) -> str:
    c, i, naive = value["counts"], value["accuracy_interval"], value["accuracy_interval_naive"]
    t = value["threshold"]
    lines = [
        f"{c['pairs']} pairs ({c['genuine']} genuine, {c['impostor']} impostor, {c['failed']} failed to acquire)",
        f"accuracy  {value['accuracy']:.6f} ± {value['accuracy_std']:.6f} over ten folds",
        f"          [{i['lo']:.4f}, {i['hi']:.4f}] {i['method']} ({i['units']} units)",
        f"          [{naive['lo']:.4f}, {naive['hi']:.4f}] {naive['method']}",
        f"threshold {t['squared_l2']:.4f} squared L2 = {t['l2']:.4f} L2 = cosine {t['cosine']:.4f} "
        "(median of the folds)",
        f"EER       {value['eer']:.6f}",
    ]
    for target, p in value["tar_at_far"].items():
        if p["tar"] is None:
            lines.append(f"TAR@FAR {target}: refused, {p['refused']}")
        else:
            lines.append(
                f"TAR@FAR {target}: {p['tar']:.6f} [{p['lo']:.4f}, {p['hi']:.4f}] (achieved FAR "
                f"{p['far']:.6f}, {p['false_accepts']} of {p['impostors']}; "
                f"naive [{p['naive_lo']:.4f}, {p['naive_hi']:.4f}])"
            )
    if r := value["recommended"]:
        lines.append(
            f"recommended at FAR {r['target_far']:g}: squared L2 {r['threshold']:.4f} "
            f"[{r['threshold_lo']:.4f}, {r['threshold_hi']:.4f}] chosen on {r['chosen_on']}; on "
            f"{r['reported_on']}: FAR {r['far']:.4f} [{r['far_lo']:.4f}, {r['far_hi']:.4f}], "
            f"TAR {r['tar']:.4f} [{r['tar_lo']:.4f}, {r['tar_hi']:.4f}]"
        )
    return "\n".join(lines)

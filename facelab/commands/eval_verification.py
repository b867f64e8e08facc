"""`facelab eval verification`: ten-fold accuracy, TAR at FAR and EER, with intervals that know who is in the pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import SEED, FloatRange, note, progress, strict_option, warn_first
from facelab.commands.json_file import emit_file, json_file_option
from facelab.core.errors import BadInputError, at

if TYPE_CHECKING:
    from facelab.embedding.pair_arrays import PairArrays


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
    "--embeddings-dir", metavar="DIR", help="One .npy per image (Name/Name_0001.npy), with --pairs."
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
@strict_option
@json_file_option
@click.pass_context
def command(
    ctx: click.Context,
    as_is: Any,
    fars: Any,
    replicates: int,
    seed: int,
    strict: bool,
    json_path: Any,
    **given: Any,
) -> None:
    """Evaluate embeddings of pairs by the reference protocol (LFW's ten folds), with honest intervals.

    Distances are squared L2 between L2-normalised embeddings; "same" is distance < threshold. Figures that only a wrong
    input gives are questioned: inverted labels, embeddings that are all alike, sides or labels
    out of step, a pack whose faces are not aligned.
    """
    from facelab.metrics.plausibility import question_pairs
    from facelab.metrics.verification import check_same, distances
    from facelab.metrics.verification_report import as_text, evaluate

    arrays = _read(**given)
    with at(arrays.source):
        same = check_same(arrays.same)
        distance = distances(arrays.a, arrays.b, normalise=not as_is, failed=arrays.failed)
        if len(same) != len(distance):
            raise BadInputError(
                "there is not one label per pair",
                expected=len(distance),
                got=len(same),
                fix="write `same` with one value per row of the embeddings",
            )
        value = evaluate(
            distance, same, arrays.first, arrays.second, fars=fars, replicates=replicates, seed=seed
        )
    value["source"], value["embedding_size"] = arrays.source, int(arrays.a.shape[1])
    value["normalised"], value["flip"] = not as_is, given["flip"]
    suspicion = question_pairs(arrays.a, arrays.b, same, failed=arrays.failed)
    if suspicion is None and given["pack"]:
        from facelab.embedding.pair_arrays import question_pack

        suspicion = question_pack(given["pack"], given["model"], given["flip"], arrays)
    value["suspicion"] = suspicion and suspicion.to_dict()
    emit_file(value, json_path, text=warn_first(as_text(value), suspicion))
    for warning in value["warnings"]:
        note(f"note: {warning}")
    ctx.exit(1 if strict and suspicion else 0)


def _read(
    *,
    embeddings: Any,
    embeddings_dir: Any,
    pack: Any,
    lfw: Any,
    lfw_sklearn: Any,
    pairs: Any,
    model: Any,
    flip: Any,
    missing_is_failure: Any,
    download: Any,
    detector: Any,
) -> PairArrays:
    """Read the pairs from the one source that the options name; the options are those of the command."""
    from facelab.embedding.internals import pair_arrays

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
        return pair_arrays.from_npz(embeddings)
    if embeddings_dir:
        if not pairs:
            raise click.UsageError("--embeddings-dir needs --pairs")
        return pair_arrays.from_folder(pairs, embeddings_dir, missing_is_failure)
    if pack:
        return pair_arrays.from_bin(pack, model, flip, progress=progress)
    if lfw_sklearn:
        from facelab.datasets.internals import sklearn_folder

        lfw, pairs = sklearn_folder(download=download)
    return pair_arrays.from_images(str(lfw), pairs, model, detector, flip, progress=progress)

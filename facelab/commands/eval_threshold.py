"""`facelab eval threshold`: choose a threshold on some people and report it on others, for `facelab bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import SEED, FloatRange, OutPath, note
from facelab.commands.json_file import emit_file, json_file_option
from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    import numpy as np

    from facelab.metrics.internals import identity_halves


@click.command(
    epilog="Example: facelab eval threshold --embeddings pairs.npz --far 0.001 --out thresholds.json"
)
@click.option(
    "--embeddings",
    required=True,
    metavar="F.npz",
    help="Arrays a, b (n, d), same (n,) and ids (n, 2), as `facelab eval embedder --out` writes them.",
)
@click.option(
    "--far",
    type=FloatRange(1e-9, 1),
    default=0.01,
    show_default=True,
    help="The false accept rate that the threshold is chosen for.",
)
@click.option(
    "--every-pair",
    is_flag=True,
    help="Compare every picture with every other one of the same half, not only the listed pairs.",
)
@click.option(
    "--as-is",
    is_flag=True,
    help="Do not L2-normalise the embeddings.",
)
@click.option(
    "--out",
    type=OutPath(),
    metavar="FILE",
    help="Write facelab.thresholds/1, for `facelab bundle --thresholds`.",
)
@click.option("--name", default="verification", show_default=True, help="Name of the threshold.")
@click.option(
    "--bootstrap",
    "replicates",
    type=click.IntRange(10, 100_000),
    default=1000,
    show_default=True,
    help="Bootstrap replicates over people.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the split and bootstrap.")
@json_file_option
def command(
    embeddings: Any,
    far: Any,
    every_pair: Any,
    as_is: Any,
    out: Path | None,
    name: str | None,
    replicates: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Choose a verification threshold on half of the people, and report FAR and TAR on the other half.

    A threshold that is reported on the people that chose it looks better than it is, and the gate refuses it. Pairs of
    one person of each half are left out and counted.
    """
    from facelab.core.files import write_json
    from facelab.metrics.internals import identity_halves

    pairs = _pairs(embeddings, every_pair=every_pair, as_is=as_is, seed=seed)
    found = identity_halves.choose(*pairs, far, replicates=replicates, seed=seed)
    if found.crossing:
        note(f"{found.crossing} pairs have a person in each half and are left out")
    document = _document(found, name, embeddings, far, seed)
    if out:
        write_json(out, document)
    value = {k: v for k, v in found.to_dict().items() if k not in ("chosen", "reported")}
    value |= {"schema": "facelab.eval.threshold/1", "document": document}
    emit_file(value, json_path, text=_text(found, far))


def _pairs(
    embeddings: str, *, every_pair: bool, as_is: bool, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return squared distances, whether each pair is of one person, and both identities, each (n,)."""
    import numpy as np

    from facelab.embedding.internals import pair_arrays
    from facelab.metrics.internals import identity_halves
    from facelab.metrics.verification import check_same, distances

    arrays = pair_arrays.from_npz(embeddings)
    if arrays.first is None or arrays.second is None:
        raise BadInputError(
            "the identities are not known, so that people cannot be split",
            where=embeddings,
            expected="an array `ids` (n, 2)",
            fix="give identities in the list of pairs (columns id_a, id_b), and write the arrays again",
        )
    a, b, same = arrays.a, arrays.b, arrays.same
    first, second, failed = arrays.first, arrays.second, arrays.failed
    if every_pair:
        bad = np.zeros(len(a), bool) if failed is None else failed.astype(bool)
        a, b, same, first, second = identity_halves.every_pair(
            a[~bad], b[~bad], np.asarray(first)[~bad], np.asarray(second)[~bad], seed=seed
        )
        failed = None
    same = check_same(same)
    return distances(a, b, normalise=not as_is, failed=failed), same, first, second


def _document(
    found: identity_halves.Choice, name: str | None, embeddings: str, far: float, seed: int
) -> dict[str, Any]:
    """Return the choice as `facelab.thresholds/1`, checked."""
    from facelab.deploy.internals import thresholds

    sets = [
        thresholds.data_set(f"{embeddings}, {what} half of the people", [f"{what}:{seed}"], people)
        for what, people in (("first", found.chosen), ("second", found.reported))
    ]
    document = {
        "schema": thresholds.SCHEMA,
        "thresholds": [
            {
                "name": name,
                "value": found.threshold,
                "quantity": "squared L2 distance, same below",
                "target": f"FAR {far:g}",
                "chosen_on": sets[0],
                "reported_on": sets[1],
                "reported": {
                    k: getattr(found, k)
                    for k in ("far", "tar", "far_lo", "far_hi", "tar_lo", "tar_hi")
                },
            }
        ],
    }
    thresholds.parse(document, "the choice")
    return document


def _text(found: identity_halves.Choice, far: float) -> str:
    """Return what is printed of a choice."""
    names = found.to_dict()["names"]
    return (
        f"threshold {found.threshold:.4f} squared L2 = cosine {names['cosine']:.4f}, chosen for FAR {far:g} on "
        f"{len(found.chosen)} people ({found.pairs['chose']} pairs)\n"
        f"on {len(found.reported)} other people ({found.pairs['reported']} pairs): FAR {found.far:.5f} "
        f"[{found.far_lo:.5f}, {found.far_hi:.5f}], TAR {found.tar:.4f} [{found.tar_lo:.4f}, {found.tar_hi:.4f}]"
    )

"""`facelab eval liveness`: APCER per attack kind, BPCER and ACER of liveness models."""

from __future__ import annotations

from typing import Any

import click

from facelab.commands.common import SEED, THREADS, OutPath, note, progress, say_model
from facelab.commands.json_file import emit_file, json_file_option


@click.command(
    epilog="Example: facelab eval liveness --model depth-geometry --model motion --people 24"
)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="NAME",
    help="depth-geometry, motion, a network of the catalogue, or the JSON of a fusion (repeat).",
)
@click.option(
    "--data",
    metavar="PATH",
    help="Folder or CSV of labelled pictures. Default: presentations are rendered.",
)
@click.option(
    "--people", type=click.IntRange(8, 100_000), default=40, show_default=True, help="To render."
)
@click.option(
    "--rule",
    default="eer",
    show_default=True,
    help="Threshold: eer, apcer<=SHARE, bpcer<=SHARE (on the split validation), or model (its own).",
)
@click.option("--fuse", is_flag=True, help="Also fit a fusion of the models, on the split train.")
@click.option(
    "--fusion-out",
    type=OutPath(),
    metavar="F.json",
    help="Write the fusion with its threshold; implies --fuse.",
)
@click.option("--threads", type=THREADS, help="Threads of the runtimes. Default: all cores.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of faces and bootstrap.")
@json_file_option
def command(
    models: Any,
    data: Any,
    people: Any,
    rule: Any,
    fuse: Any,
    fusion_out: Any,
    threads: int | None,
    seed: int,
    json_path: Any,
) -> None:
    """Evaluate liveness models by ISO/IEC 30107-3.

    The threshold is chosen on the identities of the split validation and reported on those of the split test.
    Presentations without an answer are never accepted; they are counted on their own.
    """
    from facelab import liveness

    loaded = [liveness.load(name, threads=threads) for name in dict.fromkeys(models)]
    for name in dict.fromkeys(models):
        if name not in ("depth-geometry", "motion"):
            say_model(name)
    if data is None:
        looks = 2 if any("two looks" in m.needs for m in loaded) else 1
        note(f"rendering {people} people, {looks} looks each")
        shown = liveness.rendered(people, seed=seed, looks=looks)
    else:
        shown = liveness.read_presentations(data)
    found = [_evaluated(m, shown, rule, seed) for m in loaded]
    if fuse or fusion_out:
        fusion = liveness.fit_fusion(loaded, shown)
        found.append(_evaluated(fusion, shown, rule, seed))
        fusion.threshold = found[-1].rates.threshold
        if fusion_out:
            fusion.save(fusion_out)
    value = {"schema": "facelab.eval.liveness.models/1", "models": [f.to_dict() for f in found]}
    emit_file(value, json_path, text="\n".join(map(str, found)))


def _evaluated(model: Any, shown: Any, rule: str, seed: int) -> Any:
    from facelab import liveness

    def shown_progress(items):
        return progress(items, description=model.name)

    return liveness.evaluate(model, shown, rule=rule, seed=seed, progress=shown_progress)

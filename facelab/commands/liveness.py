"""`facelab liveness …`: decide over a camera's frame pairs."""

from __future__ import annotations

import click

from facelab.commands.common import THREADS, FloatRange, emit, json_option, note


@click.group(epilog="Example: facelab liveness check rendered:size=160,kind=live")
def command() -> None:
    """Say whether a live face is before an RGB-D camera. `facelab eval liveness` says how often that is right."""


@command.command(epilog="Example: facelab liveness check rendered:size=160,kind=live")
@click.argument("source")
@click.option(
    "--model",
    default="depth-geometry",
    show_default=True,
    help="A built-in family, a network of the catalogue, or the JSON of a fusion.",
)
@click.option("--pairs", type=click.IntRange(1, 100_000), default=10, show_default=True)
@click.option("--threshold", type=FloatRange(-1e9, 1e9), help="Default: the model's own.")
@click.option(
    "--detector", metavar="NAME", help="Default: yunet-n where it is on this machine, else mtcnn."
)
@click.option("--threads", type=THREADS, help="Threads of the runtimes. Default: all cores.")
@json_option
def check(
    source: str,
    model: str,
    pairs: int,
    threshold: float | None,
    detector: str | None,
    threads: int | None,
    as_json: bool,
) -> int:
    """Pair the frames of SOURCE, find the face in each, and score it. A network also takes a camera without depth.

    Exit code 0 where most pairs are live, 1 where they are not or no pair has an answer.
    """
    from facelab import detection, embedding, liveness
    from facelab.camera import open_source
    from facelab.liveness.internals import check_frames

    scorer = liveness.load(model, threads=threads)
    finder = detection.load(detector, threads=threads) if detector else None
    finder = finder or embedding.default_detector(threads)
    with open_source(source) as camera:
        found = check_frames(scorer, camera, finder, pairs=pairs, threshold=threshold)
    for reason in dict.fromkeys(a["reason"] for a in found.answers if a["reason"]):
        note(f"no answer: {reason}")
    text = (
        f"{found.verdict}: {found.live} of {len(found.answers)} pairs live, {found.attack} attack, "
        f"{found.no_answer} without an answer ({found.model}, threshold {found.threshold:.3g})"
    )
    emit(found.to_dict(), as_json=as_json, text=text)
    return 0 if found.verdict == "live" else 1

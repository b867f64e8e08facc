"""`facelab recovery …`: what the service does when something fails, what that costs, and the proof by faults."""

from __future__ import annotations

import tempfile

import click

from facelab.commands.common import FloatRange, emit, json_option, note


@click.group(epilog="Example: facelab recovery show")
def command() -> None:
    """Show the degradation matrix, measure what its responses cost, and inject faults into workers."""


@command.command(epilog="Example: facelab recovery show --json")
@click.option("--matrix", type=click.Path(), metavar="FILE", help="Another matrix.")
@json_option
def show(matrix: str | None, as_json: bool) -> None:
    """Print the matrix: trigger, response, what is lost, way back."""
    from facelab.serving.internals import load_matrix

    found = load_matrix(matrix)
    lines = []
    for row in found.rows():
        lines.append(row["name"])
        lines += [f"  {key:<9} {row[key]}" for key in ("trigger", "response", "lost", "back")]
    emit(found.rows(), as_json=as_json, text="\n".join(lines))


@command.command(epilog="Example: facelab recovery measure --detector haar --pictures 4")
@click.option(
    "--detector", metavar="NAME", help="The service's detector.  [default: that of `facelab serve`]"
)
@click.option("--pictures", type=click.IntRange(1, 10_000), help="Use at most this many.")
@json_option
def measure(detector: str | None, pictures: int | None, as_json: bool) -> None:
    """Measure what each response costs in faces and milliseconds, on labelled photographs or rendered scenes."""
    from facelab.commands.serve import default_detector
    from facelab.serving.internals import measure as run

    found = run(detector or default_detector(), pictures=pictures)
    lines = [f"{found.faces} faces in {found.source}"]
    lines += [
        f"{r['response']:<32} {r['found']:6.1%} found ({r['lost']:+.1%} lost), {r['too_many']} too many, "
        f"exact in {r['exact']} of {found.pictures}, {r['ms']:.1f} ms ({r['ms_more']:+.1f})"
        for r in found.rows()
    ]
    emit(found.to_dict(), as_json=as_json, text="\n".join(lines))


@command.command(epilog="Example: facelab recovery prove --faults 8 --frames 24")
@click.option("--faults", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--frames", type=click.IntRange(1, 1_000_000), default=400, show_default=True)
@click.option(
    "--deadline",
    type=FloatRange(0.1, 600),
    default=1.0,
    show_default=True,
    help="Seconds after which a worker counts as hung.",
)
@click.option(
    "--rest",
    type=FloatRange(0, 60),
    default=0.0,
    show_default=True,
    help="Seconds of pause after each fault; a spare is made meanwhile.",
)
@click.option(
    "--spare/--no-spare", default=True, show_default=True, help="A second worker that waits."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=7, show_default=True)
@json_option
def prove(
    faults: int,
    frames: int,
    deadline: float,
    rest: float,
    spare: bool,
    seed: int,
    as_json: bool,
) -> int:
    """Kill, crash, starve and hang workers, and count what happened to every frame.

    A tenth of the faulty frames is poison: it ends every worker, so it is lost and kept in quarantine. Exit code 0
    where each frame has an outcome, each answer is right and each fault is counted under its own cause.
    """
    from facelab.serving import internals as serving_internals

    with tempfile.TemporaryDirectory(prefix="facelab-faults-") as folder:
        proof = serving_internals.prove(
            folder,
            faults=faults,
            frames=frames,
            deadline_s=deadline,
            rest_s=rest,
            spare=spare,
            seed=seed,
        )
    r = proof.report
    note(f"injected {proof.injected}, of them poison {proof.poison}")
    lines = [
        f"{r.asked} frames: {r.answered} answered ({r.recovered} after a fault), {r.lost} lost, "
        f"{r.refused} refused, {r.silent} silent, {proof.wrong} wrong"
    ]
    lines += [
        f"{row['cause']:<20} {row['faults']:>4} faults, noticed after {1e3 * row['noticed_p50_s']:.0f} ms, "
        f"recovered in {1e3 * row['recovered_p50_s']:.1f} ms "
        f"(P90 {1e3 * row['recovered_p90_s']:.0f}, longest {1e3 * row['recovered_p100_s']:.0f})"
        for row in r.rows()
        if row["recovered"]
    ]
    lines.append("every fault is counted" if proof.held else "NOT every fault is counted")
    emit({**proof.to_dict(), "held": proof.held}, as_json=as_json, text="\n".join(lines))
    return 0 if proof.held else 1

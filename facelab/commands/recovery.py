"""`facelab recovery …`: what the service does when something fails, what that costs, and the proof by faults."""

from __future__ import annotations

from typing import Any

import click

from facelab.commands.common import SEED_31, FloatRange, OutPath, emit, json_option, note
from facelab.core.safety.scratch import ScratchFolder


@click.group(epilog="Example: facelab recovery show")
def command() -> None:
    """Show the degradation matrix, measure what its responses cost, and inject faults into workers."""


@command.command(epilog="Example: facelab recovery show --json")
@click.option("--matrix", type=click.Path(), metavar="FILE", help="Another matrix.")
@click.option(
    "--losses",
    type=click.Path(),
    metavar="FILE",
    help="Losses by `facelab recovery measure --out`.  [default: those of the package]",
)
@json_option
def show(matrix: str | None, losses: str | None, as_json: bool) -> None:
    """Print the matrix: trigger, response, what is lost in words and figures, way back."""
    from facelab.serving.degradation import load_losses, load_matrix

    found, measured = load_matrix(matrix), load_losses(losses)
    lines, values = [], []
    for row in found.rows():
        loss = measured.named(row["name"])
        lines.append(f"{row['name']} ({row['part']})")
        lines += [f"  {key:<9} {row[key]}" for key in ("trigger", "response", "lost", "back")]
        why = measured.unmeasured.get(row["name"], "no trial was run")
        lines.append(f"  {'measured':<9} {_figures(loss) if loss else f'not measured: {why}'}")
        values.append({**row, "measured": loss.to_dict() if loss else None})
    note(f"measured on {measured.machine.get('cpu', 'an unknown machine')}, {measured.at}")
    emit(values, as_json=as_json, text="\n".join(lines))


def _figures(loss: Any) -> str:
    """Return a loss in one line: the metric and the time, as it should be and while the fallback lasts."""
    text = f"{loss.metric} {loss.usual:.3g} → {loss.fallen:.3g}"
    if loss.ms is not None and loss.fallen_ms is not None:
        text += f", {loss.ms:.3g} → {loss.fallen_ms:.3g} ms"
    return f"{text} (n = {loss.n}{', modelled' if loss.method == 'model' else ''}; {loss.note})"


@command.command(epilog="Example: facelab recovery measure hot output_missing")
@click.argument("names", nargs=-1, metavar="[ROW]...")
@click.option(
    "--detector", metavar="NAME", help="The service's detector.  [default: that of `facelab serve`]"
)
@click.option(
    "--pictures",
    type=click.IntRange(1, 10_000),
    default=12,
    show_default=True,
    help="Use at most this many.",
)
@click.option("--out", type=OutPath(), metavar="FILE", help="Write the losses as JSON too.")
@json_option
def measure(
    names: tuple[str, ...], detector: str | None, pictures: int, out: str | None, as_json: bool
) -> int:
    """Trigger fallbacks, by default every row of the matrix, and measure what each costs.

    Exit code 1 where a fallback was not named in a record and an answer, or did not end by itself.
    """
    from facelab.commands.serve import default_detector
    from facelab.studies import fallbacks

    setting = fallbacks.Setting(detector or default_detector(), pictures)
    found = fallbacks.measure(setting, names or None, note)
    if out is not None:
        found.save(out)
    lines = [
        f"{e.name:<20} {'said and ended' if e.shown else 'NOT SHOWN'}: {_figures(e)}"
        for e in found.entries
    ]
    lines += [f"{name:<20} not measured: {why}" for name, why in found.unmeasured.items()]
    emit(found.to_dict(), as_json=as_json, text="\n".join(lines))
    return 0 if all(e.shown for e in found.entries) else 1


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
@click.option("--seed", type=SEED_31, default=7, show_default=True)
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

    with ScratchFolder(prefix="facelab-faults-") as folder:
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

"""`facelab camera list|probe|record|bench`: what cameras offer, deliver and cost."""

from __future__ import annotations

from typing import Any

import click

from facelab.commands.common import FloatRange, OutPath, emit, json_option, note

_allow = click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["format", "size", "rate"]),
    help="What may differ from what is asked; may be repeated.",
)


class Size(click.ParamType):
    """Width and height, such as 1280x720."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (width, height)."""
        if isinstance(value, tuple):
            return value
        width, x, height = str(value).partition("x")
        if not (
            x and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()
        ):
            self.fail(f"{value!r} is not a size such as 1280x720", param, ctx)
        if not (0 < int(width) <= 1 << 15 and 0 < int(height) <= 1 << 15):
            self.fail(f"{value!r} is out of range: 1 to 32768 pixels each way", param, ctx)
        return int(width), int(height)


def _asked(function: Any) -> Any:
    options = (
        click.option("--format", "format_", metavar="NAME", help="Pixel format, such as YUYV."),
        click.option("--size", type=Size(), help="Frame size, such as 1280x720."),
        click.option("--rate", type=FloatRange(0, 1e4, min_open=True), help="Frames per second."),
        _allow,
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(epilog="Example: facelab camera probe rendered:size=160 --format MJPG")
def command() -> None:
    """List cameras, probe what they deliver, record them, and measure what formats cost.

    SOURCE is /dev/videoN, a video file, a folder of images, a recording, or "rendered:size=160,kind=live".
    """


@command.command("list", epilog="Example: facelab camera list")
@json_option
def list_(as_json: bool) -> None:
    """List the cameras of this machine (V4L2), with their formats."""
    from facelab.camera import list_cameras

    found = list_cameras()
    lines = []
    for c in found:
        if "problem" in c:
            lines.append(f"{c['path']:<14} cannot be opened: {c['problem']}")
        else:
            kind = ", ".join(c["formats"][:8]) or "no capture formats"
            lines.append(f"{c['path']:<14} {c['card']:<24} {c['modes']:>4} modes  {kind}")
    text = "\n".join(lines) or "no camera here; rendered: and files work everywhere"
    emit({"cameras": found}, as_json=as_json, text=text)


@command.command(epilog="Example: facelab camera probe rendered:size=160 --format YUYV --frames 60")
@click.argument("source")
@_asked
@click.option(
    "--frames", type=click.IntRange(2, 100_000), default=30, show_default=True, help="To read."
)
@click.option("--own-process", is_flag=True, help="Capture in its own process.")
@click.option("--cpu", type=click.IntRange(0, 4095), help="Its core; implies --own-process.")
@click.option("--fifo", type=click.IntRange(1, 99), help="Its real-time priority; implies it too.")
@click.option("--nice", type=click.IntRange(-20, 19), help="Its nice value; implies it too.")
@json_option
def probe(
    source: str,
    format_: str | None,
    size: tuple[int, int] | None,
    rate: float | None,
    allow: tuple[str, ...],
    frames: int,
    own_process: bool,
    cpu: int | None,
    fifo: int | None,
    nice: int | None,
    as_json: bool,
) -> int:
    """Negotiate with a source, read some frames, and say what was promised and what came.

    Exit code 1 if the measured rate is more than 5 % off the promised one. What the scheduler refuses is said, and is
    not an error.
    """
    from facelab.camera import open_source
    from facelab.camera.internals import CaptureProcess
    from facelab.camera.internals import probe as look

    asked: dict[str, Any] = {"format": format_, "size": size, "rate": rate, "allow": allow}
    if own_process or any(value is not None for value in (cpu, fifo, nice)):
        opened: Any = CaptureProcess(source, cpu=cpu, fifo=fifo, nice=nice, **asked)
    else:
        opened = open_source(source, **asked)
    found = look(opened, frames)
    emit(found.to_dict(), as_json=as_json, text=_probed(found))
    return 1 if found.keeps_rate is False else 0


def _probed(found: Any) -> str:
    c = found.contract
    lines = [f"{c.source}: {c.format} {c.width}x{c.height}, {c.buffers} buffers, clock {c.clock}"]
    lines += [f"  {d.name}: asked {d.asked}, got {d.got} (allowed)" for d in c.differences]
    for stream, rate in found.rates.items():
        promised = "no rate promised" if c.rate is None else f"promised {c.rate:.4g}"
        measured = "too few frames" if rate is None else f"{rate:.4g} frames/s"
        p50, p95 = (1e3 * x for x in found.ages_s[stream])
        lines.append(f"  {stream}: {measured} ({promised}), age {p50:.1f} ms, 95 %: {p95:.1f} ms")
    if (has := found.schedule) is not None:
        lines.append(
            f"  own process: cores {has['cpus']}, policy {has['policy']} {has['priority']}, nice {has['nice']}"
        )
        lines += [f"  refused: {name} ({why})" for name, why in has["refused"].items()]
    counts = {**found.ledger.outcomes, **found.ledger.events}
    lines.append("  " + ", ".join(f"{name} {n}" for name, n in counts.items()))
    lines.append("  offers: " + " | ".join(m.text() for m in c.offers[:12]))
    if len(c.offers) > 12:
        lines.append(f"  … and {len(c.offers) - 12} more (--json lists all)")
    return "\n".join(lines)


@command.command(
    epilog="Example: facelab camera record rendered:size=160 --out recording --seconds 5"
)
@click.argument("source")
@click.option(
    "--out", type=OutPath(folder=True), required=True, help="Folder to write; must be new."
)
@click.option(
    "--seconds", type=FloatRange(0, 1e6, min_open=True), help="Stop after this many seconds."
)
@click.option("--frames", type=click.IntRange(1, 10_000_000), help="Stop after this many frames.")
@click.option(
    "--max-mb",
    type=FloatRange(0, 1e6, min_open=True),
    default=1000.0,
    show_default=True,
    help="Most MB.",
)
@_asked
@json_option
def record(
    source: str,
    out: str,
    seconds: float | None,
    frames: int | None,
    max_mb: float,
    format_: str | None,
    size: tuple[int, int] | None,
    rate: float | None,
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Record a source with every number, stamp and arrival; the folder is a source itself."""
    from facelab.camera import open_source
    from facelab.camera import record as write

    if seconds is None and frames is None:
        raise click.UsageError("say when to stop: --seconds or --frames")
    opened = open_source(source, format=format_, size=size, rate=rate, allow=allow)
    made = write(opened, out, seconds=seconds, frames=frames, max_bytes=int(max_mb * 1e6))
    counts = ", ".join(f"{n} {stream}" for stream, n in made.frames.items())
    note(f"stopped by: {made.stopped}")
    text = f"{made.folder}: {counts} frames, {made.bytes / 1e6:.1f} MB, {made.seconds:.2f} s"
    emit(made.to_dict(), as_json=as_json, text=text)


@command.command(epilog="Example: facelab camera bench --bus usb2 --rate 30")
@click.option("--size", "sizes", type=Size(), multiple=True, help="May be repeated.")
@click.option(
    "--bus", type=click.Choice(["usb2", "usb3", "csi2"]), default="usb2", show_default=True
)
@click.option("--rate", type=FloatRange(0, 1e4, min_open=True), default=30.0, show_default=True)
@click.option("--repeats", type=click.IntRange(3, 10_000), default=60, show_default=True)
@json_option
def bench(
    sizes: tuple[tuple[int, int], ...], bus: str, rate: float, repeats: int, as_json: bool
) -> None:
    """Measure decoding per format, size and decoder on this machine, and say what to choose on a bus.

    Processor time is measured; time on the wire is modelled from the bytes.
    """
    from facelab.camera import decode_costs
    from facelab.camera.internals import choices

    rows, lines = [], []
    costs = decode_costs(sizes or ((640, 480), (1280, 720)), repeats=repeats)
    for size in dict.fromkeys((c.width, c.height) for c in costs):
        mine = [c for c in costs if (c.width, c.height) == size]
        ranked = choices(mine, bus, rate)
        lines.append(f"{size[0]}x{size[1]} on {bus}, {rate:g} frames/s wanted")
        for c in ranked:
            cost = next(x for x in mine if (x.format, x.decoder) == (c.format, c.decoder))
            rows.append({**cost.to_dict(), **c.to_dict()})
            lines.append(
                f"  {c.format} by {c.decoder:<10} {1e3 * cost.cpu_s:6.2f} ms CPU  wire {1e3 * c.wire_s:6.1f} ms "
                f"(modelled)  at most {c.rate:6.1f} frames/s  {c.core:6.1%} of a core"
                + ("" if c.reaches else "  too slow")
            )
        best = ranked[0]
        lines.append(
            f"  choose {best.format} by {best.decoder}" if best.reaches else "  none is fast enough"
        )
    emit({"bus": bus, "rate": rate, "cases": rows}, as_json=as_json, text="\n".join(lines))

"""`facelab feedback …`: emotions as a beating heart, light, vibration and tones."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import (
    THREADS,
    FloatRange,
    OutPath,
    echo,
    emit,
    json_option,
    note,
)

LONGEST_S = 300.0
"""Seconds of a source that the picture of `follow` holds at most."""

_settings_option = click.option(
    "--settings",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML of heart settings. Default: facelab's own (facelab feedback settings).",
)


@click.group(epilog="Example: facelab feedback heart --emotion joy --out joy.svg")
def command() -> None:
    """Show emotions: labels that do not flicker, and a heart that beats."""


@command.command(epilog="Example: facelab feedback settings --out my-heart.toml")
@click.option("--out", type=OutPath(), help="A file to write. Default: standard output.")
def settings(out: str | None) -> None:
    """Write facelab's heart settings as a TOML file to edit."""
    from facelab.core.files import write_text
    from facelab.feedback import heart

    text = heart.DEFAULT.read_text(encoding="utf-8")
    if out in (None, "-"):
        echo(text.rstrip())
    else:
        write_text(out, text)
        note(f"wrote {out}")


@command.command(epilog="Example: facelab feedback heart --emotion joy --out joy.svg")
@click.option("--emotion", help="Check or draw this one. Default: check every emotion.")
@_settings_option
@click.option("--out", type=OutPath(), help="An .svg or .png to write; needs --emotion.")
@click.option("--size", type=click.IntRange(16, 2048), default=256, show_default=True)
@click.option(
    "--literal",
    is_flag=True,
    help="Draw 1 + a sin²(2πft), which beats at 2f, instead of one beat per period.",
)
@json_option
def heart(
    emotion: str | None,
    settings: Path | None,
    out: str | None,
    size: int,
    literal: bool,
    as_json: bool,
) -> int:
    """Check heart settings against the flash limit of WCAG 2.2 (2.3.1), and write an emotion's animation.

    Exit code 1 where the heart flashes more than three times in a second; then nothing is written.
    """
    from facelab.core.errors import BadInputError
    from facelab.feedback import heart as hearts

    read = hearts.load_settings(settings)
    if emotion is None and (out or literal):
        raise BadInputError(
            "no emotion is named", where="--emotion", fix=f"name one of {', '.join(read.styles)}"
        )
    if emotion is not None and emotion not in read.styles:
        raise BadInputError(
            "the emotion has no style",
            where="--emotion",
            expected=", ".join(read.styles),
            got=emotion,
            fix="name one of these, or add it to the settings",
        )
    if emotion is None:
        found, name = hearts.check_settings(read), "all emotions"
    else:
        formula = "literal" if literal else "eased"
        shown = (
            hearts.animate([0.0, 2.0], [emotion] * 2, read, formula=formula)
            if literal
            else hearts.beat(emotion, read)
        )
        found, name = shown.check(), emotion
        if out:
            shown.save(out, size)
            note(f"wrote {out}")
    text = f"{name}: at most {max(found.general, found.red):g} flashes in any second, 3 are allowed"
    emit({"checked": name, **found.to_dict()}, as_json=as_json, text=text)
    return 0


@command.command(epilog="Example: facelab feedback follow photos --classifier mini-xception-107")
@click.argument("source")
@click.option(
    "--classifier",
    metavar="NAME|FILE",
    help="As for facelab emotion predict. Default: the one trained last.",
)
@click.option(
    "--detector", metavar="NAME", help="Default: yunet-n where it is on this machine, else mtcnn."
)
@click.option("--smoother", "kind", default="ema", show_default=True, help="See the how-to page.")
@click.option("--tau", type=FloatRange(0.001, 60), help="Seconds of the mean (ema).")
@click.option("--margin", type=FloatRange(0, 1), help="Lead that a new label needs (ema).")
@click.option("--frames", type=click.IntRange(1, 1_000_000), default=1000, show_default=True)
@_settings_option
@click.option("--out", type=OutPath(), help="An .svg or .png of the heart to write.")
@click.option("--threads", type=THREADS, help="Threads of the runtimes. Default: all cores.")
@json_option
def follow(
    source: str,
    classifier: str | None,
    detector: str | None,
    kind: str,
    tau: float | None,
    margin: float | None,
    frames: int,
    settings: Path | None,
    out: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Classify the largest face of each frame of SOURCE, and print the labels that a heart would show, and when.

    SOURCE is a camera, a video, a folder of images or a recording.
    """
    from facelab import detection, embedding, emotion, feedback
    from facelab.feedback import heart as hearts
    from facelab.feedback.internals import score_source

    read = hearts.load_settings(settings)
    constants = {k: v for k, v in (("tau_s", tau), ("margin", margin)) if v is not None}
    model = emotion.load(classifier, threads=threads)
    smooth = feedback.smoother(model.classes, kind, **constants)
    finder = detection.load(detector, threads=threads) if detector else None
    finder = finder or embedding.default_detector(threads)
    scores = score_source(source, model, finder, most=frames)
    found = feedback.follow(scores, smooth)
    if out:
        times = scores.times_s[scores.times_s <= LONGEST_S]
        if len(times) < len(scores.times_s):
            note(f"the picture holds the first {LONGEST_S:g} s")
        hearts.animate(times, found.shown[: len(times)], read).save(out)
        note(f"wrote {out}")
    lines = [
        f"{row['from_s']:8.2f} s  {row['shown'] or 'nobody':<10} for {row['seconds']:.2f} s"
        for row in found.rows()
    ]
    lines.append(f"{found.changes} changes, {found.changes_per_minute:.1f} per minute ({kind})")
    document = {
        "smoother": kind,
        "changes": found.changes,
        "changes_per_minute": found.changes_per_minute,
        "shown": found.rows(),
    }
    emit(document, as_json=as_json, text="\n".join(lines))


@command.command(epilog="Example: facelab feedback play --emotion anger --seconds 1")
@click.argument("program", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--emotion", help="Play this emotion's heart in place of a PROGRAM.")
@click.option("--seconds", type=FloatRange(0.1, 600), default=4.0, show_default=True)
@click.option("--led", default="recording", show_default=True, help="Such as luma:device=0.")
@click.option("--motor", default="recording", show_default=True, help="Such as gpiozero:pin=17.")
@click.option("--tone", default="recording", show_default=True, help="Such as sounddevice.")
@click.option("--fifo", type=click.IntRange(1, 99), help="Real-time priority to ask for.")
@click.option(
    "--substitute",
    is_flag=True,
    help="Record the outputs whose device is missing, and play the others.",
)
@_settings_option
@json_option
def play(
    program: Path | None,
    emotion: str | None,
    seconds: float,
    led: str,
    motor: str,
    tone: str,
    fifo: int | None,
    substitute: bool,
    settings: Path | None,
    as_json: bool,
) -> int:
    """Play a PROGRAM (JSON), or an emotion's heart, on an LED matrix, a motor and a loudspeaker.

    Exit code 1 where a driver failed, or where the LED pictures flash more than three times in a second.
    """
    from facelab.core.errors import BadInputError
    from facelab.feedback import heart, schedule

    if (program is None) == (emotion is None):
        raise BadInputError(
            "either a program or an emotion can be played",
            where="PROGRAM, --emotion",
            fix="give one of the two",
        )
    shown = (
        schedule.heart_program(emotion, seconds, heart.load_settings(settings))
        if program is None
        else schedule.read_program(program)
    )
    shown.check()
    outputs = {"led": led, "motor": motor, "tone": tone}
    with schedule.Player(outputs, fifo=fifo, substitute=substitute) as player:
        for name, why in (*player.schedule.refused.items(), *player.missing.items()):
            note(f"{name} was not granted: {why}")
        player.send(shown)
        player.finish()
        found = player.report()
    lines = [
        f"{name:<6} {ledger.asked} asked, {ledger.merged} merged, {ledger.dropped} dropped; "
        f"{ledger.actions} changes: {ledger.played} played, {ledger.skipped} skipped, "
        f"{ledger.failed} failed"
        for name, ledger in found.ledgers.items()
    ]
    if len(found.late_s):
        lines.append(f"late: median {found.late_ms(0.5):.2f} ms, P99 {found.late_ms():.2f} ms")
    lines += [f"error: {text}" for text in found.errors]
    emit(found.to_dict(), as_json=as_json, text="\n".join(lines))
    return 1 if found.errors else 0


@command.command(epilog="Example: facelab feedback beat --celsius 72 --fps 24")
@click.option("--celsius", type=FloatRange(-40, 150), help="Default: the processor's, by sysfs.")
@click.option("--fps", type=FloatRange(0, 1000), default=60.0, show_default=True)
@json_option
def beat(celsius: float | None, fps: float, as_json: bool) -> None:
    """Print the time between two beats by the source text's formula, as printed, coded and meant, and corrected.

    The frame rate must come from the camera or the pipeline, never from the heart itself.
    """
    from facelab.feedback import beat as beats

    if celsius is None:
        celsius = beats.read_celsius()
    found = {name: beats.interval_ms(celsius, fps, name) for name in beats.FORMULAS}
    lines = [f"{celsius:g} °C, {fps:g} frames per second"]
    lines += [f"{name:<10} {ms:6.1f} ms" for name, ms in found.items()]
    emit({"celsius": celsius, "fps": fps, "interval_ms": found}, as_json=as_json,
         text="\n".join(lines))  # fmt: skip

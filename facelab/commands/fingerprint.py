"""`facelab fingerprint probes|capture|import|compare`: does inference do to an image what training did?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import Float, OutPath, echo, note
from facelab.commands.json_file import emit_file, json_file_option
from facelab.core import escape
from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    from facelab.fingerprint import Comparison


@click.group(epilog="Example: facelab fingerprint compare train.json infer.json --html report.html")
def command() -> None:
    """Fingerprint preprocessing in any language, and learn what differs and why."""


@command.command(epilog="Example: facelab fingerprint probes --out probes/")
@click.option(
    "--out", required=True, type=OutPath(folder=True), metavar="DIR", help="Folder to write to."
)
def probes(out: Any) -> None:
    """Write the probe set, with a README for programs in other languages."""
    from facelab.fingerprint.probes import probe_set, set_hash, write_probes

    folder = write_probes(out)
    echo(
        escape.line(
            f"{len(probe_set())} probes (set {set_hash()[:12]}) in {folder}; "
            f"{folder / 'README.md'} says what to do"
        )
    )


FAMILY_HELP = (
    "Kind of probe to read: image (default), rgb24, bgr24, gray8, yuyv or nv12; may be repeated."
)
out_option = click.option(
    "--out", type=OutPath(), metavar="F", help="Write the fingerprint to F (default: stdout)."
)
declare_option = click.option(
    "--batch",
    is_flag=True,
    help="Declare that a batch axis of one is part of the interface, so that it may come and go.",
)
name_option = click.option("--name", metavar="TEXT", help="A name for reports.")


def _refuse_idle(what: str, options: list[tuple[str, Any]]) -> None:
    """Raise UsageError for an option that was given and has no effect on a spec or a pipeline."""
    for option, given in options:
        if given:
            raise click.UsageError(f"{option} has no effect on {what}: leave it out")


@command.command(
    epilog="Example: facelab fingerprint capture --pipeline preprocess.py:prepare --out infer.json"
)
@click.option("--spec", type=click.Path(), metavar="FILE", help="A preprocessing spec.")
@click.option(
    "--pipeline",
    metavar="FILE.py:NAME",
    help="A function path → array, a Keras layer, a callable; or a "
    ".onnx graph with preprocessing inside, or a .tflite with metadata.",
)
@click.option(
    "--backend", default="reference", show_default=True, help="Backend that runs the spec."
)
@click.option(
    "--decode-with",
    metavar="NAME",
    help="Decode with a different backend than the rest of the spec.",
)
@click.option(
    "--tap", metavar="TENSOR", help="Inner tensor of an ONNX graph where preprocessing ends."
)
@click.option("--probes", "families", multiple=True, metavar="KIND", help=FAMILY_HELP)
@click.option(
    "--tensors",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Also write the golden tensors as .npy.",
)
@click.option(
    "--pixels",
    type=click.Choice(("bgr", "rgb")),
    help="What a function of pixels takes (guessed from its parameter's name otherwise).",
)
@click.option("--strict", is_flag=True, help="Exit 1 if the pipeline is not deterministic.")
@declare_option
@name_option
@out_option
@click.pass_context
def capture(
    ctx: click.Context,
    spec: str | None,
    pipeline: Any,
    backend: Any,
    decode_with: Any,
    tap: Any,
    families: Any,
    tensors: Any,
    pixels: Any,
    strict: bool,
    batch: Any,
    name: str | None,
    out: Path | None,
) -> None:
    """Run a pipeline on the probes and write its fingerprint (under 256 KiB)."""
    if (spec is None) == (pipeline is None):
        raise BadInputError(
            "capture takes either --spec or --pipeline",
            expected="one of the two",
            got="both" if spec else "neither",
            fix="facelab fingerprint capture --help",
        )
    _refuse_idle(
        "a spec" if spec else "a pipeline",
        [("--probes", families), ("--tap", tap), ("--pixels", pixels)]
        if spec
        else [("--decode-with", decode_with), ("--backend", backend != "reference")],
    )
    declares = ("batch",) if batch else ()
    if spec is not None:
        from facelab.commands.preprocess import load_spec
        from facelab.fingerprint import capture_spec

        made = capture_spec(
            load_spec(spec),
            backend=backend,
            decode_with=decode_with,
            tensors=tensors,
            declares=declares,
        )
    else:
        from facelab.fingerprint import capture_target

        made = capture_target(
            pipeline,
            families=families or None,
            declares=declares,
            tensors=tensors,
            tap=tap,
            pixels=pixels,
        )
    _write(made, name, out)
    ctx.exit(1 if strict and made.unstable else 0)


@command.command(
    "import", epilog="Example: facelab fingerprint import --tensors tensors/ --out infer.json"
)
@click.option(
    "--tensors",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder of <probe>.npy, or .bin and .json.",
)
@click.option(
    "--probes", "family", metavar="KIND", help=FAMILY_HELP.replace("; may be repeated", "")
)
@click.option(
    "--partial",
    is_flag=True,
    help="Take a folder of some of the probes, to narrow a difference down; the gate wants all of them.",
)
@declare_option
@name_option
@out_option
def import_(
    tensors: Any, family: str | None, partial: Any, batch: Any, name: str | None, out: Path | None
) -> None:
    """Make the fingerprint of a program in any language from the tensors it wrote for the probes."""
    from facelab.fingerprint import import_tensors

    declares = ("batch",) if batch else ()
    _write(import_tensors(tensors, family=family, declares=declares, partial=partial), name, out)


def _write(fingerprint: Any, name: str | None, out: Any) -> None:
    if name:
        fingerprint.name = name
    if out is None:
        click.echo(fingerprint.dumps(), nl=False)
        return
    path = fingerprint.save(out)
    from facelab.fingerprint.capture import feed_words
    from facelab.fingerprint.diagnosis import DETERMINISM_FIX
    from facelab.fingerprint.probes import remember

    remember()  # so that the first `compare` need not draw the probes
    if fingerprint.fed:
        note(f"  {feed_words(fingerprint.fed)}; probes that test decoding were left out")
    if fingerprint.unstable:
        note(
            f"  not deterministic: {len(fingerprint.unstable)} of {len(fingerprint.output)} probes "
            f"differ between two runs; {DETERMINISM_FIX}"
        )
    failed = [n for n, e in fingerprint.output.items() if "error" in e]
    note(
        f"{path}: {len(fingerprint.output)} probes, {len(fingerprint.stages)} stage(s), {path.stat().st_size} bytes"
    )
    for n in failed:
        note(f"  {n}: {fingerprint.output[n]['error']}")


@command.command(
    epilog="Example: facelab fingerprint compare train.json infer.json --sarif out.sarif --html out.html"
)
@click.argument("train", type=click.Path())
@click.argument("infer", type=click.Path())
@json_file_option
@click.option("--sarif", type=OutPath(), metavar="F", help="Write SARIF 2.1.0 for code scanning.")
@click.option("--junit", type=OutPath(), metavar="F", help="Write JUnit XML for a test report.")
@click.option("--html", type=OutPath(), metavar="F", help="Write a page with both sides' probes.")
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(("batch_axis", "layout", "dtype")),
    help="Declare an interface difference as intended.",
)
@click.option(
    "--train-tensors",
    type=click.Path(),
    metavar="DIR",
    help="The training side's golden tensors, for the page.",
)
@click.option(
    "--infer-tensors",
    type=click.Path(),
    metavar="DIR",
    help="The inference side's tensors, for the page.",
)
@click.option(
    "--model", metavar="M", help="Measure the cost with this model (file or catalogue name)."
)
@click.option(
    "--images",
    type=click.Path(),
    metavar="DIR",
    help="Images to measure on; subfolders are labels.",
)
@click.option(
    "--train-pipeline",
    metavar="FILE.py:NAME",
    help="Training preprocessing, where the fingerprint has no spec.",
)
@click.option(
    "--infer-pipeline",
    metavar="FILE.py:NAME",
    help="Inference preprocessing, where it has no spec.",
)
@click.option("--classes", metavar="A,B,…", help="The model's classes in output order.")
@click.option(
    "--task",
    type=click.Choice(("classify", "embed")),
    help="What the model does (guessed otherwise).",
)
@click.option("--threshold", type=Float(), help="Cosine threshold at which TAR is compared.")
@click.pass_context
def compare(
    ctx: click.Context,
    train: Any,
    infer: Any,
    json_path: Any,
    sarif: Any,
    junit: Any,
    html: Any,
    allow: Any,
    train_tensors: Any,
    infer_tensors: Any,
    model: str,
    images: Any,
    train_pipeline: Any,
    infer_pipeline: Any,
    classes: Any,
    task: Any,
    threshold: Any,
) -> None:
    """Compare the inference side's fingerprint with the training side's and name the cause of a difference.

    Exit 0: identical, or equivalent within rounding. Exit 1: mismatch, or undecided until `--pixels` says what a
    function of pixels takes. Exit 2: a fingerprint cannot be used.
    """
    # by the room's name: a missing file is reported before the search for causes is imported
    from facelab import fingerprint

    if (model is None) != (images is None):
        raise BadInputError(
            "--model and --images go together",
            expected="both or neither",
            fix="give a model and a folder of images",
        )
    sides = fingerprint.load(train), fingerprint.load(infer)
    comparison = fingerprint.compare(*sides, allow=tuple(allow))
    if model is not None:
        from facelab.commands.fingerprint_cost import attach_cost

        attach_cost(
            comparison, model, images, (train_pipeline, infer_pipeline), classes, task, threshold
        )
    if sarif or junit:
        from facelab.fingerprint.export import write_junit, write_sarif

        for path, write in ((sarif, write_sarif), (junit, write_junit)):
            if path:
                write(comparison, path)
    if html:
        from facelab.report.fingerprint import write_page

        write_page(comparison, html, tensors=(train_tensors, infer_tensors))
    emit_file(comparison.to_dict(), json_path, text=_text(comparison))
    ctx.exit(0 if comparison.good else 1)


def _text(c: Comparison) -> str:
    lines = [f"{c.verdict}: {c.infer.name!r} against {c.train.name!r}"]
    for f in c.findings:
        share = f.evidence.get("explains")
        share = f", explains {share:.1%}" if share is not None else ""
        lines += [
            f"  {f.kind}  [{f.severity}, {f.severity_from}{share}]",
            f"    training:  {f.training}",
            f"    inference: {f.inference}",
            f"    fix:       {f.fix}",
        ]
    if c.explained is not None and c.findings:
        lines.append(f"  together these causes explain {c.explained:.1%} of the difference")
    if c.first_stage:
        lines.append(
            f"  first deviating stage: {c.first_stage['stage']} ({c.first_stage['parameter']})"
        )
    lines += [f"  note: {n}" for n in c.notes]
    if c.cost:
        lines += ["  " + line for line in _cost_lines(c.cost)]
    return "\n".join(lines)


def _cost_lines(cost: dict) -> list[str]:
    span = f"[{cost['lo']:.3f}, {cost['hi']:.3f}]"
    if cost["task"] == "embed":
        out = [
            f"cost: cosine {cost['cosine']:.4f} {span}, worst {cost['cosine_worst']:.4f}, over {cost['n']} images"
        ]
        if cost["tar"]:
            t = cost["tar"]
            out.append(
                f"TAR at threshold {t['threshold']:.3f}: {t['training']:.3f} → {t['inference']:.3f} "
                f"(change {t['change']:+.3f} [{t['lo']:+.3f}, {t['hi']:+.3f}])"
            )
    else:
        out = [
            f"cost: top-1 agreement {cost['agreement']:.1%} {span} over {cost['n']} images, {len(cost['flips'])} flips"
        ]
        if cost["accuracy"]:
            a = cost["accuracy"]
            out.append(
                f"accuracy {a['training']:.1%} → {a['inference']:.1%} (change {a['change']:+.1%} "
                f"[{a['lo']:+.1%}, {a['hi']:+.1%}])"
            )
    return out + ([cost["note"]] if cost["note"] else [])

"""`facelab bundle MODEL --out DIR` and `facelab bundle verify DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import OutPath, emit, json_option, note, say_model, trust_model_option
from facelab.core.escape import line


class BundleGroup(click.Group):
    """A group whose first word may be left out: `facelab bundle MODEL …` is `facelab bundle make MODEL …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["make", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `facelab bundle MODEL` too: most people type no other form."""
        super().format_options(ctx, formatter)
        short = self.commands["make"]
        records = [r for p in short.get_params(ctx) if (r := p.get_help_record(ctx)) is not None]
        with formatter.section("Options of facelab bundle MODEL"):
            formatter.write_dl(records)


@click.group(
    cls=BundleGroup,
    epilog="Example: facelab bundle models/emotion/emotion_fp32.tflite --out bundle/",
)
def command() -> None:
    """Gather what an inference team needs: `facelab bundle MODEL --out DIR`, then `facelab bundle verify DIR`.

    MODEL is a model file with its .preprocess.json beside it, the folder of a training, or a name of the catalogue.
    """


@command.command(epilog="Example: facelab bundle models/emotion/emotion_fp32.tflite --out bundle/")
@click.argument("model")
@click.option(
    "--out",
    required=True,
    type=OutPath(folder=True),
    metavar="DIR",
    help="Folder to write; an earlier bundle there is replaced.",
)
@click.option("--name", metavar="TEXT", help="Name of the bundle.  [default: the model's]")
@click.option(
    "--spec",
    type=click.Path(),
    metavar="FILE",
    help="Its preprocessing, where none is beside it.",
)
@click.option("--labels", type=click.Path(), metavar="FILE", help="Its labels, one per line.")
@click.option(
    "--licence", metavar="TEXT", help="Its licence, where the catalogue does not know it."
)
@click.option(
    "--thresholds",
    type=click.Path(),
    metavar="FILE",
    help="Thresholds with the data each was chosen and "
    "reported on, or the JSON of facelab eval verification.",
)
@click.option(
    "--evidence",
    multiple=True,
    type=click.Path(),
    metavar="F",
    help="Figures measured before: a run or "
    "step folder, records (.jsonl), the JSON of emotion evaluate or quantize; repeat.",
)
@click.option(
    "--reference",
    type=click.Path(),
    metavar="FILE",
    help="The float model that a quantised one was made from.",
)
@click.option(
    "--emit",
    "languages",
    metavar="LANGUAGES",
    help="Write the preprocessing as code too: c, go, javascript, python, onnx, tflite; commas between.",
)
@click.option(
    "--picture-size",
    metavar="W,H",
    help="Width and height of the pictures that emitted graphs (onnx, tflite) take.",
)
@click.option(
    "--golden",
    type=click.Choice(("fit", "all")),
    default="fit",
    show_default=True,
    help="Golden tensors for as many probes as keep the bundle below twice the model and 10 MB, or for all.",
)
@trust_model_option
@json_option
def make(
    model: str,
    out: Path,
    name: str | None,
    spec: str | None,
    labels: Any,
    licence: Any,
    thresholds: Any,
    evidence: Any,
    reference: Any,
    languages: Any,
    picture_size: Any,
    golden: Any,
    as_json: bool,
) -> None:
    """Gather MODEL and everything that an inference team needs with it into the folder DIR.

    Its preprocessing, labels and thresholds, the probes with golden tensors and outputs, figures measured before, and a
    manifest with hashes and licences; README.md in DIR says how to check an implementation against it.
    """
    from facelab.commands.preprocess import size_option
    from facelab.deploy import make_bundle as run
    from facelab.deploy.internals import languages_of

    say_model(model)
    bundle = run(
        model,
        out,
        name=name,
        spec=spec,
        labels=labels,
        licence=licence,
        threshold_file=thresholds,
        evidence=evidence,
        reference=reference,
        emit=languages_of(languages),
        picture_size=size_option(picture_size),
        every_golden=golden == "all",
    )
    if bundle.manifest.licence.licence == "not stated":
        note("nobody stated the model's licence; state it with --licence")
    value = bundle.to_dict()
    emit(
        value,
        as_json=as_json,
        text=f"{bundle.folder}: {value['files']} files, {value['bytes']:,} bytes, "
        f"{value['probes']} golden probes, hash {value['hash'][:16]}\n{bundle.folder / 'README.md'} says how to check "
        "an implementation against it",
    )


@command.command(epilog="Example: facelab bundle verify bundle/")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option(
    "--expect", metavar="HASH", help="The bundle's hash (8 characters or more) that must be found."
)
@click.option(
    "--public-key",
    metavar="KEY",
    help="minisign key (RW…, or its file) whose owner must have signed manifest.json.",
)
@json_option
def verify(folder: Path, expect: Any, public_key: Any, as_json: bool) -> int:
    """Check that every file of the bundle DIR is there, unchanged, and belongs to the others (exit 1 if not)."""
    from facelab.deploy import verify as run

    found = run(folder, expect=expect, public_key=public_key)
    value = found.to_dict()
    text = (
        f"{folder}: {value['files']} files, {value['bytes']:,} bytes, hash {value['hash'][:16]}: whole"
        if found.ok
        else "\n".join(
            [*(line(f"{p.path}: {p.what}") for p in found.problems), f"{line(folder)}: damaged"]
        )
    )
    emit(value, as_json=as_json, text=text)
    return 0 if found.ok else 1

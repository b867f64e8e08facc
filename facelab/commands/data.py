"""`facelab data …`: labelled faces without a download, and labels from one form into another."""

from __future__ import annotations

from typing import Any

import click

from facelab.commands.common import SEED, THREADS, OutPath, emit, json_option, note

SET_NAMES = ("emotion", "verification", "detection", "liveness")


@click.group(
    epilog="Example: facelab data synth --set emotion --n 3000 --seed 7 --out data/emotion"
)
def command() -> None:
    """Generate synthetic faces with exact labels; convert labels of boxes."""


@command.command(
    epilog="Example: facelab data synth --set emotion --n 3000 --seed 7 --out data/emotion --workers 2"
)
@click.option(
    "--set",
    "name",
    type=click.Choice(SET_NAMES),
    required=True,
    help="emotion: faces with action units. verification: pairs in ten folds, and hard ones. "
    "detection: scenes of 0 to 30 faces. liveness: live and spoofed faces with depth.",
)
@click.option("--n", type=click.IntRange(1, 10_000_000), required=True, help="Number of pictures.")
@click.option(
    "--seed",
    type=SEED,
    default=7,
    show_default=True,
    help="The same seed gives the same bytes on every machine.",
)
@click.option(
    "--out",
    required=True,
    type=OutPath(folder=True),
    metavar="DIR",
    help="Folder to write; an interrupted run is resumed.",
)
@click.option(
    "--workers",
    type=THREADS,
    default=None,
    help="Processes to draw with; the result is the same for any number.  [default: one per core]",
)
@click.option(
    "--size",
    type=click.IntRange(16, 2048),
    default=None,
    metavar="PX",
    help="Side of a face picture [default: 160], or width of a scene, its height being ¾ [default: 1024].",
)
@click.option(
    "--classes",
    type=click.Choice(("7", "3")),
    default="7",
    show_default=True,
    help="Emotions of the set emotion: the seven basic ones, or anger, joy and neutral.",
)
@click.option(
    "--depth",
    is_flag=True,
    help="Write a depth map (16-bit PNG, millimetres) for each face as well.",
)
@json_option
def synth(
    name: str,
    n: int,
    seed: int,
    out: str,
    workers: int | None,
    size: int | None,
    classes: str,
    depth: bool,
    as_json: bool,
) -> None:
    """Write a set of synthetic faces: pictures, labels.csv, manifest.json, contact_sheet.png.

    labels.csv has one row per face, and one for each picture without a face; verification
    also writes pairs.csv, pairs_hard.csv and LFW's pairs.txt, detection
    WIDER FACE's annotations and lists of its easy, medium and hard faces. Identities of train, validation and test
    (column `split`) are disjoint.
    """
    from facelab.datasets.synthetic import available_cores, make_request, write_set

    request = make_request(name, seed, size, int(classes), depth)
    done = write_set(request, n, out, workers=workers or available_cores(), progress=_bar(name))
    if done.drawn < done.pictures:
        note(
            f"{done.pictures - done.drawn} of {done.pictures} pictures were there already and are whole"
        )
    value = {
        "set": name,
        "seed": seed,
        "out": str(done.folder),
        "pictures": done.pictures,
        "drawn": done.drawn,
        "faces": done.faces,
        "pairs": done.pairs,
        "files": list(done.files),
    }
    pairs = f", {done.pairs} pairs" if done.pairs else ""
    emit(
        value,
        as_json=as_json,
        text=f"{done.pictures} pictures with {done.faces} faces{pairs} in {done.folder}: {', '.join(done.files)}",
    )


FORMS = ("coco", "voc", "yolo", "cvat", "wider", "csv")


@command.command(epilog="Example: facelab data convert instances.json --to voc --out labels/")
@click.argument("labels", metavar="FILE|DIR", type=click.Path())
@click.option("--to", "form", type=click.Choice(FORMS), required=True, help="The form to write.")
@click.option(
    "--out",
    required=True,
    type=OutPath(),
    metavar="FILE|DIR",
    help="The file to write; for voc and yolo a folder.",
)
@click.option(
    "--from", "given", type=click.Choice(FORMS), default=None, help="[default: recognised]"
)
@click.option(
    "--images",
    default=None,
    type=click.Path(),
    metavar="DIR",
    help="Where the pictures' paths start, for sizes that the labels do not state and pictures that EXIF turns.",
)
@click.option(
    "--voc-origin",
    type=click.IntRange(0, 1),
    default=None,
    help="First pixel of Pascal VOC's corners.  [default: 1, as the form says; 0 where a corner is at 0]",
)
@click.option(
    "--category", metavar="NAME", help="The category that is a face, where several are labelled."
)
@json_option
def convert(
    labels: str,
    form: str,
    out: str,
    given: str | None,
    images: str | None,
    category: str | None,
    voc_origin: int | None,
    as_json: bool,
) -> None:
    """Convert labelled boxes between COCO, Pascal VOC, YOLO, CVAT, WIDER FACE's text and CSV.

    The form of FILE (or of the folder DIR) is recognised from its content. Flags that a box is to be ignored (iscrowd,
    difficult, invalid) stay; YOLO has none, so such boxes are left out and counted. WIDER FACE's text holds whole
    pixels.
    """
    from facelab.datasets.internals import annotations

    found = annotations.read(
        labels, form=given, images=images, category=category, voc_origin=voc_origin
    )
    note(f"read {found.said()}")
    told = annotations.write(found, form, out, images=images)
    lost = told["ignored_left_out"]
    emit(
        {
            "from": found.form,
            "to": form,
            "out": str(out),
            "left_out": found.dropped,
            "notes": list(found.notes),
            **told,
        },
        as_json=as_json,
        text=f"{out}: {told['pictures']} pictures, {told['boxes']} boxes as {form}"
        + (f"; {lost} to be ignored are left out" if lost else ""),
    )


def _bar(name: str) -> Any:
    """Return a function that follows pictures with a bar on a terminal, and with a few lines elsewhere."""

    def follow(entries, total: int):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"drawing {name}", total=total)
            for k, entry in enumerate(entries, 1):
                bar.advance(task)
                if not console.is_terminal and (k % max(1, total // 10) == 0):
                    note(f"drawing {name}: {k} of {total}")
                yield entry

    return follow

"""`facelab eval detector`: run a detector over images; score it where there are labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import (
    SEED,
    THREADS,
    Float,
    FloatRange,
    OutPath,
    note,
    progress,
    say_model,
)
from facelab.commands.json_file import emit_file, json_file_option


@click.command(
    epilog="Example: facelab eval detector --model yunet-n --images photos --labels faces.csv --json o.json"
)
@click.option(
    "--model", required=True, metavar="NAME", help="A detector of the catalogue, or a model file."
)
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    help="A folder of images (searched below), or one image.",
)
@click.option(
    "--labels",
    metavar="FILE|DIR",
    help="COCO, Pascal VOC, YOLO, CVAT, WIDER FACE's text, or a CSV (path,n_faces; path,x1,y1,x2,y2; path,x,y,w,h), "
    "recognised by content; paths are relative to --images or to the labels' folder.",
)
@click.option(
    "--label-form",
    type=click.Choice(("coco", "voc", "yolo", "cvat", "wider", "csv")),
    help="Read --labels as this form.  [default: recognised]",
)
@click.option(
    "--category", metavar="NAME", help="The category that is a face, where several are labelled."
)
@click.option(
    "--voc-origin",
    type=click.IntRange(0, 1),
    help="First pixel of Pascal VOC's corners.  [default: 1, as the form says; 0 where a corner is at 0]",
)
@click.option(
    "--family",
    metavar="NAME",
    help="Family of a model file (yunet, …), where its outputs do not tell.",
)
@click.option(
    "--spec",
    metavar="JSON",
    help="Preprocessing spec (facelab.preprocess/1) instead of the model's own.",
)
@click.option("--score-threshold", type=Float(), help="Operating threshold. Default: the model's.")
@click.option(
    "--nms-threshold", type=FloatRange(0, 1), help="Overlap above which a box is suppressed."
)
@click.option(
    "--iou",
    type=FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Smallest overlap of a match.",
)
@click.option(
    "--min-height",
    type=FloatRange(0),
    default=0.0,
    show_default=True,
    help="Labelled faces lower than this many pixels are ignored.",
)
@click.option("--threads", type=THREADS, help="Threads of the runtime. Default: all cores.")
@click.option(
    "--bootstrap",
    "replicates",
    type=click.IntRange(10, 100_000),
    default=1000,
    show_default=True,
    help="Bootstrap replicates over images for the AP's interval.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option(
    "--out",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Write predictions in the WIDER FACE form, down to a score of 0.02.",
)
@click.option(
    "--all-images", is_flag=True, help="With --labels, run the images without a label too."
)
@click.option(
    "--pictures",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Write pictures with boxes: with labelled boxes those with a miss (orange) or false alarm (purple), else all.",
)
@json_file_option
def command(
    model: str,
    images: Any,
    labels: Any,
    label_form: Any,
    category: Any,
    voc_origin: int | None,
    family: str | None,
    spec: str | None,
    score_threshold: Any,
    nms_threshold: Any,
    iou: Any,
    min_height: Any,
    threads: int | None,
    replicates: int,
    seed: int,
    out: Path | None,
    all_images: Any,
    pictures: Any,
    json_path: Path | None,
) -> None:
    """Run a detector over images: faces, speed, and, with labels, exact counts, recall, precision and AP.

    AP, recall and precision follow WIDER FACE's rules: a box covers its last pixel too, which counts for tiny faces.

    An image that cannot be read is named and left out, and the command then ends with exit code 1.
    """
    from facelab import detection
    from facelab.detection.internals import write_pictures

    wanted = {"score_threshold": score_threshold, "nms_threshold": nms_threshold}
    options = {k: v for k, v in wanted.items() if v is not None}
    truth = None
    if labels:
        folder = images if Path(images).is_dir() else None
        truth = detection.read_labels(
            labels, form=label_form, images=folder, category=category, voc_origin=voc_origin
        )
        note(f"labels: {truth.said}")
    detector = detection.load(model, family=family, spec=spec, threads=threads, **options)
    neural = isinstance(detector, detection.NeuralDetector)
    prepared = f", preprocessing {detector.spec.name}" if neural else ""
    say_model(model, f"family {detector.family}{prepared}")
    result = detection.evaluate(
        detector,
        images,
        truth,
        iou=iou,
        min_height=min_height,
        replicates=replicates,
        seed=seed,
        low_scores=bool(out),
        only_labelled=not all_images,
        progress=lambda items: progress(items, description=model),
    )
    for name, error in result.errors.items():
        note(f"{name}: {error}")
    if out:
        _write(out, result.found)
    if pictures:
        at = {n: d.above(result.operating_threshold) for n, d in result.found.items()}
        names = write_pictures(at, result.files, pictures, labels=result.truth, iou=iou)
        note(f"{len(names)} pictures in {pictures}")
    emit_file(result.to_dict(), json_path, text=str(result))
    if result.errors:
        raise click.exceptions.Exit(1)


def _write(folder: Path, found: dict[str, Any]) -> None:
    from facelab.datasets.internals import write_predictions
    from facelab.detection.internals import predictions

    for name, detections in found.items():
        path = Path(name)
        write_predictions(
            folder,
            path.parent.as_posix() if path.parent.name else "images",
            path.stem,
            predictions(detections),
        )

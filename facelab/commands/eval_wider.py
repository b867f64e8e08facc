"""`facelab eval wider`: WIDER FACE average precision from prediction files, by the reference's exact rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import SEED, Float, FloatRange, note, strict_option, warn_first
from facelab.commands.json_file import emit_file, json_file_option

if TYPE_CHECKING:
    import numpy as np

    from facelab.metrics.detection import Curve

ABSURD = 0.3
"""An AP of every subset below this is questioned: working detectors reach more on the easy faces."""
BREAKDOWNS = ("size", "blur", "occlusion", "pose", "illumination", "expression")


@click.command(
    epilog="Example: facelab eval wider --predictions runs/yunet --ground-truth eval_tools/ground_truth "
    "--json ap.json"
)
@click.option(
    "--predictions",
    required=True,
    metavar="DIR",
    help="Folder of <event>/<image>.txt files: image name, count, then one line `x y w h score` per box.",
)
@click.option(
    "--ground-truth",
    required=True,
    metavar="DIR",
    help="Folder with wider_face_val.mat and the easy, medium and hard .mat files (or a text form).",
)
@click.option(
    "--iou",
    type=FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Smallest overlap of a match.",
)
@click.option(
    "--score-threshold",
    type=Float(),
    default=None,
    help="Keep only predictions with scores at or above this (before scores are normalised).",
)
@click.option(
    "--breakdown/--no-breakdown",
    default=True,
    show_default=True,
    help="AP and recall by size, blur, occlusion, pose, illumination, expression.",
)
@click.option(
    "--bootstrap",
    "replicates",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Bootstrap replicates over images for the 95 % intervals; 0 for none.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option(
    "--require-complete",
    is_flag=True,
    help="Refuse predictions that lack an image of the ground truth.",
)
@strict_option
@json_file_option
@click.pass_context
def command(
    ctx: click.Context,
    predictions: str,
    ground_truth: str,
    iou: float,
    score_threshold: float | None,
    breakdown: bool,
    replicates: int,
    seed: int,
    require_complete: bool,
    strict: bool,
    json_path: str | None,
) -> None:
    """Compute WIDER FACE AP (easy, medium, hard) from standard prediction files.

    Identical to the reference evaluators; unsorted files are sorted and named; intervals resample images. An AP that
    only a wrong input gives is questioned: corners, centres, relative boxes, another size or column order are tried.
    """
    from facelab.datasets import load_ground_truth, load_predictions
    from facelab.metrics.detection import average_precision, match
    from facelab.metrics.plausibility import question_boxes

    truth = load_ground_truth(ground_truth)
    read = load_predictions(predictions, truth.names)
    if require_complete:
        _refuse_missing(read.missing_images, predictions)
    boxes, extra = read.boxes, read.extra_scores
    if score_threshold is not None:
        boxes = [b[b[:, 4] >= score_threshold] for b in boxes]
        extra = extra[extra >= score_threshold]
    matches = match(boxes, truth.boxes, extra_scores=extra)
    curves = {
        name: average_precision(matches, keep, iou=iou, replicates=replicates, seed=seed)
        for name, keep in truth.subsets.items()
    }
    value = {
        "schema": "facelab.eval.wider/1",
        **_averages(curves),
        "counts": _counts(truth, boxes, len(read.missing_images)),
        "iou": iou,
        "score_threshold": score_threshold,
        "seed": seed,
        "replicates": replicates,
        **_noticed(read, matches.constant),
    }
    if breakdown:
        value["breakdown_of"], value["breakdowns"] = _breakdowns(
            truth, matches, iou, replicates, seed
        )
    value["curves"] = _points(curves)
    absurd = max((c.ap for c in curves.values() if c.ap is not None), default=1.0) < ABSURD
    suspicion = question_boxes(boxes, truth.boxes) if absurd else None
    value["suspicion"] = suspicion and suspicion.to_dict()
    emit_file(value, json_path, text=warn_first(_text(value), suspicion))
    for warning in value["warnings"]:
        note(f"note: {warning}")
    ctx.exit(1 if strict and suspicion else 0)


def _refuse_missing(images: list[str], predictions: str) -> None:
    """Raise BadInputError where an image of the ground truth has no file."""
    from facelab.core.errors import BadInputError

    if images:
        raise BadInputError(
            f"{len(images)} images have no prediction file",
            where=predictions,
            got=", ".join(images[:3]),
            fix="write a file with count 0 for no detection",
        )


def _averages(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return AP, interval, number of faces and recall of each subset."""
    ap = {name: c.ap for name, c in curves.items()}
    return {
        "ap": ap,
        **ap,
        "intervals": {n: asdict(c.interval) for n, c in curves.items() if c.interval},
        "faces": {n: c.faces for n, c in curves.items()},
        "recall": {n: float(c.recall[-1]) if c.faces else None for n, c in curves.items()},
    }


def _counts(truth: Any, boxes: list[np.ndarray], without: int) -> dict[str, int]:
    """Return how many images, boxes and predictions took part."""
    return {
        "images": len(truth.names),
        "ground_truth_boxes": int(sum(map(len, truth.boxes))),
        "predictions": int(sum(map(len, boxes))),
        "images_without_predictions": without,
    }


def _noticed(read: Any, constant: bool) -> dict[str, Any]:
    """Return what was noticed while the predictions were read."""
    return {
        "unsorted_images": read.unsorted,
        "missing_events": read.missing_events,
        "missing_images": read.missing_images,
        "extra_files": read.extra_files,
        "warnings": _warnings(read, constant),
    }


def _points(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return every tenth point of the curves of subsets with faces."""
    import numpy as np

    return {
        n: {"recall": np.round(c.recall[9::10], 6), "precision": np.round(c.precision[9::10], 6)}
        for n, c in curves.items()
        if c.faces
    }


def _warnings(read: Any, constant: bool) -> list[str]:
    out = []
    if read.unsorted:
        out.append(
            f"the predictions of {len(read.unsorted)} images were not sorted by falling score (first: "
            f"{read.unsorted[0]}); they were sorted here, the reference evaluators would lose points on them"
        )
    if read.missing_events:
        out.append(
            f"{len(read.missing_events)} event folders are missing (first: {read.missing_events[0]})"
        )
    if read.missing_images:
        out.append(
            f"{len(read.missing_images)} images have no prediction file and count as images without detections "
            f"(first: {read.missing_images[0]})"
        )
    if read.extra_files:
        out.append(
            f"{len(read.extra_files)} files belong to no image of the ground truth (first: {read.extra_files[0]}"
            "); as in the reference their scores take part in the normalisation and nothing else"
        )
    if read.renamed:
        out.append(
            f"{len(read.renamed)} files name another image in their first line (first: {read.renamed[0]}); "
            "the file name counts"
        )
    if read.degenerate:
        out.append(f"{read.degenerate} predicted boxes have no width or height")
    if constant:
        out.append(
            "all predictions have the same score: there is one operating point only "
            "(the reference divides 0 by 0 here and reports 0)"
        )
    return out


def _breakdowns(
    truth: Any, matches: Any, iou: float, replicates: int, seed: int
) -> tuple[str, dict]:
    """Return the subset that is broken down, and per attribute and value: faces, AP, recall and its interval."""
    from facelab.datasets.internals import attribute_masks, size_masks
    from facelab.metrics.detection import average_precision, recall_of

    base_name = "hard" if "hard" in truth.subsets else next(iter(truth.subsets))
    base = truth.subsets[base_name]
    out: dict = {}
    for attribute in BREAKDOWNS:
        if attribute != "size" and attribute not in truth.labels:
            continue
        masks = size_masks(truth) if attribute == "size" else attribute_masks(truth, attribute)
        out[attribute] = {}
        for name, mask in masks.items():
            keep = base & mask
            recall = recall_of(matches, keep, iou=iou, replicates=min(replicates, 200), seed=seed)
            out[attribute][name] = {
                "faces": int(keep.sum()),
                "ap": average_precision(matches, keep, iou=iou).ap,
                "recall": recall.value if recall else None,
                "recall_lo": recall.lo if recall else None,
                "recall_hi": recall.hi if recall else None,
            }
    return base_name, out


def _text(value: dict) -> str:
    lines = [
        f"WIDER FACE AP at IoU {value['iou']:g}"
        + (
            f", scores >= {value['score_threshold']:g}"
            if value["score_threshold"] is not None
            else ""
        )
    ]
    for name, ap in value["ap"].items():
        i = value["intervals"].get(name)
        spread = f"  [{i['lo']:.4f}, {i['hi']:.4f}] by bootstrap over images" if i else ""
        lines.append(
            f"  {name:<7} {'undefined: no faces' if ap is None else f'{ap:.6f}'}{spread}"
            f"  ({value['faces'][name]} faces)"
        )
    for attribute, rows in value.get("breakdowns", {}).items():
        lines.append(
            f"by {attribute} (faces of the subset {value['breakdown_of']}; "
            "false alarms belong to no group and count in each)"
        )
        for name, row in rows.items():
            if row["faces"]:
                lines.append(
                    f"  {name:<12} recall {row['recall']:.4f} [{row['recall_lo']:.4f}, {row['recall_hi']:.4f}]"
                    f"  AP {row['ap']:.4f}  ({row['faces']} faces)"
                )
    return "\n".join(lines)

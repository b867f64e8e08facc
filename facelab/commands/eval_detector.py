"""`facelab eval detector`: run a detector over images; score it where there are labels."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import SEED, THREADS, Float, FloatRange, OutPath, note, progress
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
    metavar="CSV",
    help="Columns path,n_faces or path,x1,y1,x2,y2 (a row a face); paths are "
    "relative to --images or to the CSV's folder.",
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
@json_file_option
def command(
    model,
    images,
    labels,
    family,
    spec,
    score_threshold,
    nms_threshold,
    iou,
    min_height,
    threads,
    replicates,
    seed,
    out,
    json_path,
) -> None:
    """Run a detector over images: faces, speed, and, with labels, exact counts, recall, precision and AP.

    An image that cannot be read is named and left out, and the command then ends with exit code 1.
    """
    from facelab import detection
    from facelab.core.errors import BadInputError
    from facelab.detection import evaluate

    wanted = {"score_threshold": score_threshold, "nms_threshold": nms_threshold}
    options = {k: v for k, v in wanted.items() if v is not None}
    files = _files(Path(images), detection.find_images(images))
    truth = evaluate.read_labels(labels) if labels else None
    detector = detection.load(model, family=family, spec=spec, threads=threads, **options)
    described = detector.describe()
    operating = (
        evaluate.lowered(detector) if out or (truth and truth.boxes) else detector.score_threshold
    )
    result = evaluate.run(
        detector, files, progress=lambda items: progress(items, description=model, total=len(files))
    )
    for name, error in result.errors.items():
        note(f"{name}: {error}")
    if not result.found:
        raise BadInputError(
            "none of the images could be used",
            where=images,
            got=f"{len(result.errors)} errors",
            fix="see the messages above",
        )
    value = {
        "schema": "facelab.eval.detector/1",
        "model": described,
        "operating_threshold": operating,
        "images": len(result.found),
        "faces": sum(len(d.above(operating)) for d in result.found.values()),
        "errors": result.errors,
        "milliseconds": _speed(result.found),
    }
    if truth:
        value["labels"] = evaluate.score(
            _as_labelled(result.found, truth, Path(images), Path(labels)),
            truth,
            operating=operating,
            iou=iou,
            min_height=min_height,
            replicates=replicates,
            seed=seed,
        )
        value |= {
            k: value["labels"][k]
            for k in ("exact_count", "recall", "precision", "ap")
            if k in value["labels"]
        }
    value["detections"] = [
        {"path": name, "size": result.sizes[name], **d.above(operating).to_dict()}
        for name, d in result.found.items()
    ]
    if out:
        _write(out, result.found)
    emit_file(value, json_path, text=_text(value))
    if result.errors:
        raise click.exceptions.Exit(1)


def _files(root: Path, paths: list[Path]) -> dict[str, Path]:
    return {(p.relative_to(root).as_posix() if root.is_dir() else p.name): p for p in paths}


def _as_labelled(found: dict, truth, images: Path, labels: Path) -> dict:
    """Return detections keyed by the labels' own paths: relative to the images' folder, or to the CSV's."""
    if any(name in truth.counts for name in found):
        return found
    root = images if images.is_dir() else images.parent
    by_file = {(root / name).resolve(): d for name, d in found.items()}
    places = {(labels.parent / name).resolve(): name for name in truth.counts}
    return {places[path]: d for path, d in by_file.items() if path in places} or found


def _speed(found: dict) -> dict:
    import numpy as np

    timings = [d.timings for d in found.values() if d.timings]
    parts = {
        "pre": [t.pre for t in timings],
        "run": [t.run for t in timings],
        "post": [t.post for t in timings],
        "total": [t.total for t in timings],
    }
    return {
        k: {f"p{q}": round(float(np.percentile(v, q)) * 1e3, 3) for q in (50, 90, 99)}
        for k, v in parts.items()
    }


def _write(folder: str, found: dict) -> None:
    from facelab.datasets import write_predictions
    from facelab.detection.evaluate import predictions

    for name, detections in found.items():
        path = Path(name)
        write_predictions(
            folder,
            path.parent.as_posix() if path.parent.name else "images",
            path.stem,
            predictions(detections),
        )


def _text(value: dict) -> str:
    model, speed, labels = value["model"], value["milliseconds"], value.get("labels")
    lines = [
        f"{model['name']} ({model['family']}), score threshold {value['operating_threshold']:g}, "
        f"faces: {value['faces']}, images: {value['images']}"
    ]
    if labels:
        lines.append(
            f"exact count on {labels['exact_count']} of {labels['images']} labelled images"
        )
        lines += [
            f"  {n}: found {c['found']}, labelled {c['labelled']}"
            for n, c in labels["wrong_counts"].items()
        ]
    if labels and "recall" in labels:
        shown = {
            k: "–" if labels[k] is None else f"{labels[k]:.3f}"
            for k in ("recall", "precision", "ap")
        }
        span = "" if labels["ap_lo"] is None else f" [{labels['ap_lo']:.3f}, {labels['ap_hi']:.3f}]"
        lines.append(
            f"at IoU {labels['iou']:g}, {labels['counted_faces']} faces: recall {shown['recall']}, "
            f"precision {shown['precision']}, AP {shown['ap']}{span}"
        )
    lines.append(
        "milliseconds (P50 / P90 / P99): "
        + ", ".join(
            f"{k} {v['p50']:.1f} / {v['p90']:.1f} / {v['p99']:.1f}" for k, v in speed.items()
        )
    )
    return "\n".join(lines)

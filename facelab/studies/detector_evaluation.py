"""What notebook 06 asks: which detectors are here, how they do on scenes and photographs, what they miss."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab import detection
from facelab.core import machine
from facelab.core.errors import FacelabError
from facelab.core.progress import track
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.text_files import read_csv
from facelab.core.timing import summarise
from facelab.detection import Detections, Detector, NeuralDetector, available, load
from facelab.detection import internals as detection_internals
from facelab.detection.internals import families, overlap
from facelab.metrics.detection import Curve, average_precision, match
from facelab.preprocess.image import read_image
from facelab.zoo import load_catalogue
from facelab.zoo.internals import mirror
from facelab.zoo.runtimes import Model

LINEUP = (
    "yunet-n",
    "scrfd-2.5g",
    "yolov5n-0.5-face",
    "retinaface-mnet025-640",
    "ultraface-rfb-320",
    "blazeface-back",
    "mtcnn",
    "dlib-hog",
    "haar",
)
"""One model per family, the strongest first; dlib's CNN is left out: it takes seconds an image on a CPU."""


def lineup(names: Sequence[str] = LINEUP, *, threads: int = 1) -> dict[str, Detector]:
    """Load those of `names` that are on this machine."""
    here = {e.name for e in available()}
    return {n: load(n, threads=threads) for n in names if n in here}


def inventory() -> list[dict]:
    """Return one row per family: models that are here and models that are not (run only as constructed tests)."""
    here, entries = {e.name for e in available()}, load_catalogue().of_kind("detector")
    return [
        {
            "family": f,
            "here": ", ".join(e.name for e in entries if e.family == f and e.name in here) or "–",
            "not here": ", ".join(e.name for e in entries if e.family == f and e.name not in here)
            or "–",
        }
        for f in families()
    ]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Labelled images by name, and their boxes (n, 4) `xyxy`."""

    images: dict[str, np.ndarray]
    boxes: dict[str, np.ndarray]


def scenes(n: int, *, seed: int = 7, size: tuple[int, int] = (640, 480)) -> Pictures:
    """Render synthetic scenes of up to 12 people; boxes are those of the `hard` subset (10 pixels or more)."""
    from facelab.datasets.synthetic import scene

    made = {
        f"scene {k}": scene(seed, k, size, faces=2 + (5 * k) % 11, largest=160) for k in range(n)
    }
    boxes = {
        k: np.array([f.box for f in s.faces if f.in_subset("hard")]).reshape(-1, 4)
        for k, s in made.items()
    }
    return Pictures({k: s.image for k, s in made.items()}, boxes)


def photographs() -> Pictures | None:
    """Return the mirror's labelled WIDER photographs, or None without a mirror folder that holds them."""
    table = mirror.labelled("wider_boxes.csv")
    if table is None:
        return None
    boxes = detection.read_labels(table).boxes or {}
    return Pictures({n: read_image(table.parent / n) for n in boxes}, boxes)


def exact_counts(detectors: Mapping[str, Detector]) -> list[dict]:
    """Return one row per network of one stage: how many of the mirror's group photographs it counts exactly."""
    known = groups()
    single = {name: d for name, d in detectors.items() if known and isinstance(d, NeuralDetector)}
    return [
        {
            "detector": name,
            "exact": sum(len(d.detect(i)) == n for i, n in known.values()),
            "of": len(known),
        }
        for name, d in track(single.items(), "detectors")
    ]


def groups() -> dict[str, tuple[np.ndarray, int]]:
    """Return the mirror's photographs with exact counts, (image, faces) by path; empty without a mirror folder."""
    table = mirror.labelled("detection.csv")
    if table is None:
        return {}
    return {
        r["path"]: (read_image(table.parent / r["path"]), int(r["n_faces"]))
        for r in read_csv(table, "counted photographs", fix="correct the mirror")
        if r["exact"] == "1"
    }


def detect_all(
    detectors: Mapping[str, Detector], pictures: Pictures
) -> dict[str, dict[str, Detections]]:
    """Run every detector on every picture, network scores down to `AP_SCORE`; thresholds are put back."""
    out = {}
    for name, detector in track(detectors.items(), "detectors"):
        with detection_internals.precision_recall_threshold(detector):
            out[name] = {k: detector.detect(image) for k, image in pictures.images.items()}
    return out


def curve(
    found: Mapping[str, Detections], pictures: Pictures, *, iou: float, min_height: float = 10
) -> Curve:
    """Return precision and recall with AP and its interval over images; lower faces are ignored."""
    truths = [detection_internals.to_xywh(pictures.boxes[k]) for k in found]
    keep = np.concatenate([t[:, 3] >= min_height for t in truths])
    return average_precision(
        match([detection_internals.predictions(d) for d in found.values()], truths),
        keep,
        iou=iou,
        replicates=500,
    )


def cost_rows(
    names: Sequence[str],
    images: Sequence[np.ndarray],
    *,
    threads: Sequence[int] | None = None,
    repeats: int,
    kind: str = "detector",
    landmarks: Sequence[np.ndarray] | None = None,
) -> list[dict]:
    """Measure each model in its own process; one row per model and thread count, milliseconds and megabytes.

    `threads` are by default one, and as many as there are cores.
    """
    from facelab.studies.model_cost import cost

    rows = []
    counts = threads or sorted({1, machine.cores()})
    for name in track(names, f"{kind}s"):
        for n in counts:
            try:
                c = cost(kind, name, threads=n, images=images, repeats=repeats, landmarks=landmarks)
            except FacelabError as e:
                rows.append({"model": name, "threads": n, "error": e.got or e.what})
                continue
            total = summarise(c["total"])
            parts = {k: float(np.median(c[k])) * 1e3 for k in ("pre", "run", "post")}
            rows.append(
                {
                    "model": name,
                    "threads": n,
                    **parts,
                    "P50": total.p50 * 1e3,
                    "P90": total.p90 * 1e3,
                    "P99": total.p99 * 1e3,
                    "lo": total.lo * 1e3,
                    "hi": total.hi * 1e3,
                    "images/s": 1 / float(np.mean(c["total"])),
                    "n": total.n,
                    "load ms": c["load_s"] * 1e3,
                    "model MB": c["model_bytes"] / 1e6,
                    "peak MB": c["peak_bytes"] / 1e6,
                    "warning": total.warning,
                    "machine": machine.facts(threads=n, versions=("onnxruntime", "numpy")),
                    "samples": c["total"],
                }
            )
    return rows


def parts_of_time(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the bars of a stacked plot: milliseconds before, in and after the network of each row of `cost_rows`."""
    return [
        {
            "label": f"{r['model']}, {r['threads']} thr.",
            "pre": r["pre"],
            "run": r["run"],
            "post": r["post"],
        }
        for r in rows
    ]


def onnx_input(detectors: Mapping[str, Detector], image: np.ndarray) -> tuple[Model, np.ndarray]:
    """Return an ONNX model of the line-up and a tensor it takes: a detector's own input, or MTCNN's last network's."""
    for detector in detectors.values():
        if isinstance(detector, NeuralDetector) and detector.session.runtime == "onnx":
            return detector.session, detector.preparation(image)[0]
    from facelab.zoo.runtimes import open_model

    model = open_model(load_catalogue().model("mtcnn-onet"), threads=1)
    shape = tuple(n or 1 for n in model.inputs[0].shape)
    return model, np.zeros(shape, np.float32)


def failures(
    found: Mapping[str, Detections],
    pictures: Pictures,
    operating: float,
    *,
    iou: float,
    most: int = 8,
    min_height: float = 10,
) -> list[dict]:
    """Return the pictures with most missed faces and false alarms at the operating threshold, for a gallery."""
    items = []
    for name, detections in found.items():
        at, truth = detections.above(operating), pictures.boxes[name]
        table = overlap(truth, at.boxes)
        missed = (table.max(axis=1, initial=0) < iou) & (truth[:, 3] - truth[:, 1] >= min_height)
        alarms = int((table.max(axis=0, initial=0) < iou).sum())
        items.append(
            {
                "image": pictures.images[name],
                "found": at.boxes,
                "truth": truth,
                "missed": missed,
                "wrong": int(missed.sum()) + alarms,
                "caption": f"{Path(name).name[:16]}: {int(missed.sum())} missed, {alarms} false",
            }
        )
    return sorted(items, key=lambda i: -i["wrong"])[:most]


def int8_pair(
    detectors: Mapping[str, Detector],
    pictures: Pictures,
    folder: str | os.PathLike | None = None,
    *,
    repeats: int = 15,
) -> dict | None:
    """Quantise the first network that is one ONNX file of fixed input, and race it against its FP32 original.

    Returns name, seconds by contender, faces found by each, file sizes and the share of FP32's faces that INT8 finds
    too; None where no such detector is here. Calibration uses the pictures' first half, the faces the second. The
    quantised model is left in `folder`, if one is given.
    """
    if folder is None:
        with ScratchFolder() as passing:
            return int8_pair(detectors, pictures, passing, repeats=repeats)
    from facelab.studies.model_cost import quantised_copy, race
    from facelab.zoo.runtimes import open_model

    fixed = {
        n: d
        for n, d in detectors.items()
        if isinstance(d, NeuralDetector)
        and d.session.runtime == "onnx"
        and d.preparation.fixed_size
    }
    if not fixed:
        return None
    name, plain = next(iter(fixed.items()))
    names = list(pictures.images)
    tensors = [plain.preparation(pictures.images[k])[0] for k in names[: max(1, len(names) // 2)]]
    path = quantised_copy(plain.session, tensors, Path(folder) / "int8.onnx")
    small = type(plain)(f"{name} INT8", open_model(path, threads=plain.session.threads), plain.spec)
    seconds = race(
        {
            "FP32": lambda: plain.session.run(tensors[0]),
            "INT8": lambda: small.session.run(tensors[0]),
        },
        repeats=repeats,
    )
    faces = {"FP32": 0, "INT8": 0, "both": 0}
    for key in names[len(names) // 2 :]:
        a, b = plain.detect(pictures.images[key]), small.detect(pictures.images[key])
        faces["FP32"] += len(a)
        faces["INT8"] += len(b)
        faces["both"] += int((overlap(a.boxes, b.boxes).max(axis=1, initial=0) >= 0.5).sum())
    return {
        "name": name,
        "seconds": seconds,
        "faces": faces,
        "bytes": {"FP32": plain.session.path.stat().st_size, "INT8": path.stat().st_size},
    }

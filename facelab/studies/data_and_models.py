"""What notebooks 00 and 01 show: what is here, and every model at work on one real photograph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab import detection, embedding
from facelab.core import fresh
from facelab.core.errors import FacelabError
from facelab.core.progress import track
from facelab.core.timing import summarise
from facelab.preprocess import read_image
from facelab.session import Run
from facelab.studies.detector_evaluation import groups
from facelab.zoo import find, load_catalogue

if TYPE_CHECKING:
    import pandas as pd

MIB = 1 << 20
FACE = np.array([[178.0, 70.0, 270.0, 172.0]], dtype=np.float32)
"""The astronaut's face, `xyxy` pixels, drawn by eye from hairline to chin."""
LONGEST_S = 6.0
"""A slow model is timed for about this long, but at least three times."""


def astronaut() -> np.ndarray:
    """Return scikit-image's photograph of an astronaut, uint8 RGB (512, 512, 3), public domain (NASA)."""
    from skimage import data

    return data.astronaut()


def catalogue_table() -> pd.DataFrame:
    """Return the catalogue: one row per model, its file here, licence, and the command that gets it."""
    import pandas as pd

    rows = []
    for entry in load_catalogue():
        try:
            found = find(entry)
            place = found.place if found else "–"
        except FacelabError as e:
            place = f"faulty: {e.what}"
        rows.append(
            {
                "model": entry.name,
                "kind": entry.kind,
                "family": entry.family,
                "runtime": entry.runtime,
                "here": place,
                "licence": entry.licence,
            }
        )
    return pd.DataFrame(rows)


def checks_table(checks: list) -> pd.DataFrame:
    """Return the doctor's findings: area, what was looked at, status, detail, remedy."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "area": c.area,
                "what": c.name,
                "status": c.status,
                "detail": c.detail,
                "fix": c.fix or "",
            }
            for c in checks
        ]
    )


def detect_all(image: np.ndarray, names: list[str]) -> dict[str, detection.Detections]:
    """Run each named detector on one RGB image."""
    return {name: detection.load(name).detect(image) for name in track(names, "detectors")}


def hits(found: dict[str, detection.Detections]) -> list[dict]:
    """One row per detector: does a box overlap the astronaut's face (IoU ≥ 0.4), how many boxes do not."""
    from facelab.detection.internals import overlap

    rows = []
    for name, faces in found.items():
        on_face = overlap(faces.boxes, FACE)[:, 0] >= 0.4 if len(faces) else np.zeros(0, bool)
        rows.append(
            {
                "model": name,
                "face found": bool(on_face.any()),
                "boxes elsewhere": int((~on_face).sum()),
            }
        )
    return rows


def best_face(found: dict[str, detection.Detections]) -> detection.Detections:
    """Return the most confident face of a detector with landmarks. Raises ValueError where no detector has any."""
    with_points = [d for d in found.values() if d.landmarks is not None and len(d)]
    if not with_points:
        raise ValueError("no detector here gives landmarks")
    return with_points[0].take(np.array([0]))


def mirror_similarity(
    image: np.ndarray, face: detection.Detections, names: list[str]
) -> list[dict]:
    """Return one row per embedder: cosine between one face and its mirror image, each found by its own landmarks."""
    flipped = np.ascontiguousarray(image[:, ::-1])
    assert face.landmarks is not None, "best_face() returns one with landmarks"
    other = face.mirrored(image.shape[1])
    rows = []
    for name in names:
        model = embedding.load(name)
        a = model.embed(image, face.landmarks, boxes=face.boxes, normalise=True)[0]
        b = model.embed(flipped, other.landmarks, boxes=other.boxes, normalise=True)[0]
        rows.append(
            {
                "model": name,
                "dimensions": model.dim,
                "found by": model.needs,
                "cosine": float(a @ b),
            }
        )
    return rows


def measure_detector(name: str, image: str, repeats: int) -> dict[str, Any]:
    """Load a detector and time whole calls on an image file (called in a fresh process). Seconds."""
    detector, pixels = detection.load(name), read_image(image)

    def once() -> float:
        timings = detector.detect(pixels).timings
        assert timings is not None, "a detector measures itself"
        return timings.total

    return {"seconds": _timed(once, repeats)}


def measure_embedder(name: str, crop: str, repeats: int) -> dict[str, Any]:
    """Load an embedder and time one crop (`.npy`, called in a fresh process). Seconds."""
    model, pixels = embedding.load(name), np.load(crop)

    def once() -> float:
        model.embed(pixels)
        assert model.timings is not None, "an embedder measures itself"
        return model.timings.total

    return {"seconds": _timed(once, repeats), "dim": model.dim}


def _timed(once: Callable[[], float], repeats: int) -> list[float]:
    once()
    seconds: list[float] = []
    while len(seconds) < repeats and (len(seconds) < 3 or sum(seconds) < LONGEST_S):
        seconds.append(once())
    return seconds


def costs(
    kind: str, names: list[str], files: dict[str, Path] | Path, *, repeats: int, threads: int = 1
) -> list[dict]:
    """Measure models one after the other, each in a fresh process: seconds per call, memory above the bare process.

    `kind` is `detector` or `embedder`; `files` is the image, or one file per name. Returns one row per model with
    the raw samples, so that the notebook can store them.
    """
    rows = []
    for name in track(names, f"{kind}s"):
        file = files[name] if isinstance(files, dict) else files
        answer = fresh.call(
            f"facelab.studies.data_and_models:measure_{kind}",
            name,
            str(file),
            repeats,
            threads=threads,
        )
        s = summarise(np.array(answer.value["seconds"]))
        rows.append(
            {
                "model": name,
                "kind": kind,
                "P50 [ms]": s.p50 * 1e3,
                "P90 [ms]": s.p90 * 1e3,
                "memory [MiB]": (answer.peak_rss - answer.base_rss) / MIB,
                "note": s.warning or "",
                "samples": np.array(answer.value["seconds"]),
            }
        )
    return rows


def cost_table(rows: list[dict]) -> pd.DataFrame:
    """Return the costs as a table, without the raw samples."""
    import pandas as pd

    return pd.DataFrame([{k: v for k, v in r.items() if k != "samples"} for r in rows]).round(2)


def record_costs(run: Run, rows: list[dict]) -> None:
    """Store latency (with its raw samples, the machine and any warning) and memory of each model."""
    from facelab.core.machine import facts

    machine = facts(
        threads=1, versions=("numpy", "onnxruntime", "ai-edge-litert", "opencv-python-headless")
    )
    for row in rows:
        s = summarise(row["samples"])
        run.record(
            row["model"],
            "latency",
            s.p50 * 1e3,
            unit="ms",
            better="lower",
            lo=s.lo * 1e3,
            hi=s.hi * 1e3,
            n=s.n,
            method="median, rank interval",
            machine=machine,
            warning=s.warning,
            samples=row["samples"],
        )
        run.record(
            row["model"], "memory", row["memory [MiB]"], unit="MiB", better="lower", machine=machine
        )


def face_crops(
    image: np.ndarray, face: detection.Detections, names: list[str], folder: Path
) -> dict[str, Path]:
    """Write the crop that each embedder would see of one face as `.npy`; return the files by name."""
    from facelab.core.files import write_npy
    from facelab.preprocess import apply
    from facelab.preprocess.align import align

    files = {}
    assert face.landmarks is not None, "best_face() returns one with landmarks"
    for name in names:
        model = embedding.load(name)
        width, height = model.input_size
        crop = (
            align(image, face.landmarks[0], width)
            if width in (112, 128)
            else _box_crop(apply, image, face.boxes[0], width, height)
        )
        files[name] = write_npy(folder / f"{name}.npy", crop)
    return files


def _box_crop(apply: Any, image: np.ndarray, box: Any, width: Any, height: Any) -> np.ndarray:
    from facelab.preprocess import PreprocessSpec
    from facelab.preprocess.ops import FACE_SQUARE, RESIZE_ANTIALIASED

    spec = PreprocessSpec(
        "crop",
        [
            {
                "op": "decode",
                "format": "rgb24",
                "order": "rgb",
                "size": [image.shape[1], image.shape[0]],
            },
            {**FACE_SQUARE, "margin": 0.25},
            {**RESIZE_ANTIALIASED, "size": [width, height]},
        ],
    )
    return apply(spec, image, face=tuple(float(v) for v in box))


def save_png(image: np.ndarray, path: Path) -> Path:
    """Write an RGB image as PNG and return the path."""
    from PIL import Image

    Image.fromarray(image).save(path)
    return path


def count_table(counts: pd.DataFrame | None) -> pd.DataFrame | str:
    """Return the counts with a last row: the share of photographs that each detector counted exactly."""
    import pandas as pd

    if counts is None:
        return "Not looked at: FACELAB_MIRROR names no folder with labelled/detection.csv."
    exact = {c: f"{(counts[c] == counts['faces']).mean():.0%}" for c in counts.columns[2:]}
    return pd.concat(
        [counts, pd.DataFrame([{"photograph": "counted exactly", "faces": "", **exact}])],
        ignore_index=True,
    )


def record_counts(run: Run, counts: pd.DataFrame | None) -> str:
    """Store how many photographs each detector counted exactly; return a sentence for the notebook."""
    if counts is None:
        return "no group photographs, no record"
    for name in counts.columns[2:]:
        right = int(np.sum(counts[name].to_numpy() == counts["faces"].to_numpy()))
        run.record(
            name, "photographs_counted", right, unit="photographs", better="higher", n=len(counts)
        )
    return f"{len(counts)} photographs, {len(counts.columns) - 2} detectors"


def exact_counts(names: list[str]) -> pd.DataFrame | None:
    """Count faces on the mirror's labelled group photographs; None without a mirror folder that has them.

    Columns: photograph, faces (labelled exactly), then one column per detector with the number it found.
    """
    import pandas as pd

    known = groups()
    if not known:
        return None
    detectors = {name: detection.load(name) for name in names}
    return pd.DataFrame(
        [
            {
                "photograph": Path(path).stem,
                "faces": faces,
                **{name: len(d.detect(image)) for name, d in detectors.items()},
            }
            for path, (image, faces) in track(known.items(), "photographs")
        ]
    )

"""Annotations in the text form of WIDER FACE, and its easy, medium and hard subsets as text instead of .mat files."""

from __future__ import annotations

from pathlib import Path

from facelab.core.files import write_text
from facelab.datasets.synthetic.tasks._scenes import SUBSETS

ANNOTATIONS = "wider_face_bbx_gt.txt"


def write_wider(folder: Path, entries: list[dict], names: list[str]) -> list[str]:
    """Write the annotations and subsets of scenes; return the files' names.

    `wider_face_bbx_gt.txt`: for each picture its file, the number of faces, and one line per face: `x y w h blur
    expression illumination invalid occlusion pose` (a line of zeros where there is none, as WIDER does).
    `wider_easy.txt` (medium, hard): for each picture its file, the number of faces that count, and their numbers, from
    1, in the order of the annotations: what `gt_list` holds in WIDER's .mat files.
    """
    annotations, subsets = [], {name: [] for name in SUBSETS}
    for name, entry in zip(names, entries, strict=True):
        rows = entry["rows"]
        annotations += [
            name,
            str(len(rows)),
            *(map(_line, rows) if rows else ["0 0 0 0 0 0 0 0 0 0"]),
        ]
        for subset, lines in subsets.items():
            chosen = [k + 1 for k, row in enumerate(rows) if row[subset]]
            lines += [name, str(len(chosen)), *map(str, chosen)]
    write_text(folder / ANNOTATIONS, "\n".join(annotations) + "\n")
    for subset, lines in subsets.items():
        write_text(folder / f"wider_{subset}.txt", "\n".join(lines) + "\n")
    return [ANNOTATIONS, *(f"wider_{subset}.txt" for subset in SUBSETS)]


def _line(row: dict) -> str:
    x, y = round(row["x1"]), round(row["y1"])
    w, h = round(row["x2"]) - x, round(row["y2"]) - y
    exaggerated = int(row["emotion"] in ("surprise", "disgust", "fear") and row["intensity"] > 0.8)
    turned = int(abs(row["yaw"]) > 35 or abs(row["roll"]) > 20 or abs(row["pitch"]) > 20)
    return f"{x} {y} {w} {h} {row['blur']} {exaggerated} 0 {row['invalid']} {row['occlusion']} {turned}"

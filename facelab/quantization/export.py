"""What a quantisation leaves behind: the file, its spec with the quantize stage, labels, split, manifest and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facelab.core.files import write_bytes, write_json, write_text
from facelab.core.safety.scratch import ScratchFolder
from facelab.emotion.internals import SPLIT
from facelab.quantization import measure
from facelab.quantization._session import Session
from facelab.zoo.runtimes import open_model

MANIFEST, REPORT = "calibration.json", "quantization.json"


def with_spec(session: Session, variant: str, target: Path) -> Path:
    """Copy a variant's file to `target` and write its spec, quantize stage included, beside it; return `target`."""
    write_bytes(target, session.files[variant].read_bytes())
    measure.with_quantize(session.subject.spec, open_model(target, threads=1, made_here=True)).save(
        target.with_suffix(".preprocess.json")
    )
    return target


def write_labels(session: Session, folder: Path) -> None:
    """Write `labels.txt`, where the model has classes."""
    if session.subject.classes:
        write_text(folder / "labels.txt", "\n".join(session.subject.classes) + "\n")


def write(
    session: Session,
    variants: dict[str, str],
    out: Path,
    report: dict[str, Any],
    manifest: dict[str, Any] | None,
) -> list[str]:
    """Write the files of `variants` (variant → file stem), their specs, and the JSON documents into `out`.

    Everything is made in a folder beside `out` and moved file by file at the end, so a failure leaves nothing.
    Returns the names written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ScratchFolder(dir=out, prefix=".quantize-") as name:
        folder = Path(name)
        for variant, stem in variants.items():
            with_spec(session, variant, folder / f"{stem}{session.files[variant].suffix}")
        write_labels(session, folder)
        if (split := session.subject.file.parent / SPLIT).is_file():
            write_bytes(folder / SPLIT, split.read_bytes())
        if manifest is not None:
            write_json(folder / MANIFEST, manifest)
        write_json(folder / REPORT, report)
        names = sorted(p.name for p in folder.iterdir())
        for file in names:
            (folder / file).replace(out / file)
    return names

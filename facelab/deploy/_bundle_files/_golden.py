"""Golden tensors and outputs of a bundle: for all probes, or for those that fit."""

from __future__ import annotations

import numpy as np

from facelab.core.files import write_json, write_npy
from facelab.deploy import _decoding, golden
from facelab.deploy._bundle_files._contents import Contents
from facelab.deploy._source import Source
from facelab.detection import NeuralDetector
from facelab.zoo.runtimes import Model, check_spec

ROOM = 10_000_000
"""What a bundle may weigh beside twice its model, bytes; one golden tensor is kept whatever it weighs."""
KEPT_FOR_LAST = 500_000
"""Of that, what the README, code, cards and the manifest take."""
FIRST = ("face", "portrait", "marks", "jpeg_420", "exif_6", "bars")
"""Probes whose golden tensors are kept first where not all of them fit: a face, and the commonest mistakes."""


def put_golden(
    contents: Contents, model: Model, source: Source, probes: list[str], every: bool
) -> tuple[list[str], str]:
    """Write golden outputs; return the probes that have them, and how a detector's outputs become boxes."""
    room = None if every else 2 * contents.model.stat().st_size + ROOM - contents.bytes()
    detector = _decoding.detector_of(source)
    kept = _outputs(contents, model, source, probes, room, detector)
    if detector is None:
        return kept, ""
    write_json(contents.add("decoding.json", "decoding"), detector.decoding())
    return kept, _decoding.page(detector.decoding())


def _outputs(
    contents: Contents,
    model: Model,
    source: Source,
    probes: list[str],
    room: int | None,
    detector: NeuralDetector | None,
) -> list[str]:
    """Write golden outputs (and a detector's boxes) and return the probes that have them: all, or those that fit."""
    check_spec(model, source.spec)
    add, tensors = contents.add, contents.folder / "golden" / "tensors"
    place = {p: k for k, p in enumerate(FIRST)}
    kept: list[str] = []
    boxes: dict[str, list] = {}
    for probe in sorted(probes, key=lambda p: place.get(p, len(place))):
        file = tensors / f"{probe}.npy"
        size = file.stat().st_size
        if room is not None and kept and size > room - KEPT_FOR_LAST:
            file.unlink()
            continue
        answers = golden.rerun(model, tensors, [probe], seconds=0)[probe]
        size += sum(a.nbytes for a in answers)
        if room is not None and kept and size > room - KEPT_FOR_LAST:
            file.unlink()
            continue
        golden.check_finite(answers, probe, source.path)
        add(f"golden/tensors/{probe}.npy", "golden_tensor")
        for k, array in enumerate(answers):
            write_npy(add(f"golden/outputs/{golden.file_name(probe, k)}", "golden_output"), array)
        if detector is not None:
            boxes[probe] = _decoding.golden_boxes(detector, model, np.load(file), answers)
        kept.append(probe)
        room = None if room is None else room - size
    if boxes:
        write_json(add("golden/boxes.json", "golden_boxes"), boxes)
    return [p for p in probes if p in kept]

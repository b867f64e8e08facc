"""Golden tensors and outputs of a bundle: for all probes, or for those that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facelab.core.files import write_json, write_npy
from facelab.deploy import _decoding, golden
from facelab.deploy._bundle_files._contents import Contents
from facelab.deploy._source import Source
from facelab.detection import NeuralDetector
from facelab.zoo.runtimes import Model, check_spec

ROOM = 10_000_000
"""What a bundle may weigh beside twice its model, bytes; generated code comes on top, and is asked for."""
KEPT_FOR_LAST = 500_000
"""Of that, what the README, the decoding with its boxes and the manifest take."""
FIRST = ("face", "portrait", "marks", "jpeg_420", "exif_6", "bars")
"""Probes whose golden tensors are kept first where not all of them fit: a face, and the commonest mistakes."""


def put_golden(
    contents: Contents, model: Model, source: Source, probes: list[str], every: bool
) -> tuple[list[str], str]:
    """Write golden outputs; return the probes that have them, and how a detector's outputs become boxes."""
    room = 2 * contents.model.stat().st_size + ROOM - KEPT_FOR_LAST - contents.bytes()
    detector = _decoding.detector_of(source)
    kept = _Golden(contents, model, source, detector).put(probes, None if every else room)
    if detector is None:
        return kept, ""
    write_json(contents.add("decoding.json", "decoding"), detector.decoding())
    return kept, _decoding.page(detector.decoding())


class _Golden:
    """Golden tensors, outputs and a detector's boxes, probe by probe until the room is used up."""

    def __init__(
        self, contents: Contents, model: Model, source: Source, detector: NeuralDetector | None
    ):
        check_spec(model, source.spec)
        self.contents, self.model, self.source, self.detector = contents, model, source, detector
        self.tensors = contents.folder / "golden" / "tensors"
        self.boxes: dict[str, list] = {}

    def put(self, probes: list[str], room: int | None) -> list[str]:
        """Keep all probes without `room`, else those that fit into it; return them in the order given.

        Tensors that do not all fit as they are get packed. Where no probe fits, the smallest is kept: a model without
        any golden output cannot be tested.
        """
        place = {p: k for k, p in enumerate(FIRST)}
        files = {p: self.tensors / f"{p}.npy" for p in probes}
        if room is not None and sum(f.stat().st_size for f in files.values()) > room:
            files = {p: golden.pack(f) for p, f in files.items()}
        weights = {p: f.stat().st_size for p, f in files.items()}
        kept: list[str] = []
        for probe in sorted(probes, key=lambda p: place.get(p, len(place))):
            if room is not None and weights[probe] > room:
                continue
            answers = self._answers(probe)
            size = weights[probe] + sum(a.nbytes for a in answers)
            if room is not None and size > room:
                continue
            self._keep(files[probe], probe, answers)
            kept.append(probe)
            room = None if room is None else room - size
        if not kept:
            probe = min(probes, key=weights.__getitem__)
            self._keep(files[probe], probe, self._answers(probe))
            kept.append(probe)
        for probe in set(probes) - set(kept):
            files[probe].unlink()
        if self.boxes:
            write_json(self.contents.add("golden/boxes.json", "golden_boxes"), self.boxes)
        return [p for p in probes if p in kept]

    def _answers(self, probe: str) -> list[np.ndarray]:
        answers = golden.rerun(self.model, self.tensors, [probe], seconds=0)[probe]
        golden.check_finite(answers, probe, self.source.path)
        return answers

    def _keep(self, file: Path, probe: str, answers: list[np.ndarray]) -> None:
        self.contents.add(f"golden/tensors/{file.name}", "golden_tensor")
        for k, array in enumerate(answers):
            name = f"golden/outputs/{golden.file_name(probe, k)}"
            write_npy(self.contents.add(name, "golden_output"), array)
        if self.detector is not None:
            tensor = golden.read_tensor(file)
            self.boxes[probe] = _decoding.golden_boxes(self.detector, self.model, tensor, answers)

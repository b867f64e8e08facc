"""The closed list of causes, most important first, with the usual cost of each and the sentence that fixes it."""

from __future__ import annotations

import dataclasses
from typing import Any

KINDS = (
    "decoder",
    "exif_orientation",
    "channel_order",
    "gray_weights",
    "yuv_range",
    "yuv_matrix",
    "resize_kernel",
    "antialias",
    "pixel_centers",
    "resize_order",
    "crop",
    "margin",
    "aspect",
    "shift",
    "alignment_template",
    "rotation",
    "flip",
    "transpose",
    "layout",
    "batch_axis",
    "mean",
    "scale",
    "value_range",
    "double_normalization",
    "missing_normalization",
    "gamma",
    "histogram",
    "dtype",
    "rounding",
    "saturation",
    "quantization",
    "size",
    "unknown",
)

SEVERITY = {
    # top-1 agreement of two public emotion networks on 1591 faces under the mistake decides: below 95 % fails, 95 to
    # 98 % warns, above is benign; kinds that were not measured stop or change the model's input altogether and fail
    "decoder": "warn",
    "exif_orientation": "fail",
    "channel_order": "fail",
    "gray_weights": "warn",
    "yuv_range": "fail",
    "yuv_matrix": "warn",
    "resize_kernel": "fail",
    "antialias": "fail",
    "pixel_centers": "fail",
    "resize_order": "fail",
    "crop": "fail",
    "margin": "fail",
    "aspect": "fail",
    "shift": "fail",
    "alignment_template": "fail",
    "rotation": "fail",
    "flip": "fail",
    "transpose": "fail",
    "layout": "fail",
    "batch_axis": "warn",
    "mean": "fail",
    "scale": "fail",
    "value_range": "fail",
    "double_normalization": "fail",
    "missing_normalization": "fail",
    "gamma": "fail",
    "histogram": "fail",
    "dtype": "warn",
    "rounding": "benign",
    "saturation": "warn",
    "quantization": "warn",
    "size": "fail",
    "unknown": "fail",
}
"""The built-in table, used while the cost was not measured with a model (`--model`)."""

FIX = {
    "decoder": "inference decodes images differently ({infer}); use the training decoder, or libjpeg's accurate DCT",
    "exif_orientation": "make both sides treat EXIF orientation alike: training {train}, inference {infer}",
    "channel_order": "inference feeds {infer} where training fed {train}; read or convert the pixels as training did",
    "gray_weights": "convert to gray with the training weights, {train}, not {infer}",
    "yuv_range": "convert YUV with the range the frames have ({train}); inference: {infer}",
    "yuv_matrix": "convert YUV with the training matrix ({train}); inference: {infer}",
    "resize_kernel": "resize with {train} at inference, not {infer}",
    "antialias": "switch antialiasing to the training setting: {train}; inference has {infer}",
    "pixel_centers": "use the training pixel centres ({train}); inference has {infer}",
    "resize_order": "do the geometry in the training order: {train}; inference: {infer}",
    "crop": "cut out the same region: training {train}, inference {infer}",
    "margin": "use the training margin around the face: training {train}, inference {infer}",
    "aspect": "treat the aspect ratio alike: training {train}, inference {infer}",
    "shift": "place the picture where training had it: {train}; inference: {infer}",
    "alignment_template": "align to the training template ({train}); inference: {infer}",
    "rotation": "turn the picture as in training: {train}; inference: {infer}",
    "flip": "remove the mirroring: training {train}, inference {infer}",
    "transpose": "swap the axes back: training {train}, inference {infer} (height and width mixed up)",
    "layout": "write the tensor as {train}, not {infer}",
    "batch_axis": "give the batch axis training had: {train}, not {infer}",
    "mean": "subtract the training mean: {train}; inference: {infer}",
    "scale": "divide by the training scale: {train}; inference: {infer}",
    "value_range": "scale the values to training's range: {train}; inference: {infer}",
    "double_normalization": "normalise once: training {train}, inference {infer}",
    "missing_normalization": "apply the training normalisation, {train}; inference gives {infer}",
    "gamma": "remove the tone curve: training {train}, inference {infer}",
    "histogram": "treat contrast alike: training {train}, inference {infer}",
    "dtype": "give the model {train}, not {infer}",
    "rounding": "round as in training ({train}); inference: {infer}",
    "saturation": "do not clip or wrap values: training {train}, inference {infer}",
    "quantization": "quantise with the training scale and zero point: training {train}, inference {infer}",
    "size": "resize as in training: {train}, not {infer}",
    "unknown": "compare the two pipelines stage by stage: capture both with stage hooks or specs",
}
CHROMA_FIX = (
    "read the chroma planes in training's order: NV12 and I420 have U first, NV21 and YV12 V"
)

BYTES_FIX = "read the bytes as they were written, {train}; inference: {infer}"
CODEC_FIX = "do not store the picture with losses between the sides (store PNG): inference {infer}"
DETERMINISM_FIX = "switch off what is random (augmentation, dropout, dithering) or fix its seed, then capture again"


SMALL_SHARE, SMALL_LEVELS = 0.05, 2.0
"""A finding that explains less than both, beside one that explains most, is a note."""


def _exchange(layout: str) -> str:
    """How to exchange the channels of pixels and of a tensor in this layout; the other index would mirror it."""
    pixels = "; for pixels, height × width × channel, that is x[..., ::-1]"
    index = {"nchw": "x[:, ::-1]", "chw": "x[::-1]"}.get(layout)
    if index is None:
        return pixels
    return (
        f"{pixels}; on the {layout.upper()} tensor {index}, and only if all channels have one mean "
        f"and scale (x[..., ::-1] mirrors {layout.upper()})"
    )


@dataclasses.dataclass
class Finding:
    """One cause. `evidence` holds the figure (`value`, `unit`, `probe`) and `explains`, the share of the difference's
    power this cause accounts for (0…1, None where it is not a matter of values).

    Examples
    --------
    >>> found = Finding("channel_order", "color", "RGB", "BGR", {"value": 1.0, "unit": "", "probe": "face"})
    >>> found.severity, found.to_dict()["kind"]
    ('fail', 'channel_order')
    """

    kind: str
    stage: str
    training: str
    inference: str
    evidence: dict[str, Any]
    severity: str = ""
    severity_from: str = "built-in table"
    fix: str = ""
    layout: dataclasses.InitVar[str] = ""

    def __post_init__(self, layout: str) -> None:
        assert self.kind in KINDS, self.kind
        self.severity = self.severity or SEVERITY[self.kind]
        fix = FIX[self.kind]
        if self.kind == "layout" and ("stride" in self.inference or self.stage == "decode"):
            fix = BYTES_FIX
        if self.kind == "decoder" and "recompressed" in self.inference:
            fix = CODEC_FIX
        if self.kind == "channel_order":
            fix = CHROMA_FIX if "chroma" in self.training else fix
            if self.training == self.inference[::-1]:
                fix += _exchange(layout)
        self.fix = self.fix or fix.format(train=self.training, infer=self.inference)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON."""
        return {
            "kind": self.kind,
            "stage": self.stage,
            "training": self.training,
            "inference": self.inference,
            "evidence": self.evidence,
            "severity": self.severity,
            "severity_from": self.severity_from,
            "fix": self.fix,
        }


def ordered(findings: list[Finding]) -> tuple[list[Finding], list[str]]:
    """Return (findings, notes): one finding a kind, what explains most first, then in the closed list's order.

    A kind's later finding only adds to the evidence. Beside a finding that explains most of the difference, one that
    explains hardly anything is a note.
    """
    first: dict[str, Finding] = {}
    for f in sorted(findings, key=lambda f: KINDS.index(f.kind)):
        first.setdefault(f.kind, f)
    shares = {k: f.evidence.get("explains") for k, f in first.items()}
    large = max((s for s in shares.values() if s is not None), default=0.0) >= 0.5
    small = {
        k
        for k, s in shares.items()
        if large
        and s is not None
        and s < SMALL_SHARE
        and first[k].evidence.get("levels", 0.0) < SMALL_LEVELS
    }

    def place(f: Finding) -> float:
        if f.kind == "size":
            return -2.0  # tensors of another size cannot be fed at all
        share = shares[f.kind]
        return -0.9 if share is None else -round(share, 1)

    notes = [
        f"{f.kind} explains {shares[f.kind]:.1%} only: training {f.training}; inference {f.inference}"
        for k, f in first.items()
        if k in small
    ]
    return sorted((f for k, f in first.items() if k not in small), key=place), notes

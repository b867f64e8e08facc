"""The closed list of causes, most important first, with the usual cost of each and the sentence that mends it."""

from __future__ import annotations

import dataclasses

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
    "channel_order": "inference feeds {infer} where training fed {train}; convert with cv2.cvtColor or x[..., ::-1]",
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

DETERMINISM_FIX = "switch off what is random (augmentation, dropout, dithering) or fix its seed, then capture again"


@dataclasses.dataclass
class Finding:
    """One cause. `evidence` holds the figure (`value`, `unit`, `probe`) and `explains`, the share of the difference's
    power this cause accounts for (0…1, None where it is not a matter of values)."""

    kind: str
    stage: str
    training: str
    inference: str
    evidence: dict
    severity: str = ""
    severity_from: str = "built-in table"
    fix: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind
        self.severity = self.severity or SEVERITY[self.kind]
        fix = (
            CHROMA_FIX
            if self.kind == "channel_order" and "chroma" in self.training
            else FIX[self.kind]
        )
        self.fix = self.fix or fix.format(train=self.training, infer=self.inference)

    def to_dict(self) -> dict:
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


def ordered(findings: list[Finding]) -> list[Finding]:
    """Return findings in the closed list's order, one a kind; a kind's later finding only adds to the evidence."""
    out: dict[str, Finding] = {}
    for f in sorted(findings, key=lambda f: KINDS.index(f.kind)):
        out.setdefault(f.kind, f)
    return list(out.values())

"""Why two sides differ, found from their samples alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from facelab.fingerprint.diagnosis._distance import distance, same
from facelab.fingerprint.diagnosis._finding_kinds import Finding
from facelab.fingerprint.diagnosis._interface import interface_changes, reinterpreted
from facelab.fingerprint.diagnosis._sample_relation import Relation, relate
from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model._budget import TRAINING_SHARE, Budget
from facelab.fingerprint.model._linear_fit import LEVELS
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._operations import Align, Warp
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.probes._cache import EXOTIC, pictures
from facelab.fingerprint.search._identify import (
    applies_exif,
    border_levels,
    comparable_scaling,
    identify,
    infer_side,
    lossy_error,
    other_geometry,
    plain_error,
    start_of,
    steps_of,
)
from facelab.fingerprint.search._local_contrast import unevenly_lit
from facelab.fingerprint.search.candidates import _colour as colour

VALUE_KINDS = (
    "mean",
    "scale",
    "value_range",
    "yuv_range",
    "yuv_matrix",
    "gamma",
    "histogram",
    "saturation",
    "quantization",
    "double_normalization",
    "missing_normalization",
)
"""Causes that change a border's value too."""
CLOSE = 2.5
"""RMS residual in levels within which two sides explain each other without a pipeline behind them."""

SEEN = 0.04
"""The share of the output's samples that must be picture for its colours to be told."""


class Causes:
    """The search for causes on the probes `names`; `seek` fills `findings` and `notes`.

    Making one recognises the training side's pipeline and measures, per probe, how far apart the sides are
    (`distances`, in levels of 8-bit input).
    """

    def __init__(self, train: Fingerprint, infer: Fingerprint, names: list[str]):
        self.train, self.infer, self.names = train, infer, names
        self.known = pictures()
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.unit = self._unit()
        self.distances = {n: distance(train, infer, n, self.unit) for n in names}
        self.interface = interface_changes(train, infer, names)

    def same(self, name: str) -> bool:
        """Whether one probe's difference is rounding, or the noise of two accurate JPEG decoders."""
        d = self.distances[name]
        plain = [
            e["rms"] for n, e in self.distances.items() if e is not None and self.known[n].plain
        ]
        return d is not None and same(self.known[name], d, plain)

    def find(self, change: Change, evidence: dict) -> None:
        """Add a finding."""
        self.findings.append(
            Finding(change.kind, change.stage, change.before, change.after, evidence)
        )

    def _unit(self) -> np.ndarray:
        """The size of one 8-bit level in each of the training side's output channels."""
        self.budget = Budget()
        self.budget.limit = TRAINING_SHARE * self.budget.total
        self.left = Observed(self.train, self.names, self.budget)
        self.a = identify(self.train, self.left)
        self.budget.limit = self.budget.total
        if self.a.good:
            return self.a.linear.unit
        values = [self.train.output[n]["moments"] for n in self.names]
        lo, hi = (
            np.min([v["min"] for v in values], axis=0),
            np.max([v["max"] for v in values], axis=0),
        )
        return np.maximum((hi - lo) / LEVELS, 1e-12)

    def seek(self) -> float | None:
        """Find the causes and return the share of the difference that they explain, None where it cannot be told."""
        plain = [n for n in self.names if self.known[n].plain or self.known[n].range == "limited"]
        differs = [n for n in plain if not self.same(n)]
        self.right = Observed(self.infer, self.names, self.budget)
        self._nonfinite()
        if differs:
            return self._pipeline()
        self.b = self.a
        return self._by_class()

    def _nonfinite(self):
        """NaN and infinity are no pixels of any pipeline; they count however few they are."""
        odd = [n for n, d in self.distances.items() if d is not None and d["nonfinite"]]
        if odd:
            words = [
                f"NaN or infinity on {count} probes" if count else "finite numbers"
                for side in (self.train, self.infer)
                for count in [sum("nonfinite" in side.output[n] for n in odd)]
            ]
            self.find(Change("unknown", "output", *words), self._evidence(odd[0], None))

    def _by_class(self) -> float | None:
        """Plain pictures agree: only decoding, orientation or the reading of YUV can differ."""
        worst = {
            n: d
            for n, d in self.distances.items()
            if d is not None and not self.same(n) and n not in EXOTIC
        }
        turned = {n for n in worst if self.known[n].source.orientation != 1}
        lossy = {n for n in worst if self.known[n].lossy} - turned
        upright = [
            n for n in self.names if self.known[n].lossy and self.known[n].source.orientation == 1
        ]
        if turned and not lossy & set(upright):
            self._exif_finding()
            if not any(f.kind == "exif_orientation" for f in self.findings):
                self._class_finding(
                    "exif_orientation", "orient", turned, "as training", "otherwise"
                )
        elif lossy or turned:
            self._class_finding("decoder", "decode", lossy or turned, *self._decoders())
            self._exif_finding()
        rest = set(worst) - turned - lossy
        for n in sorted(rest):
            if n == "alpha":
                self._class_finding(
                    "decoder", "decode", {n}, "transparency as in training", "composited or dropped"
                )
            elif self.known[n].range:
                self._class_finding(
                    "yuv_range", "color", {n}, "full-range frames as in training", "otherwise"
                )
            else:
                self._class_finding("unknown", "output", {n}, "as training", "otherwise")
        return 1.0 if self.findings else None

    def _decoders(self):
        a, b = lossy_error(self.a), None
        if self.a.good:
            other = dataclasses.replace(self.a, observed=self.right)
            b = lossy_error(other)

        def words(e):
            if e is None:
                return "another JPEG decoder"
            return (
                "accurate JPEG decoder (ISLOW)"
                if e < 1.0
                else f"JPEG decoder off by {e:.1f} levels (fast DCT?)"
            )

        return words(a), words(b)

    def _class_finding(self, kind, stage, names, training, inference):
        probe = max(names, key=lambda n: self.distances[n]["rms"] if self.distances[n] else np.inf)
        self.find(Change(kind, stage, training, inference), self._evidence(probe, 1.0))

    def _pipeline(self) -> float | None:
        """The plain pictures differ: search for the change of pipeline that makes them so."""
        related = None if self.a.good else relate(self.left, self.right)
        if related is not None and related.loss <= CLOSE and related.share > 0.9:
            return self._related(related)
        start = start_of(self.infer, self.right)
        if start is not None and self.a.good:
            self.b = identify(self.infer, self.right, start)
        if start is None or not self.a.good or not self.b.good:
            self.b = infer_side(self.a, self.right)
        changes = [(c, before, after) for c, before, after in self.b.steps]
        began = next((was for _, was, _ in changes if np.isfinite(was)), 0.0)
        left = self.b.linear.loss
        if any(c.kind == "histogram" for c, _, _ in changes):
            # a contrast that depends on the picture may go astray on an odd one
            left = min(left, self.b.screened)
        if not np.isfinite(left) or left > min(
            40.0, max(12.0, 8 * self.a.linear.loss, 0.5 * began)
        ):
            scrambled = reinterpreted(self.a, self.right) if self.a.good else None
            if scrambled is None:
                return self._without_model(related)
            self.interface = [c for c in self.interface if c.kind != "layout"]
            self.find(scrambled, self._evidence(self._worst(), 1.0))
            return 1.0
        before = self._before()
        first = next((was for _, was, _ in changes if np.isfinite(was)), 1.0)
        for c, was, now in changes:
            share = None if not np.isfinite(was) else max(0.0, (was**2 - now**2) / first**2)
            self.find(c, self._evidence(self._worst(), share))
        self._levels()
        seen = self.b.linear.n > SEEN * sum(self.right.y[n][..., 0].size for n in self.right.plain)
        if not seen:
            self.notes.append(
                "hardly anything of the pictures is seen; colours and scaling were not compared"
            )
        elif comparable_scaling(self.a, self.b):
            bent = any(f.kind in ("gamma", "histogram", "saturation") for f in self.findings)
            explained = colour.explain(self.a.linear, self.b.linear, whole=self._whole(), bent=bent)
            coarse = any(f.kind == "quantization" for f in self.findings)
            for c in explained.changes:
                if not (coarse and c.kind in ("mean", "scale")):
                    self.find(c, self._evidence(self._worst(), None))
        if seen:
            self._borders()
        self._exif_finding()
        self._decoder_finding()
        after = self.b.linear.loss
        if not self.findings:
            return self._rounding() if self.b.good and after <= 1.2 else self._unknown()
        return (
            float(np.clip(1 - (after / before) ** 2, 0, 1))
            if np.isfinite(before) and before > 0
            else None
        )

    def _without_model(self, related: Relation | None) -> float:
        """No single changes lead from one pipeline to the other: look for what can be said without them."""
        if related and related.share > 0.75:
            return self._related(related)
        uneven = unevenly_lit(self.a, self.right) if self.a.good else None
        if uneven is not None:
            self.find(uneven.change, self._evidence(self._worst(), uneven.share))
            return uneven.share
        aligned = any(isinstance(op, (Align, Warp)) for op in self.a.state.chain)
        if self.a.good and aligned and self.right.budget.spent < 1.2 * self.right.budget.total:
            # other landmarks, or none: from nothing, as if it were a training side
            self.right.budget.limit = 1.2 * self.right.budget.total
            other = identify(self.infer, self.right, warps=False)
            change = other_geometry(self.a.state.chain, other.state.chain) if other.good else None
            if change is not None:
                self.b = other
                self.find(
                    change,
                    self._evidence(
                        self._worst(), 1 - (other.linear.loss / max(self._before(), 1)) ** 2
                    ),
                )
                for c in colour.explain(self.a.linear, other.linear, whole=self._whole()).changes:
                    self.find(c, self._evidence(self._worst(), None))
                return float(np.clip(1 - (other.linear.loss / max(self._before(), 1)) ** 2, 0, 1))
        return self._sizes() or self._unknown()

    def _sizes(self) -> float | None:
        """Whether only one side brings every picture to one size."""
        sizes = [{side.size[n] for n in side.plain} for side in (self.left, self.right)]
        if (len(sizes[0]) > 1) == (len(sizes[1]) > 1):
            return None
        words = [
            "a size that follows the picture's" if len(s) > 1 else "always {}×{}".format(*min(s))
            for s in sizes
        ]
        self.find(Change("size", "resize", *words), self._evidence(self._worst(), 1.0))
        return 1.0

    def _related(self, related: Relation) -> float:
        """The training pipeline is none that is known, but the sides' own values explain each other."""
        self.notes.append(
            "the training pipeline was not recognised; the sides were compared with each other only"
        )
        colours = colour.explain(related.train, related.infer, whole=self._whole()).changes
        if any(c.kind == "unknown" for c in colours):
            return self._unknown()
        for c in (*related.changes, *colours):
            self.find(c, self._evidence(self._worst(), None))
        for kind, stage, names in (
            (
                "exif_orientation",
                "orient",
                [n for n in self.names if self.known[n].source.orientation != 1],
            ),
            (
                "decoder",
                "decode",
                [n for n in self.names if self.known[n].lossy and n not in EXOTIC],
            ),
        ):
            odd = related.unlike(self.left, self.right, names)
            if odd and not any(f.kind == "exif_orientation" for f in self.findings):
                self._class_finding(kind, stage, set(odd), "as training", "otherwise")
        return related.share if self.findings else self._unknown()

    def _whole(self) -> bool:
        """Whether only the inference side gives whole numbers."""
        names = [side.output[self.names[0]]["dtype"] for side in (self.train, self.infer)]
        return "float" in names[0] and names[1].startswith(("int", "uint"))

    def _before(self) -> float:
        """RMS difference in levels before anything is explained, on plain probes."""
        d = [self.distances[n]["rms"] for n in self.left.plain if self.distances.get(n)]
        return float(np.sqrt(np.mean(np.square(d)))) if d else float("inf")

    def _levels(self):
        a, b = steps_of(self.left, self.a.linear), steps_of(self.right, self.b.linear)
        if b > 2.5 and b > 1.5 * a:
            self.find(
                Change(
                    "quantization",
                    "quantize",
                    f"steps of {a:.2g} levels" if a > 0.3 else "no steps",
                    f"steps of {b:.3g} levels",
                ),
                self._evidence(self._worst(), None),
            )

    def _rounding(self) -> float | None:
        """The same pipeline explains both sides: what is left is rounding, if it is small."""
        apart = [d["p99"] for n, d in self.distances.items() if d and self.known[n].plain]
        if not apart:  # tensors of another size: there is nothing to measure
            self._unknown()
            return None
        if (worst := max(apart)) > 2.1:
            return self._unknown()
        self.notes.append(
            f"the same pipeline explains both sides; they differ by up to {worst:.2f} levels, which is rounding"
        )
        return 1.0

    def _unknown(self):
        self.find(
            Change(
                "unknown", "output", "the training pipeline", "one that no tested change explains"
            ),
            self._evidence(self._worst(), None),
        )
        return 0.0

    def _worst(self) -> str:
        finite = {
            n: d["rms"] for n, d in self.distances.items() if d is not None and n not in EXOTIC
        }
        return max(finite, key=finite.get) if finite else self.names[0]

    def _borders(self):
        a, b = border_levels(self.a), border_levels(self.b)
        if (
            a is not None
            and b is not None
            and len(a) == len(b)
            and np.abs(a - b).max() > 4
            and not any(f.kind in VALUE_KINDS for f in self.findings)
        ):
            words = [", ".join(f"{v:.0f}" for v in x) for x in (a, b)]
            self.find(
                Change("aspect", "pad", f"border {words[0]}", f"border {words[1]}"),
                self._evidence(self._worst(), None),
            )

    def _exif_finding(self):
        a = applies_exif(self.a)
        b = applies_exif(
            self.b if self.b is not self.a else dataclasses.replace(self.a, observed=self.right)
        )
        if a is not None and b is not None and a != b:
            words = {True: "applies the EXIF orientation", False: "ignores it"}
            turned = [
                n for n in self.names if self.known[n].source.orientation != 1 and self.distances[n]
            ]
            probe = max(turned, key=lambda n: self.distances[n]["rms"]) if turned else "exif_6"
            self.find(
                Change("exif_orientation", "orient", words[a], words[b]),
                self._evidence(probe, None),
            )

    def _decoder_finding(self):
        if not comparable_scaling(self.a, self.b):
            return
        a, b = lossy_error(self.a), lossy_error(self.b)
        if a is None or b is None or not (self.a.good and self.b.good):
            return
        bent = any(
            f.kind in ("gamma", "histogram", "quantization", "saturation") for f in self.findings
        )
        # a curve or coarse steps enlarge the decoders' rounding
        known = max(min(a, b), plain_error(self.a), plain_error(self.b))
        if abs(b - a) > (4.0 if bent else 0.4) and max(a, b) > 1.6 * known:
            probe = next(n for n in self.names if self.known[n].lossy)
            self.find(
                Change(
                    "decoder",
                    "decode",
                    f"JPEG within {a:.1f} levels of the accurate decoder",
                    f"off by {b:.1f} levels",
                ),
                {"value": round(b, 3), "unit": "levels RMS", "probe": probe, "explains": None},
            )

    def _evidence(self, probe: str, share: float | None) -> dict:
        d = self.distances.get(probe)
        return {
            "value": None if d is None else round(d["rms"], 3),
            "unit": "levels RMS",
            "probe": probe,
            "explains": None if share is None else round(float(share), 4),
        }

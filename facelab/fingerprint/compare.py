"""Compare two fingerprints: identical, equivalent within rounding, or a mismatch with its causes."""

from __future__ import annotations

import dataclasses

import numpy as np

from facelab.core.errors import BadInputError
from facelab.fingerprint import colour
from facelab.fingerprint.budget import TRAINING_SHARE, Budget
from facelab.fingerprint.describe import unpack
from facelab.fingerprint.explain import (
    applies_exif,
    border_levels,
    comparable_scaling,
    identify,
    infer_side,
    lossy_error,
    start_of,
    steps_of,
)
from facelab.fingerprint.hypotheses import Change
from facelab.fingerprint.interface import interface_changes, reinterpreted
from facelab.fingerprint.kinds import Finding, ordered
from facelab.fingerprint.observed import Observed
from facelab.fingerprint.photometry import LEVELS
from facelab.fingerprint.schema import Fingerprint, hwc
from facelab.fingerprint.sources import EXOTIC, pictures
from facelab.fingerprint.specdiff import spec_changes

SCHEMA = "facelab.comparison/1"
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


@dataclasses.dataclass
class Comparison:
    """The outcome: `verdict`, the causes in order of importance, and `explained`, the share of the difference's power
    that they account for (None where nothing differs or nothing could be predicted). `distances` holds, per probe,
    the largest and the RMS difference in levels of 8-bit input (None where the tensors cannot be laid over another).
    """

    verdict: str
    findings: list[Finding]
    explained: float | None
    distances: dict[str, dict | None]
    train: Fingerprint
    infer: Fingerprint
    notes: list[str]
    first_stage: dict | None = None
    cost: dict | None = None

    def to_dict(self) -> dict:
        """Return the comparison as plain JSON."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "training": self.train.name,
            "inference": self.infer.name,
            "findings": [f.to_dict() for f in self.findings],
            "explained": self.explained,
            "first_deviating_stage": self.first_stage,
            "distances": self.distances,
            "notes": self.notes,
            "cost": self.cost,
        }


def common_probes(train: Fingerprint, infer: Fingerprint) -> list[str]:
    """Return the probes both sides hold. Raises BadInputError for other probe sets and for missing probes."""
    if train.probes["hash"] != infer.probes["hash"]:
        raise BadInputError(
            "the two fingerprints were made with different probe sets",
            where=infer.path or infer.name,
            expected=f"version {train.probes['version']}, {train.probes['hash'][:12]}",
            got=f"version {infer.probes['version']}, {infer.probes['hash'][:12]}",
            fix="capture both with the same version of facelab",
        )
    known = pictures()
    for side in (train, infer):
        for name in side.output:
            if name not in known:
                raise BadInputError(
                    "the fingerprint holds a probe that is not in the probe set",
                    where=side.path or side.name,
                    got=repr(name)[:80],
                    fix="capture it again with this version of facelab",
                )
    common = [n for n in known if n in train.output and n in infer.output]
    if not common:
        raise BadInputError(
            "the two fingerprints have no probe in common",
            where=infer.path or infer.name,
            expected=f"probes such as {', '.join(list(train.output)[:3])}",
            got=f"{', '.join(list(infer.output)[:3])}",
            fix="let both sides read the same kind of probes (images, or raw frames of one format)",
        )
    families = {known[n].family for n in common}
    for side, other in ((train, infer), (infer, train)):
        missing = [n for n in other.output if n not in side.output and known[n].family in families]
        if missing:
            raise BadInputError(
                f"the fingerprint lacks the probe {missing[0]!r}",
                where=side.path or side.name,
                expected=f"every probe that {other.name!r} holds",
                got=f"{len(missing)} missing",
                fix="run the program on every probe of its kind, then import or capture again",
            )
    return common


def compare(train: Fingerprint, infer: Fingerprint, *, allow: tuple[str, ...] = ()) -> Comparison:
    """Compare the inference side's fingerprint with the training side's.

    `allow` are kinds of interface difference that are declared and therefore equivalent (`batch_axis`, `dtype`,
    `layout`). Raises BadInputError if the two cannot be compared (other probes, probes missing).
    """
    common = common_probes(train, infer)
    allow = tuple(allow) + (("batch_axis",) if "batch" in (*train.declares, *infer.declares) else ())
    a, b = train.output, infer.output
    if all(a[n] == b[n] or (a[n].get("digest") == b[n].get("digest") and "digest" in a[n]) for n in common):
        distances = {n: {"max": 0.0, "rms": 0.0} for n in common if "digest" in a[n]}
        return Comparison("identical", [], None, distances, train, infer, [])
    from threadpoolctl import threadpool_limits

    # the products are small: BLAS threads would only wait for each other
    with threadpool_limits(limits=1, user_api="blas"):
        return _Comparing(train, infer, common, allow).run()


class _Comparing:
    """The steps of one comparison, sharing what was found so far."""

    def __init__(self, train, infer, common, allow):
        self.train, self.infer, self.allow = train, infer, allow
        self.known = pictures()
        self.broken = [n for n in common if "error" in train.output[n] or "error" in infer.output[n]]
        self.names = [n for n in common if n not in self.broken]
        self.notes: list[str] = []
        self.findings: list[Finding] = []
        if not self.names:
            raise BadInputError(
                "no probe gave a tensor on both sides",
                where=infer.path or infer.name,
                fix="look at the error messages in the fingerprints",
            )

    def run(self) -> Comparison:
        self.unit = self._unit()
        self.distances = {n: self._distance(n) for n in self.names}
        self.interface = interface_changes(self.train, self.infer, self.names)
        judged = {n: d for n, d in self.distances.items() if n not in EXOTIC}
        same = all(d is not None and self._same(n, d) for n, d in judged.items())
        explained = None
        blocking = [c for c in self.interface if c.kind not in self.allow]
        self._failures()
        if not same:
            explained = self._causes()
        for c in [c for c in blocking if c in self.interface]:
            self._find(c, {"value": None, "unit": "", "probe": self.names[0], "explains": None})
        self._exotic()
        stage = None
        if self.findings:
            stage = self._from_specs() or self._from_stages()
        found = ordered(self.findings)
        verdict = "mismatch" if found else "equivalent"
        return Comparison(verdict, found, explained, self.distances, self.train, self.infer, self.notes, stage)

    def _from_specs(self) -> dict | None:
        """With a spec on both sides the parameters themselves are the causes; the tensors have shown that they
        matter. The measured findings stay only where the specs agree."""
        if not (self.train.spec and self.infer.spec):
            return None
        changes = [c for c in spec_changes(self.train.spec, self.infer.spec) if c[0].kind not in self.allow]
        if not changes:
            self.notes.append("both sides have the same spec: the difference lies in who carries it out")
            return None
        evidence = self.findings[0].evidence
        shares = {f.kind: f.evidence["explains"] for f in self.findings}
        self.findings = []
        for change, _ in changes:
            self._find(change, {**evidence, "explains": shares.get(change.kind)})
        first, place = changes[0]
        return {**place, "training": first.before, "inference": first.after}

    def _from_stages(self) -> dict | None:
        """The first stage that both sides recorded under one name and that differs."""
        theirs = dict(self.infer.stages[:-1])
        for name, mine in self.train.stages[:-1]:
            other = theirs.get(name, {})
            probes = [
                n for n in mine if n in other and self.known[n].plain and "digest" in mine[n] and "digest" in other[n]
            ]
            odd = next((n for n in probes if mine[n]["digest"] != other[n]["digest"]), None)
            if odd is not None:
                return {"stage": name, "parameter": f"differs on probe {odd}"}
        return None

    # -- how far apart ----------------------------------------------------------------------------------------------

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
        lo, hi = np.min([v["min"] for v in values], axis=0), np.max([v["max"] for v in values], axis=0)
        return np.maximum((hi - lo) / LEVELS, 1e-12)

    def _distance(self, name: str) -> dict | None:
        """Largest, RMS and 99.5th-percentile difference of the samples, and of the block means, in levels."""
        a, b = self.train.output[name], self.infer.output[name]
        if hwc(a["shape"], a["layout"]) != hwc(b["shape"], b["layout"]):
            return None
        x, y = self.train.samples(name), self.infer.samples(name)
        sx, sy = unpack(a["sketch"]), unpack(b["sketch"])
        if x.shape != y.shape or sx.shape != sy.shape:
            return None
        d, s = np.abs(x - y) / self.unit, np.abs(sx - sy) / self.unit
        energy = max(
            abs(p - q) / (max(abs(p), abs(q)) + 0.5 * u)
            for key in ("gradient", "laplacian")
            for p, q, u in zip(a["energy"][key], b["energy"][key], self.unit)
        )
        whole = max(
            abs(p - q) / u
            for key in ("mean", "std", "min", "max")
            for p, q, u in zip(a["moments"][key], b["moments"][key], self.unit)
        )
        bad = a.get("nonfinite", 0) != b.get("nonfinite", 0)
        return {
            "max": float(d.max()),
            "rms": float(np.sqrt((d**2).mean())),
            "p99": float(np.percentile(d, 99)),
            "blocks": float(s.max()),
            "energy": float(energy),
            "moments": float(whole),
            "nonfinite": bad,
        }

    def _same(self, name: str, d: dict) -> bool:
        """Whether one probe's difference is rounding, or the noise of two accurate JPEG decoders."""
        picture = self.known[name]
        if d["nonfinite"]:
            return False
        if picture.lossy:
            # accurate decoders differ by at most one level a channel; libjpeg's fast DCT by up to six on the probes
            rest = [e["rms"] for n, e in self.distances.items() if e is not None and self.known[n].plain]
            return d["rms"] <= max(0.8, 1.25 * max(rest, default=0.0)) and d["p99"] <= 2.05 and d["blocks"] <= 1.5
        return d["p99"] <= 1.06 and d["max"] <= 3.0 and d["rms"] <= 0.95 and d["blocks"] <= 1.06

    # -- why --------------------------------------------------------------------------------------------------------

    def _causes(self) -> float | None:
        plain = [n for n in self.names if self.known[n].plain or self.known[n].range == "limited"]
        differs = [n for n in plain if self.distances[n] is None or not self._same(n, self.distances[n])]
        self.right = Observed(self.infer, self.names, self.budget)
        if differs:
            return self._pipeline()
        self.b = self.a
        return self._by_class()

    def _by_class(self) -> float | None:
        """Plain pictures agree: only decoding, orientation or the reading of YUV can differ."""
        worst = {n: d for n, d in self.distances.items() if d is not None and not self._same(n, d) and n not in EXOTIC}
        turned = {n for n in worst if self.known[n].source.orientation != 1}
        lossy = {n for n in worst if self.known[n].lossy} - turned
        upright = [n for n in self.names if self.known[n].lossy and self.known[n].source.orientation == 1]
        if turned and not lossy & set(upright):
            self._exif_finding()
            if not any(f.kind == "exif_orientation" for f in self.findings):
                self._class_finding("exif_orientation", "orient", turned, "as training", "otherwise")
        elif lossy or turned:
            self._class_finding("decoder", "decode", lossy or turned, *self._decoders())
            self._exif_finding()
        rest = set(worst) - turned - lossy
        for n in sorted(rest):
            if n == "alpha":
                self._class_finding("decoder", "decode", {n}, "transparency as in training", "composited or dropped")
            elif self.known[n].range:
                self._class_finding("yuv_range", "color", {n}, "full-range frames as in training", "otherwise")
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
            return "accurate JPEG decoder (ISLOW)" if e < 1.0 else f"JPEG decoder off by {e:.1f} levels (fast DCT?)"

        return words(a), words(b)

    def _class_finding(self, kind, stage, names, training, inference):
        probe = max(names, key=lambda n: self.distances[n]["rms"])
        self._find(Change(kind, stage, training, inference), self._evidence(probe, 1.0))

    def _pipeline(self) -> float | None:
        """The plain pictures differ: search for the change of pipeline that makes them so."""
        start = start_of(self.infer, self.right)
        if start is not None and self.a.good:
            self.b = identify(self.infer, self.right, start)
        if start is None or not self.a.good or not self.b.good:
            self.b = infer_side(self.a, self.right)
        changes = [(c, before, after) for c, before, after in self.b.steps]
        began = next((was for _, was, _ in changes if np.isfinite(was)), 0.0)
        left = self.b.linear.loss
        if not np.isfinite(left) or left > min(40.0, max(12.0, 8 * self.a.linear.loss, 0.5 * began)):
            scrambled = reinterpreted(self.a, self.right) if self.a.good else None
            if scrambled is None:
                return self._unknown()
            self.interface = [c for c in self.interface if c.kind != "layout"]
            self._find(scrambled, self._evidence(self._worst(), 1.0))
            return 1.0
        before = self._before()
        first = next((was for _, was, _ in changes if np.isfinite(was)), 1.0)
        for c, was, now in changes:
            share = None if not np.isfinite(was) else max(0.0, (was**2 - now**2) / first**2)
            self._find(c, self._evidence(self._worst(), share))
        self._levels()
        if comparable_scaling(self.a, self.b):
            explained = colour.explain(self.a.linear, self.b.linear)
            coarse = any(f.kind == "quantization" for f in self.findings)
            for c in explained.changes:
                if not (coarse and c.kind in ("mean", "scale")):
                    self._find(c, self._evidence(self._worst(), None))
        self._borders()
        self._exif_finding()
        self._decoder_finding()
        after = self.b.linear.loss
        if not self.findings:
            return self._rounding() if self.b.good and after <= 1.2 else self._unknown()
        return float(np.clip(1 - (after / before) ** 2, 0, 1)) if np.isfinite(before) and before > 0 else None

    def _before(self) -> float:
        """RMS difference in levels before anything is explained, on plain probes."""
        d = [self.distances[n]["rms"] for n in self.left.plain if self.distances.get(n)]
        return float(np.sqrt(np.mean(np.square(d)))) if d else float("inf")

    def _levels(self):
        a, b = steps_of(self.left, self.a.linear), steps_of(self.right, self.b.linear)
        if b > 2.5 and b > 1.5 * a:
            self._find(
                Change(
                    "quantization",
                    "quantize",
                    f"steps of {a:.2g} levels" if a > 0.3 else "no steps",
                    f"steps of {b:.3g} levels",
                ),
                self._evidence(self._worst(), None),
            )

    def _rounding(self) -> float:
        """The same pipeline explains both sides: what is left is rounding, if it is small."""
        worst = max(d["p99"] for n, d in self.distances.items() if d and self.known[n].plain)
        if worst > 2.1:
            return self._unknown()
        self.notes.append(
            f"the same pipeline explains both sides; they differ by up to {worst:.2f} levels, which is rounding"
        )
        return 1.0

    def _unknown(self):
        self._find(
            Change("unknown", "output", "the training pipeline", "one that no tested change explains"),
            self._evidence(self._worst(), None),
        )
        return 0.0

    def _worst(self) -> str:
        finite = {n: d["rms"] for n, d in self.distances.items() if d is not None and n not in EXOTIC}
        return max(finite, key=finite.get) if finite else self.names[0]

    def _borders(self):
        a, b = border_levels(self.a), border_levels(self.b)
        if (
            a is not None
            and b is not None
            and len(a) == len(b)
            and np.abs(a - b).max() > 1.6
            and not any(f.kind in VALUE_KINDS for f in self.findings)
        ):
            words = [", ".join(f"{v:.0f}" for v in x) for x in (a, b)]
            self._find(
                Change("aspect", "pad", f"border {words[0]}", f"border {words[1]}"), self._evidence(self._worst(), None)
            )

    def _exif_finding(self):
        a = applies_exif(self.a)
        b = applies_exif(self.b if self.b is not self.a else dataclasses.replace(self.a, observed=self.right))
        if a is not None and b is not None and a != b:
            words = {True: "applies the EXIF orientation", False: "ignores it"}
            turned = [n for n in self.names if self.known[n].source.orientation != 1 and self.distances[n]]
            probe = max(turned, key=lambda n: self.distances[n]["rms"]) if turned else "exif_6"
            self._find(Change("exif_orientation", "orient", words[a], words[b]), self._evidence(probe, None))

    def _decoder_finding(self):
        if not comparable_scaling(self.a, self.b):
            return
        a, b = lossy_error(self.a), lossy_error(self.b)
        if a is None or b is None or not (self.a.good and self.b.good):
            return
        bent = any(f.kind in ("gamma", "histogram", "quantization", "saturation") for f in self.findings)
        # a curve or coarse steps enlarge the decoders' rounding
        if abs(b - a) > (4.0 if bent else 0.4) and max(a, b) > 1.6 * max(
            min(a, b), self.a.linear.loss, self.b.linear.loss
        ):
            probe = next(n for n in self.names if self.known[n].lossy)
            self._find(
                Change(
                    "decoder", "decode", f"JPEG within {a:.1f} levels of the accurate decoder", f"off by {b:.1f} levels"
                ),
                {"value": round(b, 3), "unit": "levels RMS", "probe": probe, "explains": None},
            )

    # -- the rest ---------------------------------------------------------------------------------------------------

    def _failures(self):
        for n in self.broken:
            if "error" in self.train.output[n] and "error" in self.infer.output[n]:
                continue
            side = "training" if "error" in self.train.output[n] else "inference"
            message = (self.train if side == "training" else self.infer).output[n]["error"]
            if n in (*EXOTIC, "alpha", "gray"):
                self.notes.append(f"{side} cannot read the probe {n!r} ({message}); such files are rare")
            else:
                self._find(
                    Change(
                        "decoder",
                        "decode",
                        "reads it" if side == "inference" else f"fails: {message}",
                        f"fails: {message}" if side == "inference" else "reads it",
                    ),
                    {"value": None, "unit": "", "probe": n, "explains": None},
                )

    def _exotic(self):
        for n in EXOTIC:
            d = self.distances.get(n)
            if d is not None and not self._same(n, d) and not self.findings:
                self.notes.append(
                    f"the probe {n!r} (16 bits a channel) is decoded differently, by up to {d['max']:.0f} "
                    "levels; it counts only if such files occur"
                )

    def _evidence(self, probe: str, share: float | None) -> dict:
        d = self.distances.get(probe)
        return {
            "value": None if d is None else round(d["rms"], 3),
            "unit": "levels RMS",
            "probe": probe,
            "explains": None if share is None else round(float(share), 4),
        }

    def _find(self, change: Change, evidence: dict) -> None:
        self.findings.append(Finding(change.kind, change.stage, change.before, change.after, evidence))

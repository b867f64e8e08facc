"""The checks of the gate. Each returns a `Check`; one without data is `skipped` with the reason."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.core.errors import FacelabError
from facelab.core.records import Record, meets
from facelab.deploy import golden, thresholds
from facelab.deploy._answers import Seen, contradictions
from facelab.deploy._gate_checks._check import Check, skipped
from facelab.deploy._opened import Bundle
from facelab.deploy._verify import Integrity
from facelab.deploy.evidence import TRAINED_ON, of_file
from facelab.deploy.policy import Policy
from facelab.zoo.runtimes import SUFFIXES

if TYPE_CHECKING:
    from facelab.fingerprint import Comparison
    from facelab.fingerprint.internals import Finding

SEVERITIES = ("none", "benign", "warn", "fail")


def integrity(found: Integrity) -> Check:
    """Whether the bundle is whole."""
    m = found.manifest
    if found.ok:
        return Check(
            "integrity",
            "pass",
            f"{len(m.files)} files, {sum(f.bytes for f in m.files):,} bytes, as the "
            f"manifest {m.hash[:12]} promises",
            figures={"files": len(m.files), "hash": m.hash},
        )
    first, more = found.problems[0], len(found.problems) - 1
    return Check(
        "integrity",
        "fail",
        f"{first.path} {first.what}" + (f"; and {more} more" if more else ""),
        "get the bundle again from its maker, or make it again",
        tuple(p.path for p in found.problems),
        {"problems": [f"{p.path} {p.what}" for p in found.problems[:20]]},
        first.path,
    )


def fingerprint(comparison: Comparison | None, policy: Policy) -> Check:
    """Whether inference preprocesses as training did."""
    if comparison is None:
        return skipped(
            "fingerprint",
            "no fingerprint of the inference side was given",
            "facelab fingerprint import --tensors DIR --out infer.json, then --inference infer.json",
        )
    p, c = policy.fingerprint, comparison
    worst = max((f.severity for f in c.findings), key=SEVERITIES.index, default="none")
    kinds = tuple(f.kind for f in c.findings)
    figures = {
        "verdict": c.verdict,
        "explained": c.explained,
        "kinds": list(kinds),
        "worst_severity": worst,
    }
    if c.verdict in p.accept:
        words = "the same bytes" if c.verdict == "identical" else "the same within rounding"
        words = f"{c.infer.name!r} gives {words} on {len(c.distances)} probes"
        return Check("fingerprint", "pass", words, figures=figures)
    if c.findings and SEVERITIES.index(worst) <= SEVERITIES.index(p.tolerate):
        words = f"{', '.join(kinds)}: no worse than {p.tolerate!r}, which the policy lets pass"
        return Check("fingerprint", "pass", words, figures=figures)
    if not c.findings:
        words = f"{c.verdict}, where the policy accepts {', '.join(p.accept)}"
        fix = "compare the two sides stage by stage"
        return Check("fingerprint", "fail", words, fix, (c.verdict,), figures)
    words = _first_finding(c.findings[0]) + (f"; also {', '.join(kinds[1:])}" if kinds[1:] else "")
    return Check("fingerprint", "fail", words, c.findings[0].fix, kinds, figures)


def _first_finding(f: Finding) -> str:
    """Return the weightiest difference in words."""
    share = f.evidence.get("explains")
    explains = f" (explains {share:.0%} of the difference)" if share is not None else ""
    return f"{f.kind.replace('_', ' ')}: training {f.training}, inference {f.inference}{explains}"


WRONG_PROGRAM = (
    "feed the golden tensors to the program's model: if those outputs are right, its preprocessing "
    "is wrong, else its runtime or its model file"
)
WRONG_RUNTIME = (
    "this runtime computes another answer: compare its version with the manifest's, or bundle again"
)


def golden_outputs(
    bundle: Bundle, policy: Policy, program: dict | None, seen: Seen | None
) -> Check:
    """Whether the bundle's model answers here what it answered when bundled, and whether the program's outputs do.

    `seen` is what the opened model says and answers; None for a Keras model, which the gate does not open.
    """
    p, m, name = policy.golden_outputs, bundle.manifest, "golden_outputs"
    expected = golden.read(bundle.folder / "golden" / "outputs", m.golden, len(m.outputs))
    figures: dict[str, Any] = {"probes": len(m.golden)}
    words, bad, causes = [], [], []
    if program is not None:
        d = golden.compare(expected, program)
        figures["program"] = dataclasses.asdict(d)
        text, wrong = _judge(
            d, p.program_tolerance, p.program_steps, p.top1 if m.task == "emotion" else None
        )
        words.append(f"the program's outputs {text}")
        if wrong:
            bad.append(WRONG_PROGRAM)
            causes.append("program")
    if seen is None and program is None:
        return skipped(
            name,
            "a Keras model needs TensorFlow, which the gate does not load",
            "give the program's outputs with --outputs DIR, or bundle a .tflite or .onnx",
        )
    if seen is not None:
        if wrong := contradictions(m, seen):
            words, fix = [*words, *wrong], "get the bundle from its maker, or make it again"
            causes.append("claims")
            return Check(
                name, "fail", "; ".join(words), fix, tuple(causes), figures, "manifest.json"
            )
        d = golden.compare(expected, seen.answers)
        figures["here"] = dataclasses.asdict(d)
        text, wrong = _judge(d, p.tolerance, p.steps, None)
        words.append(f"the model's outputs here {text}")
        if wrong:
            bad.append(WRONG_RUNTIME)
            causes.append("runtime")
    return Check(
        name, "fail" if bad else "pass", "; ".join(words), "; ".join(bad), tuple(causes), figures
    )


def _judge(
    d: golden.Distance, tolerance: float, steps: int, top1: float | None
) -> tuple[str, bool]:
    if d.misfits:
        return f"do not fit the golden ones ({d.misfits[0]})", True
    if d.worst is None and d.steps is None:
        return "hold nothing that could be compared", True
    words, wrong = [], False
    if d.worst is not None:
        words.append(f"differ by at most {d.worst:.2g} of their range (allowed {tolerance:g})")
        wrong |= d.worst > tolerance
    if d.steps is not None:
        words.append(f"differ by at most {d.steps} steps (allowed {steps})")
        wrong |= d.steps > steps
    if top1 is not None and d.top1 is not None:
        words.append(f"agree on the top class on {d.top1:.0%} of probes (needed {top1:.0%})")
        wrong |= d.top1 < top1
    where = f", worst on probe {d.probe!r}" if d.probe and (d.worst or d.steps) else ""
    return f"{' and '.join(words)} on {d.probes} probes{where}", wrong


NOT_QUANTIZED = "the model is not quantised"
INT8_METRICS = (
    "accuracy_ratio",
    "agreement",
    "worst_class_change",
    "ece_change",
    "size_ratio",
    "cosine",
    "recall",
    "ap_ratio",
    "counts_ratio",
    "tar_ratio",
    "judged",
)


def int8(bundle: Bundle, evidence: list[Record], policy: Policy, quantized: bool) -> Check:
    """Whether quantisation stayed within its budgets, by the figures that were measured when it was quantised.

    `quantized` is what the opened model says, not what the manifest does.
    """
    m, p = bundle.manifest, policy.int8
    if not quantized:
        return skipped("int8", NOT_QUANTIZED)
    size = next(f.bytes for f in m.files if f.path == m.model)
    values = {
        r.metric: float(r.value)
        for r in of_file(evidence, size)
        if r.metric in INT8_METRICS
        and isinstance(r.value, (int, float))
        and not isinstance(r.value, bool)
    }
    # a Keras file holds what no .tflite does (graph twice, optimiser): a share of its bytes says nothing
    alike = m.reference and SUFFIXES.get(Path(m.reference.name).suffix.lower()) == m.runtime
    if m.reference is not None and alike:
        values.setdefault("size_ratio", size / m.reference.bytes)
    if not set(values) - {"size_ratio"}:
        return skipped(
            "int8",
            "the bundle holds no figures of the quantisation against the float model",
            "facelab bundle MODEL --evidence quantize.json --reference FLOAT_MODEL --out DIR",
        )
    # as `facelab quantize` judges: the cosine counts where no classes or boxes were compared, or the policy names it
    without = {"cosine"} if "agreement" in values and "cosine" not in p.model_fields_set else set()
    judged = {k: v for k, v in values.items() if k not in without}
    missed = {k: v for k, v in judged.items() if not meets(v, getattr(p, k))}
    shown = "; ".join(
        f"{k.replace('_', ' ')} {v:.4g} (budget {getattr(p, k)})"
        for k, v in (missed or judged).items()
    )
    if not missed:
        return Check("int8", "pass", shown, figures=values)
    return Check("int8", "fail", shown, _quantised_fix(values, missed), tuple(missed), values)


def _quantised_fix(values: dict[str, float], missed: dict[str, float]) -> str:
    if list(missed) == ["judged"]:
        return (
            "the kind of this network was unknown, so nothing but the cosine was looked at: quantise it again with its "
            "labels or a spec that aligns faces, or with --accept-cosine if cosine suffices"
        )
    if list(missed) == ["size_ratio"]:
        return "keep fewer layers in float, or write the size that you accept into the policy ([int8] size_ratio)"
    if values.get("agreement", 1) < 0.9 and "recall" not in values:
        return (
            "so low an agreement is rarely rounding: calibrate with the spec that travels with the model (same range, "
            "same channel order)"
        )
    return "facelab quantize MODEL --keep-float auto, or more calibration images of every class"


def trained_on(name: str, evidence: list[Record]) -> Check | None:
    """Return the failure of a check whose figures count images that the model was trained on, else None."""
    found = [r.value for r in evidence if r.metric == TRAINED_ON]
    counts = [int(v) for v in found if isinstance(v, (int, float)) and v > 0]
    if not counts:
        return None
    return Check(
        name,
        "fail",
        f"{max(counts)} of the evaluated images were trained on: the figures are not evidence",
        "evaluate on other images and people, without --all or --count-trained, and bundle again",
        (TRAINED_ON,),
        {TRAINED_ON: max(counts)},
    )


def wanted(policy: Policy) -> Callable[..., bool]:
    """Return the function that picks the figures which the accuracy check compares."""

    def choose(r: Record) -> bool:
        number = isinstance(r.value, (int, float)) and not isinstance(r.value, bool)
        names = (r.metric.lower(), f"{r.case}/{r.metric}".lower())
        return (
            number
            and r.better != "none"
            and r.machine is None
            and any(fnmatch.fnmatch(n, g.lower()) for n in names for g in policy.accuracy.metrics)
        )

    return choose


def accuracy(
    rows: list | None, baseline: str | None, policy: Policy, alone: Sequence[str] = ()
) -> Check:
    """Whether any quality figure is worse than the baseline's beyond noise.

    `rows` come from two runs' comparison; `alone` names the candidate's figures that the baseline does not hold.
    """
    if baseline is None:
        return skipped(
            "accuracy",
            "no baseline run was given",
            "--baseline RUN (a run, a folder or a file of records)",
        )
    if not rows:
        return skipped(
            "accuracy",
            f"the bundle and {baseline} have no figure in common",
            "facelab bundle MODEL --evidence RUN --out DIR",
        )
    worse = [r for r in rows if r.verdict == "worse" or _dropped(r, policy.accuracy.largest_drop)]
    figures = {
        "compared": len(rows),
        "rows": [r.as_dict() for r in rows],
        "not_in_baseline": list(alone),
    }
    if not worse:
        better = sum(r.verdict == "better" for r in rows)
        words = (
            f"{_few([f'{r.case} {r.metric}' for r in rows])} compared with {baseline}: "
            f"{'none' if len(rows) > 1 else 'not'} worse beyond noise"
            + (f", {better} better" if better else "")
            + (f"; the baseline has no {_few(alone)}" if alone else "")
        )
        return Check("accuracy", "pass", words, figures=figures)
    r = worse[0]
    moved = "rose" if r.better == "lower" else "fell"
    text = f"{r.case} {r.metric} {moved} from {r.a:.4g} to {r.b:.4g}"
    more = f"; and {len(worse) - 1} more" if len(worse) > 1 else ""
    return Check(
        "accuracy",
        "fail",
        f"{text} ({r.why}){more}",
        "deploy the baseline's model, or find what changed: facelab compare BASELINE CANDIDATE",
        tuple(f"{r.case}/{r.metric}" for r in worse),
        figures,
    )


def _few(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _dropped(row: Any, most: float | None) -> bool:
    if most is None or row.change is None or row.better == "none":
        return False
    return (-row.change if row.better == "higher" else row.change) > most


def threshold_origin(bundle: Bundle) -> Check:
    """Whether every threshold was chosen on other data than it is reported on."""
    path = next((f.path for f in bundle.manifest.of_role("thresholds")), "thresholds.json")
    held = thresholds.load(bundle.folder / path).thresholds
    if not held:
        return skipped("thresholds", "the bundle has no threshold")
    wrong = [(t.name, why) for t in held if (why := thresholds.problem(t))]
    if wrong:
        return Check(
            "thresholds",
            "fail",
            "; ".join(why for _, why in wrong),
            "choose the threshold on a validation "
            "or calibration part and report it on the test part",
            tuple(n for n, _ in wrong),
            file=path,
        )
    chosen = [t for t in held if t.origin == "chosen"]
    words = f"{len(held)} threshold{'s' * (len(held) != 1)}, " + (
        "; ".join(
            f"{t.name!r} chosen on {t.chosen_on.name}, reported on {t.reported_on.name}"
            for t in chosen
            if t.chosen_on and t.reported_on
        )
        or "as published by the model's authors"
    )
    return Check("thresholds", "pass", words, figures={t.name: t.value for t in held}, file=path)


def failed_to_run(name: str, error: FacelabError) -> Check:
    """Return a check that could not be carried out because the bundle's files cannot be used."""
    return Check(
        name, "fail", str(error).replace("\n  ", "; "), error.fix or "", (type(error).__name__,)
    )

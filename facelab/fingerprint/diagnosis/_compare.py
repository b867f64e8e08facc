"""Compare two fingerprints: identical, equivalent within rounding, or a mismatch with its causes."""

from __future__ import annotations

import os
from typing import Any

from facelab.core.errors import BadInputError
from facelab.fingerprint.capture._feed import feed_words
from facelab.fingerprint.diagnosis._case import Case
from facelab.fingerprint.diagnosis._comparison import Comparison
from facelab.fingerprint.diagnosis._diagnose import diagnose
from facelab.fingerprint.diagnosis._distance import Distance
from facelab.fingerprint.diagnosis._finding_kinds import DETERMINISM_FIX, Finding, ordered
from facelab.fingerprint.diagnosis._spec_diff import spec_changes
from facelab.fingerprint.document._schema import PARTIAL, Fingerprint, load
from facelab.fingerprint.probes._cache import EXOTIC, pictures


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
        missing = [
            n
            for n in other.output
            if n not in side.output
            and known[n].family in families
            # a function of pixels gets only what every decoder reads alike
            and not (side.fed and not known[n].plain)
            and PARTIAL not in side.declares
        ]
        if missing:
            raise BadInputError(
                f"the fingerprint lacks the probe {missing[0]!r}",
                where=side.path or side.name,
                expected=f"every probe that {other.name!r} holds",
                got=f"{len(missing)} missing",
                fix="run the program on every probe of its kind, then import or capture again",
            )
    return common


def compare(
    train: Fingerprint | str | os.PathLike[str],
    infer: Fingerprint | str | os.PathLike[str],
    *,
    allow: tuple[str, ...] = (),
) -> Comparison:
    """Compare the inference side's fingerprint with the training side's; each is a `Fingerprint` or its file.

    An inference side that was imported from some of the probes (`partial`) is compared on those, which a note says.
    `allow` are kinds of interface difference that are declared and therefore equivalent (`batch_axis`, `dtype`,
    `layout`).

    Parameters
    ----------
    train : Fingerprint or str or path
        The fingerprint of training.
    infer : Fingerprint or str or path
        The fingerprint of inference.
    allow : tuple[str, ...]
        Kinds of findings that are accepted.

    Returns
    -------
    Comparison
        What differs, with causes and fixes.

    Raises
    ------
    BadInputError
        If the two cannot be compared (other probes, probes missing).

    Examples
    --------
    >>> from facelab import fingerprint
    >>> found = compare("train.json", fingerprint.capture_target("device.py:preprocess"))
    >>> found.verdict, [cause.kind for cause in found.findings]
    ('mismatch', ['channel_order'])
    """
    train, infer = (f if isinstance(f, Fingerprint) else load(f) for f in (train, infer))
    common = common_probes(train, infer)
    allow = tuple(allow) + (
        ("batch_axis",) if "batch" in (*train.declares, *infer.declares) else ()
    )
    notes = [f"{side}: {feed_words(f.fed)}" for side, f in _sides(train, infer) if f.fed]
    notes += [
        f"{side}: only {len(common)} of {len(other.output)} probes were given, so nothing is said of the others"
        for side, f, other in (("training", train, infer), ("inference", infer, train))
        if PARTIAL in f.declares
    ]
    if train.unstable or infer.unstable:
        return _not_deterministic(train, infer, notes)
    a, b = train.output, infer.output
    if all(a[n] == b[n] or _same_bytes(a[n], b[n]) for n in common):
        distances: dict[str, Distance | None] = {
            n: {"max": 0.0, "rms": 0.0} for n in common if "digest" in a[n]
        }
        return Comparison("identical", [], None, distances, train, infer, notes)
    from threadpoolctl import threadpool_limits

    # the products are small: BLAS threads would only wait for each other
    with threadpool_limits(limits=1, user_api="blas"):
        comparison = _compared(train, infer, common, allow)
    comparison.notes[:0] = notes
    return _without_guesses(comparison)


def _sides(train: Fingerprint, infer: Fingerprint) -> tuple[tuple[str, Fingerprint], ...]:
    return ("training", train), ("inference", infer)


def _not_deterministic(train: Fingerprint, infer: Fingerprint, notes: list[str]) -> Comparison:
    """Return the verdict on sides of which one gives another tensor at every run: nothing else can be compared."""
    training, inference = (
        f"not deterministic: {len(f.unstable)} of {len(f.output)} probes differ between two runs"
        if f.unstable
        else "the same at both runs"
        for _, f in _sides(train, infer)
    )
    probe = (infer.unstable or train.unstable)[0]
    evidence = {"value": None, "unit": "", "probe": probe, "explains": None}
    found = Finding("unknown", "output", training, inference, evidence, fix=DETERMINISM_FIX)
    said = "one side is not deterministic, so nothing else was compared"
    return Comparison("mismatch", [found], None, {}, train, infer, [*notes, said])


def _without_guesses(c: Comparison) -> Comparison:
    """Take back an exchange of red and blue that the guess of what a function of pixels takes explains as well."""
    guessed = [
        (side, f.fed["form"]) for side, f in _sides(c.train, c.infer) if f.fed and not f.fed["sure"]
    ]
    exchanged = [f for f in c.findings if f.kind == "channel_order" and _red_and_blue(f)]
    if not guessed or not exchanged:
        return c
    c.findings = [f for f in c.findings if f not in exchanged]
    side, form = guessed[-1]
    order, other = ("BGR", "RGB") if form == "bgr" else ("RGB", "BGR")
    c.notes.append(
        f"red and blue are exchanged: either the {side} side confuses them, or it takes {other} "
        f"and was fed {order}; capture it with --pixels {other.lower()} if it takes {other}, "
        f"with --pixels {order.lower()} if it takes {order}"
    )
    if not c.findings:
        c.verdict, c.explained = "undecided", None
    return c


def _red_and_blue(f: Finding) -> bool:
    return f.training == f.inference[::-1] or "red and blue" in f.inference


def _same_bytes(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(k in a and a[k] == b.get(k) for k in ("digest", "shape", "dtype"))


def _compared(
    train: Fingerprint, infer: Fingerprint, common: list[str], allow: tuple[str, ...]
) -> Comparison:
    """The steps from a diagnosis to a verdict."""
    broken = [n for n in common if "error" in train.output[n] or "error" in infer.output[n]]
    names = [n for n in common if n not in broken]
    if not names:
        raise BadInputError(
            "no probe gave a tensor on both sides",
            where=infer.path or infer.name,
            fix="look at the error messages in the fingerprints",
        )
    case, outcome, interface = diagnose(train, infer, names)
    found, notes = _failures(train, infer, broken)
    found += outcome.findings
    notes += outcome.notes
    for c in (c for c in interface if c.kind not in allow):
        f = case.finding(c, None, names[0])
        f.evidence.update(value=None, unit="")
        found.append(f)
    notes += _exotic(case) if not found else []
    stage = None
    if found:
        from_specs = _from_specs(case, found, notes, allow)
        found, stage = from_specs or (found, _from_stages(case))
    found, small = ordered(found)
    verdict = "mismatch" if found else "equivalent"
    return Comparison(
        verdict, found, outcome.explained, case.distances, train, infer, notes + small, stage
    )


def _from_specs(
    case: Case, found: list[Finding], notes: list[str], allow: tuple[str, ...]
) -> tuple[list[Finding], dict[str, Any]] | None:
    """With a spec on both sides the parameters themselves are the causes; the tensors have shown that they matter.
    The measured findings stay only where the specs agree."""
    if not (case.train.spec and case.infer.spec):
        return None
    changes = [c for c in spec_changes(case.train.spec, case.infer.spec) if c[0].kind not in allow]
    if not changes:
        notes.append("both sides have the same spec: the difference is in who carries it out")
        return None
    shares = {f.kind: f.evidence["explains"] for f in found}
    probe = found[0].evidence["probe"]
    stated = [case.finding(change, shares.get(change.kind), probe) for change, _ in changes]
    first, place = changes[0]
    return stated, {**place, "training": first.before, "inference": first.after}


def _from_stages(case: Case) -> dict[str, Any] | None:
    """The first stage that both sides recorded under one name and that differs."""
    theirs = dict(case.infer.stages[:-1])
    for name, mine in case.train.stages[:-1]:
        other = theirs.get(name, {})
        probes = [
            n
            for n in mine
            if n in other and case.known[n].plain and "digest" in mine[n] and "digest" in other[n]
        ]
        odd = next((n for n in probes if mine[n]["digest"] != other[n]["digest"]), None)
        if odd is not None:
            return {"stage": name, "parameter": f"differs on probe {odd}"}
    return None


def _failures(
    train: Fingerprint, infer: Fingerprint, broken: list[str]
) -> tuple[list[Finding], list[str]]:
    """What only one side cannot read: findings, and notes for files that are rare."""
    found: list[Finding] = []
    notes: list[str] = []
    for n in broken:
        errors = [side.output[n].get("error") for side in (train, infer)]
        if all(errors):
            continue
        side = "training" if errors[0] else "inference"
        if n in (*EXOTIC, "alpha", "gray", "odd"):
            message = errors[0] or errors[1]
            notes.append(f"{side} cannot handle the probe {n!r} ({message}); such files are rare")
            continue
        training, inference = (f"fails: {e}" if e else "reads it" for e in errors)
        evidence = {"value": None, "unit": "", "probe": n, "explains": None}
        found.append(Finding("decoder", "decode", training, inference, evidence))
    return found, notes


def _exotic(case: Case) -> list[str]:
    return [
        f"the probe {n!r} (16 bits per channel) is decoded differently, by up to {d['max']:.0f} "
        "levels; it counts only if such files occur"
        for n in EXOTIC
        if (d := case.distances.get(n)) is not None and not case.same(n)
    ]

"""Compare two fingerprints: identical, equivalent within rounding, or a mismatch with its causes."""

from __future__ import annotations

from facelab.core.errors import BadInputError
from facelab.fingerprint.capture._feed import feed_words
from facelab.fingerprint.diagnosis._comparison import Comparison
from facelab.fingerprint.diagnosis._diagnose import Causes
from facelab.fingerprint.diagnosis._finding_kinds import DETERMINISM_FIX, Finding, ordered
from facelab.fingerprint.diagnosis._spec_diff import spec_changes
from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model._pipeline_state import Change
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


def compare(train: Fingerprint, infer: Fingerprint, *, allow: tuple[str, ...] = ()) -> Comparison:
    """Compare the inference side's fingerprint with the training side's.

    `allow` are kinds of interface difference that are declared and therefore equivalent (`batch_axis`, `dtype`,
    `layout`). Raises BadInputError if the two cannot be compared (other probes, probes missing).
    """
    common = common_probes(train, infer)
    allow = tuple(allow) + (
        ("batch_axis",) if "batch" in (*train.declares, *infer.declares) else ()
    )
    notes = [f"{side}: {feed_words(f.fed)}" for side, f in _sides(train, infer) if f.fed]
    if train.unstable or infer.unstable:
        return _not_deterministic(train, infer, notes)
    a, b = train.output, infer.output
    if all(a[n] == b[n] or _same_bytes(a[n], b[n]) for n in common):
        distances = {n: {"max": 0.0, "rms": 0.0} for n in common if "digest" in a[n]}
        return Comparison("identical", [], None, distances, train, infer, notes)
    from threadpoolctl import threadpool_limits

    # the products are small: BLAS threads would only wait for each other
    with threadpool_limits(limits=1, user_api="blas"):
        comparison = _Comparing(train, infer, common, allow).run()
    comparison.notes[:0] = notes
    return _without_guesses(comparison)


def _sides(train: Fingerprint, infer: Fingerprint) -> tuple[tuple[str, Fingerprint], ...]:
    return ("training", train), ("inference", infer)


def _not_deterministic(train: Fingerprint, infer: Fingerprint, notes: list[str]) -> Comparison:
    """Return the verdict on sides of which one gives another tensor at every run: nothing else can be compared."""
    words = [
        f"not deterministic: {len(f.unstable)} of {len(f.output)} probes differ between two runs"
        if f.unstable
        else "the same at both runs"
        for _, f in _sides(train, infer)
    ]
    probe = (infer.unstable or train.unstable)[0]
    evidence = {"value": None, "unit": "", "probe": probe, "explains": None}
    found = Finding("unknown", "output", *words, evidence, fix=DETERMINISM_FIX)
    said = "one side is not deterministic, so nothing else was compared"
    return Comparison("mismatch", [found], None, {}, train, infer, [*notes, said])


def _without_guesses(c: Comparison) -> Comparison:
    """Take back an exchange of red and blue that the guess of what a function of pixels takes explains as well."""
    guessed = [(side, f) for side, f in _sides(c.train, c.infer) if f.fed and not f.fed["sure"]]
    exchanged = [f for f in c.findings if f.kind == "channel_order" and _red_and_blue(f)]
    if not guessed or not exchanged:
        return c
    c.findings = [f for f in c.findings if f not in exchanged]
    side, f = guessed[-1]
    order, other = ("BGR", "RGB") if f.fed["form"] == "bgr" else ("RGB", "BGR")
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


def _same_bytes(a: dict, b: dict) -> bool:
    return all(k in a and a[k] == b.get(k) for k in ("digest", "shape", "dtype"))


class _Comparing:
    """The steps from causes to a verdict."""

    def __init__(self, train, infer, common, allow):
        self.train, self.infer, self.allow = train, infer, allow
        self.known = pictures()
        self.broken = [
            n for n in common if "error" in train.output[n] or "error" in infer.output[n]
        ]
        self.names = [n for n in common if n not in self.broken]
        if not self.names:
            raise BadInputError(
                "no probe gave a tensor on both sides",
                where=infer.path or infer.name,
                fix="look at the error messages in the fingerprints",
            )

    def run(self) -> Comparison:
        causes = self.causes = Causes(self.train, self.infer, self.names)
        same = all(causes.same(n) for n in self.names if n not in EXOTIC)
        explained = None
        blocking = [c for c in causes.interface if c.kind not in self.allow]
        self._failures()
        if not same:
            explained = causes.seek()
        for c in [c for c in blocking if c in causes.interface]:
            causes.find(c, {"value": None, "unit": "", "probe": self.names[0], "explains": None})
        self._exotic()
        stage = None
        if causes.findings:
            stage = self._from_specs() or self._from_stages()
        found = ordered(causes.findings)
        verdict = "mismatch" if found else "equivalent"
        return Comparison(
            verdict, found, explained, causes.distances, self.train, self.infer, causes.notes, stage
        )

    def _from_specs(self) -> dict | None:
        """With a spec on both sides the parameters themselves are the causes; the tensors have shown that they
        matter. The measured findings stay only where the specs agree."""
        if not (self.train.spec and self.infer.spec):
            return None
        changes = [
            c for c in spec_changes(self.train.spec, self.infer.spec) if c[0].kind not in self.allow
        ]
        if not changes:
            self.causes.notes.append(
                "both sides have the same spec: the difference lies in who carries it out"
            )
            return None
        evidence = self.causes.findings[0].evidence
        shares = {f.kind: f.evidence["explains"] for f in self.causes.findings}
        self.causes.findings = []
        for change, _ in changes:
            self.causes.find(change, {**evidence, "explains": shares.get(change.kind)})
        first, place = changes[0]
        return {**place, "training": first.before, "inference": first.after}

    def _from_stages(self) -> dict | None:
        """The first stage that both sides recorded under one name and that differs."""
        theirs = dict(self.infer.stages[:-1])
        for name, mine in self.train.stages[:-1]:
            other = theirs.get(name, {})
            probes = [
                n
                for n in mine
                if n in other
                and self.known[n].plain
                and "digest" in mine[n]
                and "digest" in other[n]
            ]
            odd = next((n for n in probes if mine[n]["digest"] != other[n]["digest"]), None)
            if odd is not None:
                return {"stage": name, "parameter": f"differs on probe {odd}"}
        return None

    def _failures(self):
        for n in self.broken:
            if "error" in self.train.output[n] and "error" in self.infer.output[n]:
                continue
            side = "training" if "error" in self.train.output[n] else "inference"
            message = (self.train if side == "training" else self.infer).output[n]["error"]
            if n in (*EXOTIC, "alpha", "gray", "odd"):
                self.causes.notes.append(
                    f"{side} cannot handle the probe {n!r} ({message}); such files are rare"
                )
            else:
                self.causes.find(
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
            d = self.causes.distances.get(n)
            if d is not None and not self.causes.same(n) and not self.causes.findings:
                self.causes.notes.append(
                    f"the probe {n!r} (16 bits a channel) is decoded differently, by up to {d['max']:.0f} "
                    "levels; it counts only if such files occur"
                )

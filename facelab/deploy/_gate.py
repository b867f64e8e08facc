"""The gate: every check that has data, PASS or FAIL, and why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab import fingerprint as fingerprints
from facelab.core import compare_records, records
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.escape import line
from facelab.core.records import Record, now
from facelab.core.templates import render
from facelab.deploy import _checks as checks
from facelab.deploy import evidence, golden, policy
from facelab.deploy._answers import Seen, ask
from facelab.deploy._gate_checks import _device as device_checks
from facelab.deploy._gate_checks._check import Check
from facelab.deploy._opened import Bundle
from facelab.deploy._verify import verify
from facelab.deploy.policy import Policy
from facelab.preprocess.spec import PreprocessSpec

if TYPE_CHECKING:
    from facelab.fingerprint import Comparison

SCHEMA = "facelab.gate/1"
COLOURS = {"pass": "#00755a", "fail": "#b3420b", "skipped": "#6b7280"}


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: one check per rule of the policy, and which of them decide.

    Attributes
    ----------
    bundle : Path
        The folder that was judged.
    name : str
        The bundle's name.
    policy : str
        The policy's name.
    checks : list of Check
        Status, finding and fix of each rule, in the order of the table.
    refused : list of str
        The checks that make the verdict a FAIL; empty for a PASS.
    seconds : float
        How long it took.
    comparison : Comparison or None
        Training against inference, where a fingerprint was given.

    Examples
    --------
    >>> from facelab import deploy
    >>> verdict = deploy.judge("bundle", inference="infer.json")
    >>> verdict.word, verdict.refused, verdict.check("integrity").status
    ('PASS', [], 'pass')
    """

    bundle: Path
    name: str
    policy: str
    checks: list[Check]
    refused: list[str]
    seconds: float
    comparison: Comparison | None = None

    @property
    def passed(self) -> bool:
        """Whether the candidate may be deployed."""
        return not self.refused

    @property
    def word(self) -> str:
        """PASS or FAIL."""
        return "PASS" if self.passed else "FAIL"

    def check(self, name: str) -> Check:
        """Return the check with this name; KeyError if the policy left it out."""
        return {c.name: c for c in self.checks}[name]

    def to_dict(self) -> dict:
        """Return the verdict as plain JSON."""
        counts = {s: sum(c.status == s for c in self.checks) for s in ("pass", "fail", "skipped")}
        return {
            "schema": SCHEMA,
            "verdict": self.word,
            "passed": self.passed,
            "bundle": str(self.bundle),
            "name": self.name,
            "policy": self.policy,
            "refused": self.refused,
            "counts": counts,
            "checks": [c.to_dict() for c in self.checks],
            "at": now(),
            "seconds": round(self.seconds, 3),
            "comparison": self.comparison.to_dict() if self.comparison else None,
        }

    def text(self) -> str:
        """Return the table for a terminal."""
        width = max(len(c.name) for c in self.checks)
        lines = []
        for c in self.checks:
            lines.append(f"{c.status.upper():<8} {c.name:<{width}}  {line(c.what)}")
            if c.name in self.refused and c.status == "skipped":
                lines.append(f"{'':<8} {'':<{width}}  the policy does not let it be skipped")
            if c.fix and (c.status == "fail" or c.name in self.refused):
                lines.append(f"{'':<8} {'':<{width}}  fix: {line(c.fix)}")
        because = f" because of {', '.join(self.refused)}" if self.refused else ""
        return "\n".join(
            [*lines, "", f"{self.word}: {line(self.name)} under policy {self.policy!r}{because}"]
        )

    def _repr_html_(self) -> str:
        return render("deploy/templates/verdict.html.j2", verdict=self, colours=COLOURS)


def judge(
    bundle: str | os.PathLike,
    rules: Policy | None = None,
    *,
    inference: str | os.PathLike | fingerprints.Fingerprint | None = None,
    outputs: str | os.PathLike | None = None,
    baseline: str | os.PathLike | tuple[str, list[Record]] | None = None,
    device: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
) -> Verdict:
    """Run every check that has data on a bundle and return the verdict.

    `inference` is the other side's fingerprint, `outputs` a folder of its outputs on the probes, `baseline` the
    figures that the bundle's must not be worse than, `device` a measurement of the target.

    Parameters
    ----------
    bundle : str or path
        The folder of a bundle.
    rules : Policy or None
        The policy; None for the default one.
    inference : str or path or fingerprints.Fingerprint or None
        The fingerprint of the inference side, its file, or None.
    outputs : str or path or None
        The folder with the outputs of the inference side, or None.
    baseline : str or path or tuple[str, list[Record]] or None
        The earlier figures: a file of records or a folder with some, or a name and the records; None for none.
    device : str or path or Sequence[str or path] or None
        A measurement of the target (a trace, memory verdict or budget report), several of them, or None.

    Returns
    -------
    Verdict
        The verdict, one check per rule.

    Raises
    ------
    BadInputError
        For input that cannot be used; a damaged bundle is a failed check.

    Examples
    --------
    >>> from facelab import fingerprint
    >>> wrong = fingerprint.capture_target("device.py:preprocess")
    >>> verdict = judge("bundle", inference=wrong)
    >>> verdict.word, verdict.refused
    ('FAIL', ['fingerprint'])
    """
    started = time.perf_counter()
    rules = rules or policy.default()
    given = fingerprints.load(inference) if isinstance(inference, (str, os.PathLike)) else inference
    measured = evidence.read_devices(device) if device else None
    earlier = _baseline(baseline)
    found = verify(
        bundle, expect=rules.integrity.bundle_hash, public_key=rules.integrity.public_key
    )
    held = Bundle(Path(bundle), found.manifest)
    program = golden.read_program(outputs, found.manifest.golden) if outputs else None
    gate = _Gate(held, rules, given, program, earlier, measured)
    out = [checks.integrity(found)] if rules.enabled("integrity") else []
    # a changed file can be anything: nothing in a damaged bundle is read or run
    rest = (
        gate.run()
        if found.ok
        else [
            checks.skipped(n, "not looked at: the bundle is damaged")
            for n in policy.CHECKS[1:]
            if rules.enabled(n)
        ]
    )
    out += rest
    refused = [
        c.name
        for c in out
        if c.status == "fail" or (c.status == "skipped" and found.ok and gate.needs(c))
    ]
    missing = [n for n in rules.required if n not in {c.name for c in out}]
    return Verdict(
        Path(bundle),
        found.manifest.name,
        rules.name,
        out,
        refused + missing,
        time.perf_counter() - started,
        gate.comparison,
    )


def _carried_out(name: str, step: Callable[[], Check]) -> Check:
    """Return what a check found; content that it cannot be carried out on is a failure of that check."""
    try:
        return step()
    except FacelabError as e:
        return checks.failed_to_run(name, e)
    except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError) as e:
        said = FacelabError(
            "the bundle holds something that cannot be judged",
            got=f"{type(e).__name__}: {e}"[:200],
            fix="get the bundle from its maker, or make it again",
        )
        return checks.failed_to_run(name, said)


def _baseline(given: Any) -> tuple[str, list[Record]] | None:
    """Return the name and the records of a baseline. Raises BadInputError where it holds none."""
    if given is None:
        return None
    name, found = given if isinstance(given, tuple) else (os.fspath(given), evidence.read(given))
    if not found:
        raise BadInputError(
            "the baseline holds no records",
            where=name,
            expected="at least one record",
            got="an empty file",
            fix="name a run that came to an end",
        )
    return name, found


class _Gate:
    """One gate's inputs; each check is carried out on its own, so that one unreadable part leaves the others."""

    def __init__(
        self,
        bundle: Any,
        rules: Any,
        inference: Any,
        program: Any,
        baseline: Any,
        measured: Any,
    ):
        self.bundle, self.rules, self.inference, self.program = bundle, rules, inference, program
        self.baseline, self.measured = baseline, measured
        self.comparison: Comparison | None = None
        self._answers: Seen | FacelabError | None = None

    def needs(self, skipped: Check) -> bool:
        """Whether a check that was skipped may not be: the policy asks for it, and there is something to look at.

        A float model has no INT8 cost, whatever data are given.
        """
        idle = skipped.name == "int8" and skipped.what == checks.NOT_QUANTIZED
        return not idle and not self.rules.may_skip(skipped.name)

    def _evidence(self) -> list[Record]:
        path = self.bundle.folder / evidence.EVIDENCE
        held = path.is_file() and self.bundle.manifest.of_role("evidence")
        return records.read(path) if held else []

    def _seen(self) -> Seen | None:
        """Return what the opened model says and answers; it is opened once. None for a Keras model."""
        m = self.bundle.manifest
        if m.runtime == "keras":
            return None
        if self._answers is None:
            try:
                seconds = self.rules.golden_outputs.seconds
                self._answers = ask(self.bundle.folder, m, seconds=seconds)
            except FacelabError as e:
                self._answers = e
        if isinstance(self._answers, FacelabError):
            raise self._answers
        return self._answers

    def run(self) -> list[Check]:
        steps = {
            "fingerprint": self._fingerprint,
            "golden_outputs": self._golden,
            "int8": self._int8,
            "accuracy": self._accuracy,
            "thresholds": lambda: checks.threshold_origin(self.bundle),
            "model_size": lambda: device_checks.model_size(self.bundle, self.rules),
            "latency": lambda: device_checks.latency(self._measured(), self.rules),
            "memory": lambda: device_checks.memory(self._measured(), self.rules),
        }
        out = []
        for name, step in steps.items():
            if self.rules.enabled(name):
                out.append(_carried_out(name, step))
        return out

    def _fingerprint(self) -> Check:
        if self.inference is not None:
            if "partial" in self.inference.declares:
                raise BadInputError(
                    "the inference side's fingerprint covers only some of the probes",
                    where=self.inference.path or self.inference.name,
                    expected="all probes of their kind",
                    got=f"{len(self.inference.output)} probes",
                    fix="run the program on every probe, and import without --partial",
                )
            m = self.bundle.manifest
            train = fingerprints.load(self.bundle.folder / self._training_side(m))
            self.comparison = fingerprints.compare(
                train, self.inference, allow=tuple(self.rules.fingerprint.allow)
            )
        return checks.fingerprint(self.comparison, self.rules)

    def _training_side(self, m: Any) -> str:
        """The fingerprint to compare with: of a quantised model, before quantising where the program shows that."""
        floats = m.of_role("float_fingerprint")
        kinds = {e.get("dtype") for e in self.inference.output.values()} - {None}
        chosen = (
            floats
            if floats and kinds <= {"float32", "float64", "float16"}
            else m.of_role("fingerprint")
        )
        return chosen[0].path

    def _golden(self) -> Check:
        return checks.golden_outputs(self.bundle, self.rules, self.program, self._seen())

    def _int8(self) -> Check:
        seen = self._seen()
        quantized = self.bundle.manifest.quantized if seen is None else seen.quantized
        if quantized and (refused := checks.trained_on("int8", self._evidence())):
            return refused
        return checks.int8(self.bundle, self._evidence(), self.rules, quantized)

    def _accuracy(self) -> Check:
        if refused := checks.trained_on("accuracy", self._evidence()):
            return refused
        if self.baseline is None:
            return checks.accuracy(None, None, self.rules)
        name, theirs = self.baseline
        wanted, mine = checks.wanted(self.rules), self._evidence()
        a, b = evidence.align(theirs, mine, wanted)
        held = {r.key for r in b}
        alone = [f"{r.case} {r.metric}" for r in mine if wanted(r) and r.key not in held]
        return checks.accuracy(compare_records.compare(a, b), name, self.rules, alone)

    def _measured(self) -> Any:
        d = self.rules.device
        if self.measured is None and d.measure and self.bundle.manifest.runtime != "keras":
            from facelab.deploy import _measure as measure

            self.measured = measure.here(self.bundle, threads=d.threads)
        return self.measured


def spec_of(bundle: Bundle) -> PreprocessSpec:
    """Return the preprocessing that a bundle states."""
    return PreprocessSpec.load(bundle.folder / bundle.manifest.of_role("preprocess")[0].path)

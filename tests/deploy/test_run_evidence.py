"""The gate takes latency traces and memory verdicts: what passes, what is refused, and what is not believed."""

import json

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.deploy import policy
from facelab.deploy._gate_checks import _device as checks
from facelab.deploy.internals import evidence
from facelab.tracing import MemoryWatch, Tracer

POLICY = 'schema = "facelab.policy/1"\n[device]\nlatency_p90_ms = {}\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a saved trace, its latency document, and a memory document."""
    folder = tmp_path_factory.mktemp("run")
    with Tracer(watch_s=None) as tracer:
        for _ in range(40):
            with tracer.span("frame"):
                sum(range(2000))
    trace = tracer.trace()
    watch = MemoryWatch(settle=20, every=2)
    for frame in range(120):
        watch.tick(frame)
    return {
        "trace": trace.save(folder / "t.npz"),
        "latency": trace.stages().save(folder / "l.json"),
        "memory": watch.finish().save(folder / "m.json"),
        "p90": float(np.percentile(trace.seconds("frame"), 90)) * 1e3,
    }


@pytest.mark.parametrize("kind", ["trace", "latency"])
def test_a_trace_is_judged_by_its_calls(files, kind):
    measured = evidence.read_devices(files[kind])
    assert len(measured.seconds) == 40 and measured.device != "unnamed device"
    for factor, status in ((1.01, "pass"), (0.5, "fail")):
        rules = policy.parse(POLICY.format(files["p90"] * factor), "p.toml")
        found = checks.latency(measured, rules)
        assert found.status == status
        assert found.figures["p90_ms"] == pytest.approx(
            files["p90"], rel=1e-5
        )  # rounded to ns in JSON


def test_several_files_are_joined(files):
    measured = evidence.read_devices([files["trace"], files["memory"]])
    assert measured.seconds is not None and measured.memory > 1e6
    assert measured.verdict.name in ("no growth", "warm-up")
    rules = policy.parse('schema = "facelab.policy/1"', "p.toml")
    assert checks.memory(measured, rules).status == "pass"  # without a budget the verdict alone
    tight = policy.parse('schema = "facelab.policy/1"\n[device]\nmemory_mb = 1.0', "p.toml")
    assert checks.memory(measured, tight).status == "fail"


def changed(files, tmp_path, kind, **changes):
    value = {**json.loads(files[kind].read_text()), **changes}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value))
    return path


def test_a_leak_fails_whatever_the_budget_and_names_the_fix(files, tmp_path):
    path = changed(files, tmp_path, "memory", verdict="held array", leak=False, what="470 arrays")
    measured = evidence.read_devices(path)
    for text in ("", "[device]\nmemory_mb = 100000.0"):
        found = checks.memory(measured, policy.parse(f'schema = "facelab.policy/1"\n{text}', "p"))
        # the document claims that a held array is not a leak; the name decides
        assert found.status == "fail" and found.causes == ("held array",) and found.fix


@pytest.mark.parametrize(
    "kind, changes",
    [
        ("memory", {"verdict": "fine"}),
        ("memory", {"peak_rss_mb": -1}),
        ("memory", {"frames": True}),
        ("latency", {"latency_ms": [1.0] * 19}),
        ("latency", {"latency_ms": [0.0] * 30}),
        ("latency", {"latency_ms": ["fast"] * 30}),
        ("latency", {"latency_ms": None}),
    ],
)
def test_documents_that_cannot_be_are_refused(files, tmp_path, kind, changes):
    with pytest.raises(BadInputError) as caught:
        evidence.read_devices(changed(files, tmp_path, kind, **changes))
    assert caught.value.fix


def test_a_bundle_can_carry_them_as_records(files, tmp_path):
    found = {(r.case, r.metric): r for r in evidence.read(files["latency"])}
    assert found["frame", "latency P90"].value == pytest.approx(files["p90"], rel=1e-6)
    assert found["frame", "latency P90"].machine and found["frame", "latency P90"].better == "lower"
    memory = {r.metric: r.value for r in evidence.read(files["memory"])}
    assert memory["leak"] == 0 and memory["peak RSS"] > 1
    with pytest.raises(BadInputError):
        evidence.read(changed(files, tmp_path, "latency", stages=[{"name": "a"}]))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the file of a real budgeted run that kept its budget."""
    from facelab import budget

    limits = budget.Budget(name="small camera", memory_mb=64, threads=1)
    found = budget.run(["true"], limits)
    return found.save(tmp_path_factory.mktemp("budget") / "report.json")


def test_a_budget_report_is_judged_by_its_figures(report, tmp_path):
    rules = policy.parse('schema = "facelab.policy/1"', "p")
    good = checks.memory(evidence.read_devices(report), rules)
    assert good.status == "pass" and "small camera" in good.what
    for changes, cause in (
        ({"end": "killed for memory", "oom_kills": 1}, "killed for memory"),
        (
            {"oom_kills": 2},
            "finished",
        ),  # killed below the command, and the document says that it finished
        ({"peak_bytes": 65_000_000}, "finished"),
        ({"end": "crashed"}, "crashed"),
    ):
        # each document goes on claiming that it passed
        path = changed({"r": report}, tmp_path, "r", passed=True, reasons=[], **changes)
        found = checks.memory(evidence.read_devices(path), rules)
        assert found.status == "fail" and found.causes == (cause,) and found.fix
    tight = policy.parse('schema = "facelab.policy/1"\n[device]\nmemory_mb = 0.001', "p")
    small = changed({"r": report}, tmp_path, "r", peak_bytes=5_000_000)
    assert checks.memory(evidence.read_devices(small), tight).status == "fail"


@pytest.mark.parametrize(
    "changes",
    [
        {"end": "well"},
        {"budget": {"memory_mb": -1}},
        {"held": [{"limit": 3}]},
        {"peak_bytes": -5},
        {"peak_bytes": True},
        {"cpu_seconds": None},
    ],
)
def test_budget_reports_that_cannot_be_are_refused(report, tmp_path, changes):
    with pytest.raises(BadInputError, match="not the report") as e:
        evidence.read_devices(changed({"r": report}, tmp_path, "r", **changes))
    assert e.value.fix


def test_a_bundle_can_carry_a_budget_report_as_records(report):
    found = {r.metric: r for r in evidence.read(report)}
    assert found["broken"].value == 0 and found["broken"].better == "lower"
    assert "machine" in vars(found["broken"]) and found["broken"].machine["cores"] >= 1

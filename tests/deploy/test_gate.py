"""The gate passes what is right and refuses what is wrong, for the right reason."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from conftest_deploy import write_model

from facelab.cli import run
from facelab.core.hashing import sha256_file
from facelab.core.records import Record, write
from facelab.deploy import _checks, policy
from facelab.deploy import judge as decide
from facelab.deploy._bundle import make_bundle
from facelab.deploy._export import junit, sarif
from facelab.deploy.internals import evidence, thresholds
from facelab.deploy.manifest import canonical_hash
from facelab.report.deploy import grid, page


def refused(verdict) -> list[str]:
    return verdict.refused


def test_a_good_candidate_passes(whole, infer):
    v = decide(whole, inference=infer())
    assert v.passed and v.word == "PASS"
    assert {c.name for c in v.checks if c.status == "pass"} == {
        "integrity",
        "fingerprint",
        "golden_outputs",
    }
    assert v.check("accuracy").status == "skipped"


WRONG = {
    "channel_order": {"decode": {"order": "bgr"}},
    "value_range": {"normalize": {"mean": [0.0], "scale": [255.0]}},
    "resize_kernel": {"resize": {"kernel": "nearest", "antialias": False, "edge": None}},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_inference_pipeline_is_refused_with_its_cause(whole, infer, kind):
    backend = "reference" if kind == "resize_kernel" else "pillow"
    v = decide(whole, inference=infer(backend, **WRONG[kind]))
    assert refused(v) == ["fingerprint"]
    assert v.check("fingerprint").causes[0] in (kind, "antialias") and v.check("fingerprint").fix


def test_a_damaged_bundle_is_refused_and_nothing_of_it_is_run(bundle, infer):
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[100] ^= 255
    (bundle / "model.onnx").write_bytes(data)
    v = decide(bundle, inference=infer())
    assert refused(v) == ["integrity"] and v.check("integrity").causes == ("model.onnx",)
    assert {c.status for c in v.checks[1:]} == {"skipped"}


def _int8(tmp_path, metrics: dict) -> Path:
    model = write_model(tmp_path / "q.onnx", quantized=True)
    reference = write_model(tmp_path / "f.onnx")
    write(tmp_path / "figures.jsonl", [Record("r", "q", "int8", k, v) for k, v in metrics.items()])
    return make_bundle(
        model,
        tmp_path / "b",
        evidence=[tmp_path / "figures.jsonl"] if metrics else [],
        reference=reference if metrics.get("agreement") else None,
    ).folder


def test_int8_budgets(tmp_path, infer):
    rules = policy.parse('schema = "facelab.policy/1"\n[int8]\nsize_ratio = "<= 1.2"', "p")
    good = _int8(tmp_path, {"agreement": 0.99, "accuracy_ratio": 1.0})
    v = decide(good, inference=infer(), rules=rules)
    assert v.passed and v.check("int8").status == "pass" and "size_ratio" in v.check("int8").figures
    bad = _int8(tmp_path, {"agreement": 0.37, "accuracy_ratio": 0.4})
    v = decide(bad, inference=infer(), rules=rules)
    assert refused(v) == ["int8"] and set(v.check("int8").causes) == {"agreement", "accuracy_ratio"}
    assert "calibrate" in v.check("int8").fix


def test_the_table_of_quantize_is_evidence_and_only_this_files_row_counts(tmp_path, infer):
    """The form that `facelab quantize --json` writes: one row per variant, the float model first."""
    model = write_model(tmp_path / "q.onnx", quantized=True)
    row = {
        "accuracy": {"value": 0.9, "lo": 0.85, "hi": 0.95},
        "accuracy_ratio": 1.0,
        "worst_class": {"change": -0.5},
        "agreement": {"value": 0.99},
        "ece_change": 0.1,
        "cosine": {"mean": 0.999, "worst": 0.9},
        "size_ratio": 0.27,
    }
    rows = [
        {"variant": "float", "bytes": 9, **row},
        {"variant": "good", "bytes": model.stat().st_size, **row},
        {"variant": "bad", "bytes": 7, **row, "agreement": {"value": 0.4}},
    ]
    path = tmp_path / "quantize.json"
    # boxes and classes are compared themselves; the cosine of a good detector's outputs may be .94
    far = {"cosine": {"mean": 0.94, "worst": 0.87}}
    boxes = {**rows[1], **far, "boxes": {"recall": 0.99}} | dict.fromkeys(
        ("accuracy", "accuracy_ratio", "worst_class", "ece_change")
    )
    embedder = {**boxes, "agreement": None, "boxes": None}
    for rows_, status in (
        (rows, "pass"),
        ([rows[0], boxes], "pass"),
        ([rows[0], {**rows[1], **far}], "pass"),
        ([rows[0], {**boxes, "boxes": {"recall": 0.9}}], "fail"),
        ([rows[0], embedder], "fail"),
        ([rows[0], {**rows[1], "worst_class": {"change": -7.0}}], "fail"),
        ([rows[0], rows[2]], "skipped"),
    ):
        path.write_text(json.dumps({"schema": "facelab.quantization/1", "rows": rows_}))
        made = make_bundle(model, tmp_path / "b", evidence=[path])
        assert decide(made.folder, inference=infer()).check("int8").status == status


def test_a_cosine_that_the_policy_states_counts_beside_answers(tmp_path, infer):
    model = write_model(tmp_path / "q.onnx", quantized=True)
    figures = [Record("r", "q", "int8", *x) for x in (("agreement", 1.0), ("cosine", 0.94))]
    write(tmp_path / "figures.jsonl", figures)
    made = make_bundle(model, tmp_path / "b", evidence=[tmp_path / "figures.jsonl"])
    rules = tmp_path / "policy.toml"
    for line, status in (
        ("", "pass"),
        ('cosine = ">= 0.98"', "fail"),
        ('cosine = ">= 0.9"', "pass"),
    ):
        rules.write_text(f'schema = "facelab.policy/1"\n[int8]\n{line}\n')
        verdict = decide(made.folder, policy.load(rules), inference=infer())
        assert verdict.check("int8").status == status


def test_the_measured_size_counts_and_a_file_of_another_format_does_not(tmp_path, infer):
    """A Keras file weighs several times its .tflite: a share of its bytes passed a budget that the model missed."""
    model = write_model(tmp_path / "q.onnx", quantized=True)
    heavy = tmp_path / "f.keras"
    heavy.write_bytes(bytes(100 * model.stat().st_size))
    figures = [Record("r", "q", "int8", "agreement", 1.0)]
    for size, same, expected in (
        (0.78, False, 0.78),
        (None, False, None),
        (0.78, True, 0.78),
        (None, True, model.stat().st_size / write_model(tmp_path / "f.onnx").stat().st_size),
    ):
        more = [Record("r", "q", "int8", "size_ratio", size)] if size else []
        write(tmp_path / "figures.jsonl", figures + more)
        made = make_bundle(model, tmp_path / "b", evidence=[tmp_path / "figures.jsonl"])
        document = json.loads((made.folder / "manifest.json").read_text())
        reference = tmp_path / "f.onnx" if same else heavy
        document["reference"] = {
            "name": reference.name,
            "sha256": sha256_file(reference),
            "bytes": reference.stat().st_size,
        }
        document["hash"] = canonical_hash(document)
        (made.folder / "manifest.json").write_text(json.dumps(document))
        check = decide(made.folder, inference=infer()).check("int8")
        assert check.figures.get("size_ratio") == expected
        if expected:
            assert check.status == "fail" and "[int8] size_ratio" in (check.fix or "")
        else:
            assert check.status == "pass"


def test_an_int8_model_without_figures_is_skipped_unless_the_policy_forbids_it(tmp_path, infer):
    bare = _int8(tmp_path, {})
    assert decide(bare, inference=infer()).check("int8").status == "skipped"
    rules = policy.parse('schema = "facelab.policy/1"\nrequired = ["int8"]', "p")
    assert refused(decide(bare, inference=infer(), rules=rules)) == ["int8"]


def _records(path, accuracy, half=0.01):
    return (
        write(
            path,
            [
                Record(
                    "r",
                    "03",
                    "test",
                    "accuracy",
                    accuracy,
                    better="higher",
                    lo=accuracy - half,
                    hi=accuracy + half,
                    n=400,
                )
            ],
        )
        or path
    )


@pytest.mark.parametrize(
    "before,now,good", [(0.9, 0.9, True), (0.9, 0.895, True), (0.9, 0.8, False), (0.8, 0.9, True)]
)
def test_accuracy_counts_beyond_noise(model, tmp_path, infer, before, now, good):
    made = make_bundle(model, tmp_path / "b", evidence=[_records(tmp_path / "now.jsonl", now)])
    v = decide(made.folder, inference=infer(), baseline=_records(tmp_path / "before.jsonl", before))
    assert v.passed is good and v.check("accuracy").figures["compared"] == 1


def test_a_small_drop_within_noise_is_refused_where_the_policy_says_so(model, tmp_path, infer):
    made = make_bundle(
        model, tmp_path / "b", evidence=[_records(tmp_path / "now.jsonl", 0.88, half=0.05)]
    )
    rules = policy.parse('schema = "facelab.policy/1"\n[accuracy]\nlargest_drop = 0.01', "p")
    v = decide(
        made.folder,
        inference=infer(),
        baseline=_records(tmp_path / "b.jsonl", 0.9, half=0.05),
        rules=rules,
    )
    assert refused(v) == ["accuracy"]


def test_a_figure_that_the_baseline_lacks_is_named(model, tmp_path, infer):
    more = tmp_path / "more.jsonl"
    write(more, [Record("r", "03", "test", "macro_f1", 0.9, better="higher")])
    made = make_bundle(
        model, tmp_path / "b", evidence=[_records(tmp_path / "now.jsonl", 0.9), more]
    )
    check = decide(
        made.folder, inference=infer(), baseline=_records(tmp_path / "before.jsonl", 0.9)
    ).check("accuracy")
    assert check.status == "pass" and check.figures["not_in_baseline"] == ["test macro_f1"]
    assert (
        check.what.startswith("test accuracy compared")
        and "the baseline has no test macro_f1" in check.what
    )


def _with_thresholds(model, tmp_path, entry):
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps(
            {
                "schema": thresholds.SCHEMA,
                "thresholds": [{"name": "reject", "value": 0.6, "quantity": "confidence", **entry}],
            }
        )
    )
    return make_bundle(model, tmp_path / "b", threshold_file=path).folder


CLEAN, LEAK = (
    {"name": "calibration", "images": ["a", "b"]},
    {"name": "held out", "images": ["b", "c"]},
)
TEST = {"name": "test", "images": ["c", "d"]}


@pytest.mark.parametrize(
    "entry,word",
    [
        ({"chosen_on": CLEAN, "reported_on": TEST}, None),
        ({"origin": "published"}, None),
        ({"chosen_on": TEST, "reported_on": TEST}, "reported on"),
        ({"chosen_on": LEAK, "reported_on": TEST}, "1 images are in"),
        (
            {
                "chosen_on": {"name": "x", "identities": ["p"]},
                "reported_on": {"name": "y", "identities": ["p"]},
            },
            "people",
        ),
        ({"reported_on": TEST}, "nobody says"),
    ],
)
def test_thresholds_are_chosen_elsewhere(model, tmp_path, infer, entry, word):
    v = decide(_with_thresholds(model, tmp_path, entry), inference=infer())
    assert refused(v) == (["thresholds"] if word else [])
    assert word is None or word in v.check("thresholds").what


DEVICE = 'schema = "facelab.policy/1"\n[device]\n'


def _device(tmp_path, ms, memory):
    path = tmp_path / "device.json"
    path.write_text(
        json.dumps(
            {
                "schema": "facelab.device/1",
                "device": "board",
                "latency_ms": [ms] * 30,
                "peak_rss_mb": memory,
            }
        )
    )
    return path


@pytest.mark.parametrize(
    "ms,memory,expected",
    [
        (4.0, 20.0, []),
        (40.0, 20.0, ["latency"]),
        (4.0, 90.0, ["memory"]),
        (40.0, 90.0, ["latency", "memory"]),
    ],
)
def test_budgets_of_the_target_device(whole, infer, tmp_path, ms, memory, expected):
    rules = policy.parse(DEVICE + "latency_p90_ms = 20\nmemory_mb = 64\nmodel_mb = 1", "p")
    v = decide(whole, inference=infer(), rules=rules, device=_device(tmp_path, ms, memory))
    assert refused(v) == expected and v.check("model_size").status == "pass"
    assert decide(whole, inference=infer(), rules=rules).check("latency").status == "skipped"


def test_the_model_is_timed_here_where_the_policy_asks_for_it(whole, infer):
    rules = policy.parse(DEVICE + "measure = true\nlatency_p90_ms = 5000\nmemory_mb = 9000", "p")
    v = decide(whole, inference=infer(), rules=rules)
    assert v.check("latency").status == v.check("memory").status == "pass"
    assert v.check("latency").figures["n"] >= 20 and "this machine" in v.check("latency").what


def test_the_programs_own_outputs_are_compared(whole, infer, tmp_path):
    from facelab.deploy._bundle import load

    good = {
        p: np.load(whole / "golden" / "outputs" / f"{p}.npy") for p in load(whole).manifest.golden
    }
    for name, change in (("right", lambda x: x), ("wrong", lambda x: x[..., ::-1])):
        (tmp_path / name).mkdir()
        for probe, array in good.items():
            np.save(tmp_path / name / f"{probe}.npy", change(array))
    assert decide(whole, inference=infer(), outputs=tmp_path / "right").passed
    v = decide(whole, inference=infer(), outputs=tmp_path / "wrong")
    assert refused(v) == ["golden_outputs"] and v.check("golden_outputs").causes == ("program",)
    (tmp_path / "wrong" / "marks.npy").unlink()
    assert run(["gate", str(whole), "--outputs", str(tmp_path / "wrong")]) == 2


def test_a_policy_can_forbid_skipping(whole, infer):
    rules = policy.parse('schema = "facelab.policy/1"\nskipping = "forbid"', "p")
    v = decide(whole, inference=infer(), rules=rules)
    assert set(v.refused) == {"accuracy", "thresholds", "model_size", "latency", "memory"}
    assert not decide(whole).passed  # the shipped policy wants a fingerprint


BAD_POLICIES = {
    'schema = "facelab.policy/1"\nskiping = "forbid"': "did you mean 'skipping'",
    'schema = "facelab.policy/1"\n[fingerprint]\naccepts = ["identical"]': "did you mean 'accept'",
    'schema = "facelab.policy/1"\n[int8]\nagreement = "about 0.9"': "not a budget",
    'schema = "facelab.policy/1"\nrequired = ["fingerprints"]': "did you mean 'fingerprint'",
    'schema = "facelab.policy/2"': "schema",
    'name = "x"': "schema",
    "schema = ": "TOML",
    'schema = "facelab.policy/1"\n[device]\nlatency_p90_ms = -1': "greater than 0",
}


@pytest.mark.parametrize("text", BAD_POLICIES)
def test_a_wrong_policy_is_bad_input_with_a_hint(whole, tmp_path, text, capsys):
    (tmp_path / "p.toml").write_text(text)
    assert run(["gate", str(whole), "--policy", str(tmp_path / "p.toml")]) == 2
    err = capsys.readouterr().err
    assert BAD_POLICIES[text] in err and "Traceback" not in err


def test_the_shipped_policy_states_every_key_and_its_own_defaults():
    import tomllib

    shown = tomllib.loads(policy.DEFAULT)
    bare = policy.Policy.model_validate({"schema": policy.SCHEMA, "name": "default"})
    assert policy.default() == bare
    for section in ("golden_outputs", "int8", "accuracy", "fingerprint"):
        keys = set(type(getattr(bare, section)).model_fields) - {"enabled"}
        commented = {key for key in ("largest_drop", "cosine") if f"\n# {key} = " in policy.DEFAULT}
        assert keys <= set(shown[section]) | commented, section


@pytest.fixture
def pair(whole, infer):
    return decide(whole, inference=infer()), decide(whole, inference=infer(decode={"order": "bgr"}))


def test_every_form_of_the_answer_agrees(pair, whole, infer, tmp_path, capsys):
    from xml.etree import ElementTree as ET

    bad = infer(decode={"order": "bgr"})
    files = {k: tmp_path / f"out.{k}" for k in ("json", "junit", "sarif", "html")}
    options = [x for k, f in files.items() for x in (f"--{k}", str(f))]
    code = run(["gate", str(whole), "--inference", str(bad), *options])
    assert code == 1 and "FAIL" in capsys.readouterr().out
    value = json.loads(files["json"].read_text())
    assert value["verdict"] == "FAIL" and value["refused"] == ["fingerprint"]
    assert next(c for c in value["checks"] if c["name"] == "fingerprint")["causes"] == [
        "channel_order"
    ]
    suite = ET.fromstring(files["junit"].read_bytes())
    gate = suite.find("testsuite")
    failed = [c.get("name") for c in gate if c.find("failure") is not None]
    assert (
        failed == ["fingerprint"]
        and int(gate.get("failures")) == 1
        and int(gate.get("tests")) == len(gate)
    )
    assert int(gate.get("skipped")) == len(gate.findall("testcase/skipped"))
    log = json.loads(files["sarif"].read_text())
    assert [r["ruleId"] for r in log["runs"][0]["results"]] == ["fingerprint"]
    assert [r["ruleId"] for r in log["runs"][1]["results"]] == ["channel_order"]
    html = files["html"].read_text()
    assert (
        "FAIL" in html
        and "channel order" in html
        and "http://" not in html
        and "https://" not in html
    )


def test_sarif_has_the_required_parts_of_2_1_0(pair):
    need = {
        "type": "object",
        "required": ["version", "runs"],
        "properties": {
            "version": {"const": "2.1.0"},
            "runs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["tool", "results"],
                    "properties": {
                        "tool": {
                            "required": ["driver"],
                            "properties": {"driver": {"required": ["name", "rules"]}},
                        },
                        "results": {
                            "items": {
                                "required": ["message", "ruleId", "level", "locations"],
                                "properties": {
                                    "level": {"enum": ["none", "note", "warning", "error"]}
                                },
                            }
                        },
                    },
                },
            },
        },
    }
    for v in pair:
        log = json.loads(json.dumps(sarif(v)))
        jsonschema.validate(log, need)
        for r in log["runs"]:
            assert all(
                r["tool"]["driver"]["rules"][x["ruleIndex"]]["id"] == x["ruleId"]
                for x in r["results"]
            )
        assert b"testsuites" in junit(v)


def test_pictures_and_pages(pair):
    good, bad = pair
    for v in pair:
        assert v.word in v._repr_html_() and v.word in page(v)
    fig = grid({"good": good, "BGR": bad})
    texts = {t.get_text() for t in fig.axes[0].texts}
    assert {"PASS", "FAIL", "✗", "✓"} <= texts


@pytest.mark.parametrize("name", ["infer.json", "device.json", "baseline.jsonl"])
def test_unusable_input_is_bad_input(whole, tmp_path, name, capsys):
    (tmp_path / name).write_text("{]")
    option = {
        "infer.json": "--inference",
        "device.json": "--device",
        "baseline.jsonl": "--baseline",
    }[name]
    assert run(["gate", str(whole), option, str(tmp_path / name)]) == 2
    assert "error:" in (err := capsys.readouterr().err) and "Traceback" not in err


def test_the_gate_takes_three_seconds_of_processor_time_at_most_and_no_tensorflow(whole, infer):
    code = (
        "import sys; from facelab.cli import run; "
        f"code = run(['gate', {str(whole)!r}, '--inference', {str(infer(decode={'order': 'bgr'}))!r}]); "
        "bad = [m for m in ('tensorflow', 'keras', 'matplotlib', 'torch') if m in sys.modules]; "
        "print(code, bad, file=sys.stderr)"
    )
    before = os.times()  # a busy machine makes the wall clock's figure any number
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    after = os.times()
    assert done.stderr.strip().splitlines()[-1] == "1 []", done.stderr
    took = after.children_user + after.children_system
    took -= before.children_user + before.children_system
    assert took < 3, f"{took:.1f} s"


def test_print_policy_is_a_policy(tmp_path, capsys):
    assert run(["gate", "--print-policy"]) == 0
    (tmp_path / "p.toml").write_text(capsys.readouterr().out)
    assert policy.load(tmp_path / "p.toml") == policy.default()
    assert run(["gate"]) == 2


@pytest.mark.parametrize("value", [None, "some", 0, -1])
def test_only_a_number_of_trained_images_fails_a_check(value):
    stated = Record(run="r", step="s", case="c", metric=evidence.TRAINED_ON, value=value)
    assert _checks.trained_on("accuracy", [stated]) is None
    counted = Record(run="r", step="s", case="c", metric=evidence.TRAINED_ON, value=4)
    assert _checks.trained_on("accuracy", [stated, counted]).figures == {evidence.TRAINED_ON: 4}

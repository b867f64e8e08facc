"""Issue 22.9, 22.13, 22.14, 22.20: a bundle's claims decide nothing; the gate gives a verdict on whatever it holds."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))  # tests are not a package

from conftest_deploy import write_model

from facelab import cli
from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_file
from facelab.core.machine import peak_rss_bytes
from facelab.deploy import _answers as answers
from facelab.deploy import policy
from facelab.deploy._bundle import make_bundle
from facelab.deploy._gate import judge
from facelab.deploy._verify import verify
from facelab.deploy.internals import golden
from facelab.deploy.manifest import canonical_hash

RULES = policy.parse('schema = "facelab.policy/1"\nrequired = []', "policy.toml")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    model = write_model(folder / "small.onnx")
    return make_bundle(model, folder / "b", licence="Apache-2.0").folder


@pytest.fixture
def bundle(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "b"))


def edit(bundle, change, *, honest=True):
    """Change the manifest; `honest` recomputes every hash, as somebody who makes bundles can."""
    path = bundle / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    if honest:
        for f in value["files"]:
            file = bundle / f["path"]
            f.update(bytes=file.stat().st_size, sha256=sha256_file(file))
        value["hash"] = canonical_hash(value)
    path.write_text(json.dumps(value))
    return bundle


FIELDS = {
    "name": lambda m: m.update(name="other"),
    "task": lambda m: m.update(task="emotion!"),
    "runtime": lambda m: m.update(runtime="keras"),
    "quantized": lambda m: m.update(quantized=True),
    "inputs": lambda m: m["inputs"][0].update(dtype="uint8"),
    "outputs": lambda m: m["outputs"][0].update(name="other"),
    "labels": lambda m: m["labels"].reverse(),
    "golden": lambda m: m["golden"].pop(),
    "licence": lambda m: m["licence"].update(licence="MIT"),
    "terms": lambda m: m["licence"].update(terms="none"),
    "file licence": lambda m: m["files"][0].update(licence="MIT"),
    "reference": lambda m: m.update(reference={"name": "f", "sha256": "0" * 64, "bytes": 1 << 40}),
    "made_by": lambda m: m["made_by"].update(facelab="9"),
    "role": lambda m: m["files"][-1].update(role="card"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_pinned_manifest_can_be_edited(bundle, field):
    pinned = json.loads((bundle / "manifest.json").read_text())["hash"]
    edit(bundle, FIELDS[field], honest=False)
    assert not verify(bundle, expect=pinned).ok
    rules = RULES.model_copy(update={"integrity": policy.IntegrityPolicy(bundle_hash=pinned[:16])})
    assert judge(bundle, rules).refused == ["integrity"]
    # who recomputes the hash has a different hash
    edit(bundle, lambda m: m.update(hash=canonical_hash(m)), honest=False)
    found = verify(bundle, expect=pinned)
    assert not found.ok and "another bundle" in found.problems[0].what


LIES = {
    "no outputs": (lambda m: m.update(outputs=[]), 2),
    "no golden": (lambda m: m.update(golden=[]), 2),
    "runtime keras": (lambda m: m.update(runtime="keras"), 1),
    "quantised": (lambda m: m.update(quantized=True), 1),
    "quantised in words": (lambda m: m.update(quantized="yes"), 2),
    "another input": (lambda m: m["inputs"][0].update(shape=[1, 3, 24, 24]), 1),
    "another output": (lambda m: m["outputs"][0].update(dtype="uint8"), 1),
    "more outputs": (lambda m: m["outputs"].append(m["outputs"][0]), 1),
    "fewer probes": (lambda m: m["golden"].pop(), 1),
    "a probe outside": (lambda m: m["golden"].append("../../x"), 2),
    "a probe twice": (lambda m: m["golden"].append(m["golden"][0]), 1),
    "other labels": (lambda m: m["labels"].reverse(), 1),
    "a name of 3 MB": (lambda m: m.update(name="x" * 3_000_000), 2),
    "two licences": (lambda m: m["licence"].update(licence="MIT"), 1),
    "a hundred thousand probes": (lambda m: m.update(golden=[f"p{i}" for i in range(100_000)]), 2),
}


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_of_a_manifest_passes_although_every_hash_is_right(bundle, lie, capsys):
    change, code = LIES[lie]
    edit(bundle, change)
    assert cli.run(["gate", str(bundle)]) == code
    out, err = capsys.readouterr()
    assert "PASS:" not in out and "Traceback" not in err


def test_a_check_that_compared_nothing_is_not_a_pass(whole):
    from facelab.deploy import _checks as checks
    from facelab.deploy.internals import golden

    assert checks._judge(golden.Distance(3), 0.1, 1, None)[1] is True


@pytest.mark.parametrize("answers", ["NaN", "no elements"])
def test_answers_that_say_nothing_are_not_equal(bundle, answers):
    """A network that answers NaN to everything passed where its golden outputs were NaN, too."""
    from onnx import helper, numpy_helper

    model = onnx.load(bundle / "model.onnx")
    out, last = model.graph.output[0], model.graph.node[-1]
    last.output[0] = "before"
    if answers == "NaN":
        model.graph.initializer.append(numpy_helper.from_array(np.float32(np.nan), "c"))
        model.graph.node.append(helper.make_node("Mul", ["before", "c"], [out.name]))
    else:
        for name, value in (("c", [0]), ("axes", [1])):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        words = ["before", "c", "c", "axes"]
        model.graph.node.append(helper.make_node("Slice", words, [out.name]))
        out.type.tensor_type.shape.dim[1].dim_value = 0
    onnx.save(model, bundle / "model.onnx")
    for file in (bundle / "golden/outputs").iterdir():
        array = np.load(file)
        np.save(file, array * np.nan if answers == "NaN" else array[:, :0])

    def change(m):
        if answers != "NaN":
            m["outputs"][0]["shape"][1] = 0

    edit(bundle, change)
    assert "golden_outputs" in judge(bundle, RULES).refused


def test_an_empty_hash_expects_a_bundle_that_there_is_not(whole):
    assert not verify(whole, expect="").ok


def test_a_terabyte_that_is_promised_is_not_hashed(bundle):
    """A file without content may have any size: reading it would take hours."""
    with (bundle / "page.html").open("wb") as f:
        f.truncate(1 << 40)
    entry = {
        "path": "page.html",
        "bytes": 1 << 40,
        "sha256": "0" * 64,
        "role": "page",
        "licence": "x",
    }
    edit(bundle, lambda m: m["files"].append(entry), honest=False)
    with pytest.raises(BadInputError, match="manifest") as e:
        judge(bundle, RULES)
    assert "at most" in e.value.got or "at most" in str(e.value)


@pytest.mark.parametrize("names", [("README.MD", "readme.md"), ("e\u0301.txt", "\u00e9.txt")])
def test_two_names_that_are_one_file_elsewhere_are_refused(bundle, names):
    for name in names:
        (bundle / name).write_text(name)
    entries = [
        {"path": n, "bytes": 0, "sha256": "0" * 64, "role": "page", "licence": "x"} for n in names
    ]
    edit(bundle, lambda m: m["files"].extend(entries))
    assert "the same file" in verify(bundle).problems[0].what


def test_folders_a_thousand_deep_are_a_verdict(bundle, monkeypatch, capsys):
    import subprocess

    monkeypatch.chdir(bundle)
    here = os.open(".", os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("deep")  # noqa: PTH102
            os.chdir("deep")
        Path("x").write_text("x")
    finally:
        os.fchdir(here)
        os.close(here)
    try:
        assert cli.run(["gate", str(bundle)]) == 1
        assert "FAIL" in capsys.readouterr().out
    finally:  # more than Python's rmtree can do
        subprocess.run(["rm", "-rf", bundle / "deep"], check=True)


def test_a_file_of_labels_that_no_manifest_could_list_is_not_read(bundle):
    """Zeros of a gigabyte are a few bytes on the disk and would be a gigabyte of text."""
    path = bundle / next(
        f["path"]
        for f in json.loads((bundle / "manifest.json").read_text())["files"]
        if f["role"] == "labels"
    )
    with path.open("r+b") as f:
        f.truncate(1 << 30)
    edit(bundle, lambda m: None)
    before = peak_rss_bytes()
    assert any("other labels" in p.what for p in verify(bundle).problems)
    assert peak_rss_bytes() - before < 200 << 20


def test_a_name_that_no_manifest_takes_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="too long"):
        make_bundle(write_model(tmp_path / "m.onnx"), tmp_path / "b", name="x" * 1001)


def test_the_golden_outputs_are_those_of_the_model_that_is_there(bundle, tmp_path):
    """A bundle whose model was replaced, every hash and claim made right again."""
    write_model(tmp_path / "other.onnx", seed=9)
    shutil.copy(tmp_path / "other.onnx", bundle / "model.onnx")
    edit(bundle, lambda m: None)
    assert verify(bundle).ok
    found = judge(bundle, RULES)
    assert found.refused == ["golden_outputs"]


# -- signatures


@pytest.fixture(scope="module")
def keys():
    import minisign

    return minisign.KeyPair.generate(), minisign.KeyPair.generate()


def sign(bundle, pair):
    signature = pair.secret_key.sign((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json.minisig").write_bytes(bytes(signature))


def test_a_signed_bundle_is_verified_and_any_other_refused(bundle, keys, tmp_path, capsys):
    mine, other = keys
    key = mine.public_key.to_base64().decode()
    assert "no signature" in verify(bundle, public_key=key).problems[0].what
    sign(bundle, mine)
    assert verify(bundle, public_key=key).ok and verify(bundle).ok
    (tmp_path / "k.pub").write_bytes(bytes(mine.public_key))
    assert cli.run(["bundle", "verify", str(bundle), "--public-key", str(tmp_path / "k.pub")]) == 0
    wrong = other.public_key.to_base64().decode()
    assert "not signed" in verify(bundle, public_key=wrong).problems[0].what
    rules = RULES.model_copy(update={"integrity": policy.IntegrityPolicy(public_key=wrong)})
    assert judge(bundle, rules).refused == ["integrity"]
    edit(bundle, FIELDS["name"])
    assert "not signed" in verify(bundle, public_key=key).problems[0].what
    (bundle / "manifest.json.minisig").write_bytes(b"\x00" * 3000)
    assert "cannot be read" in verify(bundle, public_key=key).problems[0].what
    capsys.readouterr()
    assert cli.run(["bundle", "verify", str(bundle), "--public-key", "RWnonsense"]) == 2


def test_a_file_with_a_keys_text_as_its_name_is_not_that_key(bundle, keys, tmp_path, monkeypatch):
    """A stranger's folder, in which somebody verifies, held a file that is called like the demanded key."""
    mine, stranger = keys
    demanded = mine.public_key.to_base64().decode()
    sign(bundle, stranger)
    place = tmp_path / "here" / demanded  # a key's text may hold a slash
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(stranger.public_key))
    monkeypatch.chdir(tmp_path / "here")
    assert "not signed" in verify(bundle, public_key=demanded).problems[0].what


# -- external data


def external(path, *, location="weights.bin"):
    model = onnx.load(write_model(path))
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=1000,
    )
    return path


def test_a_bundle_of_a_model_with_external_weights_is_whole_elsewhere(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    made = make_bundle(external(folder / "m.onnx"), tmp_path / "b")
    shutil.rmtree(folder)  # the weights that were beside the model
    moved = Path(shutil.move(tmp_path / "b", tmp_path / "elsewhere"))
    found = judge(moved, RULES)
    assert found.passed and found.check("golden_outputs").status == "pass"
    assert (moved / made.manifest.model).stat().st_size > 20_000


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "absent.bin"])
def test_external_weights_outside_the_folder_are_not_bundled(place, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    folder = tmp_path / "m"
    folder.mkdir()
    path = external(folder / "m.onnx")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = place
    path.write_bytes(model.SerializeToString())
    assert cli.run(["bundle", str(path), "--out", str(tmp_path / "b")]) == 2
    assert not (tmp_path / "b").exists()


# -- content that ends the process, or never ends


def endless(path):
    """An ONNX classifier whose graph holds a loop without an end."""
    model = onnx.load(write_model(path))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c_out"]),
            helper.make_node("Identity", ["v"], ["v_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, [1, 3]),
        ],
    )
    graph = model.graph
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "true"))
    graph.node[-1].output[0] = "inner"
    graph.node.append(helper.make_node("Loop", ["", "true", "inner"], ["scores"], body=body))
    onnx.save(model, path)
    return path


def test_an_endless_model_ends_with_a_verdict(bundle, tmp_path, monkeypatch):
    shutil.copy(endless(tmp_path / "e.onnx"), bundle / "model.onnx")
    edit(bundle, lambda m: None)
    monkeypatch.setattr(answers, "PATIENCE", 5.0)
    quick = policy.GoldenPolicy(seconds=0.1)
    found = judge(bundle, RULES.model_copy(update={"golden_outputs": quick}))
    assert not found.passed and "golden_outputs" in found.refused
    assert "did not end in time" in found.check("golden_outputs").what


@pytest.mark.parametrize("kind", ["texts", "too many numbers"])
def test_answers_that_no_bundle_can_hold_are_refused(kind, tmp_path, monkeypatch):
    model = onnx.load(write_model(tmp_path / "m.onnx"))
    texts = np.array([b"a", b"b"], dtype=object) if kind == "texts" else np.zeros(5000, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(texts, "stored"))
    model.graph.node.append(helper.make_node("Identity", ["stored"], ["more"]))
    element = TensorProto.STRING if kind == "texts" else TensorProto.FLOAT
    model.graph.output.append(helper.make_tensor_value_info("more", element, [len(texts)]))
    onnx.save(model, tmp_path / "m.onnx")
    monkeypatch.setattr(golden, "MAX_GOLDEN", 10_000)
    with pytest.raises(BadInputError, match="cannot be stored"):
        make_bundle(tmp_path / "m.onnx", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_model_that_crashes_the_runtime_ends_with_a_verdict(bundle, monkeypatch):
    """What a crash inside a native runtime looks like: the process is gone."""
    monkeypatch.setattr(
        answers.fresh,
        "call",
        lambda *a, _call=answers.fresh.call, **k: _call("os:abort", timeout=30),
    )
    found = judge(bundle, RULES)
    assert found.refused[0] == "golden_outputs"
    assert "SIGABRT" in found.check("golden_outputs").what
    assert "model.onnx" in found.check("golden_outputs").what


EVIDENCE = {
    "10**400": '{"value": 1' + "0" * 400 + "}",
    "5 000 digits": '{"value": 1' + "0" * 5000 + "}",
    "a lone surrogate": '{"value": 1, "case": "\\ud800"}',
    "deep": "[" * 100_000,
    "NaN": '{"value": NaN}',
    "infinity": '{"value": 1e999}',
    "a NUL": '{"value": 1, "case": "\\u0000"}',
    "no JSON": "\x00\xff",
}


@pytest.mark.parametrize("name", EVIDENCE)
def test_hostile_evidence_is_a_failed_check_and_no_traceback(bundle, name, capsys):
    text = EVIDENCE[name]
    if text.startswith("{"):
        record = {
            "run": "r", "step": "s", "case": "c", "metric": "accuracy", "at": "now",
            "schema": "facelab.record/1", "better": "higher",
        }  # fmt: skip
        text = json.dumps(record)[:-1] + ", " + text[1:]
    (bundle / "evidence").mkdir()
    (bundle / "evidence" / "records.jsonl").write_text(text, encoding="latin-1")
    entry = {
        "path": "evidence/records.jsonl", "bytes": 0, "sha256": "", "role": "evidence",
        "licence": "x",
    }  # fmt: skip
    edit(bundle, lambda m: m["files"].append(entry))
    baseline = bundle.parent / "baseline.jsonl"
    baseline.write_text(json.dumps({
        "run": "r", "step": "s", "case": "c", "metric": "accuracy", "at": "now", "value": 0.5,
        "schema": "facelab.record/1", "better": "higher", "lo": 0.4, "hi": 0.6,
    }) + "\n")  # fmt: skip
    outputs = [f"--{kind}={bundle.parent / ('x.' + kind)}" for kind in ("sarif", "junit", "html")]
    code = cli.run(["gate", str(bundle), "--baseline", str(baseline), *outputs])
    out, err = capsys.readouterr()
    assert code == 1 and "Traceback" not in err and "FAIL" in out


@pytest.mark.parametrize("file", ["golden/outputs/marks.npy", "golden/tensors/marks.npy"])
def test_hostile_arrays_are_a_failed_check(bundle, file, capsys):
    (bundle / file).write_bytes(
        b"\x93NUMPY\x01\x00\x40\x00{'descr': [('a',)], 'fortran_order': False, 'shape': (1,), }"
    )
    edit(bundle, lambda m: None)
    assert cli.run(["gate", str(bundle)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_bundle_that_was_not_opened_is_not_said_to_be_done(tmp_path, monkeypatch):
    model = write_model(tmp_path / "m.onnx")
    from facelab.deploy._bundle_files import _contents

    monkeypatch.setattr(
        _contents, "_copy_model", lambda source, target: write_model(target, seed=5)
    )
    with pytest.raises(BadInputError, match="not the model that was given"):
        make_bundle(model, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_labels_by_the_hundred_thousand_are_answered_at_once(bundle, capsys):
    """They took time with the square of their number: 200 000 of them more than 150 s."""
    import time

    names = [f"l{k}" for k in range(200_000)]
    (bundle / "labels.txt").write_text("\n".join(names) + "\n")
    edit(bundle, lambda m: m.update(labels=names, task="emotion"))
    before = time.process_time()
    assert cli.run(["release", "verify", str(bundle)]) == 2
    assert time.process_time() - before < 10
    shown = capsys.readouterr().err
    assert "labels and outputs differ" in shown and f"{bundle}/model.onnx" in shown

"""A bundle holds what it promises, and every way of damaging it is found."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest_deploy import write_model

from facelab.cli import run
from facelab.core.errors import BadInputError, FacelabError
from facelab.deploy import _stage_rules as stage_rules
from facelab.deploy._bundle import load, make_bundle
from facelab.deploy._verify import verify
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.ops import STAGES
from facelab.zoo.runtimes import open_model


def test_it_holds_everything_that_an_inference_team_needs(whole, model):
    m = load(whole).manifest
    roles = {f.role for f in m.files}
    assert {
        "model",
        "preprocess",
        "labels",
        "thresholds",
        "fingerprint",
        "probe",
        "golden_tensor",
        "golden_output",
        "page",
    } <= roles
    assert (whole / m.model).read_bytes() == model.read_bytes()
    assert m.labels == (whole / "labels.txt").read_text().split() == ["anger", "joy", "neutral"]
    assert m.of_role("model")[0].licence == m.licence.licence == "Apache-2.0"
    assert len(m.golden) >= 20
    page = (whole / "README.md").read_text()
    assert (
        "facelab fingerprint import" in page
        and "golden/outputs/NAME.npy" in page
        and "Apache-2.0" in page
    )
    assert verify(whole).ok


def test_golden_tensors_and_outputs_are_what_the_spec_and_the_model_give(whole):
    m = load(whole).manifest
    spec, opened = PreprocessSpec.load(whole / "preprocess.json"), open_model(whole / m.model)
    files = {
        p["name"]: p["file"]
        for p in json.loads((whole / "probes" / "probes.json").read_text())["probes"]
    }
    for probe in m.golden[:4]:
        tensor = np.load(whole / "golden" / "tensors" / f"{probe}.npy")
        assert np.array_equal(tensor, apply(spec, whole / "probes" / files[probe]))
        # bit-equal: the same runtime on the same machine
        assert np.array_equal(
            np.load(whole / "golden" / "outputs" / f"{probe}.npy"), opened.run(tensor)[0]
        )


def test_the_page_says_what_each_stage_computes_and_how_near_is_near_enough(whole):
    page = (whole / "README.md").read_text()
    spec = PreprocessSpec.load(whole / "preprocess.json")
    for stage in spec.stages:
        assert stage_rules.RULES[stage.op] in page
    assert stage_rules.RULES["align"] not in page  # not what this model has no stage for
    (level,) = stage_rules.one_level(spec)
    assert f"one level of the 8-bit image, here {level:.6g}, and" in page


def test_one_level_is_what_a_step_of_the_pixel_makes_of_the_tensor():
    pixel = [{"op": "decode", "format": "gray8", "order": "gray", "size": (8, 6)}]
    for scale, units in ((128, "0-255"), (0.5, "0-1"), (-2, "0-255")):
        spec = PreprocessSpec(
            "x", [*pixel, {"op": "normalize", "mean": [3], "scale": [scale], "units": units}]
        )
        a, b = (apply(spec, bytes([v] * 48)) for v in (100, 101))
        assert stage_rules.one_level(spec) == pytest.approx([abs(float(b.flat[0] - a.flat[0]))])


def test_every_op_has_its_rule_and_the_docs_have_them_all():
    assert set(stage_rules.RULES) == set(STAGES)
    tool = Path(__file__).resolve().parents[2] / "docs" / "tools" / "stage_rules.py"
    made = runpy.run_path(str(tool))
    assert made["PAGE"].read_text() == made["text"](), f"write it again: python {tool}"


def test_the_same_model_gives_the_same_bundle_hash(whole, model, tmp_path):
    assert (
        make_bundle(model, tmp_path / "again", licence="Apache-2.0").manifest.hash
        == load(whole).manifest.hash
    )


DAMAGE = {
    "a changed byte": lambda b: _flip(b / "model.onnx"),
    "a truncated file": lambda b: (b / "golden/outputs/marks.npy").write_bytes(b"\x93NUMPY"),
    "a missing file": lambda b: (b / "golden/tensors/marks.npy").unlink(),
    "a stray file": lambda b: (b / "golden/tensors/extra.npy").write_bytes(b""),
    "a link out of the bundle": lambda b: _link(b / "labels.txt"),
    "an edited manifest": lambda b: _edit(b, lambda m: m["files"][0].update(sha256="0" * 64)),
    "a file dropped from the manifest": lambda b: _edit(b, lambda m: m["files"].pop()),
}


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _link(path):
    target = path.with_name("elsewhere")
    shutil.move(path, target.parent.parent / "elsewhere.txt")
    path.symlink_to(target.parent.parent / "elsewhere.txt")


def _edit(bundle, change):
    value = json.loads((bundle / "manifest.json").read_text())
    change(value)
    (bundle / "manifest.json").write_text(json.dumps(value))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_every_damage_is_found(bundle, damage, capsys):
    damage(bundle)
    assert not verify(bundle).ok
    assert run(["bundle", "verify", str(bundle)]) == 1
    assert "damaged" in capsys.readouterr().out


def test_parts_that_do_not_belong_together_are_found_although_every_hash_is_right(bundle):
    """Another spec, entered into the manifest by somebody who recomputed the hashes."""
    from facelab.core.hashing import sha256_file
    from facelab.deploy.manifest import canonical_hash

    spec = PreprocessSpec.load(bundle / "preprocess.json")
    spec.replace(3, mean=[0.0]).save(bundle / "preprocess.json")

    def change(m):
        for f in m["files"]:
            f.update(
                bytes=(bundle / f["path"]).stat().st_size, sha256=sha256_file(bundle / f["path"])
            )
        m["hash"] = canonical_hash(m)

    _edit(bundle, change)
    assert "preprocessing" in verify(bundle).problems[0].what


BAD_MANIFESTS = {
    "a path out of the bundle": lambda m: m["files"][0].update(path="../outside"),
    "an absolute path": lambda m: m["files"][0].update(path="/etc/passwd"),
    "another schema": lambda m: m.update(schema="facelab.bundle/9"),
    "a missing key": lambda m: m.pop("files"),
    "a negative size": lambda m: m["files"][0].update(bytes=-1),
}


@pytest.mark.parametrize("change", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_a_malformed_manifest_is_bad_input(bundle, change, capsys):
    _edit(bundle, change)
    assert run(["bundle", "verify", str(bundle)]) == 2
    err = capsys.readouterr().err
    assert "error:" in err and "manifest" in err and "Traceback" not in err


def test_a_folder_that_is_not_a_bundle_is_bad_input_and_stays_untouched(model, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert run(["bundle", "verify", str(tmp_path)]) == 2
    assert run(["bundle", str(model), "--out", str(tmp_path)]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert "not a bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    "broken", ["no spec", "no model", "no such name", "wrong spec", "two inputs"]
)
def test_bad_models_leave_nothing_behind(broken, model, tmp_path, capsys):
    own = write_model(tmp_path / "m.onnx")
    name = str(own)
    if broken == "no spec":
        own.with_suffix(".preprocess.json").unlink()
    elif broken == "no model":
        own.write_bytes(b"not a model")
    elif broken == "no such name":
        name = "yunet-m"
    elif broken == "wrong spec":
        PreprocessSpec.load(own.with_suffix(".preprocess.json")).replace(2, size=[16, 16]).save(
            own.with_suffix(".preprocess.json")
        )
    else:
        import onnx

        graph = onnx.load(own)
        graph.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1]))
        onnx.save(graph, own)
    assert run(["bundle", name, "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    err = capsys.readouterr().err
    assert "error:" in err and "Traceback" not in err
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".out")]


def test_an_earlier_bundle_is_replaced_and_kept_when_the_new_one_fails(model, tmp_path):
    make_bundle(model, tmp_path / "b")
    before = load(tmp_path / "b").manifest.hash
    other = write_model(tmp_path / "other.onnx", seed=1)
    with pytest.raises(FacelabError):
        make_bundle(tmp_path / "absent.onnx", tmp_path / "b")
    assert load(tmp_path / "b").manifest.hash == before
    make_bundle(other, tmp_path / "b")
    assert load(tmp_path / "b").manifest.hash != before and verify(tmp_path / "b").ok


def test_the_command_answers_json_and_a_catalogue_name_works(assets, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    assert run(["bundle", "ultraface-rfb-320", "--out", str(tmp_path / "u"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["licence"] == "MIT" and value["task"] == "detection"
    held = json.loads((tmp_path / "u" / "thresholds.json").read_text())["thresholds"]
    assert held and all(t["origin"] == "published" for t in held)
    assert (
        run(["bundle", "verify", str(tmp_path / "u"), "--expect", value["hash"][:12], "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert run(["bundle", "verify", str(tmp_path / "u"), "--expect", "0" * 12]) == 1


def test_a_notebook_shows_a_bundle_as_a_table(whole):
    shown = load(whole)._repr_html_()
    assert (
        '<th style="text-align:left">path</th>' in shown
        and '<td style="text-align:left">model.onnx</td>' in shown
    )


def test_opening_something_else_names_the_command(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        load(tmp_path / "nothing")

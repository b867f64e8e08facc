"""`facelab eval liveness` and `facelab liveness check`."""

import json

import pytest
from click.testing import CliRunner

from facelab.cli import cli, run


def call(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)), standalone_mode=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from facelab.datasets import synthetic

    out = tmp_path_factory.mktemp("set") / "live"
    synthetic.write_set(synthetic.make_request("liveness", seed=4, size=64), 66, out)
    return out


def test_a_set_on_disk_is_evaluated_by_its_own_splits(folder, tmp_path):
    done = call(
        "eval",
        "liveness",
        "--model",
        "depth-geometry",
        "--data",
        folder,
        "--json",
        tmp_path / "o.json",
    )
    assert done.exception is None, done.output
    value = json.loads((tmp_path / "o.json").read_text())["models"][0]
    assert set(value["rates"]["apcer"]) == {"print_flat", "print_bent", "screen"}
    assert value["rates"]["acer"]["value"] <= 0.2 and "APCER screen" in done.output


def test_a_fusion_is_written_and_decides_over_a_stream(tmp_path):
    fused = tmp_path / "fused.json"
    done = call(
        "eval", "liveness", "--model", "depth-geometry", "--people", 12, "--fusion-out", fused
    )
    assert done.exception is None and json.loads(fused.read_text())["members"] == ["depth-geometry"]


@pytest.mark.parametrize("kind", ["live", "print_flat"])
def test_check_says_what_is_before_the_camera(mirror, kind, capsys):
    code = run(["liveness", "check", f"rendered:size=160,kind={kind}", "--pairs", "4", "--json"])
    value = json.loads(capsys.readouterr().out)
    assert value["verdict"] == ("live" if kind == "live" else "attack")
    assert code == (0 if kind == "live" else 1) and len(value["answers"]) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "liveness", "--model", "depth"],
        ["eval", "liveness", "--model", "motion", "--data", "nowhere.csv"],
        ["eval", "liveness", "--model", "depth-geometry", "--people", "8", "--rule", "apcer<=7"],
        ["eval", "liveness"],
        ["liveness", "check", "rendered:kind=ghost"],
        ["liveness", "check", "rendered:size=64", "--model", "nothing"],
        ["liveness", "check", "rendered:size=64", "--threshold", "nan"],
    ],
)
def test_wrong_input_ends_with_code_2_and_no_traceback(arguments, capsys):
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("file,kind", "missing.png,live"),
        ("file", "a.png"),
        ("file,kind,x1,y1,x2,y2", "images/000000.png,live,a,b,c,d"),
        ("file,kind,x1,y1,x2,y2", "images/000000.png,live,9,9,9,9"),
        ("file,kind,x1,y1,x2,y2,depth", "images/000000.png,live,9,9,40,40,images/000000.png"),
        ("file,kind,x1,y1,x2,y2,depth", "images/000000.png,live,9,9,40,40,nothing.png"),
        ("file,kind,x1,y1,x2,y2,depth", "images/000000.png,live,9,9,40,40,empty.png"),
    ],
)
def test_faulty_labels_are_refused_with_the_place(folder, tmp_path, head, row, capsys):
    from facelab.core.errors import BadInputError
    from facelab.liveness import read_presentations

    (folder / "empty.png").touch()
    (tmp_path / "labels.csv").write_text(f"{head}\n{row}\n")
    with pytest.raises(BadInputError) as caught:
        read_presentations(tmp_path / "labels.csv", images=folder)
    assert caught.value.where

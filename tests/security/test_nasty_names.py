"""Issue 22.10, 22.15: one list of nasty names across terminal, HTML, SARIF and JUnit."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from nasty import FORBIDDEN, NASTY

from facelab.core import escape
from facelab.core.compare_records import Row, text
from facelab.core.errors import BadInputError
from facelab.core.templates import render
from facelab.deploy import _export as export
from facelab.deploy._gate import Verdict
from facelab.deploy._gate_checks._check import Check
from facelab.reproduce._failure import plain


def harmless(shown, *, lines=None):
    assert not [c for c in FORBIDDEN if c in shown], "a control character is left"
    shown.encode("utf-8")
    if lines is not None:
        assert shown.count("\n") == lines, "a name made a line"


def verdict(name):
    checks = [
        Check("integrity", "fail", f"{name} was changed", f"look at {name}", (name,), file=name),
        Check("fingerprint", "skipped", name),
    ]
    return Verdict(Path("bundle"), name, name, checks, ["integrity", "fingerprint"], 0.1)


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_errors(name):
    shown = str(BadInputError(name, where=name, expected=name, got=name, fix=name))
    harmless(shown)
    for line in shown.splitlines()[1:]:
        assert line.startswith("  "), "a line of a message stands where a verdict would"


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_a_verdict(name):
    v = verdict(name)
    harmless(v.text(), lines=verdict("name").text().count("\n"))
    assert v.text().splitlines()[-1].startswith("FAIL: ")
    harmless(v._repr_html_())
    assert "<script" not in v._repr_html_() and "<b>PASS" not in v._repr_html_()
    log = json.dumps(export.sarif(v), ensure_ascii=False)
    harmless(json.loads(log)["runs"][0]["results"][0]["message"]["text"])
    root = ET.fromstring(export.junit(v))
    assert len(root.findall(".//testcase")) == 2 and len(root.findall(".//failure")) == 2
    for element in root.iter():
        for value in (*element.attrib.values(), element.text or ""):
            harmless(value)


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_the_page(name):
    from facelab.report.deploy import page

    shown = page(verdict(name))
    harmless(shown)
    assert "<script>alert" not in shown and "onmouseover='alert" not in shown


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_a_comparison(name):
    fields = dict.fromkeys(Row.__dataclass_fields__)
    fields |= {"step": name, "case": name, "metric": name, "unit": name, "why": name}
    fields |= {"verdict": "worse", "a": 1.0, "b": 2.0, "better": "higher", "change": 1.0}
    shown = text([Row(**fields)], name, name)
    harmless(shown, lines=4)


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_the_rest(name):
    harmless(escape.line(name), lines=0)
    harmless(render("core/templates/small.html.j2", text=name))
    harmless(plain(name))
    ET.fromstring("<a/>").text = escape.xml(name)
    from facelab.core.html_table import table

    harmless(table([name], [[name]], caption=name))
    assert "<script" not in table([name], [[name]], caption=name)


@pytest.mark.parametrize("name", ["clear screen", "forged line", "C1 control", "script"])
def test_a_bundle_with_such_a_name(name, tmp_path, capsys):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))
    from conftest_deploy import write_model

    from facelab import cli
    from facelab.deploy._bundle import make_bundle

    make_bundle(write_model(tmp_path / "m.onnx"), tmp_path / "b", name=NASTY[name])
    (tmp_path / "b" / "stray\x1b[2J\nPASS: b").write_text("x")
    for words in (["bundle", "verify", str(tmp_path / "b")], ["gate", str(tmp_path / "b")]):
        assert cli.run(words) == 1
        out, err = capsys.readouterr()
        harmless(out)
        harmless(err)
        assert not [line for line in out.splitlines() if line.startswith("PASS:")]


def test_a_reader_that_goes_away_leaves_the_exit_code(tmp_path):
    import subprocess

    program = Path(sys.executable).with_name("facelab")
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; {program} doctor --quick --json | true; echo ${{PIPESTATUS[0]}}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    direct = subprocess.run([program, "doctor", "--quick"], capture_output=True, check=False)
    assert done.stdout.strip() == str(direct.returncode) and "Traceback" not in done.stderr


def test_a_terminal_of_iso_8859_1_is_not_a_traceback(tmp_path):
    import os
    import subprocess

    program = Path(sys.executable).with_name("facelab")
    done = subprocess.run(
        [program, "bundle", "verify", tmp_path / "人"],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "iso-8859-1"},
    )
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"error:" in done.stderr


def test_a_checkout_path_with_blanks_stays_inside(tmp_path):
    import subprocess

    root = tmp_path / "a checkout" / "facelab here"
    root.mkdir(parents=True)
    (root / "Makefile").write_bytes((Path(__file__).resolve().parents[2] / "Makefile").read_bytes())
    subprocess.run(
        ["make", "-C", root, "setup-main", "PYTHON=true"], capture_output=True, check=False
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a checkout"]
    assert [p.name for p in (tmp_path / "a checkout").iterdir()] == ["facelab here"]
    assert sorted(p.name for p in root.iterdir()) == [".cache", "Makefile"]

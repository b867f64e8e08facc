"""`facelab trace` and `facelab memory`: documents on stdout, exit codes, refusals without a traceback."""

import json

import pytest

from facelab.cli import run
from facelab.tracing import Tracer


@pytest.fixture
def saved(tmp_path):
    with Tracer(watch_s=None) as tracer:
        for _ in range(30):
            with tracer.span("frame"), tracer.span("detect"):
                sum(range(1000))
    return tracer.trace().save(tmp_path / "trace.npz")


def test_show_prints_one_document_that_the_gate_reads(saved, capsys, tmp_path):
    from facelab.deploy._run_evidence import read

    assert run(["trace", "show", str(saved), "--json"]) == 0
    text = capsys.readouterr().out
    document = json.loads(text)
    assert document["schema"] == "facelab.latency/1"
    assert [r["name"] for r in document["stages"]] == ["frame", "detect"]
    assert document["causes"]["calls"] == 30
    (tmp_path / "l.json").write_text(text)
    assert len(read(tmp_path / "l.json").seconds) == 30


def test_show_corrects_by_a_period(saved, capsys):
    assert run(["trace", "show", str(saved), "--period", "0.00001", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["corrected"] == "period" and len(document["latency_ms"]) > 30


@pytest.mark.parametrize("name", ["chrome", "speedscope", "folded", "flamegraph"])
def test_export_writes_and_says_so_on_stderr(saved, capsys, tmp_path, name):
    out = tmp_path / "out"
    assert run(["trace", "export", str(saved), "--format", name, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert out.stat().st_size and said.out == "" and "wrote" in said.err


def test_a_receiver_that_is_not_there_is_exit_code_one(saved, capsys):
    pytest.importorskip("opentelemetry.sdk")
    words = ["trace", "send", str(saved), "--endpoint", "http://127.0.0.1:9/v1/traces"]
    assert run([*words, "--timeout", "0.5"]) == 1
    assert "did not take" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["trace", "show", "missing.npz"],
        ["trace", "show", "{saved}", "--period", "0"],
        ["trace", "export", "{saved}", "--format", "svg", "--out", "x"],
        ["trace", "export", "{saved}", "--out", "{saved}"],
        ["trace", "run", "--frames", "3"],
        ["trace", "run", "--detector", "no-such"],
        ["memory", "run", "--frames", "10"],
        ["memory", "run", "--out", "/proc/nowhere/m.json"],
    ],
)
def test_mistakes_are_exit_code_two(saved, words, capsys):
    assert run([w.format(saved=saved) for w in words]) == 2
    said = capsys.readouterr().err
    assert said and "Traceback" not in said


def test_a_run_traces_every_stage(mirror, capsys, tmp_path):
    out = tmp_path / "t.npz"
    assert run(["trace", "run", "--frames", "20", "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = [r["name"] for r in document["stages"]]
    assert " ".join(names) == "frame capture preprocess detect align embed match decide"
    assert document["stages"][0]["n"] == 20 and out.is_file()


@pytest.mark.slow
def test_the_clean_pipeline_does_not_leak_over_10000_frames(mirror, capsys):
    """Issue 16: the clean pipeline over 10 000 frames has no leak, and sees one of 2 kB per frame."""
    assert run(["memory", "run", "--frames", "10000", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] in ("no growth", "warm-up")
    assert document["visible_bytes_per_frame"] < 2048

"""What every command does with outputs that cannot be written, files that cannot be read, and too little memory."""

import json
import os
from pathlib import Path

import click
import numpy as np
import pytest

from facelab import cli
from facelab.commands.common import OutPath
from facelab.commands.json_file import emit_file
from facelab.core.errors import BadInputError
from facelab.core.files import check_writable, write_text
from facelab.core.records import Record, read, write

WRITTEN = {"--out", "--html", "--sarif", "--junit", "--records", "--stages"}


def leaves(command=cli.cli, path=()):
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*path, name))
    else:
        yield path, command


OUTPUTS = [
    (path, option)
    for path, command in leaves()
    for option in command.params
    if isinstance(option, click.Option)
    and (WRITTEN & set(option.opts) or ("--json" in option.opts and not option.is_flag))
]


@pytest.mark.parametrize(
    ("path", "option"), OUTPUTS, ids=[" ".join((*p, o.opts[0])) for p, o in OUTPUTS]
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    path, option, tmp_path, capsys
):
    (tmp_path / "file").write_text("kept")
    assert isinstance(option.type, OutPath)
    code = cli.run([*path, option.opts[0], str(tmp_path / "file" / "x")])
    said = capsys.readouterr().err
    assert (
        code == 2
        and said.startswith("error: the output cannot be written")
        and "file is a file" in said
    )
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (
        tmp_path / "file"
    ).read_text() == "kept"


NUMBERS = [
    (path, option)
    for path, command in leaves()
    for option in command.params
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
]


@pytest.mark.parametrize(
    ("path", "option"), NUMBERS, ids=[" ".join((*p, o.opts[-1])) for p, o in NUMBERS]
)
def test_a_number_that_cannot_be_meant_is_refused(path, option, capsys):
    real = isinstance(option.type, click.types.FloatParamType)
    least = getattr(option.type, "min", None)
    below = "-1" if least is None or least > -1 else str(least - 1)
    for value in (
        ("nan", "inf", "-inf", "x") if real else (below, "99999999999999999999", "1.5", "x")
    ):
        assert cli.run([*path, option.opts[-1], value]) == 2
        said = capsys.readouterr().err
        assert option.opts[-1] in said and value in said and "Traceback" not in said


def test_options_were_found():
    assert len(OUTPUTS) >= 20 and len(NUMBERS) >= 50


@pytest.mark.parametrize(
    "words",
    [
        ["preprocess", "show", ""],
        ["compare", "latest", "previous", "--reports", ""],
        ["match", "bench", "--embeddings="],
    ],
)
def test_an_empty_word_is_not_taken_for_an_option_that_was_not_given(words, capsys):
    assert cli.run(words) == 2
    assert capsys.readouterr().err.startswith("error: an argument is empty")


@pytest.mark.parametrize(
    ("name", "folder", "got"),
    [
        ("there", False, "a folder"),
        ("there/file", True, "a file"),
        ("there/file/x/y", True, "file is a file"),
        ("pipe", False, "a device or a pipe"),
        ("/dev/stdout", False, "a device or a pipe"),
        ("x" * 300, False, "File name too long"),
        ("locked/new", False, "may not be written to"),
        ("locked/new/deep", True, "may not be written to"),
        (
            "/proc/nowhere/new",
            False,
            "/proc may not be written to",
        ),  # root has the right, and cannot
        ("/sys/new", True, "may not be written to"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, monkeypatch, name, folder, got):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("x")
    (tmp_path / "locked").mkdir()
    os.mkfifo(tmp_path / "pipe")
    if "locked" in name:  # root may write everywhere, so that a mode would show nothing
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadInputError) as e:
        check_writable(tmp_path / name, folder=folder)
    assert got in e.value.got


@pytest.mark.parametrize(
    ("name", "folder"),
    [("new", False), ("a/b/new", False), ("a/b", True), ("there", True), ("there/file", False)],
)
def test_what_can_be_written_passes_and_nothing_is_made(tmp_path, name, folder):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("x")
    check_writable(tmp_path / name, folder=folder)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "there"]


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"


def test_a_misspelt_detector_is_refused_though_no_picture_needs_it(tmp_path, capsys):
    (tmp_path / "d.csv").write_text("file,emotion\na.png,joy\n")
    for words in (
        ["emotion", "train", "--backend", "keras"],
        ["emotion", "train", "--backend", "keras", "--data", str(tmp_path / "d.csv")],
    ):
        assert cli.run([*words, "--crop", "yunetn", "--out", str(tmp_path / "out")]) == 2
        assert "did you mean 'yunet-n'" in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"schema": "facelab.dataset/1"}', "{", "[]"])
def test_a_bundle_replaces_no_folder_of_something_else(tmp_path, capsys, content):
    """A data set has a manifest.json too: it was taken for an earlier bundle, and lost."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.json").write_text(content)
    (tmp_path / "set" / "face.png").write_bytes(b"kept")
    assert cli.run(["bundle", "haar", "--out", str(tmp_path / "set")]) == 2
    assert "holds other files and is not a bundle" in capsys.readouterr().err
    assert (tmp_path / "set" / "face.png").read_bytes() == b"kept"


def test_training_is_refused_before_the_backbone_is_pre_trained(tmp_path, capsys, monkeypatch):
    from facelab.emotion import backbones

    monkeypatch.setattr(backbones, "weights", lambda *_, **__: pytest.fail("pre-training began"))
    words = ["emotion", "train", "--backend", "keras", "--n", "40", "--out", str(tmp_path / "out")]
    assert cli.run([*words, "--batch", "4096"]) == 2
    assert "fewer training faces than one batch" in capsys.readouterr().err
    (tmp_path / "votes.csv").write_text("x")
    assert cli.run([*words, "--ferplus", str(tmp_path / "votes.csv")]) == 2
    assert "labels of FER2013" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--spec", "sface", "--probes", "nosuch"],
        ["--spec", "sface", "--tap", "x"],
        ["--pipeline", "p.py:f", "--backend", "opencv"],
        ["--pipeline", "p.py:f", "--decode-with", "pillow"],
    ],
)
def test_an_option_without_effect_is_refused(words, capsys):
    assert cli.run(["fingerprint", "capture", *words]) == 2
    assert f"{words[2]} has no effect" in capsys.readouterr().err


def test_what_the_system_refuses_is_told_without_a_traceback(capsys, monkeypatch):
    assert cli.run(["bundle", "verify", "x" * 300]) == 2
    said = capsys.readouterr().err
    assert (
        "File name too long" in said
        and "fix:      choose a shorter name" in said
        and "Traceback" not in said
    )

    def full(**_):
        raise OSError(28, "No space left on device", "reports/x.json")

    monkeypatch.setattr(cli.cli, "main", full)
    assert cli.run([]) == 2
    said = capsys.readouterr().err
    assert (
        "reports/x.json" in said and "No space left on device" in said and "free some space" in said
    )


def test_too_little_memory_is_told_without_a_traceback(capsys, monkeypatch):
    def greedy(**_):
        raise MemoryError("Unable to allocate 745. GiB")

    monkeypatch.setattr(cli.cli, "main", greedy)
    assert cli.run([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the memory does not suffice") and "745. GiB" in said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", {"a": 1}),
        ("case", [1]),
        ("metric", None),
        ("unit", None),
        ("value", [1]),
        ("lo", "low"),
        ("n", "3"),
        ("machine", "here"),
        ("budget", 3),
        ("passed", "yes"),
        ("at", 1),
    ],
)
def test_a_record_with_a_field_of_another_type_is_refused_with_its_line(tmp_path, field, value):
    import json

    write(tmp_path / "r.jsonl", [Record("r", "s", "c", "m", 1.0)])
    raw = json.loads((tmp_path / "r.jsonl").read_text())
    with (tmp_path / "r.jsonl").open("a") as f:
        f.write(json.dumps({**raw, field: value}) + "\n")
    with pytest.raises(BadInputError, match="a line is not a record") as e:
        read(tmp_path / "r.jsonl")
    assert e.value.where.endswith("r.jsonl:2") and field in e.value.got


def test_records_that_are_not_text_are_refused(tmp_path, capsys):
    (tmp_path / "r.jsonl").write_bytes(b"\xff\xfe\x00")
    assert cli.run(["compare", str(tmp_path / "r.jsonl"), str(tmp_path / "r.jsonl")]) == 2
    assert "no UTF-8 text" in capsys.readouterr().err


def test_a_run_without_records_is_not_compared_as_good(tmp_path, capsys):
    write(tmp_path / "a.jsonl", [Record("r", "s", "c", "m", 1.0, budget=">= 1")])
    (tmp_path / "b.jsonl").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "records.jsonl").write_text("\n")
    for empty in ("b.jsonl", "folder"):
        assert cli.run(["compare", str(tmp_path / "a.jsonl"), str(tmp_path / empty)]) == 2
        said = capsys.readouterr().err
        assert "there are no records to compare" in said and empty in said


def test_a_bad_array_is_named_with_its_file(tmp_path, capsys):
    a = np.random.default_rng(0).standard_normal((20, 4))
    for b, same in ((a[:7], np.ones(20)), (a, np.arange(20)), (a, np.ones(20))):
        np.savez(tmp_path / "pairs.npz", a=a, b=b, same=same)
        assert cli.run(["eval", "verification", "--embeddings", str(tmp_path / "pairs.npz")]) == 2
        assert f"where:    {tmp_path / 'pairs.npz'}" in capsys.readouterr().err
    np.save(tmp_path / "g.npy", np.ones((3, 4), np.float32))
    np.save(tmp_path / "q.npy", np.ones((3, 5), np.float32))
    assert (
        cli.run(
            [
                "match",
                "search",
                "--gallery",
                str(tmp_path / "g.npy"),
                "--queries",
                str(tmp_path / "q.npy"),
                "-k",
                "1",
                "--out",
                str(tmp_path / "r.npz"),
            ]
        )
        == 2
    )
    assert "g.npy" in capsys.readouterr().err and not (tmp_path / "r.npz").exists()


def test_what_was_got_is_fit_for_a_terminal_and_a_place_is_whole(tmp_path, capsys):
    (tmp_path / "pairs.csv").write_bytes(b"a,b,same\n" + bytes(5000))
    (tmp_path / "e").mkdir()
    assert (
        cli.run(
            [
                "eval",
                "verification",
                "--pairs",
                str(tmp_path / "pairs.csv"),
                "--embeddings-dir",
                str(tmp_path / "e"),
            ]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert "\0" not in said and len(said) < 1000 and "fix:" in said
    a = np.random.default_rng(0).standard_normal((20, 4))
    a[3] = np.nan
    np.savez(tmp_path / "pairs.npz", a=a, b=a, same=np.arange(20) % 2)
    assert cli.run(["eval", "verification", "--embeddings", str(tmp_path / "pairs.npz")]) == 2
    assert f"where:    {tmp_path / 'pairs.npz'}: a[3]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["a,b,same\nx.png,y.png,1,1\n", "a,b,same,id_a,id_b\nx.png,y.png,1\n"]
)
def test_pairs_of_another_width_are_refused_with_their_line(tmp_path, text):
    from facelab.embedding import read_pairs

    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(
        BadInputError, match="a row of the pairs has a different number of values"
    ) as e:
        read_pairs(tmp_path / "pairs.csv")
    assert e.value.where.endswith("pairs.csv:2")


def test_a_gate_refuses_a_baseline_without_records(tmp_path, capsys):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "r.jsonl").write_text("")
    assert cli.run(["gate", str(tmp_path / "bundle"), "--baseline", str(tmp_path / "r.jsonl")]) == 2
    assert "the baseline holds no records" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,n_faces\na.png,1,2\n", "different number of values"),
        ("path,x1,y1,x2,y2\na.png,1,2\n", "different number"),
        ("path,n_faces\na.png,1\na.png,2\n", "different counts for one image"),
    ],
)
def test_labels_of_another_shape_are_refused_with_their_line(tmp_path, text, says):
    from facelab.detection import read_labels

    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(BadInputError, match=says) as e:
        read_labels(tmp_path / "labels.csv")
    assert e.value.where.endswith(f"labels.csv:{text.count(chr(10))}")


@pytest.mark.parametrize("place", ["-", Path("-")], ids=["text", "path"])
def test_json_goes_to_stdout_for_a_dash_of_either_type(place, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    emit_file({"a": 1}, place, text="one line")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": 1} and "one line" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "words",
    [
        ("eval", "verification", "--pairs", "pipe", "--embeddings-dir", "."),
        ("eval", "verification", "--pairs=pipe", "--embeddings-dir", "."),
        ("trace", "show", "pipe"),
        ("trace", "export", "pipe", "--format", "chrome", "--out", "x"),
        ("budget", "predict", "pipe.onnx"),
        ("budget", "predict", "pipe.tflite"),
        ("fingerprint", "capture", "--pipeline", "pipe.onnx", "--out", "x"),
        ("gate", ".", "--device", "pipe"),
        ("emotion", "predict", "pipe", "--model", "pipe.onnx"),
        ("compare", "pipe", "pipe"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("got", ["a named pipe", "a device"])
def test_what_has_no_end_is_refused_by_every_option(words, got, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("pipe", "pipe.onnx", "pipe.tflite"):
        os.mkfifo(name) if got == "a named pipe" else Path(name).symlink_to("/dev/zero")
    assert cli.run(list(words)) == 2
    assert got in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "verification", "--pairs", "loop", "--embeddings-dir", "loop"),
        ("trace", "show", "loop"),
        ("trace", "export", "loop", "--format", "chrome", "--out", "x"),
        ("budget", "predict", "loop.onnx"),
        ("fingerprint", "compare", "loop", "loop"),
        ("gate", "loop"),
        ("gate", ".", "--device", "loop"),
        ("preprocess", "run", "loop", "loop"),
        ("bundle", "make", "loop.onnx", "--licence", "MIT", "--out", "x"),
        ("data", "synth", "--set", "emotion", "--n", "1", "--out", "loop/x"),
        ("reproduce", "--plan", "loop"),
        ("reproduce", "--reports", "loop"),
    ],
    ids=" ".join,
)
def test_a_link_that_leads_in_a_circle_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("loop", "loop.onnx"):
        Path(name).symlink_to(name)
    assert cli.run(list(words)) == 2
    assert "fix:" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loop", "loop.onnx"]


def test_what_a_shell_offers_and_another_commands_words_are_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    cli._check_pipes(["budget", "run", "b.toml", "--", "cat", "pipe"])
    reading, writing = os.pipe()
    try:
        cli._check_pipes(["match", "search", f"/dev/fd/{reading}", f"--x=/proc/self/fd/{writing}"])
    finally:
        os.close(reading)
        os.close(writing)

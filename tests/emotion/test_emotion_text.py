"""The sentence variant: bad files named with their line, splits by sentence, and a real training (slow)."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from facelab.cli import cli, run
from facelab.core.errors import BadInputError
from facelab.emotion.internals import text

GOOD = ("wonderful", "great", "lovely", "delightful", "brilliant")
BAD = ("awful", "terrible", "dreadful", "horrible", "miserable")


def toy_csv(path, n=160, seed=1):
    rng = np.random.default_rng(seed)
    fill = (
        "the film was",
        "what a day it is",
        "this phone seems",
        "I found the food",
        "our trip turned out",
    )
    rows = ["text,label"]
    for i in range(n):
        words = GOOD if i % 2 else BAD
        rows.append(
            f"{fill[rng.integers(5)]} {words[rng.integers(5)]} {words[rng.integers(5)]} no {i},"
            f"{'positive' if i % 2 else 'negative'}"
        )
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        ("sentence,label\na,b\n", "no column 'text'", ""),
        ("text,lable\na,b\n", "did you mean 'lable'", ""),
        ("text,label\na,x\n,y\n", "no text or no label", ":3"),
        ("text,label\na,x\nb,x\n", "fewer than two labels", ""),
        ("text,label\nI came,x\nI saw, too,y\n", "more values than", ":3"),
        ('text,label\n"never closed' + 200_000 * "x", "cannot be read", ""),
        ("", "no column", ""),
    ],
)
def test_a_bad_csv_is_named(content, what, where, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(BadInputError, match=what) as e:
        text.read_csv(path)
    assert e.value.where == f"{path}{where}"


def test_the_same_sentence_is_never_in_two_parts(tmp_path):
    sentences = text.Sentences(
        ("Good day!", "good  day", "bad day") * 8 + tuple(f"w{i}" for i in range(40)),
        ("p", "p", "n") * 8 + ("p", "n") * 20,
    )
    parts = text.split(sentences, {"train": 0.7, "validation": 0.15, "test": 0.15}, seed=3)
    keys = {name: {" ".join(text.tokenize(t)) for t in part.texts} for name, part in parts.items()}
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert sum(len(p) for p in parts.values()) == len(sentences)


def test_sentences_come_from_a_list_a_table_or_the_command_line(tmp_path):
    (tmp_path / "a.txt").write_text("one day\n\n two days \n")
    (tmp_path / "b.csv").write_text('text,label\nI came,x\n"I saw, too",y\n')
    assert text.sentences_of("is it a file?") == ["is it a file?"]
    assert text.sentences_of("long " * 2000) == ["long " * 2000]  # no path can be so long
    assert text.sentences_of(str(tmp_path / "a.txt")) == ["one day", "two days"]
    assert text.sentences_of(str(tmp_path / "b.csv")) == ["I came", "I saw, too"]
    (tmp_path / "b.csv").write_text("txt\nI came\n")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\xff")
    for name, what in (
        ("b.csv", "no column 'text'; did you mean 'txt'"),
        ("c.txt", "cannot be read as text"),
    ):
        with pytest.raises(BadInputError, match=what) as e:
            text.sentences_of(str(tmp_path / name))
        assert e.value.where == str(tmp_path / name)


def test_faces_are_not_sentences(capsys):
    assert run(["emotion", "train", "--backend", "text"]) == 2
    assert "--data FILE.csv" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.modelmaker
def test_sentences_are_learnt_and_the_exported_file_is_evaluated(modelmaker, tmp_path):
    data, out = toy_csv(tmp_path / "t.csv"), tmp_path / "out"
    result = CliRunner().invoke(
        cli,
        ["emotion", "train", "--backend", "text", "--data", str(data), "--out", str(out), "--json"],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout)["test"]["accuracy"]["value"] >= 0.9
    fresh = toy_csv(tmp_path / "fresh.csv", n=60, seed=2)
    got = CliRunner().invoke(
        cli,
        ["emotion", "evaluate", str(out), "--data", str(fresh), "--json"],
        catch_exceptions=False,
    )
    value = json.loads(got.stdout)
    assert value["n"] == 60
    assert value["accuracy"]["value"] >= 0.9
    assert set(value["classes"]) == {"positive", "negative"}
    said = CliRunner().invoke(
        cli,
        ["emotion", "predict", "a lovely, wonderful day", "--model", str(out), "--json"],
        catch_exceptions=False,
    )
    [one] = json.loads(said.stdout)["sentences"]
    assert one["label"] == "positive" and sum(one["probabilities"].values()) == pytest.approx(
        1, abs=1e-5
    )
    table = CliRunner().invoke(
        cli, ["emotion", "predict", str(fresh), "--model", str(out)], catch_exceptions=False
    )
    assert len(table.stdout.splitlines()) == 60


@pytest.mark.parametrize("shape", [(1, None), (1, 8, 3), (1,)])
def test_a_model_that_takes_any_number_of_words_is_refused(tmp_path, monkeypatch, shape):
    model = SimpleNamespace(inputs=[SimpleNamespace(name="ids", shape=shape)])
    monkeypatch.setattr(text, "open_model", lambda path: model)
    with pytest.raises(BadInputError, match="a fixed number of words"):
        text.TextClassifier(tmp_path / "own.tflite")

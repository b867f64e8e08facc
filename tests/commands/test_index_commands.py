"""`facelab index …` as a user calls it: one JSON document, exit codes, sentences and never a traceback."""

import json

import numpy as np
import pytest

from facelab.cli import run


@pytest.fixture
def faces(tmp_path, capsys):
    np.save(tmp_path / "V.npy", np.eye(6, 4, dtype=np.float32) + 1)
    (tmp_path / "ids.txt").write_text("a\nb\nc\nd\ne\nf\n")
    place = str(tmp_path / "faces")
    assert run(["index", "create", place, "--dimension", "4"]) == 0
    vectors = [str(tmp_path / "V.npy"), "--ids", str(tmp_path / "ids.txt")]
    assert run(["index", "add", place, *vectors]) == 0
    capsys.readouterr()
    return place


def document(capsys):
    return json.loads(capsys.readouterr().out)


def test_add_search_delete_and_status(faces, tmp_path, capsys):
    asked = ["--queries", str(tmp_path / "V.npy"), "--json"]
    assert run(["index", "search", faces, "-k", "2", *asked]) == 0
    assert [ids[0] for ids in document(capsys)["ids"]][:4] == ["a", "b", "c", "d"]
    assert run(["index", "search", faces, "--threshold", "0.9999", *asked]) == 0
    assert document(capsys)["ids"][0] == ["a"]
    assert run(["index", "delete", faces, "a", "f", "--json"]) == 0
    assert document(capsys) == {"deleted": 2, "vectors": 4}
    more = [str(tmp_path / "V.npy"), "--ids", str(tmp_path / "ids.txt"), "--upsert", "--json"]
    assert run(["index", "add", faces, *more]) == 0
    assert document(capsys)["replaced"] == 4
    assert run(["index", "compact", faces]) == 0
    capsys.readouterr()
    assert run(["index", "status", faces, "--json"]) == 0
    found = document(capsys)
    assert (found["vectors"], found["segments"], found["deleted"]) == (6, 1, 0)


def test_verify_repair_and_diff_say_it_by_exit_code(faces, tmp_path, capsys):
    import shutil

    copy = str(tmp_path / "copy")
    shutil.copytree(faces, copy)
    assert run(["index", "diff", faces, copy]) == 0
    assert run(["index", "delete", copy, "a"]) == 0
    assert run(["index", "diff", faces, copy]) == 1
    assert run(["index", "verify", copy]) == 0
    (tmp_path / "copy" / "metadata.sqlite").unlink()
    assert run(["index", "verify", copy]) == 1
    assert run(["index", "repair", copy]) == 0
    assert run(["index", "verify", copy]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["status", "nowhere"],
        ["create", "{faces}", "--dimension", "4"],
        ["add", "{faces}", "{folder}/V.npy", "--ids", "{folder}/ids.txt"],
        ["add", "{faces}", "{folder}/V.npy", "--upsert"],
        ["add", "{faces}", "{folder}/ids.txt"],
        ["add", "{faces}", "{folder}/V.npy", "--model-sha256", "ab"],
        ["delete", "{faces}", "nobody"],
        ["search", "{faces}", "--queries", "{folder}/V.npy", "--metric", "l2"],
        ["search", "{faces}", "--queries", "{folder}/V.npy", "-k", "1", "--threshold", "0"],
        ["search", "{faces}", "--queries", "{folder}/V.npy", "--threshold", "7"],
        ["status", "{faces}", "--metadata", "redis:x"],
        ["status", "{faces}", "--metadata", "sqlite:{folder}/none.sqlite"],
        ["history", "--fault", "stop"],
        ["history", "--fault", "cut"],
        ["check", "{folder}/ids.txt"],
        ["check", "{folder}/nothing"],
    ],
)
def test_mistakes_have_a_sentence_and_exit_code_2(faces, tmp_path, capsys, words):
    filled = [w.format(faces=faces, folder=tmp_path) for w in words]
    assert run(["index", *filled]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err and said.err.strip()


def test_a_history_that_is_not_linearizable_exits_with_1(tmp_path, capsys):
    from facelab.index.internals import Operation, save_history

    stale = [
        Operation("a", "k", "swap", 0, 1, "1", None, True),
        Operation("b", "k", "read", 2, 3, None),
    ]
    save_history(tmp_path / "h.jsonl", stale)
    assert run(["index", "check", str(tmp_path / "h.jsonl"), "--json"]) == 1
    assert document(capsys)["linearizable"] is False

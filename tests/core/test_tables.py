"""Tables as spreadsheets write them: a semicolon where the comma is the decimal sign, UTF-16, a byte-order mark."""

import csv
import os

import pytest

from facelab import embedding
from facelab.core.errors import BadInputError
from facelab.core.text_files import opened_table, read_csv
from facelab.emotion import sources, text

FORMS = [
    (",", "utf-8"),
    (";", "utf-8-sig"),
    ("\t", "utf-8"),
    (";", "utf-16"),
]


def table(path, rows, by, encoding):
    with path.open("w", newline="", encoding=encoding) as f:
        csv.writer(f, delimiter=by, lineterminator="\r\n").writerows(rows)
    return path


@pytest.mark.parametrize("by, encoding", FORMS)
def test_every_table_is_read_in_every_form(tmp_path, by, encoding):
    path = table(tmp_path / "a.csv", [["a", "b", "same"], ["ü/1", "ü, 2", "1"]], by, encoding)
    assert read_csv(path, "pairs", fix="") == [{"a": "ü/1", "b": "ü, 2", "same": "1"}]
    assert embedding.read_pairs(path).b.tolist() == ["ü, 2"]
    faces = [["file", "emotion"], ["ü, 1.jpg", "happy"], ["2.jpg", "sad"]]
    path = table(tmp_path / "e.csv", faces, by, encoding)
    rows = sources.csv_rows(path, classes=("joy", "sadness"))
    assert [(r.file.name, r.emotion) for r in rows] == [("ü, 1.jpg", "joy"), ("2.jpg", "sadness")]
    assert sources.labels_of(path) == ("happy", "sad")
    said = [["text", "label"], ["gut, ja", "joy"], ["nein", "anger"]]
    path = table(tmp_path / "t.csv", said, by, encoding)
    assert text.read_csv(path).texts == ("gut, ja", "nein")
    assert text.sentences_of(str(path)) == ["gut, ja", "nein"]


def test_a_pipe_is_read_once(tmp_path):
    read, write = os.pipe()
    os.write(write, b"a;b\n" + b"1;2\n" * 5000)  # fits a pipe's 64 KiB, but not the reader's buffer
    os.close(write)
    with opened_table(f"/dev/fd/{read}") as rows:
        assert sum(r == {"a": "1", "b": "2"} for r in rows) == 5000
    os.close(read)


def test_a_row_of_another_length_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1;2;3\n")
    with pytest.raises(BadInputError, match="number of values") as e:
        read_csv(path, "pairs", fix="")
    assert e.value.got == "3 values" and e.value.where.endswith(":2")

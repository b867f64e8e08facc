"""Files from outside that hold much of one thing: four times as much takes about four times as long.

Times are of the processor, so that a loaded machine changes them little; what is done in no time is not compared.
"""

import gc
import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

from conftest_deploy import spec

from facelab.commands.common import names_in_one_line
from facelab.core import compare_records, records
from facelab.core.errors import FacelabError
from facelab.core.files import loads_strict
from facelab.core.text_files import read_csv
from facelab.core.toml_files import loads_toml
from facelab.datasets import load_pairs
from facelab.datasets.annotations import _read
from facelab.datasets.labels import read_class_names
from facelab.deploy import policy
from facelab.emotion._labels import emotions
from facelab.preprocess import PreprocessSpec

SCHEMA = 'schema = "facelab.policy/1"\n'
MUCH = {
    "columns": lambda n: ("a.csv", ",".join(f"c{i}" for i in range(n)) + "\n"),
    "rows": lambda n: ("a.csv", "a,b\n" + "1,2\n" * n),
    "labels": lambda n: ("labels.txt", "\n".join(f"l{i}" for i in range(n))),
    "keys": lambda n: ("a.json", json.dumps({f"k{i}": i for i in range(n)})),
    "lists": lambda n: ("a.json", json.dumps([[]] * n)),
    "parts of a key": lambda n: ("a.toml", ".".join("a" * n) + " = 1"),
    "quoted parts of a key": lambda n: ("a.toml", ".".join(['"a"'] * n) + " = 1"),
    "parts in a table": lambda n: ("a.toml", "a = {" + ".".join("a" * n) + " = 1}"),
    "open strings": lambda n: ("a.toml", 'a = "' + '\\"' * n),
    "open long strings": lambda n: ("a.toml", "a = " + '\\"""' * n),
    "quotes": lambda n: ("a.toml", "a = " + "'" * n + '"' * n),
    "letters of a key": lambda n: ("a.toml", "a" * 20 * n),
    "unknown keys": lambda n: ("p.toml", SCHEMA + "\n".join(f"k{i} = 1" for i in range(n))),
    "records": lambda n: (
        "r.jsonl",
        "\n".join(records.Record("r", "s", f"c{i}", "accuracy", 0.5).to_json() for i in range(n)),
    ),
    "pairs": lambda n: ("p.csv", "a,b,same\n" + "".join(f"x{i},y{i},{i % 2}\n" for i in range(n))),
    "pictures": lambda n: (
        "b.csv",
        "path,x1,y1,x2,y2\n" + "".join(f"a{i}.jpg,1,1,5,5\n" for i in range(n)),
    ),
    "boxes": lambda n: (
        "b.csv",
        "path,x1,y1,x2,y2\n" + "".join(f"a.jpg,{i},1,{i + 5},5\n" for i in range(n)),
    ),
}


def classes(path):
    return emotions(read_class_names(path), {}, where=path)


def table(path):
    return read_csv(path, "table", fix="")


def compared(path):
    found = records.read(path)
    return compare_records.compare(found, found[: len(found) // 2])


READERS = {
    "columns": table,
    "rows": table,
    "labels": classes,
    "keys": lambda p: loads_strict(p.read_text()),
    "lists": lambda p: loads_strict(p.read_text()),
    "unknown keys": policy.load,
    "records": compared,
    "pairs": load_pairs,
    "pictures": _read.read,
    "boxes": _read.read,
}


def seconds(call, n):
    """Return the processor's time of one call; a collection of all the tests' objects would grow with those."""
    gc.disable()
    before = time.process_time()
    try:
        call(n)
    except FacelabError as e:
        str(e)
    finally:
        spent = time.process_time() - before
        gc.enable()
    return spent


def grows_evenly(call):
    """Double the amount until it takes time, and hold four times as much against it: the square is 16 times."""
    for n in (500 * 2**k for k in range(7)):
        if min(seconds(call, n) for _ in range(2)) > 0.02:
            for _ in range(3):
                if seconds(call, 4 * n) < 11 * seconds(call, n):
                    return
            pytest.fail(f"more than evenly from {n} to {4 * n}")


@pytest.mark.parametrize("what", MUCH)
def test_files(what, tmp_path):
    read = READERS.get(what, lambda p: loads_toml(p.read_text(), "file", where=p))

    def call(n):
        path = tmp_path / f"{n}-{MUCH[what](1)[0]}"
        if not path.exists():
            path.write_text(MUCH[what](n)[1])
        read(path)

    grows_evenly(call)


def test_a_spec_of_many_stages():
    document = spec().to_dict()
    grows_evenly(lambda n: PreprocessSpec.from_dict(document | {"stages": document["stages"] * n}))


def test_names_with_line_breaks():
    def call(n):
        names = [f"a{i}\nb" for i in range(n)]
        shown = names_in_one_line({"files": names}, "\n".join(names))
        assert "\n" not in shown

    grows_evenly(call)


def test_long_keys_are_refused_and_usual_ones_are_not():
    assert loads_toml("a.b.'c d'.\"e\".f = 1\n[x.y]\nz = '" + "1." * 99 + "'", "t", where="")
    with pytest.raises(FacelabError, match="not TOML"):
        loads_toml(" . ".join(["a"] * 70) + " = 1", "t", where="")

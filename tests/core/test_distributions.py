"""Distributions by module: as importlib.metadata has them, read ten times faster."""

import importlib.metadata
import re
import sys

import facelab.core.modules.distributions as module
from facelab.core.modules.distributions import by_module


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def test_they_are_those_of_importlib_metadata():
    expected = {
        name: {_plain(d) for d in dists}
        for name, dists in importlib.metadata.packages_distributions().items()
        if name not in sys.stdlib_module_names
    }
    found = {name: {_plain(d) for d in dists} for name, dists in by_module().items()}
    # names such as a compiler's hash__mypyc are not importable on purpose, and some lists leave them out
    ours = {name: dists for name, dists in found.items() if not name.endswith("__mypyc")}
    assert ours == {name: dists for name, dists in expected.items() if not name.endswith("__mypyc")}
    for dists in by_module().values():
        for name, version in dists.items():
            assert importlib.metadata.version(name).replace("-", "_") == version


def test_the_first_copy_on_the_path_counts(tmp_path):
    for folder, version, lists in (
        ("one", "1.0", {"RECORD": "first.py,,\nfirst-1.0.dist-info/RECORD,,\n../../bin/first,,\n"}),
        ("two", "2.0", {"top_level.txt": "first\nelsewhere\n"}),
        (
            "two",
            "3.1",
            {"RECORD": '"second/__init__.py",,\nfast.cpython-311-x86_64-linux-gnu.so,,\n'},
        ),
    ):
        name = "second" if version == "3.1" else "first"
        info = tmp_path / folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        for file, text in lists.items():
            (info / file).write_text(text)
    (tmp_path / "two" / "empty-1.dist-info").mkdir()
    folders = (str(tmp_path / "one"), str(tmp_path / "missing"), str(tmp_path / "two"))
    found = module._by_module(folders)
    assert found["first"] == {"first": "1.0"}
    assert "elsewhere" not in found
    assert found["second"] == {"second": "3.1"}
    assert "bin" not in found

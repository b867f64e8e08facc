"""The Result protocol: plain values, rows, HTML and files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.core.result import Result


@dataclasses.dataclass(frozen=True)
class Part(Result):
    name: str
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Whole(Result):
    parts: tuple[Part, ...]
    source: Path
    share: np.float32

    def rows(self):
        return [{"name": p.name, "largest": float(p.values.max())} for p in self.parts]


@pytest.fixture
def whole():
    parts = (Part("a", np.arange(3)), Part("<b>", np.array([0.5])))
    return Whole(parts, Path("x.csv"), np.float32(0.25))


def test_nested_results_and_arrays_become_plain_json(whole, tmp_path):
    path = whole.save(tmp_path / "whole.json")
    assert json.loads(path.read_text()) == {
        "parts": [{"name": "a", "values": [0, 1, 2]}, {"name": "<b>", "values": [0.5]}],
        "source": "x.csv",
        "share": 0.25,
    }


def test_rows_are_the_frame_the_html_and_the_csv(whole, tmp_path):
    assert whole.to_frame().to_dict("records") == whole.rows()
    assert "&lt;b&gt;" in whole._repr_html_() and "<b>" not in whole._repr_html_()
    assert whole.save(tmp_path / "w.csv").read_text() == "name,largest\na,2.0\n<b>,0.5\n"


def test_another_suffix_is_refused_and_nothing_is_written(whole, tmp_path):
    with pytest.raises(BadInputError, match=r"\.json or \.csv"):
        whole.save(tmp_path / "w.pickle")
    assert not list(tmp_path.iterdir())

"""The architecture page says where three things happen: each is run, and the function that the page names is called."""

import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from facelab.cli import cli
from facelab.fingerprint import capture_pipeline, compare
from facelab.fingerprint.diagnosis import FIX
from facelab.matching import Matcher

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
WHERE = re.compile(r"^(\d)\. (.*?)(?=^\d\. |^$)", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"`(facelab/\S+\.py)`\s+\(`(\w+)`\)")


def answers() -> dict[str, list[tuple[str, str]]]:
    """Return what the page says: number of the answer → (file, name) pairs."""
    text = PAGE.read_text().partition("## Where is …?")[2].partition("\n## ")[0]
    return {n: PLACE.findall(body) for n, body in WHERE.findall(text)}


def called(work: Callable[[], object]) -> set[tuple[str, str]]:
    """Return (file below the checkout, function) of every Python function that `work` calls."""
    seen = set()

    def note(frame, event, _):
        if event == "call":
            seen.add((frame.f_code.co_filename, frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    inside = ((Path(file), name) for file, name in seen)
    return {(f.relative_to(ROOT).as_posix(), n) for f, n in inside if f.is_relative_to(ROOT)}


def test_the_page_answers_three_questions_with_names_that_exist():
    found = answers()
    assert list(found) == ["1", "2", "3"] and all(found.values())
    for file, name in (place for places in found.values() for place in places):
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        assert hasattr(module, name), f"{file} has no {name}"
    loops = importlib.import_module("facelab.matching.kernels._bounds")
    assert "`encode_rows`" in PAGE.read_text() and hasattr(loops, "encode_rows")


def pipeline(order):
    """Return a program that only a search can see through: it decodes, resizes and scales."""

    def program(path, probe):
        with Image.open(path) as opened:
            small = opened.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        return (np.asarray(small, np.float32)[..., order] / 255)[None]

    return program


def test_bgr_is_recognised_where_the_page_says():
    train = capture_pipeline(pipeline([0, 1, 2]), name="train")
    infer = capture_pipeline(pipeline([2, 1, 0]), name="infer")
    found = []
    places = called(lambda: found.append(compare(train, infer)))
    kinds = [finding.kind for finding in found[0].findings]
    assert kinds[0] == "channel_order" and answers()["1"][0] in places
    words = FIX["channel_order"].partition("{")[0]
    assert words and found[0].findings[0].fix.startswith(words)


def test_the_ap_of_wider_is_computed_where_the_page_says(tmp_path):
    truth = tmp_path / "wider_face_val_bbx_gt.txt"
    truth.write_text("0--P/a.jpg\n1\n10 10 40 40 0 0 0 0 0 0\n")
    (tmp_path / "0--P").mkdir()
    (tmp_path / "0--P" / "a.txt").write_text("a.jpg\n1\n10 10 40 40 0.9\n")
    folder, out = str(tmp_path), tmp_path / "ap.json"
    command = [
        "eval",
        "wider",
        "--predictions",
        folder,
        "--ground-truth",
        folder,
        "--json",
        str(out),
    ]
    result = []
    places = called(lambda: result.append(CliRunner().invoke(cli, command)))
    assert result[0].exit_code == 0, result[0].output
    assert json.loads(out.read_text())["ap"] == {"all": 1.0}
    assert answers()["2"][0] in places


def test_a_gallery_row_is_encoded_where_the_page_says():
    rows = np.random.default_rng(3).standard_normal((4096, 128)).astype(np.float32)
    Matcher(rows, "cosine").search(rows[:2], 3)  # compiles; numba's compiler is slow to profile
    places = called(lambda: Matcher(rows, "cosine").search(rows[:2], 3))
    assert answers()["3"][0] in places

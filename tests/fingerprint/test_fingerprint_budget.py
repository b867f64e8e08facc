"""The search stops after a fixed amount of work, so that a verdict depends on no clock."""

import time

import numpy as np
import pytest

from facelab.fingerprint import capture_pipeline, compare
from facelab.fingerprint.diagnosis import _case as causes
from facelab.fingerprint.model import _tones as tones
from facelab.fingerprint.model._budget import MOST, Budget, prediction_work, tone_work
from facelab.fingerprint.model._operations import Affine, Orient, Resize
from facelab.fingerprint.probes._cache import Source
from facelab.fingerprint.search.candidates._placement import Pixels
from facelab.studies.planted import BASES, SINGLES
from facelab.studies.planted._code import run


@pytest.mark.parametrize("name", ["tilted by 12°", "gamma 2.2"])
def test_the_same_comparison_does_the_same_work(name, documented, black_box, monkeypatch):
    made = []

    def budget():
        made.append(Budget())
        return made[-1]

    monkeypatch.setattr(causes, "Budget", budget)
    mistake = next(m for m in SINGLES if m.name == name)
    sides = documented("emotion-64-gray"), black_box("emotion-64-gray", mistake)
    kinds = [[f.kind for f in compare(*sides).findings] for _ in range(2)]
    assert kinds[0] == kinds[1] and made[0].spent == made[1].spent > 0


def test_without_any_budget_the_cause_is_unknown_rather_than_guessed(
    documented, black_box, monkeypatch
):
    monkeypatch.setattr(causes, "Budget", lambda: Budget(1.0))
    mistake = next(m for m in SINGLES if m.name == "tilted by 12°")
    c = compare(documented("emotion-64-gray"), black_box("emotion-64-gray", mistake))
    assert c.verdict == "mismatch" and [f.kind for f in c.findings] == ["unknown"]


def test_nothing_is_tried_once_everything_is_spent(documented, black_box, monkeypatch):
    made = []

    def budget():
        made.append(Budget())
        made[-1].spend(2.6 * made[-1].total)
        return made[-1]

    monkeypatch.setattr(causes, "Budget", budget)
    mistake = next(m for m in SINGLES if m.name == "tilted by 12°")
    c = compare(documented("emotion-64-gray"), black_box("emotion-64-gray", mistake))
    assert made[0].gone and made[0].spent < 2.7 * made[0].total
    assert [f.kind for f in c.findings] == ["unknown"]


class Ending(Budget):
    """A budget of which everything is spent once it was asked for the nth time."""

    asked, last = 0, np.inf

    @property
    def gone(self):
        Ending.asked += 1
        return Ending.asked > Ending.last


@pytest.mark.parametrize("name", ["tilted by 12°", "gamma 2.2"])
def test_everything_may_be_spent_at_any_moment(name, documented, black_box, monkeypatch):
    monkeypatch.setattr(causes, "Budget", Ending)
    mistake = next(m for m in SINGLES if m.name == name)
    sides = black_box("emotion-64-gray"), black_box("emotion-64-gray", mistake)
    monkeypatch.setattr(Ending, "last", np.inf)
    monkeypatch.setattr(Ending, "asked", 0)
    assert compare(*sides).verdict == "mismatch"
    for last in np.linspace(0, Ending.asked, 8, dtype=int):
        monkeypatch.setattr(Ending, "last", last)
        monkeypatch.setattr(Ending, "asked", 0)
        assert compare(*sides).verdict == "mismatch"


def test_a_turn_costs_more_than_a_resize():
    source = Source("x", np.zeros((200, 300, 3), np.uint8))
    plain = (Orient(), Resize((64, 64)))
    assert prediction_work((Affine(3.0), *plain), source, 16, 16) > 3 * prediction_work(
        plain, source, 16, 16
    )


def test_every_picture_that_a_tone_looks_at_counts():
    shape = 416 * 416 * 3
    look = tone_work(("clahe", (2.0, 8, "lab")), shape, 768)
    again = tone_work(("clahe", (3.0, 8, "lab")), shape, 768, again=True)
    stored = {k: tone_work(("recompressed", (k, 70, 2)), shape, 768) for k in ("JPEG", "WEBP")}
    gray = tone_work(("gray", (0.3, 0.6, 0.1)), 0, 768)
    assert gray < again < look < stored["WEBP"] and stored["JPEG"] < stored["WEBP"]


def test_a_whole_picture_costs_what_is_mixed_for_it():
    source = Source("x", np.zeros((721, 961, 3), np.uint8))

    def work(*chain):
        return prediction_work((Orient(), *chain), source, None, None)

    small = Resize((64, 64), antialias=True)
    large = Resize((640, 640))
    smooth = Resize((640, 640), antialias=True)
    assert work(small) < work(large) < work(smooth) and work(smooth) > 30


@pytest.mark.parametrize("side", [112, 640, 2000])
def test_a_placement_has_somewhere_to_begin_however_large_the_output_is(side):
    grids = list(Pixels((side, side)).grid([(96, 128), (120, 160)]))
    assert len(grids) == 30 and all(len(places) for places in grids)


def strips(x):
    """Pixels (h, w, c) whose columns are in another order: nothing explains that."""
    parts = np.array_split(x, 16, axis=1)
    return np.concatenate([parts[k * 5 % 16] for k in range(16)], axis=1)


HARD = {
    "aligned, each by its range": ({"align": "plain"}, lambda x: (x - x.min()) / np.ptp(x)),
    "letterboxed, each by its deviation": (
        {"fit": "letterbox", "pad": 114},
        lambda x: (x - x.mean()) / x.std(),
    ),
    "not recognised": (
        {"fit": "letterbox", "pad": 114},
        lambda x: np.roll(np.sqrt(np.abs(x - x.mean())), len(x) // 3, axis=1),
    ),
}
"""Pipelines that cost much to compare with others: whole pictures are looked at again and again."""


def hard(name, side):
    """Both sides of a pair that nothing explains."""
    settings, behind = HARD[name]
    s = {**BASES["detector-320"], "size": (side, side), "mean": (0.0,), "scale": (1.0,), **settings}

    def one(path, otherwise):
        x = np.moveaxis(run(path, s)[0], 0, 2)
        x = behind(strips(x) if otherwise else x)
        return np.ascontiguousarray(np.moveaxis(x, 2, 0)[None], dtype=np.float32)

    return [
        capture_pipeline(lambda path, _, o=o: one(path, o), name="s", families=("image",))
        for o in (False, True)
    ]


SLOW = pytest.mark.slow
BEYOND = 0.25
"""What is done after everything is spent, and never refused: one picture, glances at every probe."""


@pytest.mark.parametrize(
    "name,side",
    [
        ("aligned, each by its range", 320),
        *(pytest.param(n, s, marks=SLOW) for n in HARD for s in (416, 640)),
    ],
)
def test_no_comparison_takes_more_than_its_share_however_large_it_is(name, side, monkeypatch):
    made = []

    def budget():
        made.append(Budget())
        return made[-1]

    monkeypatch.setattr(causes, "Budget", budget)
    sides = hard(name, side)
    c = compare(*sides)
    assert c.verdict == "mismatch" and [f.kind for f in c.findings] == ["unknown"]
    assert 0 < made[0].spent + made[0].beside < (MOST + BEYOND) * made[0].total


@pytest.mark.slow
def test_the_hardest_comparison_takes_few_times_as_long_as_a_common_one(documented, black_box):
    mistake = next(m for m in SINGLES if m.name == "gamma 2.2")
    common = documented("emotion-64-gray"), black_box("emotion-64-gray", mistake)
    worst = hard("aligned, each by its range", 640)

    def took(sides):
        begin = time.process_time()
        compare(*sides)
        return time.process_time() - begin

    took(common)
    ratios = [took(worst) / took(common) for _ in range(3)]
    assert min(ratios) < LONGEST, ratios


LONGEST = 7.0
"""How many times as long the hardest may take. Measured: 4.8 to 5.3; 7.7 to 8.6 while some of it was not counted."""


def test_a_difference_beyond_any_codec_is_not_stored_a_hundred_times(documented, monkeypatch):
    stored = []

    def recompressed(picture, parameters, at):
        stored.append(parameters)
        return picture.pixels[at].astype(np.float32)

    def strips(path, _):
        parts = np.split(run(path, BASES["emotion-64-gray"]), 16, axis=2)
        return np.concatenate([parts[k * 5 % 16] for k in range(16)], axis=2)

    monkeypatch.setitem(tones.WHOLE, "recompressed", recompressed)
    infer = capture_pipeline(strips, name="strips", families=("image",))
    c = compare(documented("emotion-64-gray"), infer)
    assert [f.kind for f in c.findings] == ["unknown"] and 1 <= len(stored) <= 2, stored

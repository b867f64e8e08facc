"""The search stops after a fixed amount of work, so that a verdict depends on no clock."""

import numpy as np
import pytest

from facelab.fingerprint import capture_pipeline, compare
from facelab.fingerprint.diagnosis import _case as causes
from facelab.fingerprint.model import _tones as tones
from facelab.fingerprint.model._budget import Budget, prediction_work
from facelab.fingerprint.model._operations import Affine, Orient, Resize
from facelab.fingerprint.probes._cache import Source
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


def test_a_turn_costs_more_than_a_resize():
    source = Source("x", np.zeros((200, 300, 3), np.uint8))
    plain = (Orient(), Resize((64, 64)))
    assert prediction_work((Affine(3.0), *plain), source, 16, 16) > 3 * prediction_work(
        plain, source, 16, 16
    )


def test_a_difference_beyond_any_codec_is_not_stored_a_hundred_times(documented, monkeypatch):
    stored = []

    def recompressed(x, parameters):
        stored.append(parameters)
        return x.astype(np.float32)

    def strips(path, _):
        parts = np.split(run(path, BASES["emotion-64-gray"]), 16, axis=2)
        return np.concatenate([parts[k * 5 % 16] for k in range(16)], axis=2)

    monkeypatch.setitem(tones.WHOLE, "recompressed", recompressed)
    infer = capture_pipeline(strips, name="strips", families=("image",))
    c = compare(documented("emotion-64-gray"), infer)
    assert [f.kind for f in c.findings] == ["unknown"] and 1 <= len(stored) <= 2, stored

"""Kinds of fault that reports added, planted one by one in one small pipeline: what is named, and in which words."""

import functools
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from facelab.fingerprint import capture_pipeline, compare


def lossy(x, *formats):
    for kind, quality in formats:
        store = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(x)).save(store, kind, quality=quality)
        x = np.asarray(Image.open(store).convert("RGB"))
    return x


def moved(x, n):
    """Bytes that are read `n` too early, or too late."""
    flat = np.roll(x.ravel(), n)
    flat[: max(n, 0)] = 0
    return flat.reshape(x.shape)


def unchanged(x):
    return x


@functools.cache
def captured(before=unchanged, after=unchanged):
    def run(path, _):
        x = before(np.ascontiguousarray(cv2.imread(path)[..., ::-1]))
        return np.float32(after(cv2.resize(np.ascontiguousarray(x), (96, 96))))[None] / 255

    return capture_pipeline(run, name="small", families=("image",))


def found(**how):
    return compare(captured(), captured(**how))


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ({"before": lambda x: x[::2, ::2]}, "resize_order", "one row and column of 2"),
        ({"after": lambda x: moved(x, 1)}, "layout", "from 1 byte before it"),
        pytest.param(
            {"before": lambda x: x[::3]}, "resize_order", "one row of 3", marks=pytest.mark.slow
        ),
        pytest.param(
            {"after": lambda x: moved(x, 54)}, "layout", "54 bytes", marks=pytest.mark.slow
        ),
        pytest.param(
            {"before": lambda x: lossy(x, ("WEBP", 80))},
            "decoder",
            "WEBP, quality about 80, before",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"after": lambda x: lossy(x, ("JPEG", 30))},
            "decoder",
            "JPEG, quality about 30, behind",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_reported_fault_is_named(how, kind, words):
    c = found(**how)
    assert [f.kind for f in c.findings] == [kind]
    assert words in c.findings[0].inference, c.findings[0].inference


def test_what_two_codecs_left_is_unknown_and_a_note_says_where_blocks_meet():
    c = found(after=lambda x: lossy(x, ("JPEG", 35), ("JPEG", 70)))
    assert [f.kind for f in c.findings] == ["unknown"]
    assert any("between blocks of 8×8 pixels" in n for n in c.notes), c.notes


def test_a_blur_that_is_no_codec_gets_no_note_of_blocks():
    c = found(after=lambda x: cv2.medianBlur(x, 3))
    assert not any("blocks of 8×8" in n for n in c.notes), c.notes


def test_a_program_may_answer_every_call_with_its_own_buffer():
    buffer = np.empty((1, 40, 40, 3), np.float32)

    def filled(path, _):
        np.divide(cv2.resize(cv2.imread(path), (40, 40)), 255, out=buffer[0], casting="same_kind")
        return buffer

    def new(path, probe):
        return filled(path, probe).copy()

    sides = [capture_pipeline(f, name=f.__name__, families=("image",)) for f in (new, filled)]
    assert compare(*sides).verdict == "identical"


def test_one_tensor_for_every_picture_is_said():
    def first(path, _):
        return kept.setdefault("tensor", resized(path, _))

    def resized(path, _):
        return np.float32(cv2.resize(cv2.imread(path), (40, 40)))[None]

    kept = {}
    sides = [capture_pipeline(f, name=f.__name__, families=("image",)) for f in (resized, first)]
    c = compare(*sides)
    assert [f.kind for f in c.findings] == ["unknown"]
    assert any("the same tensor for all" in note for note in c.notes), c.notes

"""Issue 22.12: one detector or embedder shared by 8 threads answers as it does alone; after a fork it says so."""

import multiprocessing
import os
import threading
import warnings

import numpy as np
import pytest

from facelab import detection, embedding
from facelab.core.errors import FacelabError

THREADS, ROUNDS = 8, 4
SLOW = ("dlib-cnn", "mtcnn")


@pytest.fixture(scope="module")
def pictures():
    import cv2
    from skimage.data import astronaut

    face = astronaut()[:300, 60:360]
    sizes = (110, 130, 150, 170)
    return [np.ascontiguousarray(cv2.resize(face, (s, s))) for s in sizes]


def shared(call, pictures):
    """Return what 8 threads got that differs from what one got, for each picture."""
    alone = [call(p) for p in pictures]
    wrong, start = [], threading.Barrier(THREADS)

    def work(k):
        start.wait()
        for r in range(ROUNDS):
            i = (k + r) % len(pictures)
            try:
                got = call(pictures[i])
            except Exception as e:
                wrong.append(repr(e))
                continue
            same = len(got) == len(alone[i]) and all(
                a.shape == b.shape and np.allclose(a, b, atol=1e-4) for a, b in zip(got, alone[i])
            )
            if not same:
                wrong.append(f"thread {k}, picture {i}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return wrong


def detectors():
    names = sorted({e.family: e.name for e in detection.available()}.items())
    slow = pytest.mark.slow
    return [pytest.param(n, marks=[slow] if f in SLOW else [], id=f) for f, n in names]


@pytest.mark.parametrize("name", detectors())
def test_a_detector_shared_by_eight_threads_answers_as_alone(name, pictures, mirror):
    try:
        detector = detection.load(name, threads=1)
    except FacelabError as e:
        pytest.skip(e.what)

    def call(picture):
        found = detector.detect(picture)
        return [found.boxes, found.scores]

    assert shared(call, pictures) == []


@pytest.mark.parametrize("name", sorted({e.family: e.name for e in embedding.available()}.values()))
def test_an_embedder_shared_by_eight_threads_answers_as_alone(name, pictures, mirror):
    import cv2

    embedder = embedding.load(name)
    crops = [cv2.resize(p, embedder.input_size) for p in pictures]

    def call(crop):
        out = embedder.embed(crop)
        assert embedder.timings.run > 0
        return [out]

    assert shared(call, crops) == []


def _after_fork(call, picture, answer):
    try:
        call(picture)
        answer.put("answered")
    except FacelabError as e:
        answer.put(e.what)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["haar", "dlib-hog"])
def test_a_handler_that_comes_back_into_its_own_thread_does_not_wait_for_ever(
    name, pictures, mirror
):
    """As a signal's handler does that runs while the lock is held: it waited for the thread that it ran in."""
    try:
        detector = detection.load(name)
    except FacelabError as e:
        pytest.skip(e.what)
    before = detector.detect(pictures[0])
    turn = getattr(detector, "_turn", None) or detector.model._turn
    with turn, pytest.raises(FacelabError, match="computes already"):
        detector.detect(pictures[0])
    assert np.array_equal(detector.detect(pictures[0]).boxes, before.boxes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("name", detectors())
def test_a_forked_child_is_refused_at_once(name, pictures, mirror):
    try:
        detector = detection.load(name, threads=2)
    except FacelabError as e:
        pytest.skip(e.what)
    detector.detect(pictures[0])
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forking with threads
        child = context.Process(target=_after_fork, args=(detector.detect, pictures[0], answer))
        child.start()
    try:
        assert "forked" in answer.get(timeout=30)
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()
    assert len(detector.detect(pictures[0]).scores) >= 0  # the parent goes on

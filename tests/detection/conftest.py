"""Real detectors and photographs, loaded once."""

import csv
import functools

import pytest

from facelab import detection
from facelab.preprocess import read_image


@pytest.fixture(scope="session")
def load(mirror):
    """Return a loader that keeps what it loaded; one thread, so that tests run side by side."""
    return functools.cache(lambda name, **options: detection.load(name, threads=1, **options))


@pytest.fixture(scope="session")
def photographs(assets):
    """Return path → (RGB image, number of faces) of the photographs with exact counts."""
    with (assets / "labelled" / "detection.csv").open() as f:
        rows = [(r["path"], int(r["n_faces"])) for r in csv.DictReader(f) if r["exact"] == "1"]
    return {path: (read_image(assets / "labelled" / path), n) for path, n in rows}


@pytest.fixture(scope="session")
def six(assets):
    """Return the photograph of six people."""
    return read_image(assets / "labelled" / "detection" / "deepinsight_t1.jpg")

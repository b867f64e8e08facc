"""Fingerprints that several tests share."""

import pytest

from facelab.studies.planted import _pipelines as planted


@pytest.fixture(scope="session")
def documented():
    """Return base → the training side's fingerprint (spec, reference backend), made once."""
    made = {}

    def get(base):
        if base not in made:
            made[base] = planted.documented(base)
        return made[base]

    return get


@pytest.fixture(scope="session")
def black_box():
    """Return (base, mistakes…) → the fingerprint of plain code, made once."""
    made = {}

    def get(base, *mistakes):
        key = base, tuple(m.name for m in mistakes)
        if key not in made:
            made[key] = planted.black_box(base, *mistakes)
        return made[key]

    return get

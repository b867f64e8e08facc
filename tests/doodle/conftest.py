"""One small training for all tests of drawings."""

import pytest

from facelab import doodle


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A classifier trained on 1500 synthetic drawings: enough for the bar on drawings of people."""
    out = tmp_path_factory.mktemp("doodle")
    return doodle.train(out, doodle.Settings(n=1500, epochs=6, seed=7))

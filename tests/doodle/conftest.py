"""One small training for all tests of drawings."""

import pytest
from shared_work import made_once

from facelab import doodle


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A classifier trained on 1500 synthetic drawings: enough for the bar on drawings of people."""

    def make(folder):
        return doodle.train(folder, doodle.Settings(n=1500, epochs=6, seed=7))

    return made_once(tmp_path_factory, "doodle", make)

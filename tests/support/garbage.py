"""What garbage collections of a test run visit: what the last tests made, not all that ten thousand tests loaded.

A full collection of all that TensorFlow, Keras and the tests themselves hold takes half a second, and pipelines,
memory watches and tests ask for many. `gc.freeze` leaves out what is there; pipelines and watches thaw all when they
end, so that it is frozen again after such a test, and after each file.
"""

import gc
import warnings

import pytest


class Frozen:
    """Stands for `gc.unfreeze` in a test run, to know what has happened: to count what is frozen visits it all."""

    def __init__(self):
        self.plain, self.thawed, self.for_good = gc.unfreeze, False, False
        gc.unfreeze = self.unfreeze

    def unfreeze(self):
        if not self.for_good:
            self.thawed = True
            self.plain()

    def again(self, generation):
        """Collect, and leave what is then there out of later collections."""
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ResourceWarning
            )  # nobody knows which test left a socket
            gc.collect(generation)
        gc.freeze()
        self.thawed = False


FROZEN = Frozen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Freeze again what a test has thawed, and what a file has left."""
    # an example's census shall not count what other tests hold
    FROZEN.for_good = isinstance(item, pytest.DoctestItem)
    result = yield
    if nextitem is None or nextitem.path != item.path:
        FROZEN.again(2)
    elif FROZEN.thawed:
        FROZEN.again(1)
    return result


def pytest_collection_finish(session):
    """Leave out what is there by now, unvisited, and collect from now on."""
    gc.freeze()
    gc.enable()

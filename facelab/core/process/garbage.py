"""How often Python looks for garbage, in a process that does one thing and ends.

Python looks at all objects again whenever their number has grown by a quarter, and once more at its end. TensorFlow
has 400 000 objects: of the 4.8 s of processor time that importing it and ending took, 1.9 s went into these
collections; with pandas and matplotlib alone .3 of .8 s.
"""

from __future__ import annotations

import atexit
import gc
import time

USUAL = gc.get_threshold()
YOUNG_PER_FULL = 1000
"""Collections of the middle generation before one of all objects. The two young ones stay as frequent as usual:
they find what a loop leaves at each turn, before its memory adds up."""
STARTING_S = 10.0
"""Processor time after which a process has started: what it leaves from then on may add up. TensorFlow takes 4 s."""


def collect_rarely(seconds: float = STARTING_S) -> None:
    """Look at all objects less often while the process starts, that is, for so many seconds of processor time."""
    end = time.process_time() + seconds

    def look(phase: str, info: dict[str, int]) -> None:
        # the young generation is looked at too often to ask for the time
        if phase == "stop" and info["generation"] and time.process_time() > end:
            gc.set_threshold(*USUAL)  # the callback stays: whoever leaves the list makes another one miss its turn

    gc.set_threshold(USUAL[0], USUAL[1], YOUNG_PER_FULL)
    gc.callbacks.append(look)


def end_at_once() -> None:
    """At this process's end, look for garbage among young objects only: all its memory goes back with it.

    Functions registered with `atexit` run as ever. But what modules hold is not ended one by one: a file that a module
    never closed would lack its last bytes. No module of facelab relies on that. Others may: whoever imports code that
    is not facelab's own calls `end_as_usual`.
    """
    atexit.register(_leave_all)


def end_as_usual() -> None:
    """Take `end_at_once` back, because code that is not facelab's runs in this process."""
    atexit.unregister(_leave_all)


def _leave_all() -> None:
    gc.collect(1)
    gc.freeze()

"""How often Python looks for garbage, in a process that does one thing and ends.

Python looks at all objects again whenever their number has grown by a quarter, and once more at its end. TensorFlow
has 400 000 objects: of the 4.8 s of processor time that importing it and ending took, 1.9 s went into these
collections; with pandas and matplotlib alone .3 of .8 s.
"""

from __future__ import annotations

import atexit
import gc

USUAL = gc.get_threshold()
YOUNG_PER_FULL = 100
"""Collections of the middle generation before one of all objects, which are ten as Python starts. It is enough to
import TensorFlow without one. More would keep more of what a loop leaves: after 700 000 objects all are looked at.
The two young generations are looked at as often as ever."""


def collect_rarely() -> None:
    """Look at all objects less often from now on; a process that stays calls `collect_as_usual` once it is up."""
    gc.set_threshold(USUAL[0], USUAL[1], YOUNG_PER_FULL)


def collect_as_usual() -> None:
    """Look at all objects as often as Python does by itself."""
    gc.set_threshold(*USUAL)


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

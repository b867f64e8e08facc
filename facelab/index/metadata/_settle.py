"""A swap whose answer was lost is settled by reading and by asking again, never by guessing."""

from __future__ import annotations

import time

from facelab.core.errors import FacelabError
from facelab.index.metadata._contract import Metadata, Outcome, Swap


class UnreachableError(FacelabError):
    """The metadata server gave no answer in time."""


class UnsettledError(FacelabError):
    """Whether a swap took place could not be found out: read the key before anything else is written."""


def settle(
    metadata: Metadata,
    key: str,
    expected: int | None,
    value: bytes,
    *,
    deadline_s: float = 10.0,
    pause_s: float = 0.05,
) -> Swap:
    """Swap, and where the answer is lost ask until it is known; at most `deadline_s` seconds.

    The value must be unlike any other that is ever written to this key (it holds a random token): that makes a
    repeated request harmless and a later read telling. A repetition names the same version, so that of the lost
    request and its repetition at most one takes effect, and both write the same value.

    Parameters
    ----------
    metadata : Metadata
    key : str
    expected : int or None
        The version that must still stand there.
    value : bytes
        Unique among all values of this key.
    deadline_s, pause_s : float
        Seconds to go on for, and between two requests.

    Returns
    -------
    Swap
        Done or not done, never unknown.

    Raises
    ------
    UnsettledError
        The deadline passed, or the value was replaced by another so that it cannot be seen whether ours stood there.
    """
    end, lost, last = time.monotonic() + deadline_s, False, Swap(Outcome.UNKNOWN)
    while True:
        last = metadata.swap(key, expected, value)
        if last.outcome is Outcome.DONE:
            return last
        if last.outcome is Outcome.NOT_DONE and last.compared:
            return _not_ours(metadata, key, value, last, lost, end)
        lost = lost or last.outcome is Outcome.UNKNOWN
        if time.monotonic() + pause_s > end:
            break
        time.sleep(pause_s)
    if not lost:
        return last
    raise _unsettled(key, last.reason)


def _not_ours(
    metadata: Metadata, key: str, value: bytes, last: Swap, lost: bool, end: float
) -> Swap:
    """Another version is stored: it may be our own, of a lost answer here or of an earlier call."""
    while True:
        try:
            now = metadata.get(key)
            break
        except UnreachableError as e:
            if time.monotonic() > end:
                raise _unsettled(key, e.what) from None
            time.sleep(0.05)
    if now is not None and now.value == value:
        return Swap(Outcome.DONE, now.version)
    if not lost:
        return last
    raise _unsettled(key, "another value is stored, and ours may have been stored before it")


def _unsettled(key: str, reason: str) -> UnsettledError:
    return UnsettledError(
        "whether the metadata was replaced is unknown",
        where=key,
        expected="an answer",
        got=reason,
        fix="open the collection again once the server answers: opening reads what is true",
    )

"""Random draws that are the same on every machine and in every NumPy version.

NumPy promises the raw 64-bit output of its bit generators and of SeedSequence for good (NEP 19), but not the
distributions of `Generator`. Everything here is derived from the raw output with exact operations.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from facelab.datasets.synthetic._compiled import kernel
from facelab.datasets.synthetic._numerics import F, log

T = TypeVar("T")
NORMAL_STEPS = 1 << 16
_WORD = 0xFFFFFFFF


def _key(part: int | str) -> int:
    return zlib.crc32(part.encode()) if isinstance(part, str) else int(part)


@cache
def normal_table() -> np.ndarray:
    """Return the 65 536 quantiles (k + ½)/65 536 of the standard normal law, float32 (Acklam's approximation).

    Peter J. Acklam's rational approximation (2003) has a relative error below 1.2e-9. The table reaches ±4.17.
    """
    a = (
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.383577518672690e2,
        -3.066479806614716e1,
        2.506628277459239,
    )
    b = (
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1,
    )
    c = (
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    )
    d = (7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1)

    def polynomial(coefficients, x):
        total = np.zeros_like(x)
        for k in coefficients:
            total = total * x + k
        return total

    p = (np.arange(NORMAL_STEPS // 2) + 0.5) / NORMAL_STEPS
    q = np.sqrt(-2 * log(p))
    tail = polynomial(c, q) / polynomial(d, q)
    r = p - 0.5
    centre = polynomial(a, r * r) * r / polynomial(b, r * r)
    low = np.where(p < 0.02425, tail, centre)
    return np.concatenate([low, -low[::-1]]).astype(F)


class _State(ISeedSequence):
    """What numpy's SeedSequence would give a PCG64: it takes 30 µs, and a picture has 13 streams."""

    def __init__(self, words: np.ndarray):
        self._words = words

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> np.ndarray:
        """Return the four words of 64 bits that PCG64 asks for."""
        return self._words.view(np.uint64)


@kernel
def _spread(entropy: np.ndarray, state: np.ndarray) -> None:
    """Write the first eight words of numpy's SeedSequence (Melissa O'Neill's seed_seq_fe, stable by NEP 19)."""
    n, size = entropy.shape[0], 4
    shift, left, right = np.uint32(16), np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
    turn, grow = np.uint32(0x43B0D7E5), np.uint32(0x931E8875)
    pool = np.zeros(size, np.uint32)
    # first one word into each place, then every place into the others, then what entropy is left into all
    for step in range(size + size * size + max(n - size, 0) * size):
        source, place = step - size, (step - size) % size
        if step < size:
            place = step
            value = entropy[step] if step < n else np.uint32(0)
        elif source < size * size:
            if source // size == place:
                continue
            value = pool[source // size]
        else:
            value = entropy[source // size]
        value = np.uint32(value ^ turn)
        turn = np.uint32(turn * grow)
        value = np.uint32(value * turn)
        value = np.uint32(value ^ (value >> shift))
        if step >= size:
            value = np.uint32(np.uint32(left * pool[place]) - np.uint32(right * value))
            value = np.uint32(value ^ (value >> shift))
        pool[place] = value
    turn, grow = np.uint32(0x8B51F9DD), np.uint32(0x58F38DED)
    for k in range(state.shape[0]):
        value = np.uint32(pool[k % size] ^ turn)
        turn = np.uint32(turn * grow)
        value = np.uint32(value * turn)
        state[k] = np.uint32(value ^ (value >> shift))


class Stream:
    """A random stream named by whole numbers and words, such as (seed, index, "light").

    Streams with other names are independent, so that one factor can be drawn again while the rest stand still.

    Examples
    --------
    >>> Stream(7, 0, "light").unit() == Stream(7, 0, "light").unit()
    True
    >>> Stream(7, 0, "light").unit() == Stream(7, 1, "light").unit()
    False
    """

    def __init__(self, *name: int | str):
        words: list[int] = []
        for part in name:
            number = _key(part)
            words.append(number & _WORD)
            while number > _WORD:
                number >>= 32
                words.append(number & _WORD)
        state = np.empty(8, np.uint32)
        _spread(np.array(words, np.uint32), state)
        seed: Any = _State(state)  # numpy takes any ISeedSequence, its types only its own
        self._bits = np.random.PCG64(seed)

    def unit(self) -> float:
        """Return a float in [0, 1): a multiple of 2**-53."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int | None = None) -> int:
        """Return an integer in [low, high), or in [0, low) when only one bound is given."""
        low, high = (0, low) if high is None else (low, high)
        return low + (((int(self._bits.random_raw()) >> 32) * (high - low)) >> 32)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.unit() < probability

    def normal(self, mean: float = 0.0, sd: float = 1.0, clip: float = 4.2) -> float:
        """Return a normal draw, its deviation held within ±clip standard deviations."""
        z = float(normal_table()[int(self._bits.random_raw()) >> 48])
        return mean + sd * min(clip, max(-clip, z))

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options, all equally likely."""
        return options[self.integer(len(options))]

    def permutation(self, n: int) -> list[int]:
        """Return 0 … n-1 in random order (Fisher and Yates)."""
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.integer(i + 1)
            order[i], order[j] = order[j], order[i]
        return order

    def shorts(self, count: int) -> np.ndarray:
        """Return uniform draws of 16 bits, (count,) uint16."""
        raw = self._bits.random_raw((count + 3) // 4).astype("<u8", copy=False)
        return raw.view("<u2")[:count]

    def _shorts(self, shape: tuple[int, ...]) -> np.ndarray:
        count = 1
        for n in shape:
            count *= int(n)
        return self.shorts(count).reshape(shape)

    def normals(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return standard normal draws of a shape, float32, in steps of the 65 536-entry table."""
        return normal_table().take(self._shorts(shape))

    def units(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return draws from [0, 1) of a shape, float32, multiples of 2**-16."""
        return self._shorts(shape).astype(F) * F(2.0**-16)

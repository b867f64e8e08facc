"""The words of the kernel language: types, arithmetic that every target has, and what a spec fills in.

Kernels are a small part of Python, so that people can read them and a linter can check them. `printing` puts the
spec's numbers in the place of the capital names and removes branches that cannot be taken; a printer writes what is
left in the target's language. Integers are 32 bits (`Int`) or 64 (`Long`); `//` and `%` are for numbers that are not
negative; a `Real` is a float64, a `Single` a float32 (in JavaScript a float64: only what gives the same there uses it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Int = Long = int
Real = Single = float
Byte = int
Bytes = Ints = list[int]
Reals = list[float]
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Row: TypeAlias = tuple[float, float, float]
Map: TypeAlias = tuple[Row, Row]
Points: TypeAlias = Sequence[tuple[float, float]]
Box: TypeAlias = tuple[int, int, int, int]
Src = Dst = Ring = Out = list[Any]


class Geometry:
    """Where an image is: `m` leads from the upright picture to here, `r` from an output pixel to what it reads."""

    m0: Real
    m1: Real
    m2: Real
    m3: Real
    m4: Real
    m5: Real
    r0: Real
    r1: Real
    r2: Real
    r3: Real
    r4: Real
    r5: Real


def real(x: float) -> Real:
    """Return x as a float64."""
    return float(x)


def whole(x: float) -> Int:
    """Return x without its fraction."""
    return int(x)


def long(x: float) -> Long:
    """Return x as a 64-bit integer."""
    return int(x)


def product(a: Byte, b: Int) -> Int:
    """Return the product of a byte and a number below 32768: 16-bit factors, which vectorise best."""
    return a * b


def shifted(x: Int, bits: int) -> Int:
    """Return x // 2**bits of a number that is not negative."""
    return x >> bits


def masked(x: Int, mask: int) -> Int:
    """Return the low bits of a number that is not negative."""
    return x & mask


def byte(x: float) -> Byte:
    """Return a number within 0…255 as a byte, without its fraction."""
    return int(x)


def single(x: float) -> Real:
    """Return the float32 nearest to x."""
    return float(np.float32(x))


def narrow(x: float) -> Single:
    """Return x in float32 arithmetic."""
    return float(np.float32(x))


def out(x: float) -> float:
    """Return x in the number type of the result."""
    return x


floor, ceil, rint, fabs = math.floor, math.ceil, round, abs


def text() -> str:
    """Return the word in a text's place: a checker takes a plain "" for the only text there will be."""
    return ""


def whole_number() -> Int:
    """Return the word in a whole number's place."""
    return 0


def number() -> Real:
    """Return the word in a number's place."""
    return 0.0


def numbers() -> Sequence[float]:
    """Return the word in the place of a number for each channel."""
    return ()


def points() -> Points:
    """Return the word in a template's place."""
    return ()


# what a stage states
C = SC = R = G = B = LOBES = PLANE = HALF = LANES = LOW = SPARE = FAR = STEP = whole_number()
IR = IG = IB = whole_number()
ANTIALIAS = LAYOUT = CENTERS = EDGE = KERNEL = OUTSIDE = PASSES = ROUNDING = COORDINATES = text()
A = SUPPORT = WR = WG = WB = Y0 = GAIN = RV = GU = GV = BU = SU = SV = YO = CG = DIVISOR = number()
OVER = False
VALUE: list[int] = []
TEMPLATE: list[float] = []


def store(x: float) -> float:
    """Return x as the stage rounds it."""
    return x


def element(x: Real, c: Int) -> Real:
    """Return what the stages after the last image make of one value of channel c."""
    return x

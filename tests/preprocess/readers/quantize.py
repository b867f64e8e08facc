"""An independent reader of the quantize rule, standard library only; exact fractions decide every tie."""

import struct
import sys
from fractions import Fraction
from pathlib import Path


def single(x):
    """Return x as the nearest float32."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def rounded(q, how):
    """Round a float32 to a whole number."""
    exact = Fraction(q)
    if how == "truncate":
        return int(exact)
    if how == "half_even":
        return round(exact)
    return int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)


def main(source, target, scale, zero, how):
    """Quantize a file of float32 into a file of int8."""
    with Path(source).open("rb") as f:
        raw = f.read()
    steps = []
    for (v,) in struct.iter_unpack("<f", raw):
        # a quotient of two float32 rounds to the same float32 directly and through float64
        step = rounded(single(v / single(float(scale))), how) + int(zero)
        steps.append(max(-128, min(127, step)))
    with Path(target).open("wb") as f:
        f.write(struct.pack(f"{len(steps)}b", *steps))


if __name__ == "__main__":
    main(*sys.argv[1:])

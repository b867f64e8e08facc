"""Damage: what a disk, a network or an attacker does to bytes and text."""

import random

NUMBERS = (b"0", b"-1", b"1e999", b"9" * 400, b"NaN", b"null", b"true", b"[]", b"{}", b'"\\ud800"')


def bytes_of(r: random.Random, data: bytes) -> bytes:
    """Return data with some bytes flipped, cut, doubled, or replaced by extremes."""
    out = bytearray(data)
    for _ in range(r.choice((1, 1, 2, 8))):
        at = r.randrange(len(out) + 1)
        kind = r.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            del out[at : at + r.randrange(1, 9)]
        elif kind == 3:
            out[at:at] = out[max(0, at - r.randrange(1, 65)) : at]
        elif kind == 4:
            out[at : at + 4] = r.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        else:
            out[at : at + 1] = r.choice(NUMBERS)
        if not out:
            break
    return bytes(out)


def value_of(r: random.Random, value: object) -> object:
    """Return a JSON value with one thing in it replaced."""
    if isinstance(value, dict) and value and r.random() < 0.9:
        key = r.choice(list(value))
        changed = dict(value)
        if r.random() < 0.15:
            del changed[key]
        else:
            changed[key] = value_of(r, value[key])
        return changed
    if isinstance(value, list) and value and r.random() < 0.8:
        changed = list(value)
        k = r.randrange(len(changed))
        changed[k] = value_of(r, changed[k])
        return changed
    return r.choice(
        (None, True, -1, 0, 1e308, 2**70, "", "x" * 300, "../../x", "\x1b[2J", [], {}, [[]], "é")
    )

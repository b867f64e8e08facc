"""Outputs whose size follows the picture: which rule gives the sizes that were seen on every probe."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._operations import Chain, Pad, Refused, Resize
from facelab.fingerprint.model._planner import plan

MULTIPLES = (None, 4, 8, 16, 32, 64, 128)
ROUNDINGS = ("half_up", "floor", "ceil")
ANCHORS = ("center", "top_left", "center_up")


def follows_picture(observed: Observed) -> bool:
    """Whether not every picture is brought to one size."""
    return len({observed.size[n] for n in observed.plain}) > 1


def fits(observed: Observed, chain: Chain) -> bool:
    """Whether `chain` gives the size that was seen on every plain probe."""
    try:
        return all(
            plan(chain, observed.pictures[n].source)[1] == observed.size[n] for n in observed.plain
        )
    except Refused:
        return False


def size_rules(observed: Observed, resize: Resize) -> list[Chain]:
    """Return the steps, resampling as `resize` does, that give every size that was seen.

    One size for all, the longer or the shorter side brought to n, and both padded to a multiple; nothing but padding.
    """
    return [ops for ops in _rules(observed, resize) if fits(observed, ops)]


def _rules(observed: Observed, resize: Resize) -> Iterator[Chain]:
    sizes = [observed.size[n] for n in observed.plain]
    plain = resize._replace(mode="stretch", anchor="center", enlarge=True, gap=0.0)
    if not follows_picture(observed):
        for mode, anchor in (("letterbox", a) for a in ANCHORS):
            yield (plain._replace(size=sizes[0], mode=mode, anchor=anchor),)
        yield (plain._replace(size=sizes[0]),)
        return
    sides = {"inside": Counter(map(max, sizes)), "cover": Counter(map(min, sizes))}
    for mode, count in sides.items():
        n = count.most_common(1)[0][0]
        for rounding, enlarge in itertools.product(ROUNDINGS, (True, False)):
            op = plain._replace(
                size=(n, n), mode=mode, size_rounding=rounding, enlarge=enlarge or mode == "cover"
            )
            for multiple in MULTIPLES:
                yield from _padded((op,), multiple)
    for multiple in MULTIPLES:
        yield from _padded((), multiple)


def _padded(ops: Chain, multiple: int | None) -> Iterator[Chain]:
    if multiple is None:
        yield ops
        return
    for anchor in ANCHORS:
        yield (*ops, Pad(multiple=multiple, anchor=anchor))


def with_sizes(chain: Chain, ops: Chain) -> Chain:
    """Return `chain` with the steps that decide its size replaced by `ops`."""
    places = [i for i, op in enumerate(chain) if isinstance(op, (Resize, Pad))]
    if not places:
        return (*chain, *ops)
    kept = [op for i, op in enumerate(chain) if i not in places]
    return (*kept[: places[0]], *ops, *kept[places[0] :])


def rule_words(chain: Chain) -> str:
    """Return in words which size a chain gives."""
    words: list[str] = []
    for op in chain:
        if isinstance(op, Resize):
            n = op.size[0]
            words.append(
                {
                    "inside": f"longer side {n}",
                    "cover": f"shorter side {n}",
                    "letterbox": f"letterboxed into {op.size[0]}×{op.size[1]}",
                }.get(op.mode, f"{op.size[0]}×{op.size[1]}")
            )
        elif isinstance(op, Pad):
            words.append(
                f"padded to a multiple of {op.multiple}" if op.multiple else f"padded to {op.to}"
            )
    return ", ".join(words) or "the picture's own size"

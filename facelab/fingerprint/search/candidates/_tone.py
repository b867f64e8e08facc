"""Hypotheses about pixel values that no linear map covers: gamma, contrast, colour read wrongly, fewer levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from facelab.core.narrow import is_tuple
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._observed import FITTED, Observed, Scored
from facelab.fingerprint.model._pipeline_state import Change, Hypothesis, State
from facelab.fingerprint.model._spaces import SPACES
from facelab.fingerprint.model._tones import Tone, Tones, Weights

Place = Literal["head", "tail"]
"""Before or behind the geometry."""
GAMMAS = (0.4167, 0.4545, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
GAMMA_LIKE = tone.CURVES
WORDS = {
    "clahe": "equalised tile by tile (CLAHE)",
    "equalize_each": "histogram equalised",
    "equalize_luma": "histogram equalised on luma",
    "stretch": "stretched to black and white per image",
    "stretch_each": "stretched to black and white per image and channel",
    "brightest": "divided by the picture's maximum",
    "brightest_each": "divided by each channel's maximum in the picture",
    "standardise": "standardised per image (mean 0, deviation 1)",
    "standardise_each": "standardised per image and channel",
}
SPANS = [(m, r) for m in ("bt601", "bt709") for r in ("full", "limited")]


def tones(observed: Observed, state: State, gray: Weights | None) -> Iterator[Hypothesis]:
    """Yield `state` with one more tone, or one less. `gray` are the weights by which a gray pipeline mixes."""
    yield from _untoned(state)
    yield from _limits(state)
    if observed.channels == 1 and not any(t[0] in tone.WHOLE for t in state.head):
        for name in ("equalize_each", "equalize_luma", "stretch", "stretch_each"):
            change = Change(
                "histogram", "color", "contrast as it is", describe((name, None)) + ", in colour"
            )
            yield Hypothesis(state._replace(head=(*state.head, (name, None))), (change,), 1.3)
    mixes: list[Tones] = [()]
    if (
        observed.channels == 1
        and gray is not None
        and tone.gray_of((*state.head, *state.tail)) is None
    ):
        mixes = [(("gray", gray),), (("gray", gray[::-1]),)]
    for k, mix in enumerate(mixes):
        for t, price in _more_tones(observed):
            kind = "gamma" if t[0] in GAMMA_LIKE else "histogram"
            change = Change(
                kind,
                "color",
                "linear in the pixels" if kind == "gamma" else "contrast as it is",
                describe(t),
            )
            yield Hypothesis(
                state._replace(tail=(*mix, t, *state.tail)), (change,), price + 0.5 * k
            )
            if t[0] in tone.WHOLE:
                head = (*state.head, *mix, t)
                yield Hypothesis(state._replace(head=head), (change,), price + 0.5 * k + 0.1)


def _more_tones(observed: Observed) -> Iterator[tuple[Tone, float]]:
    yield from ((("gamma", g), 1.0) for g in GAMMAS)
    yield from (((name, None), 1.2) for name in ("srgb_to_linear", "linear_to_srgb"))
    names = ("equalize_each", "stretch", "standardise", "brightest")
    if observed.channels != 1:
        names += ("equalize_luma", "stretch_each", "standardise_each", "brightest_each")
    yield from (((name, None), 1.0) for name in names)


def tiles(observed: Observed, state: State, gray: Weights | None) -> Iterator[Hypothesis]:
    """Yield `state` with its contrast equalised tile by tile (CLAHE), by the customary settings, before the geometry
    or behind it."""
    on = "gray" if observed.channels == 1 else "lab"
    mix = (
        (("gray", gray),)
        if observed.channels == 1 and gray and tone.gray_of(state.head + state.tail) is None
        else ()
    )
    for count in (8, 4):
        for clip in (2.0, 3.0, 4.0, 40.0):
            t = ("clahe", (clip, count, on))
            change = Change("histogram", "color", "contrast as it is", describe(t))
            yield Hypothesis(state._replace(tail=(*mix, t, *state.tail)), (change,), 1.2)
            yield Hypothesis(state._replace(head=(*state.head, *mix, t)), (change,), 1.3)


def _untoned(state: State) -> Iterator[Hypothesis]:
    for place in ("head", "tail"):
        for i, t in enumerate(getattr(state, place)):
            if t[0] not in ("yuv", "gray", "space", *FITTED):
                rest = getattr(state, place)[:i] + getattr(state, place)[i + 1 :]
                kind = "gamma" if t[0] in GAMMA_LIKE else "histogram"
                yield Hypothesis(
                    state._replace(**{place: rest}),
                    (Change(kind, "color", describe(t), "not done"),),
                )


def spaces(state: State) -> Iterator[Hypothesis]:
    """Yield `state` with its pixels in another colour space that is not a linear map of red, green and blue."""
    own = next((t for t in state.tail if t[0] == "space"), None)
    rest = tuple(t for t in state.tail if t is not own)
    was = SPACES[own[1]] if own else "red, green, blue"
    if own:
        change = Change("channel_order", "color", was, "red, green, blue")
        yield Hypothesis(state._replace(tail=rest), (change,), 1.0)
    for name, words in SPACES.items():
        if own is None or name != own[1]:
            curve = own is not None and {own[1], name} == {"lab", "lab_linear"}
            change = Change("gamma" if curve else "channel_order", "color", was, words)
            yield Hypothesis(state._replace(tail=(("space", name), *rest)), (change,), 1.0)


LIMITS = (
    (0, 150),
    (0, 180),
    (0, 205),
    (0, 230),
    (25, 255),
    (50, 255),
    (75, 255),
    (30, 225),
    (55, 200),
)
"""Where raised brightness or contrast cuts pixels off, before the geometry."""


def _limits(state: State) -> Iterator[Hypothesis]:
    if not any(t[0] == "limit" for t in state.head):
        for limits in LIMITS:
            change = Change("saturation", "color", "all levels", _limit_words(limits))
            yield Hypothesis(state._replace(head=(*state.head, ("limit", limits))), (change,), 1.1)


def _limit_words(limits: tuple[float, float]) -> str:
    return f"pixels cut off at {limits[0]:g} and {limits[1]:g} before the resize"


def refine_limits(observed: Observed, scored: Scored) -> Scored:
    """Search the levels at which pixels are cut off, or the factor and shift by which they wrap, more finely."""
    for place in ("head", "tail"):
        for i, (name, parameter) in enumerate(getattr(scored.hypothesis.state, place)):
            if name == "limit":
                return _refine_pair(
                    observed, scored, (place, i), ((12, 12), (4, 4), (1, 1)), _limit_words
                )
            if name == "wrap" and not isinstance(parameter[1], tuple):
                return _refine_pair(
                    observed, scored, (place, i), ((0.05, 8), (0.02, 3), (0.007, 1)), _wrap_words
                )
    return scored


def _refine_pair(
    observed: Observed,
    best: Scored,
    where: tuple[Place, int],
    steps: tuple[tuple[float, float], ...],
    words: Callable[[tuple[float, Any]], str],
) -> Scored:
    place, i = where
    for first, second in steps:
        improved = True
        while improved and observed.budget.left:
            improved = False
            for da, db in ((first, 0), (-first, 0), (0, second), (0, -second)):
                state = best.hypothesis.state
                there = getattr(state, place)
                name, (a, b) = there[i]
                pair = (a + da, b + db)
                if name == "limit":
                    pair = max(0, pair[0]), min(255, pair[1])
                narrow = pair[1] - pair[0] < 40 if name == "limit" else pair[0] < 0.999
                if pair in ((a, b), (0, 255)) or narrow:
                    continue
                trial = state._replace(**{place: (*there[:i], (name, pair), *there[i + 1 :])})
                changes = tuple(
                    c._replace(after=words(pair)) if c.kind == "saturation" else c
                    for c in best.hypothesis.changes
                )
                linear = observed.score(trial)
                if linear.loss < 0.98 * best.loss:
                    best = Scored(Hypothesis(trial, changes, best.hypothesis.price), linear)
                    improved = True
    return best


WRAPS = (
    *((g, 0.0) for g in (1.1, 1.2, 1.3, 1.5, 2.0)),
    *(
        (1.0, float(b))
        for b in (20, 30, 40, 50, 64, 80, 100, 128, -20, -30, -40, -50, -64, -80, -100)
    ),
)
"""(factor, shift) of pixels that are kept in eight bits without saturation."""


def _wrap_words(pair: tuple[float, Any]) -> str:
    if is_tuple(pair[1]):
        return "bytes less [{}] wrap around below 0".format(", ".join(f"{-v:.0f}" for v in pair[1]))
    return f"x · {pair[0]:.3g} + {pair[1]:.3g} wraps around past 255"


def odd_tones(observed: Observed, state: State, gray: Weights | None) -> Iterator[Hypothesis]:
    """Yield `state` with fewer bits, with a gray that is not a weighted sum, or with values that wrap around."""
    if any(
        t[0] in ("posterize", "hsv_value", "hsl_lightness", "lab_lightness", "wrap")
        for t in state.head + state.tail
    ):
        return
    for bits in (1, 2, 3, 4, 5, 6):
        change = Change(
            "quantization", "quantize", "8 bits", f"only the upper {bits} bits of each pixel"
        )
        yield Hypothesis(state._replace(head=(*state.head, ("posterize", bits))), (change,), 1.2)
    mix = (
        (("gray", gray),)
        if observed.channels == 1 and gray and tone.gray_of(state.head + state.tail) is None
        else ()
    )
    means = [(1.0, tuple(-m for m in observed.means))] if observed.means else []
    for pair in (*WRAPS, *means):
        change = Change("saturation", "cast", "values in range", _wrap_words(pair))
        yield Hypothesis(state._replace(tail=(*mix, ("wrap", pair), *state.tail)), (change,), 1.2)
    for name, text in (
        ("hsv_value", "the largest of red, green and blue (HSV value)"),
        ("hsl_lightness", "HSL lightness"),
        ("lab_lightness", "CIE lightness (Lab)"),
    ):
        change = Change("gray_weights", "color", "a weighted sum of red, green and blue", text)
        yield Hypothesis(state._replace(head=(*state.head, (name, None))), (change,), 1.2)


def before_geometry(observed: Observed, scored: Scored, start: State) -> Scored:
    """Try a tone that was found behind the geometry before it instead, and keep the better place."""
    h = scored.hypothesis
    added = h.state.tail[: len(h.state.tail) - len(start.tail)]
    if not added:
        return scored
    moved_there = h._replace(state=start._replace(head=(*start.head, *added)))
    other = Scored(moved_there, observed.score(moved_there.state))
    return other if other.loss < 0.9 * scored.loss else scored


def recodings(state: State) -> Iterator[Hypothesis]:
    """Yield `state` with its YUV read by another matrix or range, in front of the geometry or behind it."""
    raw = next((t for t in state.head if t[0] == "yuv"), None)
    swapped = Change("channel_order", "color", "chroma in order U, V", "U and V swapped")
    if raw is None:
        yield from _front_and_back(state, ("swap_chroma", None), (swapped,))
    else:
        yield Hypothesis(state._replace(head=(("swap_uv", None), *state.head)), (swapped,), 1.1)
    for written in SPANS if raw is None else [raw[1]]:
        for read in SPANS:
            changes = recode_changes(written, read)
            if changes and raw is None:
                yield from _front_and_back(state, ("recode", (written, read)), changes)
            elif changes:
                head = tuple(("yuv", read) if t is raw else t for t in state.head)
                yield Hypothesis(state._replace(head=head), changes, 1.1 * len(changes))
                both = (("swap_uv", None), *head)
                price = 1.1 * (len(changes) + 1)
                yield Hypothesis(state._replace(head=both), (*changes, swapped), price)


def _front_and_back(state: State, t: Tone, changes: tuple[Change, ...]) -> Iterator[Hypothesis]:
    price = 1.1 * len(changes)
    yield Hypothesis(state._replace(head=(*state.head, t)), changes, price)
    if not any(o[0] == "gray" for o in state.tail):
        yield Hypothesis(state._replace(tail=(t, *state.tail)), changes, price + 0.05)


def recode_changes(a: tuple[str, str], b: tuple[str, str]) -> tuple[Change, ...]:
    """Return what differs between two (matrix, range) readings of YUV."""
    out: list[Change] = []
    if a[1] != b[1]:
        out.append(Change("yuv_range", "color", f"{a[1]} range", f"read as {b[1]} range"))
    if a[0] != b[0]:
        out.append(
            Change(
                "yuv_matrix",
                "color",
                a[0].upper().replace("BT", "BT."),
                "read as " + b[0].upper().replace("BT", "BT."),
            )
        )
    return tuple(out)


def describe(t: Tone) -> str:
    """Return a tone in words."""
    name = str(t[0])
    return f"gamma {t[1]:.3g} (x^γ)" if name == "gamma" else WORDS.get(name, name.replace("_", " "))


def refine_gamma(observed: Observed, scored: Scored) -> Scored:
    """Search the exponent of a gamma hypothesis more finely."""
    state = scored.hypothesis.state
    for place in ("head", "tail"):
        for i, t in enumerate(getattr(state, place)):
            if t[0] == "gamma":
                best = scored
                for step in (1.06, 1.02, 1.006):
                    for _ in range(4):
                        g = _gamma_of(best, place, i)
                        tries = [
                            _with_gamma(observed, best, place, i, g * step),
                            _with_gamma(observed, best, place, i, g / step),
                        ]
                        better = min(tries, key=lambda s: s.loss)
                        if better.loss >= best.loss:
                            break
                        best = better
                return best
    return scored


def _gamma_of(scored: Scored, place: Place, i: int) -> float:
    return getattr(scored.hypothesis.state, place)[i][1]


def _with_gamma(observed: Observed, scored: Scored, place: Place, i: int, g: float) -> Scored:
    tones_there = list(getattr(scored.hypothesis.state, place))
    tones_there[i] = ("gamma", g)
    state = scored.hypothesis.state._replace(**{place: tuple(tones_there)})
    changes = tuple(
        c._replace(after=describe(("gamma", g))) if c.kind == "gamma" else c
        for c in scored.hypothesis.changes
    )
    return Scored(Hypothesis(state, changes, scored.hypothesis.price), observed.score(state))

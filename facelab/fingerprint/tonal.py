"""Hypotheses about pixel values that no linear map covers: gamma, contrast, colour read wrongly, fewer levels."""

from __future__ import annotations

from collections.abc import Iterator

from facelab.fingerprint import tone
from facelab.fingerprint.hypotheses import Change, Hypothesis, State
from facelab.fingerprint.observed import FITTED, Observed, Scored

GAMMAS = (0.4167, 0.4545, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
GAMMA_LIKE = ("gamma", "srgb_to_linear", "linear_to_srgb")
WORDS = {
    "clahe": "equalised tile by tile (CLAHE)",
    "equalize_each": "histogram equalised",
    "equalize_luma": "histogram equalised on luma",
    "stretch": "stretched to black and white per image",
    "stretch_each": "stretched to black and white per image and channel",
    "standardise": "standardised per image (mean 0, deviation 1)",
    "standardise_each": "standardised per image and channel",
}
SPANS = [(m, r) for m in ("bt601", "bt709") for r in ("full", "limited")]


def tones(observed: Observed, state: State, gray: tuple | None) -> Iterator[Hypothesis]:
    """Yield `state` with one more tone, or one less. `gray` are the weights by which a gray pipeline mixes."""
    yield from _untoned(state)
    mixes: list[tuple] = [()]
    if observed.channels == 1 and gray is not None and tone.gray_of((*state.head, *state.tail)) is None:
        mixes = [(("gray", gray),), (("gray", gray[::-1]),)]
    for k, mix in enumerate(mixes):
        for t, price in _more_tones(observed):
            kind = "gamma" if t[0] in GAMMA_LIKE else "histogram"
            change = Change(
                kind, "color", "linear in the pixels" if kind == "gamma" else "contrast as it is", describe(t)
            )
            yield Hypothesis(state._replace(tail=(*mix, t, *state.tail)), (change,), price + 0.5 * k)


def _more_tones(observed):
    yield from ((("gamma", g), 1.0) for g in GAMMAS)
    yield from (((name, None), 1.2) for name in ("srgb_to_linear", "linear_to_srgb"))
    names = ("equalize_each", "stretch", "standardise") + (
        () if observed.channels == 1 else ("equalize_luma", "stretch_each", "standardise_each")
    )
    yield from (((name, None), 1.0) for name in names)
    if observed.channels == 1:
        yield from ((("clahe", (clip, 8, "gray")), 1.2) for clip in (2.0, 4.0))


def _untoned(state):
    for place in ("head", "tail"):
        for i, t in enumerate(getattr(state, place)):
            if t[0] not in ("yuv", "gray", *FITTED):
                rest = getattr(state, place)[:i] + getattr(state, place)[i + 1 :]
                kind = "gamma" if t[0] in GAMMA_LIKE else "histogram"
                yield Hypothesis(state._replace(**{place: rest}), (Change(kind, "color", describe(t), "not done"),))


def odd_tones(state: State) -> Iterator[Hypothesis]:
    """Yield `state` with fewer bits, or with a gray that is no weighted sum, in front of its geometry."""
    if any(t[0] in ("posterize", "hsv_value", "hsl_lightness") for t in state.head):
        return
    for bits in (1, 2, 3, 4, 5, 6):
        change = Change("quantization", "quantize", "8 bits", f"only the upper {bits} bits of each pixel")
        yield Hypothesis(state._replace(head=(*state.head, ("posterize", bits))), (change,), 1.2)
    for name, text in (
        ("hsv_value", "the largest of red, green and blue (HSV value)"),
        ("hsl_lightness", "HSL lightness"),
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
    """Yield `state` with its YUV read by another matrix or range."""
    raw = next((t for t in state.head if t[0] == "yuv"), None)
    swapped = Change("channel_order", "color", "chroma in order U, V", "U and V swapped")
    yield Hypothesis(state._replace(head=(*state.head, ("swap_chroma", None))), (swapped,), 1.1)
    for written in SPANS if raw is None else [raw[1]]:
        for read in SPANS:
            changes = recode_changes(written, read)
            if changes:
                head = (
                    (*state.head, ("recode", (written, read)))
                    if raw is None
                    else tuple(("yuv", read) if t is raw else t for t in state.head)
                )
                yield Hypothesis(state._replace(head=head), changes, 1.1 * len(changes))


def recode_changes(a: tuple[str, str], b: tuple[str, str]) -> tuple[Change, ...]:
    """Return what differs between two (matrix, range) readings of YUV."""
    out = []
    if a[1] != b[1]:
        out.append(Change("yuv_range", "color", f"{a[1]} range", f"read as {b[1]} range"))
    if a[0] != b[0]:
        out.append(
            Change(
                "yuv_matrix", "color", a[0].upper().replace("BT", "BT."), "read as " + b[0].upper().replace("BT", "BT.")
            )
        )
    return tuple(out)


def describe(t: tuple) -> str:
    """Return a tone in words."""
    return f"gamma {t[1]:.3g} (x^γ)" if t[0] == "gamma" else WORDS.get(t[0], t[0].replace("_", " "))


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


def _gamma_of(scored, place, i):
    return getattr(scored.hypothesis.state, place)[i][1]


def _with_gamma(observed, scored, place, i, g):
    tones_there = list(getattr(scored.hypothesis.state, place))
    tones_there[i] = ("gamma", g)
    state = scored.hypothesis.state._replace(**{place: tuple(tones_there)})
    changes = tuple(
        c._replace(after=describe(("gamma", g))) if c.kind == "gamma" else c for c in scored.hypothesis.changes
    )
    return Scored(Hypothesis(state, changes, scored.hypothesis.price), observed.score(state))

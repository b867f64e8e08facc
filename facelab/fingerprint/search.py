"""Find the pipeline that explains a fingerprint, starting from a known or supposed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from facelab.fingerprint import tone
from facelab.fingerprint.budget import Budget, fit_work, prediction_work
from facelab.fingerprint.chain import (
    Affine,
    Align,
    Crop,
    Orient,
    Pad,
    Refused,
    Resize,
    Source,
    bordered,
    plan,
    predict,
    sample,
    turned_back,
)
from facelab.fingerprint.hypotheses import Change, Hypothesis, State, moved, shifted, templates
from facelab.fingerprint.photometry import Linear, fit, level_size
from facelab.fingerprint.resample import lines
from facelab.fingerprint.schema import Fingerprint
from facelab.fingerprint.sources import LARGE, RAW_SCREEN, SCREEN, Picture, pictures

FITTED = ("censor", "curve")
"""Marks on a state that concern the fit, not the pixels."""
FLOOR = 0.62
"""RMS residual in pixel levels below which nothing is left to explain: rounding once or twice leaves 0.3 to 0.5."""


@dataclasses.dataclass
class Scored:
    """A hypothesis with the linear fit that belongs to it; `cost` is what hypotheses are ranked by."""

    hypothesis: Hypothesis
    linear: Linear

    @property
    def loss(self) -> float:
        return self.linear.loss

    @property
    def cost(self) -> float:
        return self.loss * (1 + 0.03 * self.hypothesis.price) + 0.01 * self.hypothesis.price


class Observed:
    """One side's output samples, and what a supposed pipeline would give at the same places."""

    def __init__(self, fingerprint: Fingerprint, names: Iterable[str], budget: Budget | None = None):
        known = pictures()
        self.budget = budget or Budget()
        self.fingerprint = fingerprint
        self.pictures: dict[str, Picture] = {n: known[n] for n in names}
        self.y: dict[str, np.ndarray] = {}
        self.size: dict[str, tuple[int, int]] = {}
        self.rows: dict[str, tuple] = {}
        self.columns: dict[str, tuple] = {}
        self._toned: dict[tuple, Source] = {}
        self._kept: dict[tuple, tuple] = {}
        from facelab.fingerprint.schema import hwc

        for n in self.pictures:
            entry = fingerprint.output[n]
            h, w, _ = hwc(entry["shape"], entry["layout"])
            samples = fingerprint.samples(n)
            self.size[n] = (w, h)
            self.rows[n], self.columns[n] = lines(h, samples.shape[0]), lines(w, samples.shape[1])
            self.y[n] = samples
        self.families = {p.family for p in self.pictures.values()}
        family = next(
            iter(sorted(self.families, key=lambda f: ("image", "rgb24", "bgr24", "yuyv", "nv12", "gray8").index(f)))
        )
        wanted = SCREEN if family == "image" else [f"{s}_{family}" for s in RAW_SCREEN]
        self.family = family
        self.screen = [n for n in wanted if n in self.pictures]
        self.plain = [
            n
            for n, p in self.pictures.items()
            if p.family == family and (p.plain or (p.range == "limited" and family in ("yuyv", "nv12")))
        ]
        self.screen = self.screen or self.plain
        if LARGE in self.pictures and max(self.size[LARGE]) > 200:
            self.screen.insert(2, LARGE)
        self.border: np.ndarray | None = None

    @property
    def channels(self) -> int:
        return self.y[self.screen[0]].shape[2]

    def source(self, name: str, head: tuple) -> Source:
        """Return a probe's source with the tones of `head` applied."""
        key = (name, head)
        if key not in self._toned:
            source = self.pictures[name].source
            x = source.pixels if head else source.pixels.astype(np.float32)
            for t in head:
                self.budget.spend(5e-5 * x.size)
                x = tone.apply(t, np.asarray(x, dtype=np.float64))
            self._toned[key] = source._replace(pixels=x)
        return self._toned[key]

    def predicted(self, state: State, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (values n × 3, cover n) at this side's sample places. Raises Refused."""
        source = self.source(name, state.head)
        if plan(state.chain, source)[1] != self.size[name]:
            raise Refused("the output has another size")
        whole = any(t[0] in tone.WHOLE for t in state.tail)
        values, cover = self._base(state, name, source, whole)
        if whole and self.border is not None:
            # what looks at the whole picture sees the border too
            values, cover = values + (1 - cover)[..., None] * self.border, np.ones_like(cover)
        for t in state.tail:
            if t[0] not in FITTED:
                self.budget.spend((4e-5 if t[0] in tone.WHOLE else 2e-5) * values.size)
                values = tone.apply(t, values)
        if whole:
            index = np.ix_(self.rows[name], self.columns[name])
            values, cover = values[index], cover[index]
        return values.reshape(-1, 3), cover.ravel()

    def _base(self, state: State, name: str, source: Source, whole: bool) -> tuple[np.ndarray, np.ndarray]:
        """The chain's prediction, kept while tones are tried on it."""
        key = (name, state.chain, state.head, whole)
        if key not in self._kept:
            if len(self._kept) > 48:
                self._kept.clear()
            places = () if whole else (self.rows[name], self.columns[name])
            self.budget.spend(prediction_work(state.chain, source, *([len(p) for p in places] or (None, None))))
            self._kept[key] = predict(state.chain, source, *places)
        return self._kept[key]

    def stacked(self, state: State, names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (predicted n × 3, observed n × channels, cover n) over several probes. Raises Refused."""
        parts = [(*self.predicted(state, n), self.y[n].reshape(-1, self.y[n].shape[2])) for n in names]
        return (
            np.concatenate([p[0] for p in parts]),
            np.concatenate([p[2] for p in parts]),
            np.concatenate([p[1] for p in parts]),
        )

    def score(self, state: State, names: list[str] | None = None, *, full: bool = False) -> Linear:
        """Fit the output on `state`'s prediction; an impossible state has infinite loss."""
        try:
            x, y, cover = self.stacked(state, names or self.screen)
        except Refused:
            return Linear(np.ones((1, 3)), np.zeros(1), np.inf, np.inf, 0)
        inside = cover > 1 - 1e-4
        for t in state.tail:
            if t[0] == "censor":
                inside = inside & ((y > t[1][0]) & (y < t[1][1])).all(axis=1)
        self.budget.spend(fit_work(len(x)))
        linear = fit(x[inside], y[inside], full=full)
        mixed = tone.gray_of((*state.head, *state.tail))
        if mixed is not None:
            linear = dataclasses.replace(linear, matrix=linear.gain[:, None] * np.asarray(mixed))
        linear = _with_border(linear, y[cover < 1e-4], full)
        for t in state.tail:
            if t[0] == "curve" and np.isfinite(linear.loss):
                parts = self.curve_parts(state, linear, names or self.screen, t[1])
                loss = float(np.sqrt(np.mean([curve_residual(z, v) for z, v in parts])))
                linear = dataclasses.replace(linear, loss=loss)
        return linear

    def curve_parts(self, state: State, linear: Linear, names: list[str], gray: tuple | None) -> list[tuple]:
        """Return, probe by probe, (predicted, observed) inside the picture, both in pixel levels, n × channels."""
        matrix = linear.gain[:, None] * np.asarray(gray) if gray is not None and self.channels == 1 else linear.matrix
        unit = level_size(matrix)
        parts = []
        for n in names:
            x, cover = self.predicted(state, n)
            inside = cover > 1 - 1e-4
            if inside.sum() > 16:
                y = self.y[n].reshape(-1, self.channels)[inside]
                parts.append(((x[inside] @ matrix.T) / unit, y / unit))
        return parts


def curve_residual(z: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared residual of y about a free curve in z, channel by channel: half the mean squared step
    of y between neighbours in z."""
    total = 0.0
    for c in range(y.shape[1]):
        steps = np.diff(y[np.argsort(z[:, c], kind="stable"), c])
        total += float(np.mean(steps**2)) / 2
    return total / y.shape[1]


def _with_border(linear: Linear, border: np.ndarray, full: bool) -> Linear:
    """Where the hypothesis puts a border, the output must be constant; what it varies there counts as residual."""
    if len(border) < 8 or not np.isfinite(linear.loss):
        return linear
    r = (border - np.median(border, axis=0)) / level_size(linear.matrix)
    n, m = linear.n, len(border)
    loss = float(np.sqrt((linear.loss**2 * n + float(np.mean(r**2)) * m) / (n + m)))
    return dataclasses.replace(linear, loss=loss)


def rank(observed: Observed, hypotheses: Iterable[Hypothesis], keep: int = 6, *, large: bool = True) -> list[Scored]:
    """Score hypotheses, first on two or three probes, the better ones on the whole screen; the best come first."""
    quick = observed.screen[:3] if large and LARGE in observed.screen else observed.screen[:2]
    first = []
    for h in hypotheses:
        first.append(Scored(h, observed.score(h.state, quick)))
        if not observed.budget.left:
            break
    first = sorted((s for s in first if np.isfinite(s.loss)), key=lambda s: s.cost)
    if not first:
        return []
    limit = max(1.5, 1.6 * first[0].loss)
    kept = [s for s in first[: 12 if large else 4] if s.loss <= limit] or first[:1]
    second = [Scored(s.hypothesis, observed.score(s.hypothesis.state)) for s in kept]
    return sorted(second, key=lambda s: s.cost)[:keep]


GAMMAS = (0.4545, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)


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


GAMMA_LIKE = ("gamma", "srgb_to_linear", "linear_to_srgb")


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


SPANS = [(m, r) for m in ("bt601", "bt709") for r in ("full", "limited")]


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


WORDS = {
    "clahe": "equalised tile by tile (CLAHE)",
    "equalize_each": "histogram equalised",
    "equalize_luma": "histogram equalised on luma",
    "stretch": "stretched to black and white per image",
    "stretch_each": "stretched to black and white per image and channel",
    "standardise": "standardised per image (mean 0, deviation 1)",
    "standardise_each": "standardised per image and channel",
}


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


def refine_detour(observed: Observed, scored: Scored) -> Scored:
    """Find the size of a surplus first resize pixel by pixel, from the best of the customary sizes."""
    state = scored.hypothesis.state
    pairs = [i for i in range(len(state.chain) - 1) if all(isinstance(op, Resize) for op in state.chain[i : i + 2])]
    if not pairs or not any(c.kind == "resize_order" for c in scored.hypothesis.changes):
        return scored
    i, best = pairs[0], scored
    for step in (8, 4, 2, 1):
        improved = True
        while improved and observed.budget.left:
            improved = False
            side = best.hypothesis.state.chain[i].size[0]
            for n in (side - step, side + step):
                if n < 8:
                    continue
                op = state.chain[i]._replace(size=(n, n))
                chain = (*state.chain[:i], op, *state.chain[i + 1 :])
                changes = tuple(
                    c._replace(after=f"first to {n}×{n}, then to {state.chain[i + 1].size}")
                    if c.kind == "resize_order"
                    else c
                    for c in scored.hypothesis.changes
                )
                trial = Scored(
                    Hypothesis(state._replace(chain=chain), changes, scored.hypothesis.price),
                    observed.score(state._replace(chain=chain)),
                )
                if trial.loss < 0.97 * best.loss:
                    best, improved = trial, True
    return best


def refine_cut(observed: Observed, scored: Scored) -> Scored:
    """Find the share that a centred crop keeps, or the margin about a face, and how it was rounded to pixels."""
    chain = scored.hypothesis.state.chain
    i = next((i for i, op in enumerate(chain) if isinstance(op, Crop) and op.region in ("fraction", "face")), None)
    if i is None or not any(c.kind in ("crop", "margin") for c in scored.hypothesis.changes):
        return scored
    face = chain[i].region == "face"
    best = scored
    for step in (0.02, 0.01, 0.005, 0.0025):
        for style in ("size",) if face else ("size", "side", "floor", "edges"):
            for sign in (0, 1, -1):
                op = best.hypothesis.state.chain[i]
                if face:
                    trial = op._replace(margin=round(op.margin + sign * step, 6))
                else:
                    trial = op._replace(style=style, fraction=round(op.fraction + sign * step, 6))
                best = _recut(observed, best, i, trial)
        if best.loss <= FLOOR or not observed.budget.left:
            break
    return best


def _recut(observed, best, i, op):
    """The better of `best` and the same with crop `op` at place `i`."""
    chain = best.hypothesis.state.chain
    if op == chain[i]:
        return best
    state = best.hypothesis.state._replace(chain=(*chain[:i], op, *chain[i + 1 :]))
    text = f"{op.fraction:.3g} times the picture's sides"
    if op.region == "face":
        text = f"{op.margin:.1%}"
    elif op.fraction < 1:
        text = f"centred {op.fraction:.3g} of each side"
    changes = tuple(c._replace(after=text) if c.kind in ("crop", "margin") else c for c in best.hypothesis.changes)
    linear = observed.score(state)
    if linear.loss >= 0.98 * best.loss:
        return best
    return Scored(Hypothesis(state, changes, best.hypothesis.price), linear)


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


def motions(observed: Observed, state: State) -> list[Scored]:
    """Return the best whole-pixel shift and the best small affine motion, found on dense predictions."""
    names = [n for n in observed.screen if n != LARGE][:4]
    dense = {}
    try:
        for n in names:
            values, cover = predict(state.chain, observed.source(n, state.head))
            if values.shape[1::-1] != observed.size[n]:
                return []
            for t in state.tail:
                values = tone.apply(t, values) if t[0] not in FITTED else values
            dense[n] = (values, cover, bordered(np.concatenate([values, cover[..., None]], axis=2)))
            observed.budget.spend(3 * prediction_work(state.chain, observed.source(n, state.head), None, None))
    except Refused:
        return []
    return [s for s in (_best_shift(observed, state, dense), _best_affine(observed, state, dense)) if s is not None]


def _dense_loss(observed, dense, pick) -> float:
    xs, ys = [], []
    for n, arrays in dense.items():
        x, c = pick(*arrays, observed.rows[n], observed.columns[n])
        inside = c.ravel() > 1 - 1e-4
        xs.append(x.reshape(-1, 3)[inside])
        ys.append(observed.y[n].reshape(-1, observed.y[n].shape[2])[inside])
    x, y = np.concatenate(xs), np.concatenate(ys)
    observed.budget.spend(0.1 + fit_work(len(x)) + 5e-5 * len(x))
    total = sum(observed.y[n].shape[0] * observed.y[n].shape[1] for n in dense)
    return fit(x, y).loss if len(x) > 0.3 * total else np.inf


def _shift_pick(dx, dy):
    def pick(values, cover, _, rows, columns):
        h, w = cover.shape
        r, c = np.asarray(rows) - dy, np.asarray(columns) - dx
        ok = ((r >= 0) & (r < h))[:, None] & ((c >= 0) & (c < w))[None]
        index = np.ix_(np.clip(r, 0, h - 1), np.clip(c, 0, w - 1))
        return values[index], cover[index] * ok

    return pick


def _best_shift(observed, state, dense, reach: int = 12):
    first = dict(list(dense.items())[:2])
    table = {
        (dx, dy): _dense_loss(observed, first, _shift_pick(dx, dy))
        for dx in range(-reach, reach + 1)
        for dy in range(-reach, reach + 1)
        if (dx or dy) and ((abs(dx) <= 4 and abs(dy) <= 4) or dx == 0 or dy == 0 or abs(dx) == abs(dy))
    }
    (dx, dy), loss = min(table.items(), key=lambda kv: kv[1])
    better = True
    while better:  # walk on from the best of the table, which has no long oblique moves
        near = [(dx + x, dy + y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
        values = {p: table.get(p) or _dense_loss(observed, first, _shift_pick(*p)) for p in near}
        best = min(values, key=values.get)
        better = values[best] < loss and max(map(abs, best)) <= 2 * reach
        if better:
            (dx, dy), loss = best, values[best]
    if not np.isfinite(loss):
        return None
    options = [shifted(state, dx, dy, wrap) for wrap in (False, True)]
    return min((Scored(h, observed.score(h.state)) for h in options), key=lambda s: s.cost)


def _affine_pick(a: Affine):
    def pick(_, cover, framed, rows, columns):
        h, w = cover.shape
        both = sample(framed, turned_back(a, (w, h)), np.asarray(rows), np.asarray(columns))
        return both[..., :3].astype(np.float64), both[..., 3] * (both[..., 4] > 1 - 1e-6)

    return pick


STARTS = tuple(
    [Affine(degrees=d) for d in (-45, -30, -20, -15, -10, -7, -5, -3, -2, 2, 3, 5, 7, 10, 15, 20, 30, 45)]
    + [Affine(zoom=z) for z in (0.6, 0.7, 0.8, 0.875, 0.93, 1.07, 1.15, 1.3, 1.5)]
    + [Affine(aspect=a) for a in (0.75, 0.85, 0.93, 1.07, 1.17, 1.33)]
    + [Affine(dx=x, dy=y) for x in (-3, -1, 0, 1, 3) for y in (-3, -1, 0, 1, 3)]
)
_STEPS = {"degrees": 1.0, "zoom": 0.03, "aspect": 0.03, "dx": 0.6, "dy": 0.6}


def _best_affine(observed, state, dense):
    def loss(a, some):
        return _dense_loss(observed, some, _affine_pick(a))

    two = dict(list(dense.items())[:2])
    starts = sorted(((loss(a, two), a) for a in STARTS), key=lambda p: p[0])[:3]
    if not starts or not np.isfinite(starts[0][0]):
        return None
    found = min(
        (_descend(lambda a: loss(a, two), a, lambda: observed.budget.left) for _, a in starts), key=lambda p: p[0]
    )[1]
    found = _snap(lambda a: loss(a, dense), found)
    options = [moved(state, found, "output"), moved(state, _source_units(state, found), "input")]
    options += turned_before(observed, state, found.degrees)
    options = [h for h in options if h.changes]
    if not options:
        return None
    small = [n for n in observed.screen if n != LARGE]
    best = min((Scored(h, observed.score(h.state, small)) for h in options), key=lambda s: s.cost).hypothesis
    return Scored(best, observed.score(best.state))


def turned_before(observed: Observed, state: State, degrees: float) -> list[Hypothesis]:
    """Return the turn before the resampling that fits best, from the angle found behind it: the two differ where the
    resampling stretches or cuts."""
    if abs(degrees) < 1:
        return []

    def hypothesis(d):
        return moved(state, Affine(degrees=round(d, 2)), "input")

    names = [n for n in observed.screen if n != LARGE][:2]
    best, value = degrees, observed.score(hypothesis(degrees).state, names).loss
    for step in (3.0, 1.0, 0.4, 0.2):
        for sign in (1, -1):
            while observed.budget.left:
                loss = observed.score(hypothesis(best + sign * step).state, names).loss
                if loss >= value:
                    break
                best, value = best + sign * step, loss
    return [hypothesis(best)]


def _source_units(state, a: Affine) -> Affine:
    return a._replace(dx=0.0, dy=0.0) if abs(a.dx) < 0.3 and abs(a.dy) < 0.3 else a


def _descend(loss, start: Affine, going: Callable[[], bool]) -> tuple[float, Affine]:
    """Coordinate descent with shrinking steps over the five numbers of an affine motion."""
    best, value = start, loss(start)
    for shrink in (1.0, 0.4, 0.15):
        for _ in range(3):
            if not going():
                break
            before = value
            for name, step in _STEPS.items():
                for sign in (1, -1):
                    for _ in range(6):
                        trial = best._replace(**{name: getattr(best, name) + sign * step * shrink})
                        if trial.zoom < 0.3 or trial.aspect < 0.3 or (v := loss(trial)) >= value:
                            break
                        best, value = trial, v
            if value > before * 0.97:
                break
    return value, best


def _snap(loss, a: Affine) -> Affine:
    """Drop what hardly helps: a motion is as simple as its loss allows."""
    value = loss(a)
    for name, neutral in (("dx", 0.0), ("dy", 0.0), ("aspect", 1.0), ("zoom", 1.0), ("degrees", 0.0)):
        simpler = a._replace(**{name: neutral})
        if getattr(a, name) != neutral and (v := loss(simpler)) <= value * 1.12 + 0.05:
            a, value = simpler, v
    return a


def supposed(observed: Observed) -> list[State]:
    """Return the pipelines an unknown one is first supposed to be."""
    size = observed.size[observed.screen[0]]
    head = (("yuv", ("bt601", "limited")),) if observed.family in ("yuyv", "nv12") else ()
    one_size = len({observed.size[n] for n in observed.screen}) == 1
    sharp, smooth = Resize(size), Resize(size, antialias=True)
    chains: list[tuple] = []
    if not one_size:
        chains += [(Orient(),)] + [(Orient(), Pad(multiple=m)) for m in (8, 16, 32, 64)]
        return [State(c, head) for c in chains]
    for r in (sharp, smooth, Resize(size, kernel="area", antialias=True)):
        chains += [
            (Orient(), r),
            (Orient(), r._replace(mode="letterbox")),
            (Orient(), r._replace(mode="letterbox", anchor="top_left")),
            (Orient(), Crop("square"), r),
            (Orient(), r._replace(mode="cover"), Crop("center", size=size)),
        ]
        for bigger in (256 / 224, 72 / 64, 48 / 44, 128 / 112, 1.25):
            side = round(max(size) * bigger)
            chains.append((Orient(), r._replace(size=(side, side), mode="cover"), Crop("center", size=size)))
            chains.append((Orient(), r._replace(size=(side, side)), Crop("center", size=size)))
        chains += [
            (Orient(), Crop("face", margin=m, aspect=a, outside=o), r)
            for m in (0.0, 0.1, 0.2, 0.25, 0.3, 0.5)
            for a in ("keep", "square_longer")
            for o in ("clip", "constant")
        ]
    chains += [(Orient(), Align(points, size)) for points in templates(size).values()]
    return [State(c, head) for c in chains]

"""How much a comparison may search: counted in work, not by the clock, so that the verdict is the same on every
machine and under every load."""

from __future__ import annotations

from facelab.fingerprint.model._operations import Chain, Gather, Resample, Smear, Step
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.model._tones import Tone
from facelab.fingerprint.probes._cache import Source

TOTAL = 1300.0
"""Work for one comparison, in units of roughly half a millisecond on one core of a server of the 2020s."""
MOST = 1.4
"""How many times the budget may be spent in all, with everything that has a share of its own: beyond it no picture is
predicted any more but for glances. Random pairs of 416 to 640 pixels would take up to 2.45."""
TRAINING_SHARE = 0.47
"""How much of it may go into recognising a training side without a spec."""


class Budget:
    """Counts work; `left` turns False once the present limit is reached."""

    def __init__(self, total: float = TOTAL):
        self.total = total
        self.limit = total
        self.spent = 0.0
        self.beside = 0.0
        self.end = MOST * total

    def spend(self, work: float) -> None:
        """Count `work`."""
        self.spent += work

    def grant(self, work: float) -> None:
        """Let at least `work` more be spent, for what comes late and costs little."""
        self.limit = max(self.limit, self.spent + work)

    def spend_beside(self, work: float) -> None:
        """Count `work` that the search need not do without: only the end of everything comes nearer."""
        self.beside += work

    def finish(self, work: float) -> None:
        """Let `work` more be spent, whatever was spent before it, on proving what is nearly proven."""
        self.end = max(self.end, self.spent + self.beside + work)

    @property
    def left(self) -> bool:
        return self.spent < self.limit

    @property
    def gone(self) -> bool:
        """Whether nothing at all may be tried any more, however late and cheap it is."""
        return self.spent + self.beside > self.end


CUBIC = 4.5
"""How many times as much sixteen neighbours of a place cost as four."""


def prediction_work(chain: Chain, source: Source, rows: int | None, columns: int | None) -> float:
    """Return the work of predicting a chain at `rows` × `columns` places of one probe (None: everywhere)."""
    steps, (w, h) = plan(chain, source)
    height, width = source.pixels.shape[:2]
    everywhere = rows is None or columns is None
    rows, columns = h if rows is None else rows, w if columns is None else columns
    pixels, lines = 0.0, 4 * rows
    for k, step in enumerate(steps):
        match step:
            case Gather():
                # gathered densely where something behind it mixes pixels, else only at the wanted places
                dense = any(isinstance(s, (Resample, Smear)) for s in steps[k + 1 :])
                places = step.size[0] * step.size[1] if dense else rows * columns
                pixels += places * (CUBIC if step.kernel == "bicubic75" else 1)
                pixels += 0.4 * height * width
            case Resample() if step.how.antialias:
                lines = height
            case Smear():
                pixels += 0.05 * (step.size[0] ** 2 + step.size[1] ** 2)
            case _:
                pass
    work = 0.2 + 4e-5 * pixels + 5e-6 * min(height, lines) * width + 5e-6 * rows * columns
    return work + (_mixing(steps, height, width, rows, columns) if everywhere else 0.0)


def _mixing(steps: list[Step], height: int, width: int, rows: int, columns: int) -> float:
    """The work of mixing lines everywhere: sums of few neighbours, or products of whole matrices."""
    values = rows * (width + columns)
    mixing = [s for s in steps if isinstance(s, (Resample, Smear))]
    if len(mixing) < 2 and not any(isinstance(s, Smear) or _wide(s) for s in mixing):
        return 1e-5 * values
    return 1e-5 * values + 6e-8 * rows * width * (height + columns)


def _wide(step: Step) -> bool:
    """Whether a step takes more than a few lines for each of its own."""
    if not isinstance(step, Resample) or step.how.kernel == "nearest":
        return False
    shrinks = step.after[0] < step.before[0] or step.after[1] < step.before[1]
    return (step.how.antialias and shrinks) or step.how.kernel not in ("bilinear", "box")


def fit_work(samples: int) -> float:
    """Return the work of fitting a linear map on `samples` samples."""
    return 0.12 + 1e-4 * samples


LOOK = {
    "standardise": 4e-6,
    "standardise_each": 8e-6,
    "equalize_each": 4e-6,
    "equalize_luma": 4e-6,
    "clahe": 1.2e-5,
    "misread": 3e-6,
}
"""Work for each value of a picture to learn what a tone needs of it; what is not named takes little."""
TILES = 2.5e-6
"""Work for each value of a picture whose lightness is known already to equalise its tiles otherwise."""
EACH = {
    "gray": 1e-6,
    "limit": 2e-6,
    "posterize": 1e-6,
    "swap_uv": 1e-6,
    "space": 6e-5,
    "wrap": 4e-5,
    "equalize_luma": 4e-5,
    "lab_lightness": 2e-5,
}
"""Work for each value that a tone changes, where that is not `CHANGE`."""
CHANGE = 1e-5
CODECS = {"JPEG": 1.2e-5, "WEBP": 7e-5}
"""Work for each value of a picture that is stored and read again."""


def tone_work(tone: Tone, picture: int, values: int, *, again: bool = False) -> float:
    """Return the work of a tone on a picture of `picture` values, of which `values` are wanted.

    `again` says that a tone of this name was tried on the picture before. Measured on pictures of 416×416 and 961×721.
    """
    name, parameter = tone
    if name == "recompressed":
        return CODECS[parameter[0]] * picture
    look = (TILES if name == "clahe" else 0.0) if again else LOOK.get(name, 1e-6)
    return look * picture + EACH.get(name, CHANGE) * values

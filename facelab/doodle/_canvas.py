"""A sheet to draw on in JupyterLab: strokes go to the kernel, the classifier's answer comes back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.datasets.doodles import Pen, draw
from facelab.doodle._classifier import DoodleClassifier
from facelab.doodle._ink import ink

MOST_POINTS = 20_000
EMPTY = "draw a heart, or anything else"
_PEN = Pen(size=(112, 112), width=4.0)


def canvas(classifier: DoodleClassifier, *, threshold: float = 0.5) -> Any:
    """Return a widget with a sheet to draw on; when the pen is lifted, it shows the classifier's answer.

    Parameters
    ----------
    classifier : DoodleClassifier
    threshold : float
        Least probability of a heart.

    Returns
    -------
    anywidget.AnyWidget
        Its traits: `answer` (text) and `heart` (the last probability, or -1 without one).

    Raises
    ------
    UnsupportedError
        anywidget is not installed.

    Examples
    --------
    >>> from facelab import doodle
    >>> sheet = canvas(doodle.load())
    >>> sheet.heart  # nothing is drawn yet
    -1.0
    """
    try:
        import anywidget
        import traitlets
    except ImportError as e:
        raise UnsupportedError(
            "the sheet to draw on needs anywidget",
            got=str(e),
            fix="install it: pip install anywidget",
        ) from None

    class DoodleCanvas(anywidget.AnyWidget):
        _esm = (Path(__file__).parent / "canvas.js").read_text(encoding="utf-8")
        answer = traitlets.Unicode(EMPTY).tag(sync=True)
        heart = traitlets.Float(-1.0).tag(sync=True)

        def __init__(self) -> None:
            super().__init__()
            self.on_msg(self._message)

        def _message(self, _: Any, content: Any, __: Any) -> None:
            kind = content.get("type") if isinstance(content, dict) else None
            if kind == "clear":
                self.heart, self.answer = -1.0, EMPTY
            elif kind == "drawing":
                self.heart, self.answer = answer(classifier, content.get("strokes"), threshold)

    return DoodleCanvas()


def answer(classifier: DoodleClassifier, strokes: Any, threshold: float) -> tuple[float, str]:
    """Return (probability of a heart or -1, what to show) for strokes that a browser sent."""
    points = _strokes(strokes)
    if points is None:
        return -1.0, "this drawing cannot be read"
    try:
        made = ink(draw(points, _PEN))
    except BadInputError as e:
        return -1.0, e.what
    heart = float(classifier.probabilities(made[None])[0, 0])
    return heart, f"{'a heart' if heart >= threshold else 'no heart'} ({heart:.0%})"


def _strokes(value: Any) -> list[np.ndarray] | None:
    """Return the strokes of a message, or None where it is anything but lists of finite [x, y]."""
    if not isinstance(value, list) or not all(isinstance(s, list) for s in value):
        return None
    if not 0 < sum(map(len, value)) <= MOST_POINTS:
        return None
    for point in (p for s in value for p in s):
        numbers = isinstance(point, list) and len(point) == 2
        if not numbers or not all(type(v) in (int, float) and math.isfinite(v) for v in point):
            return None
    return [np.asarray(s, float) for s in value if s]

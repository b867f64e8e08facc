"""A heart animation as numbers, as rendered frames, and as one self-contained SVG or APNG file."""

from __future__ import annotations

import base64
import colorsys
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, CheckFailedError, at
from facelab.core.files import write_bytes, write_text
from facelab.core.templates import render
from facelab.feedback.heart._beat import Pose, beat_poses, curve, literal_poses
from facelab.feedback.heart._flashes import Flashes, check_flashes
from facelab.feedback.heart._settings import HeartSettings, load_settings

VIEW = 46.0
"""Side of the picture in units of the heart curve: a heart of scale 1.35 fits."""
MIDDLE = 2.5
"""How far the middle of the heart is below the curve's origin, in its units."""
MOST_FRAMES = 10_000
BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_SHIFT = 4


@dataclass(frozen=True)
class Animation:
    """Poses of a heart at a fixed rate.

    Parameters
    ----------
    poses
        One per frame.
    emotions
        What each frame shows, or None.
    rate_hz
        Frames per second.
    settings
        The styles, for the colours.
    """

    poses: Sequence[Pose]
    emotions: Sequence[str | None]
    rate_hz: float
    settings: HeartSettings

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.poses) / self.rate_hz

    @property
    def times_s(self) -> np.ndarray:
        """(n,) seconds at which each frame appears."""
        return np.arange(len(self.poses)) / self.rate_hz

    def colours(self) -> np.ndarray:
        """Return (n, 3) uint8 sRGB: the colour of the heart in each frame."""
        s = self.settings
        rgb = [
            colorsys.hls_to_rgb(p.hue_deg / 360.0, s.lightness, s.saturation) for p in self.poses
        ]
        return np.round(np.array(rgb) * 255).astype(np.uint8)

    def frames(self, size: int = 128, background: str = "white") -> np.ndarray:
        """Return the rendered frames.

        Parameters
        ----------
        size
            Width and height in pixels.
        background
            `white` or `black`.

        Returns
        -------
        numpy.ndarray
            (n, size, size, 3) uint8 sRGB.
        """
        import cv2

        if background not in BACKGROUNDS:
            raise BadInputError(
                "there is no such background",
                expected=", ".join(BACKGROUNDS),
                got=background,
                fix="name one of these",
            )
        out = np.empty((len(self.poses), size, size, 3), np.uint8)
        out[:] = BACKGROUNDS[background]
        outline = curve() * (1, -1)
        for frame, pose, colour in zip(out, self.poses, self.colours()):
            points = (outline - (0, MIDDLE)) * pose.scale * (size / VIEW) + (size - 1) / 2
            whole = np.round(points * (1 << _SHIFT)).astype(np.int32)
            cv2.fillPoly(frame, [whole], colour.tolist(), cv2.LINE_AA, _SHIFT)
        return out

    def flashes(self, size: int = 96) -> Flashes:
        """Check two rounds of the rendered animation against the flash limit, on white and on black.

        Returns
        -------
        Flashes
            Of the background on which it flashes more.
        """
        size = (
            min(size, 48) if len(self.poses) > 600 else size
        )  # what flashes is as large as the heart
        times = np.arange(2 * len(self.poses)) / self.rate_hz
        found = []
        for background in BACKGROUNDS:
            frames = self.frames(size, background)
            found.append(check_flashes(np.concatenate([frames, frames]), times))
        return max(found, key=lambda f: (f.share, f.general, f.red))

    def check(self, size: int = 96) -> Flashes:
        """Return the flashes. Raises CheckFailedError where they are more than allowed."""
        found = self.flashes(size)
        if not found.passed:
            raise CheckFailedError(
                "the animation flashes too often and can cause seizures",
                where=f"the second before {found.at_s:.2f} s",
                expected=f"at most {found.limit} flashes per second (WCAG 2.2, 2.3.1)",
                got=f"{found.general:g} general and {found.red:g} red flashes",
                fix="lower frequency_hz or amplitude, or raise dwell_s",
            )
        return found

    def svg(self, size: int = 256, *, still: bool = False) -> str:
        """Return one SVG with the animation as CSS key frames; no script, nothing from the network.

        Where the viewer asks for reduced motion, the heart keeps its size and only its colour changes. Browsers do not
        tell an SVG in an `<img>` of that wish: `_repr_html_` offers them both pictures.

        Parameters
        ----------
        size
            Width and height in pixels.
        still
            Whether the heart keeps its size for everybody.

        Raises
        ------
        CheckFailedError
            It flashes more than three times in a second.
        """
        self.check()
        points = (curve() * (1, -1) - (0, MIDDLE)).round(2)
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z"
        scales = [f"transform:scale({pose.scale:.4f})" for pose in self.poses]
        fills = [f"fill:#{r:02x}{g:02x}{b:02x}" for r, g, b in self.colours()]
        half = VIEW / 2
        return render(
            "feedback/templates/heart.svg.j2",
            size=size,
            view=f"{-half:g} {-half:g} {VIEW:g} {VIEW:g}",
            still=still,
            fills=fills,
            fill_keys=_keys(fills),
            scale_keys=_keys(scales),
            seconds=self.seconds,
            path=path,
        )

    def apng(self, size: int = 256) -> bytes:
        """Return an animated PNG that plays endlessly. Raises CheckFailedError as `check`."""
        from PIL import Image

        self.check()
        pictures = [Image.fromarray(f) for f in self.frames(size)]
        ends = np.round(np.arange(1, len(pictures) + 1) * 1000 / self.rate_hz).astype(int)
        waits = np.diff(ends, prepend=0).tolist()  # whole milliseconds that do not drift
        out = io.BytesIO()
        pictures[0].save(
            out, "PNG", save_all=True, append_images=pictures[1:], duration=waits, loop=0
        )
        return out.getvalue()

    def save(self, path: str | os.PathLike[str], size: int = 256) -> Path:
        """Write the animation, atomically.

        Parameters
        ----------
        path : path-like
            Ends in `.svg`, `.png` or `.apng`.
        size
            Width and height in pixels.

        Raises
        ------
        CheckFailedError
            It flashes more than three times in a second. Nothing is written.
        BadInputError
            The suffix is another one.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".svg":
            return write_text(path, self.svg(size))
        if suffix in (".png", ".apng"):
            return write_bytes(path, self.apng(size))
        raise BadInputError(
            "a heart cannot be saved in this format",
            where=os.fspath(path),
            expected="a file name that ends in .svg, .png or .apng",
            got=suffix or "no suffix",
            fix="choose another file name",
        )

    def _repr_html_(self) -> str:
        moving, quiet = (
            base64.b64encode(self.svg(160, still=still).encode()).decode()
            for still in (False, True)
        )
        shown = " → ".join(dict.fromkeys(e or "nobody" for e in self.emotions))
        alt = f"A heart that shows {shown}"
        return render("feedback/templates/heart.html.j2", alt=alt, still=quiet, moving=moving)


def _keys(values: Sequence[str]) -> str:
    """Return CSS key frames at equal distances; values that repeat the one before are left out, the ends stay."""
    last, out = len(values) - 1, []
    for k, value in enumerate(values):
        same = 0 < k < last and values[k - 1] == value == values[k + 1]
        if not same:
            out.append(f"{100.0 * k / len(values):.6g}%{{{value}}}")
    return "".join([*out, f"100%{{{values[0]}}}"])


def beat(
    emotion: str | None, settings: HeartSettings | None = None, rate_hz: float = 30.0
) -> Animation:
    """Return one second or more of an emotion's heart that closes to a loop without a jump.

    Parameters
    ----------
    emotion
        The emotion; None shows the fallback.
    settings
        The styles; facelab's own by default.
    rate_hz
        Frames per second; the length is the number of whole beats nearest to whole frames.
    """
    settings = settings or load_settings()
    frequency = settings.style(emotion).frequency_hz
    beats = np.arange(1, 1 + max(8, int(np.ceil(2 * frequency))))
    frames = beats * rate_hz / frequency
    usable = frames >= min(rate_hz, frames[-1])
    apart = np.where(usable, np.abs(frames - frames.round()) / frames, np.inf)
    n = round(float(frames[int(apart.argmin())]))
    # the rate is the one at which the loop closes exactly
    exact = n * frequency / float(beats[int(apart.argmin())])
    emotions = [emotion] * n
    return Animation(beat_poses(settings, emotions, exact), emotions, exact, settings)


def animate(
    times_s: Sequence[float] | np.ndarray,
    labels: Sequence[str | None],
    settings: HeartSettings | None = None,
    *,
    rate_hz: float = 30.0,
    formula: str = "eased",
) -> Animation:
    """Return the heart that shows a sequence of labels.

    Parameters
    ----------
    times_s
        (n,) seconds at which each label begins to hold, increasing.
    labels
        n emotions, or None where no face is seen.
    settings
        The styles; facelab's own by default.
    rate_hz
        Frames per second of the animation.
    formula
        `eased`, or `literal` for the source text's formula, which is refused when it is drawn or saved.
    """
    settings, times_s = settings or load_settings(), np.asarray(times_s, float)
    if len(times_s) != len(labels) or not len(labels) or (np.diff(times_s) < 0).any():
        raise BadInputError(
            "times and labels do not fit",
            expected="as many increasing times as labels, one or more",
            got=f"{len(times_s)} times, {len(labels)} labels",
            fix="give one time per label",
        )
    if formula not in ("eased", "literal"):
        raise BadInputError(
            "there is no such formula",
            expected="eased or literal",
            got=formula,
            fix="name one of these",
        )
    n = max(1, int(np.ceil((times_s[-1] - times_s[0]) * rate_hz)) + 1)
    if n > MOST_FRAMES:
        raise BadInputError(
            "the animation is too long",
            expected=f"at most {MOST_FRAMES} frames",
            got=f"{n} frames of {rate_hz:g} per second",
            fix="give a part of the sequence",
        )
    shown = np.searchsorted(times_s, times_s[0] + np.arange(n) / rate_hz, side="right") - 1
    emotions = [labels[k] for k in shown]
    poses = (beat_poses if formula == "eased" else literal_poses)(settings, emotions, rate_hz)
    return Animation(poses, emotions, rate_hz, settings)


def check_settings(settings: HeartSettings) -> Flashes:
    """Check every emotion's heart, and labels that flicker between each two emotions, against the flash limit.

    Returns
    -------
    Flashes
        Of the case that flashes most.

    Raises
    ------
    CheckFailedError
        A case flashes more than three times in a second; `where` names it.
    """
    names, rate = list(settings.styles), 30.0
    period = max(0.2, settings.dwell_s)
    cases = {f"emotion {name}": beat(name, settings, rate) for name in names}
    for k, first in enumerate(names):
        for then in names[k + 1 :]:
            times = np.arange(0.0, 3 * period, period / 3)
            labels = [(first, then)[i // 3 % 2 if i > 6 else i % 2] for i in range(len(times))]
            cases[f"between {first} and {then}"] = animate(times, labels, settings, rate_hz=rate)
    found = []
    for where, shown in cases.items():
        with at(where):
            found.append(shown.check(48))
    return max(found, key=lambda f: (f.share, f.general, f.red))

"""Hair: strands, and how they cover the scalp, painted on one point of a head."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, part
from facelab.datasets.synthetic._noise import HAIR, MOTTLE, STRAND, lookup, smooth
from facelab.datasets.synthetic._scalar import clip, step, wave
from facelab.datasets.synthetic.appearance._point import mix
from facelab.datasets.synthetic.geometry._curves import HAIRLINE, TURN_SCALE, line
from facelab.datasets.synthetic.geometry._face import BALD, BUZZ, FRINGE, TIED


@part
def strands(f: Record, theta: float, y: float, noise: np.ndarray) -> tuple[Any, Any]:
    """Return (tone, gloss) of hair at azimuth theta and height y."""
    bend = theta + 0.12 * f.hair_curl * wave(y * 30.0 + theta * 9.0)
    u = bend * 170.0 * f.hair_frequency + f.offset0 + f.hair_part * 40.0
    long = smooth(noise, STRAND, u, y * 90.0 + f.offset1)
    u = bend * 420.0 * f.hair_frequency + f.offset3
    fine = lookup(noise, HAIR, u, y * 120.0 + f.offset2)
    contrast = 0.7 if f.hair_r + f.hair_g + f.hair_b > 0.6 else 1.0
    tone = clip(1.0 + contrast * (0.34 * long + 0.26 * fine), 0.15, 2.6)
    return tone, clip(0.35 + 0.25 * long, 0.02, 1.0)


@part
def scalp(
    f: Record, tables: np.ndarray, p: Record, noise: np.ndarray
) -> tuple[float, float] | tuple[Any, Any]:
    """Return (share covered by hair, share shaded by it): nothing below the hairline, with a ragged edge."""
    style = int(f.hair_style)
    if style & BALD:
        return 0.0, 0.0
    above = p.y - line(tables, HAIRLINE, p.theta * TURN_SCALE)
    if above < -0.28:
        return 0.0, 0.0
    mottle = lookup(noise, MOTTLE, p.theta * 70.0 + f.offset0, f.offset1)
    ragged = 0.022 * mottle + 0.016 * lookup(noise, HAIR, p.theta * 420.0 + 11.0, p.y * 60.0)
    ragged *= 1.6 if style & FRINGE else 0.9
    share = step(-0.03, 0.06, above - ragged)
    share *= 0.75 if style & BUZZ else 0.97 if style & TIED else 1.0
    return share, 0.25 * step(-0.10, 0.03, above)


@part
def cover(f: Record, p: Record, share: float, shadow: Any, noise: np.ndarray) -> None:
    """Cover a share of a point with hair, and darken the rest."""
    p.occlusion *= 1.0 - shadow * (1.0 - share)
    if share <= 0.0:
        return
    tone, gloss = strands(f, p.theta, p.y, noise)
    mix(p, share, f.hair_r * tone, f.hair_g * tone, f.hair_b * tone)
    p.gloss += share * (gloss * 0.8 - p.gloss)
    p.eye *= 1.0 - share
    p.occlusion += share * (1.0 - p.occlusion)

"""From a picture of any size and polarity to 28×28 ink: background, threshold, crop, line width, scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    from jaxtyping import UInt8

SIDE = 28
"""Side of the network's input in pixels."""
_FINE = 4
_DRAWN = 22
"""Pixels of the input that the drawing's longer side fills; the rest is margin."""
_LINE = 7.0
"""Least width of a line in fine pixels (a quarter of the input's): thinner ones are widened."""
_FILLED = 24.0
"""A shape whose typical width in fine pixels is above this is filled, and its outline is used."""
_CONTRAST = 24.0
_LONGEST = 640
_AT_EDGE = 0.2
"""Share of the border above which ink there is taken for a shadow, or for something beside the sheet."""
_RECTANGLE = 0.82
"""A sheet fills this part of the rectangle around it; a filled heart or circle fills less."""
_PART = 0.2
"""A drawing that a shadow hides has a part of this share of the picture."""
_REACH = 10
"""A line is narrower than this part of the picture; a shadow is not."""


def ink(image: UInt8[np.ndarray, "h w *channels"]) -> UInt8[np.ndarray, "side side"]:
    """Return the drawing of a picture as 28×28 ink, centred, scaled and drawn with one width of line.

    Parameters
    ----------
    image : ndarray
        (height, width), (height, width, 3) RGB or (height, width, 4) RGBA uint8; any size from 8 pixels, dark ink on
        light paper or light on dark, in any colours that differ from the paper's.

    Returns
    -------
    ndarray, (28, 28) uint8
        0 is paper, 255 is ink.

    Raises
    ------
    BadInputError
        The array is not a picture, or nothing is drawn on it.

    Examples
    --------
    >>> picture = np.full((100, 80, 3), 255, np.uint8)
    >>> picture[20:60, 30:34] = 0
    >>> ink(picture).shape, bool((ink(picture) == ink(255 - picture)).all())
    ((28, 28), True)
    """
    mask = _largest(_mask(_pixels(image)))
    ys, xs = np.nonzero(mask)
    cut = mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    fine = _lined(_scaled(cut))
    return cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _pixels(image: np.ndarray) -> np.ndarray:
    """Return (height, width, channels) float32 on opaque paper, at most 640 pixels long."""
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    good = array.ndim == 3 and array.shape[2] in (1, 3, 4) and min(array.shape[:2]) >= 8
    if array.dtype != np.uint8 or not good:
        raise BadInputError(
            "the array is not a picture of a drawing",
            expected="(height, width[, 3 or 4]) uint8 of at least 8×8 pixels",
            got=f"{array.shape} {array.dtype}",
            fix="read the file as RGB, and crop less",
        )
    if max(array.shape[:2]) > _LONGEST:
        scale = _LONGEST / max(array.shape[:2])
        size = (max(8, round(array.shape[1] * scale)), max(8, round(array.shape[0] * scale)))
        array = cv2.resize(array, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
    if array.shape[2] == 4:
        return _opaque(array.astype(np.float32))
    return array.astype(np.float32)


def _opaque(array: np.ndarray) -> np.ndarray:
    """Lay a picture with transparency on white, or on black where its ink is light."""
    colour, alpha = array[..., :3], array[..., 3:] / 255.0
    seen = float(alpha.sum())
    light = seen > 0 and float((colour * alpha).sum()) / (3 * seen) > 127.5
    paper = 0.0 if light and float(alpha.min()) < 0.5 else 255.0
    return colour * alpha + paper * (1 - alpha)


def _mask(pixels: np.ndarray) -> np.ndarray:
    """Return where ink is, as 0 and 255: on a sheet on a table and across a shadow's edge too."""
    mask = _ink_on(pixels, _paper(pixels))
    if mask.shape != pixels.shape[:2]:  # it was enlarged: an icon has no sheet and no shadow
        return mask
    if not _at_edge(mask) and (sheet := _sheet(mask)) is not None:
        inside = np.where(sheet[..., None], pixels, np.median(pixels[sheet], axis=0))
        try:
            mask = _without_shadow(inside, _ink_on(inside, _paper(inside)))
        except BadInputError:
            return mask  # nothing is drawn on it: the sheet is the drawing
        return mask
    return _without_shadow(pixels, mask)


def _without_shadow(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mask; where it runs along the border, as a shadow does, only what is narrow in it."""
    if not _at_edge(mask):
        return mask
    size = max(3, max(pixels.shape[:2]) // _REACH | 1)
    levels = np.clip(pixels, 0, 255).astype(np.uint8)
    around = cv2.medianBlur(levels, size).astype(np.float32).reshape(pixels.shape)
    if (pixels - around > _CONTRAST).sum() > (around - pixels > _CONTRAST).sum():
        pixels, around = 255 - pixels, 255 - around  # light ink on dark paper
    lit = np.float32(200) / np.maximum(around, 50)  # light to even out
    try:
        narrow = _ink_on(pixels * lit, np.full_like(pixels, 200))
    except BadInputError:
        return mask
    n, labels, stats, _ = cv2.connectedComponentsWithStats(narrow, connectivity=8)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, below = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    free = (left > 0) & (top > 0) & (right < mask.shape[1]) & (below < mask.shape[0])
    free[0] = False
    extent = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    if n < 2 or extent[free].max(initial=0) < _PART * max(mask.shape):
        return mask  # crumbs: what ran along the border was the drawing
    return np.where(free[labels], narrow, np.uint8(0))


def _at_edge(mask: np.ndarray) -> bool:
    return float((mask[_edge(mask)] > 0).mean()) >= _AT_EDGE


def _sheet(mask: np.ndarray) -> np.ndarray | None:
    """Return the inside of a sheet of paper that lies on something else, bool (height, width), or None."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if n < 2:
        return None
    k = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    part = (labels == k).astype(np.uint8)
    found, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(max(found, key=cv2.contourArea))
    area, (_, (wide, high), _) = cv2.contourArea(hull), cv2.minAreaRect(hull)
    solid = stats[k, cv2.CC_STAT_AREA] > 0.6 * max(area, 1.0)
    if area < 0.2 * mask.size or not solid or area < _RECTANGLE * wide * high:
        return None
    whole = cv2.fillConvexPoly(np.zeros_like(part), hull, 1)
    margin = max(3, round(0.04 * max(mask.shape)) | 1)
    inside = cv2.erode(whole, _disc(margin), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    return inside if inside.any() else None


def _ink_on(pixels: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Return where pixels differ from the paper, as 0 and 255."""
    away = np.abs(pixels - paper).max(axis=2)
    away = away - float(np.median(away[_edge(away)]))  # the paper's own grain
    top = float(np.percentile(away, 99.9)) if away.size > 4000 else float(away.max())
    top = max(top, float(np.sort(away, axis=None)[-4]))
    if top < _CONTRAST:
        raise BadInputError(
            "nothing is drawn on the picture",
            expected=f"ink that differs from the paper by {_CONTRAST:g} levels or more",
            got=f"{top:.0f} levels",
            fix="draw with more contrast, or leave the picture out",
        )
    level = np.clip(away * (255.0 / top), 0, 255).astype(np.uint8)
    if max(away.shape) < _FINE * SIDE:  # small pictures: find the edge between pixels
        grow = _FINE * SIDE / max(away.shape)
        size = (max(1, round(away.shape[1] * grow)), max(1, round(away.shape[0] * grow)))
        large = cv2.resize(away, size, interpolation=cv2.INTER_CUBIC)
        level = np.clip(large * (255.0 / top), 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(level, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    threshold = float(np.clip(threshold, 56, 150))
    return np.where(level > threshold, np.uint8(255), np.uint8(0))


def _paper(pixels: np.ndarray) -> np.ndarray:
    """Return the paper's brightness everywhere: a plane through the border, so that a shadow does not count as ink."""
    height, width, channels = pixels.shape
    ys, xs = np.mgrid[:height, :width]
    edge = _edge(pixels)
    out = np.empty_like(pixels)
    for c in range(channels):
        values = pixels[..., c][edge]
        middle = float(np.median(values))
        near = np.abs(values - middle) <= 40
        if near.mean() < 0.5 or float(np.ptp(values[near])) < 4:
            out[..., c] = middle
            continue
        x, y = xs[edge][near] / width, ys[edge][near] / height
        design = np.stack([np.ones_like(x), x, y], axis=1)
        a, b, d = np.linalg.lstsq(design, values[near], rcond=None)[0]
        out[..., c] = a + b * xs / width + d * ys / height
    return out


def _edge(picture: np.ndarray) -> np.ndarray:
    """Return where the picture's border is, bool (height, width)."""
    edge = np.zeros(picture.shape[:2], bool)
    rim = max(1, min(edge.shape) // 32)
    edge[:rim] = edge[-rim:] = True
    edge[:, :rim] = edge[:, -rim:] = True
    return edge


def _largest(mask: np.ndarray) -> np.ndarray:
    """Drop specks: parts that are tiny beside the drawing, as a slip of the pen leaves them."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if n <= 2:
        return mask
    extent = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT])
    area = stats[1:, cv2.CC_STAT_AREA]
    kept = (extent >= 0.12 * extent.max()) & (area >= 0.01 * area.max())
    return np.where(np.take(np.append(False, kept), np.asarray(labels, np.int32)), mask, 0).astype(
        np.uint8
    )


def _scaled(cut: np.ndarray) -> np.ndarray:
    """Scale the drawing, proportions kept, into the middle of the fine square."""
    fine, drawn = SIDE * _FINE, _DRAWN * _FINE
    scale = drawn / max(cut.shape)
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    if scale < 1:
        # a thin line would fade under an average: any ink of an area counts
        reach = max(1, int(np.ceil(1 / scale)))
        cut = cv2.dilate(cut, np.ones((reach, reach), np.uint8))
        small = cv2.resize(cut, size, interpolation=cv2.INTER_NEAREST)
    else:
        grown = cv2.resize(cut, size, interpolation=cv2.INTER_LINEAR)
        small = np.where(grown > 127, np.uint8(255), np.uint8(0))
    out = np.zeros((fine, fine), np.uint8)
    y, x = (fine - size[1]) // 2, (fine - size[0]) // 2
    out[y : y + size[1], x : x + size[0]] = small
    return out


def _lined(mask: np.ndarray) -> np.ndarray:
    """Give the drawing lines of at least one width: thin ones are widened, filled shapes become their outline."""
    width = _width(mask)
    if width > _FILLED:
        thick = round(_LINE)
        inner = cv2.erode(mask, _disc(thick), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        return cv2.subtract(mask, inner)
    if width < _LINE:
        return cv2.dilate(mask, _disc(max(1, round(_LINE - width) + 1)))
    return mask


def _width(mask: np.ndarray) -> float:
    """Return the typical width of lines: twice the median distance to paper along their middle."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    ridge = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)) - 0.25) & (mask > 0)
    return 2 * float(np.median(distance[ridge])) if ridge.any() else 1.0


def _disc(diameter: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))

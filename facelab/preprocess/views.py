"""Pictures of what each stage made: one PNG a stage, and a contact sheet of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.preprocess._flow import State


def to_pixels(array: np.ndarray, state: State) -> tuple[np.ndarray, str]:
    """Return (uint8 height × width × 3 RGB, how values were mapped) for the array after a stage.

    Axes are brought to height × width × channel and BGR to RGB; YUV is shown as if it were RGB. Pixels and floats
    within 0…255 are shown as they are; everything else is stretched from its least value to its greatest.
    """
    x = np.asarray(array)
    if state.layout.startswith("n"):
        x = x[0]
    if state.layout.endswith("chw"):
        x = np.moveaxis(x, 0, -1)
    elif state.layout in ("hw", "nhw"):
        x = x[..., None]
    x = x[..., ::-1] if state.order == "bgr" else x
    x = np.repeat(x, 3, axis=2) if x.shape[2] == 1 else x
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x), "as it is"
    x = x.astype(np.float64)
    low, high = float(x.min()), float(x.max())
    if low >= 0 and 2 < high <= 255:
        return np.rint(x).astype(np.uint8), "as it is"
    span = high - low or 1.0
    return np.rint((x - low) / span * 255).astype(np.uint8), f"stretched from {low:.4g}…{high:.4g}"


def facts(name: str, array: np.ndarray) -> dict[str, Any]:
    """Return a stage's shape, dtype, least, greatest and mean value, with its SHA-256."""
    from facelab.core.hashing import sha256_array

    x = array.astype(np.float64)
    return {
        "name": name,
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": float(x.min()),
        "max": float(x.max()),
        "mean": float(x.mean()),
        "sha256": sha256_array(array),
    }


def contact_sheet(
    rows: list[tuple[str, np.ndarray, State]], *, columns: int = 3, cell: int = 300
) -> np.ndarray:
    """Return one uint8 picture with every stage's view, its name, shape, type and range."""
    from PIL import Image, ImageDraw

    head, gap = 48, 12
    lines = -(-len(rows) // columns)
    width = min(columns, len(rows))
    sheet = Image.new(
        "RGB", (width * (cell + gap) + gap, lines * (cell + head + gap) + gap), "white"
    )
    pen = ImageDraw.Draw(sheet)
    for i, (name, array, state) in enumerate(rows):
        pixels, how = to_pixels(array, state)
        x, y = gap + i % columns * (cell + gap), gap + i // columns * (cell + head + gap)
        # the font that Pillow carries has no multiplication sign
        shape = "x".join(map(str, array.shape))
        pen.text(
            (x, y), f"{name}   {shape} {array.dtype} {state.order}", fill="black", font_size=14
        )
        pen.text(
            (x, y + 20),
            f"{array.min():.4g} … {array.max():.4g}, shown {how}",
            fill="#555555",
            font_size=12,
        )
        picture = Image.fromarray(pixels)
        scale = min(cell / picture.width, cell / picture.height)
        # enlarge by whole numbers only and without smoothing, so that pixels stay visible
        scale = max(1, int(scale)) if scale >= 1 else scale
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        sheet.paste(picture.resize(size, kind), (x, y + head))
        pen.rectangle((x - 1, y + head - 1, x + size[0], y + head + size[1]), outline="#cccccc")
    return np.asarray(sheet)

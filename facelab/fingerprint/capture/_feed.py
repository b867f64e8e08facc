"""What a pipeline's first parameter is fed: a path, or pixels in the order that its name says."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from facelab.core.errors import BadInputError
from facelab.preprocess.image import read_image

ORDERS = ("bgr", "rgb")
FORMS = ("path", *ORDERS, "pillow")
PATH_WORDS = frozenset(["path", "file", "filename", "filepath", "fname", "uri"])
PIXEL_WORDS = {
    # word of the parameter's name: (order, whether the name alone settles it)
    "bgr": ("bgr", True),
    "rgb": ("rgb", True),
    "frame": ("bgr", True),
    "img": ("bgr", False),
    "mat": ("bgr", False),
    "image": ("rgb", False),
    "images": ("rgb", False),
    "pixels": ("rgb", False),
    "array": ("rgb", False),
    "x": ("rgb", False),
}
"""`frame` and `img` get BGR as cv2.VideoCapture and cv2.imread give it. A name that does not settle it is a guess."""


class Feed(NamedTuple):
    """What is fed, to which parameter, why, and whether that is known or guessed."""

    form: str
    parameter: str = ""
    why: str = ""
    sure: bool = True

    @property
    def of_pixels(self) -> bool:
        """Whether the pipeline never sees a file, so that it cannot decode or turn one wrongly."""
        return self.form != "path"

    def to_dict(self) -> dict[str, Any]:
        """Return the feed as plain JSON."""
        return dict(self._asdict())

    def words(self) -> str:
        """Return the feed in words, for a reader."""
        return feed_words(self.to_dict())


def feed_words(fed: dict[str, Any]) -> str:
    """Return a stored feed in words.

    >>> feed_words(Feed("bgr", "img", "its name", False).to_dict())
    "'img' was fed BGR pixels, EXIF not applied (a guess from its name; --pixels bgr|rgb decides)"
    """
    form, name = fed["form"], f"{fed['parameter']!r}" if fed["parameter"] else "the pipeline"
    what = {"path": "paths", "pillow": "Pillow images (RGB)"}.get(form, f"{form.upper()} pixels")
    exif = "" if form == "path" else ", EXIF not applied"
    why = f" ({fed['why']})" if fed["sure"] and fed["why"] else ""
    if not fed["sure"]:
        why = f" (a guess from {fed['why']}; --pixels bgr|rgb decides)"
    return f"{name} was fed {what}{exif}{why}"


def feed_for(name: str, annotation: Any, pixels: str | None) -> Feed:
    """Return what the parameter `name` is fed; `pixels` is the user's own choice.

    >>> feed_for("frame", None, None).form, feed_for("image_path", None, None).form
    ('bgr', 'path')
    """
    if pixels is not None:
        if pixels not in ORDERS:
            raise BadInputError(
                "unknown order of pixels",
                expected="bgr or rgb",
                got=repr(pixels)[:40],
                fix="give --pixels bgr or --pixels rgb",
            )
        return Feed(pixels, name, "--pixels")
    kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    module = getattr(annotation, "__module__", "") or ""
    if kind in ("str", "Path", "PathLike", "pathlib.Path", "os.PathLike"):
        return Feed("path", name, "its annotation")
    if kind.endswith("Image.Image") or (kind == "Image" and module.startswith("PIL")):
        return Feed("pillow", name, "its annotation")
    words = re.split(r"[_\d]+", name.lower())
    if PATH_WORDS.isdisjoint(words):
        found = [PIXEL_WORDS[w] for w in words if w in PIXEL_WORDS]
        if found:
            order, sure = max(found, key=lambda f: f[1])
            return Feed(order, name, "its name", sure)
    return Feed("path", name)


def other_form(feed: Feed) -> Feed:
    """Return what to feed where the first choice fails on everything: paths for pixels, pixels for paths."""
    if feed.of_pixels:
        return Feed("path", feed.parameter, "it does not take pixels")
    return Feed("rgb", feed.parameter, "it does not take a path", False)


def fed_value(feed: Feed, path: str) -> Any:
    """Return what the pipeline gets for the probe at `path`."""
    if feed.form == "path":
        return path
    pixels = read_image(path, orient=False)
    if feed.form == "pillow":
        from PIL import Image

        return Image.fromarray(pixels)
    return np.ascontiguousarray(pixels[..., ::-1]) if feed.form == "bgr" else pixels

"""Planted mistakes: four everyday pipelines written with OpenCV, Pillow and numpy, and what people get wrong in them.

They are written as such code is found in the field and share nothing with the spec's backends or with the prediction
that the diagnosis uses, so a matrix of them measures the diagnosis instead of repeating it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from facelab.fingerprint import Fingerprint, capture_pipeline, capture_spec
from facelab.preprocess.ops import DECODE_RGB, RESIZE_ANTIALIASED, UPRIGHT
from facelab.preprocess.spec import PreprocessSpec
from facelab.studies.planted._code import run

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
BASES: dict[str, dict[str, Any]] = {
    "emotion-64-gray": {
        "decode": "pillow",
        "colour": "gray",
        "size": (64, 64),
        "resize": "pil-bilinear",
        "mean": (127.5,),
        "scale": (127.5,),
        "layout": "nhwc",
    },
    "rgb-96": {
        "decode": "opencv",
        "colour": "rgb",
        "crop": "square",
        "size": (96, 96),
        "resize": "cv-area",
        "mean": IMAGENET[0],
        "scale": IMAGENET[1],
        "layout": "nchw",
    },
    "arcface-112": {
        "decode": "opencv",
        "colour": "rgb",
        "align": "arcface",
        "size": (112, 112),
        "mean": (127.5,),
        "scale": (127.5,),
        "layout": "nchw",
    },
    "detector-320": {
        "decode": "opencv",
        "colour": "bgr",
        "fit": "letterbox",
        "size": (320, 320),
        "resize": "cv-linear",
        "pad": 114,
        "mean": (0.0,),
        "scale": (255.0,),
        "layout": "nchw",
    },
}


@dataclasses.dataclass(frozen=True)
class Planted:
    """One planted mistake: what it changes in a base's settings, the kinds to be named, and the bases it suits."""

    name: str
    changes: dict
    kinds: tuple[str, ...]
    bases: tuple[str, ...] = tuple(BASES)

    def suits(self, base: str) -> bool:
        """Whether the mistake makes sense in a base pipeline."""
        return base in self.bases


GRAY, RGB, FACE, BOX = BASES
RESIZED = (GRAY, RGB, BOX)
SINGLES: tuple[Planted, ...] = (
    Planted(
        "JPEG decoded at half size and scaled up",
        {"decode": "draft"},
        ("decoder",),
        (GRAY, RGB, BOX),
    ),
    Planted("EXIF orientation ignored", {"exif": False}, ("exif_orientation",)),
    Planted("red and blue swapped", {"swap": True}, ("channel_order",)),
    Planted("gray by plain average", {"gray": (1 / 3, 1 / 3, 1 / 3)}, ("gray_weights",), (GRAY,)),
    Planted("gray by BT.709", {"gray": (0.2126, 0.7152, 0.0722)}, ("gray_weights",), (GRAY,)),
    Planted("green channel for gray", {"gray": (0, 1, 0)}, ("gray_weights",), (GRAY,)),
    Planted(
        "YUV limited range read as full",
        {"recode": ("bt601", "limited", "bt601", "full")},
        ("yuv_range",),
    ),
    Planted(
        "YUV full range read as limited",
        {"recode": ("bt601", "full", "bt601", "limited")},
        ("yuv_range",),
    ),
    Planted(
        "BT.601 read as BT.709", {"recode": ("bt601", "full", "bt709", "full")}, ("yuv_matrix",)
    ),
    Planted("nearest neighbour", {"resize": "cv-nearest"}, ("resize_kernel",), RESIZED),
    Planted("bicubic (OpenCV)", {"resize": "cv-cubic"}, ("resize_kernel",), RESIZED),
    Planted("Lanczos (Pillow)", {"resize": "pil-lanczos"}, ("resize_kernel",), RESIZED),
    Planted("area for bilinear", {"resize": "cv-area"}, ("resize_kernel",), (GRAY, BOX)),
    Planted("bilinear without antialias", {"resize": "cv-linear"}, ("antialias",), (GRAY,)),
    Planted("bilinear with antialias", {"resize": "pil-bilinear"}, ("antialias",), (BOX,)),
    Planted("top-left pixel centres (TF 1)", {"resize": "legacy"}, ("pixel_centers",), (BOX,)),
    Planted("aligned corners", {"resize": "corner"}, ("pixel_centers",), (BOX,)),
    Planted("resized twice", {"first": 40}, ("resize_order",), (GRAY, RGB)),
    Planted(
        "resized before the crop", {"order": "resize-crop"}, ("resize_order", "aspect"), (RGB,)
    ),
    Planted("centre crop of 7/8", {"fraction": 0.875}, ("crop",), (GRAY, RGB, BOX)),
    Planted("square centre crop", {"crop": "square"}, ("crop",), (GRAY,)),
    Planted("crop left out", {"crop": None}, ("crop", "aspect"), (RGB,)),
    Planted("30 % margin around", {"fraction": 1.3}, ("margin",), (GRAY, RGB)),
    Planted(
        "letterbox instead of stretching", {"fit": "letterbox", "pad": 0}, ("aspect",), (GRAY,)
    ),
    Planted("stretched instead of letterboxed", {"fit": "stretch"}, ("aspect",), (BOX,)),
    Planted("letterbox at the top left", {"fit": "letterbox-top-left"}, ("shift",), (BOX,)),
    Planted("two pixels to the right", {"shift": (2, 0)}, ("shift",)),
    Planted(
        "moved by (−3, 1), wrapped round",
        {"shift": (-3, 1), "wrap": True},
        ("shift",),
        (GRAY, RGB, FACE),
    ),
    Planted("template without the +8", {"align": "no8"}, ("alignment_template",), (FACE,)),
    Planted("eyes swapped", {"align": "eyes"}, ("alignment_template",), (FACE,)),
    Planted("face box instead of alignment", {"align": "box"}, ("alignment_template",), (FACE,)),
    Planted("turned by 90°", {"turn": 1}, ("rotation",)),
    Planted("upside down", {"turn": 2}, ("rotation",)),
    Planted("tilted by 12°", {"tilt": 12}, ("rotation",), (GRAY, RGB, FACE)),
    Planted("mirrored", {"flip": 1}, ("flip",)),
    Planted("flipped vertically", {"flip": 0}, ("flip",)),
    Planted("rows and columns exchanged", {"transpose": True}, ("transpose",)),
    Planted("channel axis on the wrong side", {"layout": "other"}, ("layout",)),
    Planted(
        "buffer reinterpreted without a transpose",
        {"layout": "reinterpreted"},
        ("layout",),
        (RGB, FACE, BOX),
    ),
    Planted("no batch axis", {"layout": "single"}, ("batch_axis",)),
    Planted("mean not subtracted", {"mean": (0.0,)}, ("mean", "value_range"), (RGB,)),
    Planted("another mean", {"mean": (104.0, 117.0, 123.0)}, ("mean",), (FACE,)),
    Planted("another scale", {"scale": (64.0,)}, ("scale",), (GRAY, FACE)),
    Planted(
        "0…1 instead of −1…1", {"mean": (0.0,), "scale": (255.0,)}, ("value_range",), (GRAY, FACE)
    ),
    Planted("−1…1 instead of 0…1", {"mean": (127.5,), "scale": (127.5,)}, ("value_range",), (BOX,)),
    Planted("normalised twice", {"twice": True}, ("double_normalization",)),
    Planted("raw pixels", {"mean": (0.0,), "scale": (1.0,)}, ("missing_normalization",)),
    Planted("gamma 2.2", {"gamma": 2.2}, ("gamma",)),
    Planted("gamma 0.8", {"gamma": 0.8}, ("gamma",)),
    Planted("histogram equalised", {"equalize": True}, ("histogram",)),
    Planted("standardised per image", {"standardise": True}, ("histogram",), (GRAY, RGB)),
    Planted("float16", {"dtype": "float16"}, ("dtype",)),
    Planted("uint8 of the same pixels", {"dtype": "uint8-raw"}, ("missing_normalization", "dtype")),
    Planted("clipped to 0…1", {"clip": (0.0, 1.0)}, ("saturation",), (GRAY, FACE)),
    Planted("16 gray levels", {"levels": 16}, ("quantization",)),
    Planted("another size", {"size": "bigger"}, ("size",)),
    Planted("stored as JPEG between the sides", {"jpeg": 80}, ("decoder",), (RGB, FACE)),
    Planted("four bytes a pixel read by threes", {"buffer": "rgba"}, ("layout",), (RGB, FACE)),
    Planted("landmarks reshaped", {"align": "reshaped"}, ("alignment_template",), (FACE,)),
    Planted(
        "landmarks of a network's input", {"align": "network"}, ("alignment_template",), (FACE,)
    ),
    Planted("landmarks of the face box", {"align": "relative"}, ("alignment_template",), (FACE,)),
    Planted("affine by least squares", {"align": "affine"}, ("alignment_template",), (FACE,)),
    Planted("odd pixel before the picture", {"fit": "letterbox-up"}, ("shift",), (BOX,)),
    Planted("divided by its maximum", {"brightest": True}, ("histogram",), (GRAY, RGB)),
    Planted("minimum to maximum", {"stretched": True}, ("histogram",), (GRAY, RGB)),
    Planted("CLAHE", {"clahe": 2.0}, ("histogram",), (GRAY,)),
    Planted("bytes above 127 read as negative", {"buffer": "signed"}, ("saturation",)),
    Planted("means taken off in bytes", {"buffer": "wrapped"}, ("saturation",), (RGB,)),
    Planted("four bytes a pixel read as A, R, G", {"buffer": "argb"}, ("channel_order",), (RGB,)),
    Planted("YCrCb for RGB", {"space": "ycrcb"}, ("channel_order",), (RGB, FACE)),
    Planted("rows of whole 64 bytes read without", {"stride": 64}, ("layout",), (RGB,)),
    Planted("stored as WebP between the sides", {"webp": 60}, ("decoder",), (RGB,)),
    Planted("the rows of 16:9 only", {"crop": "wide"}, ("crop",), (GRAY,)),
)
PAIRS: tuple[tuple[str, str], ...] = (
    ("red and blue swapped", "mirrored"),
    ("red and blue swapped", "raw pixels"),
    ("EXIF orientation ignored", "red and blue swapped"),
    ("nearest neighbour", "raw pixels"),
    ("bicubic (OpenCV)", "red and blue swapped"),
    ("EXIF orientation ignored", "nearest neighbour"),
    ("turned by 90°", "gamma 2.2"),
    ("two pixels to the right", "normalised twice"),
    ("mirrored", "float16"),
    ("gamma 0.8", "no batch axis"),
    ("0…1 instead of −1…1", "gray by BT.709"),
    ("centre crop of 7/8", "red and blue swapped"),
    ("upside down", "channel axis on the wrong side"),
    ("0…1 instead of −1…1", "template without the +8"),
    ("another size", "red and blue swapped"),
)
HARMLESS: tuple[Planted, ...] = (
    Planted("the same again", {}, ()),
    Planted("float64 for float32", {"dtype": "float64"}, ()),
    Planted("last bit truncated", {"truncate": True}, ()),
    Planted("the other accurate JPEG decoder", {"decode": "other"}, ()),
    Planted("normalised in another order of operations", {"reordered": True}, ()),
    Planted("scale 128 for 127.5", {"scale": (128.0,)}, (), (GRAY, FACE)),
    Planted("mean 127 for 127.5", {"mean": (127.0,)}, (), (GRAY, FACE)),
    Planted("gray weights to three digits", {"gray": (0.299, 0.587, 0.114)}, (), (GRAY,)),
    Planted("gray after the resize", {"gray_late": True}, (), (GRAY,)),
    Planted("resized in floating point", {"float_resize": True}, (), (RGB, BOX)),
    Planted("Fortran order in memory", {"fortran": True}, ()),
)


def settings(base: str, *mistakes: Planted) -> dict:
    """Return a base's settings with mistakes planted."""
    s = dict(BASES[base])
    for m in mistakes:
        s.update(m.changes)
    if s["size"] == "bigger":
        w, h = BASES[base]["size"]
        s["size"] = (w * 5 // 4, h * 5 // 4)
    return s


def black_box(base: str, *mistakes: Planted) -> Fingerprint:
    """Run the plain code with mistakes planted on the probes and return its fingerprint, which knows no spec."""
    s = settings(base, *mistakes)
    return capture_pipeline(
        lambda path, _: run(path, s),
        name=f"{base}: {', '.join(m.name for m in mistakes) or 'as is'}",
        families=("image",),
    )


def documented(base: str) -> Fingerprint:
    """Return the training side's fingerprint of a base: its spec, run by the reference backend."""
    return capture_spec(PreprocessSpec(base, SPECS[base]))


_FLOAT = {"op": "cast", "dtype": "float32"}


def _scaled(base: str) -> list[dict]:
    b = BASES[base]
    return [
        {"op": "normalize", "mean": list(b["mean"]), "scale": list(b["scale"]), "units": "0-255"},
        {"op": "layout", "to": b["layout"]},
        _FLOAT,
    ]


SPECS: dict[str, list[dict]] = {
    GRAY: [
        DECODE_RGB,
        UPRIGHT,
        {"op": "color", "from": "rgb", "to": "gray", "weights": "bt601", "rounding": "half_up"},
        {**RESIZE_ANTIALIASED, "size": [64, 64]},
        *_scaled(GRAY),
    ],
    RGB: [
        DECODE_RGB,
        UPRIGHT,
        {"op": "crop", "region": "square"},
        {
            "op": "resize",
            "size": [96, 96],
            "mode": "stretch",
            "kernel": "area",
            "antialias": True,
            "pixel_centers": "half",
            "rounding": "half_even",
        },
        *_scaled(RGB),
    ],
    FACE: [
        DECODE_RGB,
        UPRIGHT,
        {
            "op": "align",
            "template": "arcface",
            "size": [112, 112],
            "estimator": "umeyama",
            "kernel": "bilinear",
            "coordinates": "1/32",
            "border": [0.0],
            "rounding": "half_even",
        },
        *_scaled(FACE),
    ],
    BOX: [
        DECODE_RGB,
        UPRIGHT,
        {"op": "color", "from": "rgb", "to": "bgr"},
        {
            "op": "resize",
            "size": [320, 320],
            "mode": "letterbox",
            "kernel": "bilinear",
            "antialias": False,
            "pixel_centers": "half",
            "rounding": "half_even",
            "size_rounding": "floor",
            "anchor": "center",
            "value": [114.0],
        },
        *_scaled(BOX),
    ],
}
"""The training side's spec of each base."""

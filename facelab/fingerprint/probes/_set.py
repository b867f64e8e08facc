"""The probe set: a fixed, versioned, generated set of files on which every preprocessing mismatch shows.

The bytes are made by this package alone (integer drawing, own PNG and JPEG writers), so the set's hash is the same on
every machine; a new version number goes with any change of the bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

import facelab.fingerprint.probes._pictures as draw
from facelab.core.errors import BadInputError
from facelab.core.files import write_bytes, write_json, write_text
from facelab.core.hashing import sha256_bytes, sha256_json
from facelab.fingerprint.probes._codecs import encode_jpeg, encode_png
from facelab.fingerprint.probes._readme import README
from facelab.preprocess.colour import rgb_to_yuv
from facelab.preprocess.image import apply_exif, decode
from facelab.preprocess.ops import Decode
from facelab.preprocess.raw import decode_raw, encode_raw
from facelab.preprocess.resample import to_pixels
from facelab.preprocess.spec import PreprocessSpec

VERSION = "1"
SCHEMA = "facelab.probes/1"
RAW_SIZE = (160, 120)
UNUSUAL = ("gray16", "alpha")
"""Pictures whose extra bits or channel decoders treat differently."""
RAW_FORMATS = ("rgb24", "bgr24", "gray8", "yuyv", "nv12")


@dataclasses.dataclass(frozen=True)
class Probe:
    """One probe file.

    `group` is `image` (PNG, JPEG) or `raw` (a frame without header). `size` is (width, height) as stored. `face` is
    {"box", "landmarks"} in pixels of the upright picture: the drawn face, or a nominal one where a pipeline that
    aligns or crops should pretend that a face is. `range` is that of raw YUV content (matrix BT.601).
    `excites` names the kinds of mismatch the probe is there for.
    """

    name: str
    file: str
    group: str
    format: str
    size: tuple[int, int]
    data: bytes = dataclasses.field(repr=False)
    face: dict[str, Any] = dataclasses.field(repr=False)
    excites: tuple[str, ...]
    orientation: int = 1
    range: str | None = None

    @property
    def plain(self) -> bool:
        """Whether it is a picture that every decoder reads alike, and upright."""
        return self.format == "png" and self.name not in UNUSUAL

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file's bytes."""
        return sha256_bytes(self.data)

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """The decoded pixels as stored (EXIF not applied): uint8 height × width × 3 RGB; YUV for yuyv and nv12."""
        if self.group == "image":
            return decode(self.data, where=self.file)[0]
        order = {"rgb24": "rgb", "bgr24": "bgr", "gray8": "gray"}.get(self.format, "yuv")
        stated = {"op": "decode", "format": self.format, "order": order, "size": self.size}
        stated |= {"chroma": "replicate"} if order == "yuv" else {}
        stage = Decode.model_validate(stated)
        pixels = decode_raw(self.data, stage, self.file)
        return {"bgr": pixels[..., ::-1], "gray": pixels.repeat(3, axis=2)}.get(order, pixels)

    def upright(self) -> np.ndarray:
        """Return the pixels as a viewer shows them."""
        return apply_exif(self.pixels, self.orientation)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts about the probe as plain JSON (no pixels)."""
        return {
            "name": self.name,
            "file": self.file,
            "sha256": self.sha256,
            "group": self.group,
            "format": self.format,
            "size": list(self.size),
            "orientation": self.orientation,
            "range": self.range,
            "face": self.face,
            "excites": list(self.excites),
        }


GEOMETRY = ("crop", "margin", "aspect", "shift", "rotation", "flip", "transpose", "size")
VALUES = (
    *("mean", "scale", "value_range", "double_normalization", "missing_normalization"),
    *("gamma", "histogram", "quantization", "dtype"),
)
KERNELS = ("resize_kernel", "antialias", "pixel_centers", "resize_order")


def _png(
    name: str, pixels: np.ndarray, excites: tuple[str, ...], face: dict[str, Any] | None = None
) -> Probe:
    size = (pixels.shape[1], pixels.shape[0])
    face = face or draw.nominal_face(size)
    return Probe(name, f"{name}.png", "image", "png", size, encode_png(pixels), face, excites)


def _jpeg(
    name: str,
    pixels: np.ndarray,
    excites: tuple[str, ...],
    *,
    subsampling: str,
    orientation: int = 1,
) -> Probe:
    size = (pixels.shape[1], pixels.shape[0])
    shown = size[::-1] if orientation > 4 else size
    data = encode_jpeg(
        pixels, subsampling=subsampling, orientation=orientation if orientation > 1 else None
    )
    return Probe(
        name,
        f"{name}.jpg",
        "image",
        "jpeg",
        size,
        data,
        draw.nominal_face(shown),
        excites,
        orientation,
    )


@functools.cache
def image_probes() -> tuple[Probe, ...]:
    """Return the encoded probes (PNG, JPEG), in their fixed order."""
    face, where = draw.face()
    small, small_where = draw.face((173, 131), centre=(93, 62), scale=1, turn=(24, -7, 25))
    gray = draw.marks((128, 96)).astype(np.int64) @ np.array([2, 4, 2]) // 8
    x, y = draw.grid((120, 90))
    deep = ((x * 65535 // 119) ^ (y * 7)).astype(np.uint16)
    alpha = ((x * 255 // 119) + 0 * y).astype(np.uint8)
    return (
        _png("bars", draw.bars(), ("channel_order", "gray_weights", "saturation", *VALUES)),
        _png(
            "ramps",
            draw.ramps(),
            ("rounding", "saturation", "quantization", "gamma", "histogram", *VALUES),
        ),
        _png("zone_plate", draw.zone_plate(), KERNELS),
        # larger than a detector's input, so that antialiasing shows there too
        _png("large", draw.zone_plate((961, 721)), KERNELS),
        _png("edges", draw.edges(), (*KERNELS, "shift", "crop", "size")),
        _png("marks", draw.marks(), (*GEOMETRY, "layout", "alignment_template")),
        _png("text", draw.text(), ("aspect", "flip", "rotation", *KERNELS)),
        _png("portrait", draw.texture((150, 230)), ("rounding", *GEOMETRY, *VALUES)),
        _png("landscape", draw.texture((310, 126)), ("aspect", "crop", *VALUES)),
        _png("odd", draw.marks((37, 23)), ("pixel_centers", "size", "shift")),
        _png("gray", gray.astype(np.uint8), ("gray_weights", "layout", "channel_order")),
        _png("gray16", deep, ("decoder", "dtype", "rounding")),
        _png("alpha", np.dstack([draw.texture((120, 90)), alpha]), ("decoder",)),
        _png("face", face, ("alignment_template", "margin", "crop", "rotation"), where),
        _png("face_small", small, ("alignment_template", "margin", "crop"), small_where),
        *(
            _jpeg(
                f"exif_{i}",
                draw.marks((120, 80)),
                ("exif_orientation",),
                subsampling="4:4:4",
                orientation=i,
            )
            for i in range(1, 9)
        ),
        _jpeg("jpeg_444", draw.bars((160, 120)), ("decoder",), subsampling="4:4:4"),
        _jpeg("jpeg_420", draw.texture((200, 150)), ("decoder",), subsampling="4:2:0"),
    )


@functools.lru_cache(maxsize=32)
def raw_probes(format: str, size: tuple[int, int] = RAW_SIZE) -> tuple[Probe, ...]:
    """Return the raw frames of one `format` (rgb24, bgr24, gray8, yuyv, nv12), drawn at `size` (width, height).

    YUV content is BT.601, most of it of limited range; `bars_full` and `face_full` are of full range.
    Raises BadInputError for an unknown format or a size below 32×24 or odd where the format needs even sides.
    """
    w, h = size
    if format not in RAW_FORMATS:
        raise BadInputError(
            "unknown raw format",
            expected=", ".join(RAW_FORMATS),
            got=repr(format),
            fix="choose one of the formats",
        )
    yuv = format in ("yuyv", "nv12")
    if w < 32 or h < 24 or (yuv and w % 2) or (format == "nv12" and h % 2):
        raise BadInputError(
            f"no {format} probes of this size",
            expected="at least 32×24, even sides for YUV",
            got=f"{w}×{h}",
            fix="choose another size",
        )
    pictures = _raw_pictures(size)
    probes = [_raw(n, p, format, "limited" if yuv else None, f, e) for n, p, f, e in pictures]
    if yuv:
        probes += [
            _raw(n, p, format, "full", f, ("yuv_range", "yuv_matrix"))
            for n, p, f, _ in (pictures[0], pictures[-1])
        ]
    return tuple(probes)


RawPicture = tuple[str, np.ndarray, dict[str, Any], tuple[str, ...]]
"""Name, pixels, face and what it excites."""


@functools.lru_cache(maxsize=4)
def _raw_pictures(size: tuple[int, int]) -> list[RawPicture]:
    """Draw what every format's frames show: (name, pixels, face, what it excites)."""
    w, h = size
    scale, centre = max(1, min(w, h) // 110), (w // 2 + w // 40, h // 2 - h // 40)
    face, where = draw.face(size, centre=centre, scale=scale)
    nominal = draw.nominal_face(size)
    return [
        ("bars", draw.bars(size), nominal, ("channel_order", "yuv_range", "yuv_matrix")),
        ("ramps", draw.ramps(size), nominal, ("rounding", "yuv_range", *VALUES)),
        ("zone_plate", draw.zone_plate(size), nominal, KERNELS),
        ("edges", draw.edges(size), nominal, KERNELS),
        ("marks", draw.marks(size), nominal, GEOMETRY),
        ("texture", draw.texture(size), nominal, VALUES),
        ("face", face, where, ("alignment_template", "margin")),
    ]


def _raw(
    name: str,
    rgb: np.ndarray,
    format: str,
    range_: Literal["full", "limited"] | None,
    face: dict[str, Any],
    excites: tuple[str, ...],
) -> Probe:
    size = (rgb.shape[1], rgb.shape[0])
    label = f"{name}_full" if range_ == "full" else name
    if range_:
        data = encode_raw(to_pixels(rgb_to_yuv(rgb, "bt601", range_), "half_up"), format)
    elif format == "gray8":
        r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
        data = ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(np.uint8).tobytes()
    else:
        data = np.ascontiguousarray(rgb if format == "rgb24" else rgb[..., ::-1]).tobytes()
    return Probe(
        f"{label}_{format}",
        f"{label}_{size[0]}x{size[1]}.{format}",
        "raw",
        format,
        size,
        data,
        face,
        excites,
        range=range_,
    )


@functools.cache
def probe_set() -> tuple[Probe, ...]:
    """Return the whole set: the encoded probes, then the raw frames of every format at 160×120."""
    return image_probes() + tuple(p for f in RAW_FORMATS for p in raw_probes(f))


def probes_for(spec: PreprocessSpec) -> tuple[Probe, ...]:
    """Return the probes that a spec's decode stage can read: encoded ones, or raw frames of its format and size."""
    stage = spec.decoding
    if stage.format != "encoded":
        return raw_probes(stage.format, stage.size)
    if stage.order == "gray":
        return tuple(p for p in image_probes() if p.format == "jpeg" or p.name.startswith("gray"))
    return image_probes()


def set_hash(probes: tuple[Probe, ...] | None = None) -> str:
    """Return the SHA-256 over version, names, bytes and faces of `probes` (by default the whole set).

    >>> set_hash() == set_hash(probe_set()), len(set_hash())
    (True, 64)
    """
    chosen = probe_set() if probes is None else probes
    if probes is None or probes is probe_set():
        return _whole_hash()
    return _hash(chosen)


@functools.cache
def _whole_hash() -> str:
    return _hash(probe_set())


def _hash(probes: Iterable[Probe]) -> str:
    return sha256_json({"version": VERSION, "probes": [[p.name, p.sha256, p.face] for p in probes]})


def write_probes(out: str | os.PathLike[str]) -> Path:
    """Write every probe, `probes.json` and a README for programs in other languages into a folder; return it.

    Files of the same names are replaced, others stay. Raises BadInputError if `out` is not a folder.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise BadInputError(
            "the folder for the probes cannot be made",
            where=folder,
            got=e.strerror,
            fix="choose another --out",
        ) from None
    for probe in probe_set():
        write_bytes(folder / probe.file, probe.data)
    write_json(
        folder / "probes.json",
        {
            "schema": SCHEMA,
            "version": VERSION,
            "hash": set_hash(),
            "probes": [p.to_dict() for p in probe_set()],
        },
    )
    rows = "\n".join(
        f"| `{p.name}` | `{p.file}` | {p.size[0]}×{p.size[1]} | {_about(p)} |" for p in probe_set()
    )
    write_text(
        folder / "README.md",
        README.format(version=VERSION, hash=set_hash(), rows=rows, count=len(probe_set())),
    )
    return folder


def _about(probe: Probe) -> str:
    about = probe.format
    if probe.orientation > 1:
        about += f", EXIF orientation {probe.orientation}"
    if probe.range:
        about += f", BT.601 {probe.range} range"
    return about

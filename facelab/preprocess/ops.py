"""The stages of a preprocessing spec: one strict model per op, nothing implicit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)

from facelab.preprocess.colour import GRAY_WEIGHTS

Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Real, Field(gt=0)]
Side = Annotated[StrictInt, Field(ge=1, le=16384)]
Size = tuple[Side, Side]
"""(width, height) in pixels."""
PerChannel = Annotated[
    tuple[Real, ...],
    Field(min_length=1, max_length=4),
    AfterValidator(lambda v: v[:1] if len(v) == 3 and len(set(v)) == 1 else v),
]
"""One number for every channel, or one each; equal ones are written once, so that the canonical form is unique."""
if TYPE_CHECKING:
    CubicA = float
else:
    CubicA = Literal[-0.5, -0.75]  # pydantic compares numbers; type checkers allow no floats here
Order = Literal["rgb", "bgr", "gray", "yuv"]
GrayWeights = Literal["bt601", "bt709", "tensorflow", "average"]
Rotation = Literal["none", "rotate90", "rotate180", "rotate270"]
Turn = Rotation | Literal["flip_horizontal", "flip_vertical", "transpose", "transverse"]
PixelRounding = Literal["none", "half_even", "half_up", "truncate"]
"""What an interpolating stage does with its real-valued result: `none` leaves it a float; the others saturate to
0…255 and give uint8."""
Anchor = Literal["center", "top_left"]

DECODE_RGB: dict[str, str] = {
    "op": "decode",
    "format": "encoded",
    "order": "rgb",
    "idct": "accurate",
    "alpha": "drop",
}
"""The decode stage of nearly every pipeline: image files to RGB, transparency dropped. Copy it to change it."""
UPRIGHT: dict[str, str] = {"op": "orient", "exif": "apply", "transform": "none"}
"""The orient stage that turns a photograph as its EXIF tag says."""
FACE_SQUARE: dict[str, str | float] = {
    "op": "crop",
    "region": "face",
    "margin": 0.1,
    "aspect": "square_longer",
    "box_rounding": "nearest",
    "outside": "replicate",
}
"""The crop stage to a square about the face box, grown by a tenth on each side."""
RESIZE_PLAIN: dict[str, str | bool] = {
    "op": "resize",
    "mode": "stretch",
    "kernel": "bilinear",
    "antialias": False,
    "pixel_centers": "half",
    "rounding": "half_up",
}
"""The resize stage of OpenCV and of runtimes without its `size`: bilinear, not antialiased."""
RESIZE_ANTIALIASED: dict[str, str | bool] = {
    **RESIZE_PLAIN,
    "antialias": True,
    "edge": "renormalize",
}
"""The resize stage of Pillow and TensorFlow with antialias, without its `size`."""


class _Stage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain JSON; parameters that do not apply are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def _require(self, when: str, **fields: bool) -> None:
        """Raise ValueError naming every parameter that is missing, or has no meaning, `when` something holds."""
        shown = {n: repr({"source": "from", "target": "to"}.get(n, n)) for n in fields}
        given = {n for n in fields if getattr(self, n) is not None}
        if missing := [shown[n] for n, wanted in fields.items() if wanted and n not in given]:
            raise ValueError(f"{when} must state {', '.join(missing)}")
        if spare := [shown[n] for n, wanted in fields.items() if not wanted and n in given]:
            verb = "has" if len(spare) == 1 else "have"
            pronoun = "it" if len(spare) == 1 else "them"
            raise ValueError(
                f"{', '.join(spare)} {verb} no meaning for {when}; leave {pronoun} out"
            )


class Decode(_Stage):
    """Turn a file's bytes into uint8 pixels. Never rotates: EXIF orientation is the `orient` stage's.

    `format` is `encoded` (JPEG, PNG, …) or a raw frame without header (`rgb24`, `bgr24`, `gray8`, `yuyv`, `nv12`),
    which states its `size`. `order` is the channel order of the result; `gray` from an encoded file is the
    decoder's own gray (the Y plane of a JPEG). Encoded files state `idct` (JPEG inverse DCT: `accurate` is
    libjpeg's ISLOW, `fast` its IFAST) and `alpha` (`drop` keeps the colours as stored, the others composite).
    Raw YUV gives order `yuv`, its chroma samples repeated (`chroma: "replicate"`).
    16-bit channels keep their high byte.
    """

    op: Literal["decode"]
    format: Literal["encoded", "rgb24", "bgr24", "gray8", "yuyv", "nv12"]
    order: Order
    idct: Literal["accurate", "fast"] | None = None
    alpha: Literal["drop", "over_black", "over_white"] | None = None
    chroma: Literal["replicate"] | None = None
    size: Size | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        encoded, yuv = self.format == "encoded", self.format in ("yuyv", "nv12")
        self._require(
            f"format {self.format!r}", idct=encoded, alpha=encoded, size=not encoded, chroma=yuv
        )
        natural = {
            "rgb24": ("rgb",),
            "bgr24": ("bgr",),
            "gray8": ("gray",),
            "yuyv": ("yuv",),
            "nv12": ("yuv",),
            "encoded": ("rgb", "bgr", "gray"),
        }[self.format]
        if self.order not in natural:
            raise ValueError(
                f"format {self.format!r} decodes to order {' or '.join(natural)}, not {self.order!r}; "
                "convert with a color stage"
            )
        width, height = self.size or (0, 0)
        if yuv and (width % 2 or (self.format == "nv12" and height % 2)):
            raise ValueError(
                f"{self.format} frames have an even width{' and height' if self.format == 'nv12' else ''}"
            )
        return self


class Orient(_Stage):
    """Apply or ignore the EXIF orientation, then one fixed transform (rotations are clockwise)."""

    op: Literal["orient"]
    exif: Literal["apply", "ignore"]
    transform: Turn


class Color(_Stage):
    """Change the channel order or the colour space.

    To gray: `weights`, a name (`bt601`, `bt709`, `tensorflow`, `average`) or three numbers for red, green, blue.
    From or to YUV: `matrix` and `range` (`limited`: Y 16…235, chroma 16…240; `full`: 0…255; chroma centred on 128).
    Both state `rounding`. A change of order, or gray to three equal channels, is exact and states nothing more.
    """

    op: Literal["color"]
    source: Order = Field(alias="from")
    target: Order = Field(alias="to")
    weights: GrayWeights | tuple[Real, Real, Real] | None = None
    matrix: Literal["bt601", "bt709"] | None = None
    range: Literal["full", "limited"] | None = None
    rounding: PixelRounding | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        gray = self.target == "gray" and self.source in ("rgb", "bgr")
        yuv = "yuv" in (self.source, self.target) and self.source != self.target
        if yuv and "gray" in (self.source, self.target):
            raise ValueError("yuv and gray convert through rgb: write two color stages")
        self._require(
            f"{self.source} to {self.target}",
            weights=gray,
            matrix=yuv,
            range=yuv,
            rounding=gray or yuv,
        )
        return self

    def gray_weights(self) -> tuple[float, float, float]:
        """Return the weights for (red, green, blue)."""
        if isinstance(self.weights, str):
            return GRAY_WEIGHTS[self.weights]
        assert self.weights is not None, "a stage that makes gray states its weights"
        return self.weights


class Crop(_Stage):
    """Cut a region out.

    `region`: `full`; `box` with `box` (x1, y1, x2, y2 in pixels, x2 and y2 exclusive, may leave the image);
    `center` with `size`; `square` (the largest centred square); `face` (the caller's face box) with `margin`
    (fraction of the box's side added on *each* side) and `aspect` (`keep`, `square_longer`, `square_shorter`).
    `box_rounding` turns real edges into whole pixels: `nearest` (half up), `floor`, `outward`.
    `outside` says what lies beyond the image: `clip` (nothing: the box is cut), `constant` with `value`, `replicate`.
    """

    op: Literal["crop"]
    region: Literal["full", "box", "center", "square", "face"]
    box: tuple[Real, Real, Real, Real] | None = None
    size: Size | None = None
    margin: Annotated[Real, Field(gt=-0.5, le=10)] | None = None
    aspect: Literal["keep", "square_longer", "square_shorter"] | None = None
    box_rounding: Literal["nearest", "floor", "outward"] | None = None
    outside: Literal["clip", "constant", "replicate"] | None = None
    value: PerChannel | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        r = self.region
        free = r in ("box", "face")
        self._require(
            f"region {r!r}",
            box=r == "box",
            size=r == "center",
            margin=r == "face",
            aspect=r == "face",
            box_rounding=free,
            outside=free or r == "center",
        )
        self._require(f"outside {self.outside!r}", value=self.outside == "constant")
        if self.box is not None and not (self.box[2] > self.box[0] and self.box[3] > self.box[1]):
            raise ValueError("the box is empty: x2 must exceed x1 and y2 must exceed y1")
        return self


class Align(_Stage):
    """Warp the face so that its five landmarks fall on a template.

    `template`: `arcface` (112 px; other sizes by the size/112 rule, multiples of 128 by size/128 with x + 8·scale),
    `dlib5` (dlib's five points with `padding`), or five (x, y) points in output pixels. `estimator`: `umeyama`
    (least-squares similarity, exact) or `affine3` (affine through both eyes and the middle of the mouth).
    Beyond the image lies the constant `border`. `coordinates`: `exact`, or `1/32` (source positions rounded to
    1/32 pixel, as OpenCV's classic `warpAffine` does).
    """

    op: Literal["align"]
    template: (
        Literal["arcface", "dlib5"]
        | Annotated[tuple[tuple[Real, Real], ...], Field(min_length=5, max_length=5)]
    )
    size: Size
    estimator: Literal["umeyama", "affine3"]
    kernel: Literal["nearest", "bilinear"]
    coordinates: Literal["exact", "1/32"]
    border: PerChannel
    padding: Annotated[Real, Field(ge=0, le=4)] | None = None
    rounding: PixelRounding

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._require(
            f"template {self.template if isinstance(self.template, str) else 'points'!r}",
            padding=self.template == "dlib5",
        )
        if self.template == "arcface" and self.size[0] != self.size[1]:
            raise ValueError(
                "the arcface template is square: width and height of 'size' must be equal"
            )
        return self


class Resize(_Stage):
    """Resample to `size` (width, height).

    `mode`: `stretch` (to exactly `size`), `inside` (aspect kept, largest that fits), `cover` (aspect kept, smallest
    that covers), `letterbox` (`inside`, then padded to `size` at `anchor` with `value`). All but `stretch` state
    `size_rounding` of the free side. `kernel` with `antialias` (the kernel widened when shrinking) and
    `pixel_centers`: `half` (x + ½, OpenCV, Pillow, TF 2), `legacy` (x, TF 1), `corner` (corners aligned).
    `bicubic` states `cubic_a` (−0.5 Pillow and TF 2, −0.75 OpenCV and TF 1), `lanczos` its `lobes` (3 Pillow, 4
    OpenCV); both, and every antialiased kernel, state `edge`: taps beyond the image `replicate` its border or are
    dropped and the rest `renormalize`d. `area` averages exactly by coverage (so `antialias` is true for it).
    `passes` (`uint8_horizontal_first`, `uint8_vertical_first`) rounds half up and saturates to 8 bits between the two
    passes, as Pillow does with 8-bit images (13 picks the order by size, 12 and before go horizontally first); without
    it nothing is rounded in between. It shows with kernels that overshoot, by up to 37 levels on a zone plate.
    """

    op: Literal["resize"]
    size: Size
    mode: Literal["stretch", "inside", "cover", "letterbox"]
    kernel: Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]
    antialias: StrictBool
    pixel_centers: Literal["half", "legacy", "corner"]
    rounding: PixelRounding
    cubic_a: CubicA | None = None
    lobes: Literal[3, 4, 5] | None = None
    edge: Literal["replicate", "renormalize"] | None = None
    passes: Literal["uint8_horizontal_first", "uint8_vertical_first"] | None = None
    size_rounding: Literal["floor", "half_up", "ceil"] | None = None
    anchor: Anchor | None = None
    value: PerChannel | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        k, boxed = self.kernel, self.mode == "letterbox"
        wide = k in ("bicubic", "lanczos") or (k == "bilinear" and self.antialias)
        self._require(
            f"kernel {k!r}" + (" with antialias" if self.antialias else ""),
            cubic_a=k == "bicubic",
            lobes=k == "lanczos",
            edge=wide,
        )
        self._require(
            f"mode {self.mode!r}", size_rounding=self.mode != "stretch", anchor=boxed, value=boxed
        )
        if k in ("nearest", "area") and self.antialias != (k == "area"):
            raise ValueError(
                "kernel 'area' averages by definition: write antialias true"
                if k == "area"
                else "kernel 'nearest' takes one pixel: write antialias false"
            )
        if self.antialias and self.pixel_centers != "half":
            raise ValueError(
                f"an antialiased or area kernel has pixel_centers 'half', not {self.pixel_centers!r}"
            )
        if self.antialias and wide and self.edge != "renormalize":
            raise ValueError(
                "an antialiased kernel drops taps beyond the image: write edge 'renormalize'"
            )
        if self.passes and (not wide or self.rounding == "none"):
            raise ValueError(
                "'passes' has a meaning for bicubic, lanczos and antialiased kernels that round to uint8"
            )
        if k == "nearest" and self.rounding not in ("none", "half_up"):
            raise ValueError(
                "kernel 'nearest' makes no new values: write rounding 'half_up' to keep uint8"
            )
        return self


class Pad(_Stage):
    """Add a border: up to size `to`, or to the next `multiple` of a number in both directions.

    `anchor` says where the image stays; with `center` an odd remainder goes to the right and the bottom.
    """

    op: Literal["pad"]
    to: Size | None = None
    multiple: Annotated[StrictInt, Field(ge=1, le=1024)] | None = None
    anchor: Anchor
    border: Literal["constant", "replicate"]
    value: PerChannel | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.to is None) == (self.multiple is None):
            raise ValueError("pad states either 'to' (width, height) or 'multiple', and not both")
        self._require(f"border {self.border!r}", value=self.border == "constant")
        return self


class Normalize(_Stage):
    """Compute (x − mean) / scale per channel, giving floats.

    `units` are those of mean and scale: `0-255` applies them to the pixels as they are, `0-1` to pixels / 255.
    One number counts for every channel.
    """

    op: Literal["normalize"]
    mean: PerChannel
    scale: PerChannel
    units: Literal["0-255", "0-1"]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(s == 0 for s in self.scale):
            raise ValueError("a scale of 0 divides by zero")
        return self


class Layout(_Stage):
    """Order the axes: height, width, channel, with a batch axis of one where the name has an n."""

    op: Literal["layout"]
    to: Literal["hw", "hwc", "chw", "nhw", "nhwc", "nchw"]


class Cast(_Stage):
    """Change the number type. To an integer type, `rounding` and `saturate` are stated (without it, values wrap)."""

    op: Literal["cast"]
    dtype: Literal["uint8", "int8", "int16", "int32", "float16", "float32", "float64"]
    rounding: Literal["half_even", "half_up", "half_away", "truncate", "floor"] | None = None
    saturate: StrictBool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        whole = not self.dtype.startswith("float")
        self._require(f"dtype {self.dtype!r}", rounding=whole, saturate=whole)
        return self


class Quantize(_Stage):
    """Compute round(x / scale) + zero_point as `dtype`, by one rule to the bit.

    x and scale are float32 (an x that is not is rounded to it, ties to even) and so is their quotient, as TFLite and
    ONNX Runtime do it; the quotient is rounded to a whole number; zero_point is added in integers.
    """

    op: Literal["quantize"]
    scale: Positive
    zero_point: StrictInt
    dtype: Literal["uint8", "int8", "int16"]
    rounding: Literal["half_even", "half_away", "truncate"]
    saturate: StrictBool

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 2**-126 <= self.scale < 2**128:
            raise ValueError(f"the scale {self.scale} is not a normal float32 number")
        low, high = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-32768, 32767)}[self.dtype]
        if not low <= self.zero_point <= high:
            raise ValueError(f"the zero point {self.zero_point} is outside {self.dtype}")
        return self


Stage = Decode | Orient | Color | Crop | Align | Resize | Pad | Normalize | Layout | Cast | Quantize

STAGES: dict[str, type[Stage]] = {
    get_args(m.model_fields["op"].annotation)[0]: m for m in get_args(Stage)
}
"""Op name → stage model, in the order in which a pipeline usually has them."""

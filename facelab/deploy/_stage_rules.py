"""What each stage computes, in words and formulas, for programmers who write it in another language.

One text serves `docs/reference/preprocessing-stages.md` and, cut down to the stages of one spec, a bundle's README.
"""

from __future__ import annotations

from facelab.preprocess.spec import PreprocessSpec

CONVENTIONS = """\
An image has width w and height h; x counts columns from the left, y rows from the top, both from 0. Pixels are 0…255
until a stage gives reals. A real is a float64 until a `cast` names another type; later stages then compute in that
type. A program that computes reals in float32 stays within the tolerance of a float tensor, but its integers differ
at ties.

**`rounding`** of a real v: `half_up` ⌊v + ½⌋; `half_even` to the nearest whole number, a tie to the even one;
`half_away` a tie away from 0; `truncate` towards 0; `floor`. In an image stage the result is then limited to 0…255
and is a byte; `none` leaves a real, which is not limited. What is within 10⁻⁹ of a whole number or a tie counts as
it: weights that sum to 1 give 0.9999999999999999 for a gray of 1, which `truncate` must not make 0."""

RULES = {
    "decode": """\
`encoded`: the pixels as stored, 8 bits, channels in `order`. Gray files fill three equal channels, palettes are
looked up, of 16 bits the high byte counts. `alpha`: `drop` ignores it; `over_black` and `over_white` give ⌊(c·a +
g·(255 − a) + 127) / 255⌋ with g = 0 or 255. JPEG: libjpeg's slow integer inverse DCT (`idct` `accurate`) with its
default ("fancy") chroma upsampling; order `gray` is the Y plane. The EXIF orientation is not applied here. Raw frames
have no header, rows from the top: `rgb24`, `bgr24`, `gray8`; `yuyv` is Y0 U Y1 V for two pixels; `nv12` is a plane of
Y, then rows of U V pairs. Each chroma sample stands for all its 2 (2×2) pixels, unfiltered.""",
    "orient": """\
`exif` `apply` turns the picture upright: 2 flip horizontally, 3 rotate 180°, 4 flip vertically, 5 transpose, 6 rotate
90° clockwise, 7 transverse, 8 rotate 270° clockwise. Then `transform` in the same words. Transpose is out(x, y) =
in(y, x); transverse is that, rotated by 180°. Files without EXIF, and raw frames, have orientation 1: nothing is
done.""",
    "color": """\
`rgb` ↔ `bgr` exchanges channels; gray to three channels repeats it. To gray: Wr·R + Wg·G + Wb·B with `weights` bt601
.299 .587 .114, bt709 .2126 .7152 .0722, tensorflow .2989 .587 .114, average ⅓ ⅓ ⅓. From YUV with Kr, Kb = .299, .114
(bt601) or .2126, .0722 (bt709), Kg = 1 − Kr − Kb; y = (Y − 16)·255/219 and k = 255/224 for `limited`, y = Y and k = 1
for `full`; u = k·(U − 128), v = k·(V − 128): R = y + 2(1 − Kr)·v, B = y + 2(1 − Kb)·u, G = y − (2Kb(1 − Kb)·u + 2Kr(1
− Kr)·v) / Kg. To YUV is the inverse. Then `rounding`.""",
    "crop": """\
Edges are x1, y1, x2, y2, whole after `box_rounding` (`nearest` is half up; `outward` floors x1, y1 and rounds x2, y2
up); x2 and y2 are exclusive. `center` and `square` (side min(w, h)): x1 = ⌊(w − cw) / 2⌋, likewise y1. `face`: the
given box (in pixels of the upright picture; an earlier crop or resize moves it along), widened on each side by
`margin` times its width (height); `square_longer` (`square_shorter`) then makes both sides the longer (shorter) one
about the same centre; if the rounded sides differ, y2 = y1 + (x2 − x1). `outside` the image lies nothing (`clip`: the
box is cut), `value`, or the nearest pixel (`replicate`).""",
    "align": """\
The 2×3 matrix M maps landmarks p (left eye, right eye, nose, mouth corners; pixels of the upright picture, centres at
whole numbers, moved along by an earlier crop or resize) to the template's q.

- `arcface` at 112: (38.2946, 51.6963) (73.5318, 51.5014) (56.0252, 71.7366) (41.5493, 92.3655) (70.7299, 92.2041),
  times size/112; for a multiple of 128 times s = size/128, with 8·s added to x.
- `dlib5`: (d + padding)·size / (2·padding + 1) for dlib's own five landmarks (right eye outer and inner corner, left
  eye outer and inner corner, as seen, base of the nose), d = (.8595674596, .2134981538) (.6460604764, .2289674388)
  (.1205750621, .2137274527) (.3340850614, .2290642403) (.4901123136, .6277975316).
- `umeyama`, with p and q less their means: a = Σ(px·qx + py·qy) / Σ|p|², b = Σ(px·qy − py·qx) / Σ|p|²; M turns by
  [a, −b; b, a] and takes the mean of p to that of q. `affine3` is the affine map of the eyes and the middle of the
  mouth's corners.
- Output (x, y) is read at M⁻¹(x, y): `bilinear` of the four neighbours, `nearest` at half up; every pixel outside the
  image is `border`. `coordinates` `1/32`: with row (r, s, t) of M⁻¹, at
  ⌊(rint((s·y + t)·1024) + 16 + rint(r·x·1024)) / 32⌋ / 32. Then `rounding`.""",
    "resize": """\
- Size: `stretch` takes `size`. `inside` and `letterbox` take the largest of the picture's shape that fits in it,
  `cover` the smallest that covers it: one side is `size`'s, the free one w·H/h or h·W/w by `size_rounding`, at least
  1. `letterbox` then puts `value` around it, the picture at `anchor` (`center`: ⌊free / 2⌋ on the left and the top).
- Each axis, n samples to m, is done apart. Output i is read at p = (i + ½)·n/m − ½ (`pixel_centers` `half`), i·n/m
  (`legacy`) or i·(n − 1)/(m − 1) (`corner`). `nearest` takes sample ⌊(i + ½)·n/m⌋, ⌊i·n/m⌋ or ⌊p + ½⌋, n − 1 at most.
- Otherwise sample j weighs K(d), d = |j − p| / f, f = max(n/m, 1) with `antialias` and 1 without; weights are divided
  by their sum. `bilinear`: 1 − d, at least 0. `bicubic`, a = `cubic_a`: (a + 2)d³ − (a + 3)d² + 1 below 1,
  a(d³ − 5d² + 8d − 4) below 2, else 0. `lanczos`, L = `lobes`: sinc(d)·sinc(d/L) below L, sinc(d) = sin(πd)/(πd).
  `area`: the length that [j, j + 1) shares with [i·n/m, (i + 1)·n/m).
- Samples beyond the border repeat the outermost one (`edge` `replicate`, and where `edge` is not stated) or are left
  out before dividing by the sum (`renormalize`).
- Nothing is rounded between the axes, unless `passes` says so: then half up to bytes after each axis, in the stated
  order, and an axis that keeps its size is skipped. Then `rounding`.""",
    "pad": """\
To size `to`, or each side up to the next multiple of `multiple`. `anchor` `top_left` adds right and below; `center`
puts ⌊free / 2⌋ on the left and the top. The border is `value` or the nearest pixel (`replicate`).""",
    "normalize": """\
(v − mean) / scale for each channel; in `units` `0-1`, v / 255 stands for v. One number serves all channels.""",
    "layout": "Axes in this order, n a batch axis of 1, h rows, w columns, c channels; the last axis is the fastest.",
    "cast": "To an integer type: `rounding`, then limited to the type's range (`saturate`) or wrapped around.",
    "quantize": """\
v and scale as float32 (a v of another type is rounded to it, ties to even), divided in float32; `rounding` of the
quotient; `zero_point` added in integers; limited to the range of `dtype` (`saturate`) or wrapped around. Divide: a
product with 1 / scale is a different number. TFLite (`half_away`) and ONNX Runtime (`half_even`) do the same. Pixels of
(p − 127.5) / 127.5 and a scale near 2/255 put every quotient at half a step: computed in float64, a quarter of all
values are one step off.""",
}


def for_spec(spec: PreprocessSpec) -> str:
    """Return the rules of the ops that a spec has, in its order, as Markdown.

    >>> from facelab.preprocess.spec import PreprocessSpec
    >>> spec = PreprocessSpec("tiny", [{"op": "decode", "format": "gray8", "order": "gray", "size": (8, 6)},
    ...                                {"op": "layout", "to": "hw"}])
    >>> [line.split("**")[1] for line in for_spec(spec).splitlines() if line.startswith("**")]
    ['`rounding`', 'decode.', 'layout.']
    """
    ops = dict.fromkeys(stage.op for stage in spec.stages)
    return "\n\n".join([CONVENTIONS, *(f"**{op}.**" + _after(RULES[op]) for op in ops)])


def _after(text: str) -> str:
    """Put a rule behind its bold name; a list begins on its own line."""
    return ("\n\n" if text.startswith("- ") else " ") + text


def one_level(spec: PreprocessSpec) -> list[float] | None:
    """Return what one level of an 8-bit pixel is in a float tensor, per channel of the last normalize stage.

    None where that cannot be read from the spec: several normalize stages, or one that is quantised afterwards.
    """
    found = [s for s in spec.stages if s.op == "normalize"]
    if len(found) > 1 or spec.stages[-1].op == "quantize":
        return None
    return (
        [1 / (abs(s) * (255 if found[0].units == "0-1" else 1)) for s in found[0].scale]
        if found
        else [1.0]
    )

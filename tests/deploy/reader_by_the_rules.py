"""A reader of bundles written from their README alone, standard library only: the oracle of `stage_rules`.

It shares nothing with facelab. Images are rows of pixels, pixels lists of channels; raw frames only.
"""

import math
import struct
from fractions import Fraction
from itertools import product

ARCFACE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
ROUND = {"half_up": lambda v: math.floor(v + 0.5), "half_even": round, "truncate": math.trunc}
WEIGHTS = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}


def to_pixel(v, rounding):
    if rounding == "none":
        return v
    near = round(v * 2) / 2
    return max(0, min(255, ROUND[rounding](near if abs(v - near) < 1e-9 else v)))


def mapped(image, f):
    return [[[f(v) for v in pixel] for pixel in row] for row in image]


def decode(s, data):
    w, h = s["size"]
    at = {
        "rgb24": lambda x, y: data[(y * w + x) * 3 :][:3],
        "bgr24": lambda x, y: data[(y * w + x) * 3 :][:3],
        "yuyv": lambda x, y: (
            data[y * w * 2 + x * 2],
            *(data[y * w * 2 + x // 2 * 4 + k] for k in (1, 3)),
        ),
        "nv12": lambda x, y: (data[y * w + x], *data[w * h + y // 2 * w + x // 2 * 2 :][:2]),
    }[s["format"]]
    return [[list(at(x, y)) for x in range(w)] for y in range(h)]


def color(s, image):
    a, b = s["from"], s["to"]
    if a == "gray":
        return [[p * 3 for p in row] for row in image]
    if b == "gray":
        order = 1 if a == "rgb" else -1
        return [
            [
                [
                    to_pixel(
                        sum(w * v for w, v in zip(WEIGHTS[s["weights"]], p[::order])), s["rounding"]
                    )
                ]
                for p in row
            ]
            for row in image
        ]
    kr, kg, kb = WEIGHTS[s["matrix"]]
    limited = s["range"] == "limited"

    def convert(pixel):
        y, u, v = pixel
        y, k = ((y - 16) * 255 / 219, 255 / 224) if limited else (y, 1)
        u, v = k * (u - 128), k * (v - 128)
        rgb = (
            y + 2 * (1 - kr) * v,
            y - (2 * kb * (1 - kb) * u + 2 * kr * (1 - kr) * v) / kg,
            y + 2 * (1 - kb) * u,
        )
        return [to_pixel(c, s["rounding"]) for c in rgb][:: 1 if b == "rgb" else -1]

    return [[convert(p) for p in row] for row in image]


def kernel(s, d):
    if s["kernel"] == "bilinear":
        return max(0, 1 - d)
    if s["kernel"] == "bicubic":
        a = s["cubic_a"]
        return (
            (a + 2) * d**3 - (a + 3) * d * d + 1
            if d < 1
            else a * (d**3 - 5 * d * d + 8 * d - 4)
            if d < 2
            else 0
        )

    def sinc(x):
        return math.sin(math.pi * x) / (math.pi * x) if x else 1

    return sinc(d) * sinc(d / s["lobes"]) if d < s["lobes"] else 0


def taps(n, m, s, i):
    """Return (sample, weight) for output i of m."""
    half, legacy = Fraction((2 * i + 1) * n, 2 * m), Fraction(i * n, m)
    at = {
        "half": half - Fraction(1, 2),
        "legacy": legacy,
        "corner": Fraction(i * (n - 1), max(m - 1, 1)),
    }
    p = at[s["pixel_centers"]]
    if s["kernel"] == "nearest":
        place = {"half": half, "legacy": legacy, "corner": p + Fraction(1, 2)}[s["pixel_centers"]]
        return [(min(math.floor(place), n - 1), 1)]
    if s["kernel"] == "area":
        first, last = legacy, Fraction((i + 1) * n, m)
        found = [
            (j, float(min(last, j + 1) - max(first, j)))
            for j in range(math.floor(first), math.ceil(last))
        ]
    else:
        f = max(Fraction(n, m), 1) if s["antialias"] else 1
        reach = math.ceil(f * {"bilinear": 1, "bicubic": 2}.get(s["kernel"], s.get("lobes"))) + 1
        near = range(math.floor(p) - reach, math.ceil(p) + reach + 1)
        found = [
            (max(0, min(n - 1, j)), kernel(s, float(abs(j - p) / f)))
            for j in near
            if s.get("edge") != "renormalize" or 0 <= j < n
        ]
    total = sum(w for _, w in found)
    return [(j, w / total) for j, w in found if w]


def across(image, m, s):
    weights = [taps(len(image[0]), m, s, i) for i in range(m)]
    return [
        [[sum(row[j][c] * w for j, w in ws) for c in range(len(row[0]))] for ws in weights]
        for row in image
    ]


def turned(image):
    return [list(column) for column in zip(*image)]


def resize(s, image):
    (width, height), w, h = s["size"], len(image[0]), len(image)
    if s["mode"] != "stretch":
        whole = {"floor": math.floor, "half_up": lambda v: math.floor(v + Fraction(1, 2))}[
            s["size_rounding"]
        ]
        if (Fraction(width, w) <= Fraction(height, h)) == (s["mode"] != "cover"):
            height = max(1, whole(Fraction(h * width, w)))
        else:
            width = max(1, whole(Fraction(w * height, h)))
    between = "half_up" if s.get("passes") else "none"
    if not (between == "half_up" and width == w):
        image = mapped(across(image, width, s), lambda v: to_pixel(v, between))
    if not (between == "half_up" and height == h):
        image = turned(mapped(across(turned(image), height, s), lambda v: to_pixel(v, between)))
    image = mapped(image, lambda v: to_pixel(v, s["rounding"]))
    return pad({**s, "to": s["size"]}, image) if s["mode"] == "letterbox" else image


def window(image, box, value):
    """Return a part of an image that may leave it; beyond lies `value`, or (None) the nearest pixel."""
    h, w, c = len(image), len(image[0]), len(image[0][0])

    def at(x, y):
        if value is not None and not (0 <= x < w and 0 <= y < h):
            return list(value) * (c // len(value))
        return image[max(0, min(h - 1, y))][max(0, min(w - 1, x))]

    return [[at(x, y) for x in range(box[0], box[2])] for y in range(box[1], box[3])]


def pad(s, image):
    free = s["to"][0] - len(image[0]), s["to"][1] - len(image)
    left, top = (free[0] // 2, free[1] // 2) if s["anchor"] == "center" else (0, 0)
    return window(image, (-left, -top, s["to"][0] - left, s["to"][1] - top), s.get("value"))


def crop(s, image, face):
    if s["region"] == "center":
        x1, y1 = (len(image[0]) - s["size"][0]) // 2, (len(image) - s["size"][1]) // 2
        return window(image, (x1, y1, x1 + s["size"][0], y1 + s["size"][1]), s.get("value"))
    x1, y1, x2, y2 = face["box"]
    width, height = x2 - x1, y2 - y1
    side = (
        (max if s["aspect"] == "square_longer" else min)(width, height) * (1 + 2 * s["margin"]) / 2
    )
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    low, high = {"nearest": (ROUND["half_up"],) * 2, "outward": (math.floor, math.ceil)}[
        s["box_rounding"]
    ]
    x1, y1, x2, y2 = low(cx - side), low(cy - side), high(cx + side), high(cy + side)
    return window(image, (x1, y1, x2, y1 + x2 - x1), s.get("value"))


def align(s, image, face):
    size, p = s["size"][0], face["landmarks"]
    q = [(x * size / 112, y * size / 112) for x, y in ARCFACE]
    (px, py), (qx, qy) = ([sum(v[k] for v in points) / 5 for k in (0, 1)] for points in (p, q))
    pairs = [(x - px, y - py, u - qx, v - qy) for (x, y), (u, v) in zip(p, q)]
    square = sum(x * x + y * y for x, y, _, _ in pairs)
    a = sum(x * u + y * v for x, y, u, v in pairs) / square
    b = sum(x * v - y * u for x, y, u, v in pairs) / square
    tx, ty, d = qx - (a * px - b * py), qy - (b * px + a * py), a * a + b * b
    rows = (a / d, b / d, -(a * tx + b * ty) / d), (-b / d, a / d, (b * tx - a * ty) / d)
    out = [[[] for _ in range(size)] for _ in range(size)]
    for y, x in product(range(size), repeat=2):
        sx, sy = (
            math.floor((round((e * y + t) * 1024) + 16 + round(r * x * 1024)) / 32) / 32
            for r, e, t in rows
        )
        x0, y0 = math.floor(sx), math.floor(sy)
        fx, fy = sx - x0, sy - y0
        (nw, ne), (sw, se) = window(image, (x0, y0, x0 + 2, y0 + 2), s["border"])
        out[y][x] = [
            to_pixel(
                (1 - fy) * ((1 - fx) * k + fx * m) + fy * ((1 - fx) * n + fx * o), s["rounding"]
            )
            for k, m, n, o in zip(nw, ne, sw, se)
        ]
    return out


def single(v):
    """Return the float32 nearest to v, ties to even."""
    return struct.unpack("<f", struct.pack("<f", v))[0]


def quantize(s, v):
    """v and scale as float32, divided in float32 (a float64 quotient of two float32 rounds to the same float32)."""
    quotient = Fraction(single(single(v) / single(s["scale"])))
    steps = ROUND[s["rounding"]](quotient) + s["zero_point"]
    low, high = {"int8": (-128, 127), "uint8": (0, 255)}[s["dtype"]]
    return max(low, min(high, steps))


def quantize_in_float64(s, v):
    """The rule as the first version's documents stated it: nobody said that the numbers are float32."""
    return max(-128, min(127, round(v / s["scale"]) + s["zero_point"]))


def tensor(stages, data, face, rule=quantize):
    """Return the numbers of the NCHW tensor of a frame."""
    image = decode(stages[0], data)
    for s in stages[1:]:
        if s["op"] in ("crop", "align"):
            image = {"crop": crop, "align": align}[s["op"]](s, image, face)
        elif s["op"] in ("color", "resize", "pad"):
            image = {"color": color, "resize": resize, "pad": pad}[s["op"]](s, image)
        elif s["op"] == "orient" and s["transform"] == "rotate90":
            image = turned(image[::-1])
        elif s["op"] == "normalize":
            mean, scale = (s[k] * (3 // len(s[k])) for k in ("mean", "scale"))
            unit = 255 if s["units"] == "0-1" else 1
            image = [
                [[(v / unit - m) / z for v, m, z in zip(p, mean, scale)] for p in row]
                for row in image
            ]
        elif s["op"] == "quantize":
            image = mapped(image, lambda v, s=s: rule(s, v))
    return [pixel[c] for c in range(3) for row in image for pixel in row]

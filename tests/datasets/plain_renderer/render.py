"""Draw one head: meshes → z-buffer → paint → light → premultiplied colour, coverage, depth and ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from facelab.datasets.synthetic._render import Layer, Look, View
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._light import Lighting
from facelab.datasets.synthetic.camera._optics import FULL
from facelab.datasets.synthetic.geometry._expression import Features
from tests.datasets.plain_renderer import parts
from tests.datasets.plain_renderer.curves import LONG_STYLES
from tests.datasets.plain_renderer.filters import area_resize
from tests.datasets.plain_renderer.head import HeadMesh, detail_level, head_mesh
from tests.datasets.plain_renderer.light import ambient_occlusion, shade
from tests.datasets.plain_renderer.noise import lookup
from tests.datasets.plain_renderer.numerics import (
    F,
    bell,
    power,
    rotate,
    rotation,
    sq,
    step,
    unit,
    wave,
)
from tests.datasets.plain_renderer.paint import (
    cover_with_hair,
    linear,
    paint_face,
    paint_hair,
)
from tests.datasets.plain_renderer.raster import NOTHING, quads, rasterize

HEAD, EAR, BODY, CURTAIN, FRAME, LENS = range(6)
PIVOT = np.array([0, -0.55, -0.15], F)
FACE_AZIMUTH, FACE_TOP = (
    1.10,
    0.62,
)  # the part of the head that the box encloses: chin to hairline, cheek to cheek


@dataclass
class _Surface:
    kind: int
    points: np.ndarray  # posed, (rows, columns, 3)
    normals: np.ndarray
    u: np.ndarray
    v: np.ndarray
    w: np.ndarray


def _grid_normals(p: np.ndarray) -> np.ndarray:
    du, dv = np.empty_like(p), np.empty_like(p)
    du[:, 1:-1], du[:, 0], du[:, -1] = p[:, 2:] - p[:, :-2], p[:, 1] - p[:, 0], p[:, -1] - p[:, -2]
    dv[1:-1], dv[0], dv[-1] = p[2:] - p[:-2], p[1] - p[0], p[-1] - p[-2]
    cross = np.stack(
        [
            dv[..., 1] * du[..., 2] - dv[..., 2] * du[..., 1],
            dv[..., 2] * du[..., 0] - dv[..., 0] * du[..., 2],
            dv[..., 0] * du[..., 1] - dv[..., 1] * du[..., 0],
        ],
        -1,
    )
    return unit(cross)


def _pose(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return rotate(points - PIVOT, matrix) + PIVOT


def _surfaces(
    f: Features, head: HeadMesh, view: View, scale: float, eyewear: str, with_body: bool
) -> list[_Surface]:
    """Return every mesh of the head, posed. `scale` is the working scale in pixels per 100 mm."""
    turn = rotation(view.yaw, view.pitch, view.roll)
    theta = np.broadcast_to(head.theta, head.x.shape)
    out = [
        _Surface(
            HEAD,
            _pose(head.points, turn),
            rotate(_grid_normals(head.points), turn),
            head.x,
            head.y,
            theta,
        )
    ]
    who = f.who
    fine = max(14, min(46, int(scale * 0.55)))

    def add(kind: int, grid: parts.Grid, front: bool = False) -> None:
        points, u, v = grid
        normals = rotate(_grid_normals(points), turn)
        if kind in (FRAME, LENS):
            normals = np.broadcast_to(np.array([0, 0.3, 0.95], F), normals.shape)
        else:
            normals = np.where(normals[..., 2:] < 0, -normals, normals)
        out.append(_Surface(kind, _pose(points, turn), normals, u, v, np.zeros_like(u)))

    if not (who.hair_style in ("long", "longfringe") and who.hair_volume > 0.09):
        for side in (-1, 1):
            add(EAR, parts.ear(f, side, head.sections, fine))
    if who.hair_style in LONG_STYLES:
        for side in (-1, 1):
            add(CURTAIN, parts.hair_curtain(f, side, 2 * fine + 18))
    if eyewear != "none":
        frame, lenses = parts.glasses(f, eyewear, max(32, min(120, int(scale))))
        for grid in frame:
            add(FRAME, grid)
        for grid in lenses:
            add(LENS, grid)
    if with_body:
        out.append(_body(f, view, scale, turn))
    return out


def _body(f: Features, view: View, scale: float, turn: np.ndarray) -> _Surface:
    lowest = (view.centre[1] - view.size[1]) / view.scale * 1.35 - 0.3
    points, u, v = parts.body(f, scale, lowest)
    still = rotation(view.yaw * 0.25, 0, view.roll * 0.15)
    a, b = _pose(points, still), _pose(points, turn)
    points = a + step(0.13, 0, v)[..., None].astype(F) * (b - a)  # the neck's top follows the head
    return _Surface(BODY, points, _grid_normals(points), u, v, np.zeros_like(u))


# ---------------------------------------------------------------- paint of what is not the face
def _paint_ear(f: Features, u, v):
    skin = linear(f.who.skin) * np.array([1, 0.86, 0.86], F)
    hollow = 0.35 * bell(sq((u - 0.72) / 0.12)) + 0.45 * bell(sq((u - 0.25) / 0.2) + sq(v / 0.45))
    return skin * (1 - hollow)[:, None], np.full(len(u), 0.7 * f.who.gloss, F), np.ones(len(u), F)


def _paint_body(f: Features, outfit: int, u, v):
    r = Stream("outfit", f.who.number, outfit)
    cloth = [0.05 + 0.8 * r.unit() for _ in range(3)]
    mean = (cloth[0] + cloth[1] + cloth[2]) / 3
    cloth = linear([mean + (c - mean) * r.uniform(0.1, 0.8) for c in cloth])
    rounded = wave(np.clip(u, -1.5, 1.5) + F(1.5707964))
    neckline = 0.153 + 0.06 * r.unit() * rounded
    covered = step(-0.006, 0.006, v - neckline)
    pattern = r.integer(4)
    if pattern == 1:
        tone = 1 + 0.25 * np.sign(wave(v * 260))
    elif pattern == 2:
        tone = 1 + 0.25 * np.sign(wave(u * 30))
    else:
        tone = 1 + (0.12 if pattern else 0.04) * lookup("cloud", u * 60, v * 300)
    skin = linear(f.who.skin) * F(0.92) * (1 + 0.03 * lookup("cloud", u * 80 + 5, v * 200))[:, None]
    albedo = skin + covered[:, None] * (cloth * tone[:, None] - skin)
    occlusion = 1 - 0.25 * bell(sq((v - neckline) / 0.012)) - 0.35 * step(0.10, 0, v)
    return albedo, 0.3 * f.who.gloss * (1 - covered), occlusion


def _paint_lens(f: Features, u, v):
    dark = np.array([0.010, 0.011, 0.013], F)
    sheen = 0.02 + 0.05 * step(-0.1, 0.25, v + u * 0.3)
    return dark + sheen[:, None].astype(F), np.full(len(u), 0.15, F), np.ones(len(u), F)


def _wear_mask(f: Features, paint, x, y) -> None:
    """Cover nose, mouth and chin with a pleated surgical mask."""
    top = f.who.nose_tip_y + 0.20 - 0.30 * np.abs(x)
    share = step(0, 0.02, top - y)
    pleats = 1 - 0.10 * step(0.3, 1, wave(y * 40))
    colour = np.array([0.52, 0.66, 0.74], F) * pleats[:, None]
    paint.mix(share.astype(F), colour)
    paint.gloss *= 1 - 0.8 * share
    paint.occlusion += share * (1 - 0.3 * step(0.03, 0, top - y) - paint.occlusion)
    paint.eye *= 1 - share


# ---------------------------------------------------------------- the picture
@cache
def _gamma_codes() -> np.ndarray:
    """Return the code value 0 … 4095 of linear light k / 65535, rounded."""
    return np.rint(power(np.arange(65536) / 65535.0, 1 / 2.2) * FULL).astype(np.int32)


def supersampling(scale: float) -> float:
    """Return how many samples a pixel's side gets: more for small faces, whose features are finer than pixels."""
    return 1.5 if scale > 40 else 2.0 if scale > 12 else 3.0


def render(
    f: Features,
    view: View,
    look: Look,
    lighting: Lighting,
    *,
    exposure: float = 1.0,
    eyewear: str | None = None,
    mask: bool = False,
    outfit: int = 0,
    with_body: bool = True,
) -> Layer:
    """Draw a head (see View and Layer). `eyewear` None wears the identity's own glasses; `exposure` 1 is nominal."""
    factor = supersampling(view.scale)
    w, h = round(view.size[0] * factor), round(view.size[1] * factor)
    ratio = (w / view.size[0], h / view.size[1])
    scale = view.scale * factor
    head = head_mesh(f, detail_level(scale))
    eyewear = f.who.glasses if eyewear is None else eyewear
    surfaces = _surfaces(f, head, view, scale, eyewear, with_body)

    def project(points: np.ndarray) -> np.ndarray:
        k = view.distance / (view.distance - points[..., 2].astype(np.float64))
        return np.stack(
            [
                (view.centre[0] + view.scale * points[..., 0] * k) * ratio[0],
                (view.centre[1] - view.scale * points[..., 1] * k) * ratio[1],
            ],
            -1,
        )

    pixels, kinds, g, depth = _draw(surfaces, project, (w, h))
    albedo, gloss, openness, normal = _paint_all(f, look, view, kinds, g, 1 / scale, mask, outfit)
    hit = np.zeros(h * w, bool)
    hit[pixels] = True
    hit = hit.reshape(h, w)
    ao = ambient_occlusion(depth, hit, scale)
    light = shade(
        albedo, normal, gloss, ao.ravel()[pixels] * openness, pixels, depth, hit, lighting, scale
    )
    on_face = (kinds == HEAD) & (np.abs(g[:, 5]) < FACE_AZIMUTH) & (g[:, 4] < FACE_TOP)
    light = _meter(light, on_face & (np.abs(g[:, 5]) < 0.8) & (g[:, 4] < 0.3), f, exposure)
    colour, alpha = _develop(light, pixels, hit, view.size)
    truth = _truth(f, head, surfaces[0], project, view, ratio, depth, int(on_face.sum()))
    near_y = np.minimum(((np.arange(view.size[1]) + 0.5) * ratio[1]).astype(np.int64), h - 1)
    near_x = np.minimum(((np.arange(view.size[0]) + 0.5) * ratio[0]).astype(np.int64), w - 1)
    millimetres = np.where(depth > NOTHING, (F(view.distance) - depth) * F(100), F(np.nan))[near_y][
        :, near_x
    ]
    face = np.zeros(h * w, bool)
    face[pixels[on_face]] = True
    return Layer(colour, alpha, millimetres, *truth, face.reshape(h, w)[near_y][:, near_x])


def _draw(surfaces: list[_Surface], project, size):
    """Rasterise surfaces; return (pixels, their kinds, attributes nx ny nz u v w, depth image)."""
    screen, z, triangles, kinds, attributes, start = [], [], [], [], [], 0
    for s in surfaces:
        rows, columns = s.u.shape
        screen.append(project(s.points).reshape(-1, 2))
        z.append(s.points[..., 2].ravel())
        t = quads(rows, columns)
        triangles.append(t + np.int32(start))
        kinds.append(np.full(len(t), s.kind, np.uint8))
        attributes.append(
            np.concatenate(
                [
                    s.normals.reshape(-1, 3),
                    s.u.reshape(-1, 1),
                    s.v.reshape(-1, 1),
                    s.w.reshape(-1, 1),
                ],
                1,
            )
        )
        start += rows * columns
    pixels, winner, g, depth = rasterize(
        np.concatenate(screen),
        np.concatenate(z),
        np.concatenate(triangles),
        np.concatenate(attributes),
        size,
    )
    return pixels, np.concatenate(kinds)[winner], g, depth


def _paint_all(
    f: Features, look: Look, view: View, kinds, g, pixel: float, mask: bool, outfit: int
):
    """Return (albedo, gloss, painted occlusion, unit normals) of the visible points."""
    n = len(kinds)
    albedo, gloss, occlusion = np.zeros((n, 3), F), np.zeros(n, F), np.ones(n, F)
    normal = unit(g[:, :3])
    k = np.flatnonzero(kinds == HEAD)
    if len(k):
        albedo[k], gloss[k], occlusion[k], normal[k] = _paint_head(
            f, look, view, g[k], normal[k], pixel, mask
        )
    for kind, painter in (
        (EAR, _paint_ear),
        (LENS, _paint_lens),
        (BODY, lambda f, u, v: _paint_body(f, outfit, u, v)),
    ):
        k = np.flatnonzero(kinds == kind)
        if len(k):
            albedo[k], gloss[k], occlusion[k] = painter(f, g[k, 3], g[k, 4])
    k = np.flatnonzero(kinds == CURTAIN)
    if len(k):
        albedo[k], shine = paint_hair(f, g[k, 3], g[k, 4])
        gloss[k] = shine * 0.8
    k = np.flatnonzero(kinds == FRAME)
    albedo[k], gloss[k] = linear(f.who.glasses_colour), 0.8
    return albedo, gloss, occlusion, normal


def _paint_head(f: Features, look: Look, view: View, g, normal, pixel: float, mask: bool):
    x, y, theta = g[:, 3], g[:, 4], g[:, 5]
    p = paint_face(f, look, x, y, theta, pixel)
    if mask:
        _wear_mask(f, p, x, y)
    normal = normal.copy()
    normal[:, 2] = np.abs(normal[:, 2])
    if pixel < 1 / 60:  # pores are relief too
        relief = 0.045 * (1 - p.eye)
        normal[:, 0] += relief * lookup("pore", (x + 3) * 520, (y + 3) * 520)
        normal[:, 1] += relief * lookup("pore", (x + 3) * 520 + 99, (y + 3) * 520 + 57)
    k = np.flatnonzero(p.eye > 0)
    if len(k):
        flat = sq(p.eye_normal[k, 0]) + sq(p.eye_normal[k, 1])
        ball = np.stack(
            [p.eye_normal[k, 0], p.eye_normal[k, 1], np.sqrt(np.clip(1 - flat, 0.1, 1))], 1
        )
        ball = rotate(ball, rotation(view.yaw, view.pitch, view.roll))
        normal[k] += p.eye[k][:, None] * (ball - normal[k])
    cover_with_hair(f, p, x, y, theta)
    return p.albedo, p.gloss, p.occlusion, unit(normal)


def _meter(light, on_face, f: Features, exposure: float):
    """Scale the light so that the median of the face has a luminance that fits its skin."""
    skin = linear(f.who.skin)
    target = exposure * 0.60 * power(float(skin[0] + skin[1] + skin[2]) / 3, 0.8)
    lit = (light[on_face, 0] + light[on_face, 1] + light[on_face, 2]) * F(1 / 3)
    level = float(np.sort(lit)[len(lit) // 2]) if len(lit) else 0.2
    return light * F(target / max(level, 1e-3))


def _develop(light, pixels, hit, size):
    """Return premultiplied colour (h, w, 3) 0 … 4095 and coverage (h, w) 0 … 1 at the picture's size."""
    h, w = hit.shape
    toned = np.clip(light / (1 + F(0.18) * light), 0, 1)
    planes = np.zeros((h * w, 4), np.int32)
    planes[pixels, :3] = _gamma_codes()[np.rint(toned * F(65535)).astype(np.int32)]
    planes[pixels, 3] = 1
    small = area_resize(planes.reshape(h, w, 4), size)
    return small[..., :3], small[..., 3]


def _truth(
    f: Features,
    head: HeadMesh,
    posed: _Surface,
    project,
    view: View,
    ratio,
    depth,
    face_pixels: int,
):
    """Return (box, landmarks, landmark visibility, share of the turned-to-us face that is visible)."""
    on_face = (np.abs(posed.w) < FACE_AZIMUTH) & (head.y < FACE_TOP)
    screen = project(posed.points)
    scale = np.array(ratio)
    flat = screen[on_face]
    box = np.concatenate([flat.min(0) / scale, flat.max(0) / scale])
    points = _pose(_landmark_points(f, head), rotation(view.yaw, view.pitch, view.roll))
    place = project(points)
    h, w = depth.shape
    visible = np.zeros(5, bool)
    for k, (px, py) in enumerate(np.floor(place).astype(np.int64).tolist()):
        if 0 <= px < w and 0 <= py < h:
            visible[k] = bool(depth[py, px] - points[k, 2] < 0.08)
    area = _facing_area(screen, on_face)
    return box, place / scale, visible, min(1.0, face_pixels / max(area, 1.0))


def _facing_area(screen: np.ndarray, on_face: np.ndarray) -> float:
    """Return the projected area (pixels) of the face's mesh cells that are turned to the camera."""
    d1, d2 = screen[1:, 1:] - screen[:-1, :-1], screen[:-1, 1:] - screen[1:, :-1]
    cells = (d1[..., 0] * d2[..., 1] - d1[..., 1] * d2[..., 0]) * -0.5
    inside = on_face[1:, 1:] & on_face[:-1, :-1]
    # whole 1/256 pixels, so that the sum is exact
    return float(np.rint(np.clip(cells, 0, None)[inside] * 256).astype(np.int64).sum()) / 256


def _landmark_points(f: Features, head: HeadMesh) -> np.ndarray:
    """Return the five ArcFace landmarks on the unposed head: eyes, nose tip, mouth corners, left in the image first."""
    who = f.who
    eye_y = who.eye_y + (f.lid_upper - f.lid_lower) * 0.15
    corner = f.mouth_y + f.mouth_corner
    wanted = (
        (-who.eye_x, eye_y),
        (who.eye_x, eye_y),
        (0.0, who.nose_tip_y + 0.03 * f.au(9)),
        (-f.mouth_width, corner),
        (f.mouth_width, corner),
    )
    middle = head.x.shape[1] // 2
    margin = head.x.shape[1] // 6
    out = []
    for x, y in wanted:
        row = int(np.argmin(np.abs(head.y[:, middle] - y)))
        column = int(np.argmin(np.abs(head.x[row, margin:-margin] - x))) + margin
        out.append(
            (
                x,
                head.points[row, column, 1] + (y - head.y[row, column]),
                head.points[row, column, 2],
            )
        )
    return np.array(out, F)

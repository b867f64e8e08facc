"""The compiled renderer against a plain one in NumPy: the same formulas, written for whole arrays, drawn finer."""

import numpy as np
import pytest

from facelab.datasets import synthetic
from facelab.datasets.synthetic._render import View
from facelab.datasets.synthetic.geometry._expression import pose_features
from facelab.datasets.synthetic.tasks import _make as recipes
from tests.datasets.plain_renderer import filters as plain_filters
from tests.datasets.plain_renderer import render as plain


def both(recipe, size):
    """Return the layers of one recipe by the compiled and by the plain renderer."""
    view = recipes.view_of(recipe, size)
    compiled = recipes.draw_layer(recipe, view)
    simple = plain.render(
        pose_features(recipe.person, recipe.action_units),
        view,
        recipes.look_of(recipe),
        recipe.lighting,
        exposure=recipe.exposure,
        eyewear=recipe.eyewear,
        mask=recipe.mask,
        outfit=recipe.outfit,
    )
    return compiled, simple


@pytest.mark.parametrize(
    "size, index",
    [(160, 0), (160, 4), (48, 1), (32, 2), (96, 3)]
    + [pytest.param(s, k, marks=pytest.mark.slow) for s in (32, 96, 160) for k in range(5, 15)],
)
def test_a_head_looks_as_the_plain_renderer_draws_it(size, index):
    changes = ({}, {"mask": True}, {"eyewear": "sun"}, {"yaw": 60.0}, {"eyewear": "round"})
    recipe = synthetic.recipe(3, index, size=size, **changes[index % len(changes)])
    compiled, simple = both(recipe, size)
    # the plain one has a different mesh and more samples: the noise of skin and hair differs from pixel to pixel
    error = np.abs(compiled.colour - simple.colour) * (255 / 4095)
    assert error.mean() < 3.0, "levels of 255, mean over the picture"
    soft_a, soft_b = (
        plain_filters.area_resize(np.rint(x.colour).astype(np.int64), (size // 8, size // 8))
        for x in (compiled, simple)
    )
    away = np.abs(soft_a - soft_b) * (255 / 4095)
    assert away.mean() < 2.0 and away.max() < 25.0, "levels of 255, means of 8×8 pixels"
    assert np.abs(compiled.alpha - simple.alpha).mean() < 0.012
    # the plain one's box ends at a row of its mesh
    assert np.abs(compiled.box - simple.box).max() < 0.022 * size + 0.3
    assert np.abs(compiled.landmarks - simple.landmarks).max() < 0.012 * size
    assert compiled.visible.tolist() == simple.visible.tolist()
    assert abs(compiled.visibility - simple.visibility) < 0.05
    known = np.isfinite(compiled.depth) & np.isfinite(simple.depth)
    assert known.sum() > 0.97 * np.isfinite(simple.depth).sum()
    assert np.median(np.abs(compiled.depth[known] - simple.depth[known])) < 2.0, "millimetres"


@pytest.mark.parametrize("shape", [(37, 50), (8, 8), (64, 33)])
def test_blur_resampling_and_jpeg_are_the_plain_ones_to_the_bit(shape):
    from facelab.datasets.synthetic.camera import _filters as filters
    from facelab.datasets.synthetic.camera import _jpeg as jpeg

    r = np.random.default_rng(sum(shape))
    image = r.integers(0, 4096, (*shape, 3))
    for sigma in (0.4, 1.7, 4.0):
        blurred = filters.gaussian_blur(image, sigma)
        np.testing.assert_array_equal(blurred, plain_filters.gaussian_blur(image, sigma))
    x, y = r.uniform(-3, 60, (2, 20, 11))
    np.testing.assert_array_equal(
        filters.bilinear_sample(image, x, y), plain_filters.bilinear_sample(image, x, y)
    )
    picture = (image >> 4).astype(np.uint8)
    for quality in (5, 50, 77, 100):
        np.testing.assert_array_equal(
            jpeg.jpeg_losses(picture, quality), plain_filters.jpeg_losses(picture, quality)
        )


def test_no_view_leaves_a_gap_in_a_head():
    recipe = synthetic.recipe(3, 1, size=64, glasses="none")
    for yaw in (-75, -49, 0, 49, 75):
        for pitch in (-45, 0, 45):
            view = View((64, 64), (32, 30), 18, yaw, pitch)
            alpha = recipes.draw_layer(synthetic.change(recipe, yaw=yaw, pitch=pitch), view).alpha
            rows = alpha > 0.5
            spans = [np.flatnonzero(row) for row in rows if row.sum() > 2]
            holes = sum(int(s[-1] - s[0] + 1 - len(s)) for s in spans)
            assert holes <= 0.04 * rows.sum(), (yaw, pitch, holes)

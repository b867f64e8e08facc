"""Buffers read by another rule than they were written: each reading's places against bytes that are really misread."""

import numpy as np
import pytest

from facelab.fingerprint.search.candidates._buffers import ALIGNMENTS, readings, taken

RNG = np.random.default_rng(5)
UNKNOWN = -1.0


def written(picture, bytes_per_pixel, row):
    """The picture's buffer with rows of `row` bytes, alpha 255; bytes that nobody wrote are `UNKNOWN`."""
    h, w, _ = picture.shape
    pixels = np.full((h, w, bytes_per_pixel), 255.0)
    pixels[..., :3] = picture
    out = np.full((h, row), UNKNOWN)
    out[:, : w * bytes_per_pixel] = pixels.reshape(h, -1)
    return out.ravel()


def read(buffer, shape, bytes_per_pixel, row):
    """A picture that a program reads from `buffer`, going beyond its end."""
    h, w, _ = shape
    longer = np.full(h * row, UNKNOWN)
    longer[: min(len(buffer), h * row)] = buffer[: h * row]
    return longer.reshape(h, row)[:, : w * bytes_per_pixel].reshape(h, w, -1)[..., :3]


def misread(picture):
    """Every reading, byte by byte: {(written, read): what comes out}."""
    shape = h, w, _ = picture.shape
    tight = written(picture, 3, 3 * w)
    out = {
        ("four bytes a pixel, stride 4", "three bytes a pixel, stride 3"): read(
            written(picture, 4, 4 * w), shape, 3, 3 * w
        ),
        ("three bytes a pixel, stride 3", "four bytes a pixel, stride 4"): read(
            tight, shape, 4, 4 * w
        ),
        ("channel planes", "read as interleaved pixels without a transpose"): np.moveaxis(
            picture, 2, 0
        ).reshape(shape),
        ("interleaved pixels", "read as channel planes without a transpose"): np.moveaxis(
            tight.reshape(3, h, w), 0, 2
        ),
        ("column by column", "read row by row without a transpose"): picture.swapaxes(0, 1).reshape(
            shape
        ),
    }
    for name, n in (("three", 3), ("four", 4)):
        for align in ALIGNMENTS:
            row = -(-n * w // align) * align
            if row != n * w:
                words = f"rows of {name}-byte pixels padded to {align} bytes"
                padded, plain = written(picture, n, row), written(picture, n, n * w)
                out[words, "the row stride is ignored"] = read(padded, shape, n, n * w)
                out["rows without padding", words] = read(plain, shape, n, row)
    for n in (1, 2, 4, 8, 16, 54):
        words = f"{n} byte" + "s" * (n > 1)
        early = np.concatenate([np.full(n, UNKNOWN), tight[:-n]])
        late = np.concatenate([tight[n:], np.full(n, UNKNOWN)])
        out["from its first byte", f"from {words} before it"] = early.reshape(shape)
        out["from its first byte", f"from {words} after it"] = late.reshape(shape)
    for share, words in ((1 / 4, "a quarter"), (1 / 3, "a third"), (1 / 2, "half"), (3 / 4, "3/4")):
        for order, axes in (("interleaved", (0, 1, 2)), ("planar", (2, 0, 1))):
            buffer = picture.transpose(axes).ravel().copy()
            buffer[int(len(buffer) * share) :] = 0
            back = buffer.reshape([shape[a] for a in axes]).transpose(np.argsort(axes))
            out["the whole buffer", f"only {words} of the {order} bytes are copied"] = back
    return out


@pytest.mark.parametrize("size", [(13, 9), (16, 16), (85, 7), (30, 41)])
def test_each_reading_takes_its_values_from_where_a_program_would(size):
    w, h = size
    picture = RNG.uniform(1, 254, (h, w, 3))
    rows, columns = sorted({0, 1, h // 2, h - 1}), sorted({0, 2, w // 3, w - 1})
    want = misread(picture)
    seen = {(a, b): taken(picture, at) for a, b, at in readings(size, rows, columns)}
    assert seen.keys() == want.keys()
    for key, values in seen.items():
        expected = want[key][np.ix_(rows, columns)]
        np.testing.assert_array_equal(
            np.nan_to_num(values, nan=UNKNOWN), expected, err_msg=str(key)
        )

"""The probe set is the same bytes everywhere, its files are well-formed, and it excites what it is there for."""

import io
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from facelab.core.errors import BadInputError
from facelab.fingerprint.diagnosis._finding_kinds import KINDS
from facelab.fingerprint.probes import _set as probes
from facelab.fingerprint.probes import encode_png
from facelab.fingerprint.probes._codecs import encode_jpeg
from facelab.preprocess.align import ARCFACE_112, umeyama
from facelab.preprocess.image import read_image

# A changed hash makes every fingerprint incomparable: raise probes.VERSION with it.
HASH_OF_VERSION_1 = "35aaed3914d28ae2beccd1089077e307ec58c1269f9e83e0d952c13ed01ee0e1"
IMAGES = probes.image_probes()


def test_the_set_is_the_committed_one():
    assert (probes.VERSION, probes.set_hash()) == ("1", HASH_OF_VERSION_1)


def test_a_processor_without_vector_units_makes_the_same_bytes():
    from numpy._core._multiarray_umath import __cpu_dispatch__

    code = "from facelab.fingerprint import probes; print(probes.set_hash())"
    env = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__),
    }
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env
    )
    assert out.stdout.strip() == HASH_OF_VERSION_1, out.stderr


@pytest.mark.parametrize("probe", IMAGES, ids=lambda p: p.name)
def test_pillow_and_opencv_decode_each_image_alike(probe):
    image = Image.open(io.BytesIO(probe.data))
    assert image.size == probe.size and image.format.lower() == probe.format
    upright = read_image(probe.data)
    assert np.array_equal(upright, probe.upright())
    theirs = cv2.imdecode(np.frombuffer(probe.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(theirs[..., ::-1], upright)


def test_names_and_files_are_unique_and_faces_are_in_the_pictures():
    everything = probes.probe_set()
    assert len({p.name for p in everything}) == len({p.file for p in everything}) == len(everything)
    for p in everything:
        h, w = p.upright().shape[:2]
        points = np.array(p.face["landmarks"])
        assert ((points > 0) & (points < (w, h))).all(), p.name
        x1, y1, x2, y2 = p.face["box"]
        assert 0 <= x1 < x2 <= w and 0 <= y1 < y2 <= h, (p.name, p.face["box"])
        turned = umeyama(points, ARCFACE_112)
        assert abs(turned[1, 0]) > 0.1 * abs(turned[0, 0]), (
            "an upright face would not show a missing alignment"
        )


def test_the_drawn_eyes_are_where_the_landmarks_say():
    for name in ("face", "face_small"):
        probe = next(p for p in IMAGES if p.name == name)
        pixels = probe.pixels.astype(int)
        for x, y in probe.face["landmarks"][:2]:
            assert pixels[round(y), round(x)].max() < 60, "the pupil is dark"


def test_every_kind_that_a_probe_can_show_is_excited():
    kinds = {k for p in probes.probe_set() for k in p.excites}
    # of the layout and of numbers that were scaled twice or never, a probe shows what any other probe shows
    assert kinds >= set(KINDS) - {
        "batch_axis",
        "double_normalization",
        "missing_normalization",
        "unknown",
    }


def test_pictures_are_not_symmetric_under_any_flip_or_quarter_turn():
    for name in ("marks", "text", "portrait", "face", "bars"):
        x = next(p for p in IMAGES if p.name == name).pixels
        for turned in (x[::-1], x[:, ::-1], x[::-1, ::-1]):
            assert np.abs(x.astype(int) - turned).mean() > 5, name
        square = x[:96, :96].astype(int)
        for k in (1, 3):
            assert np.abs(square - np.rot90(square, k)).mean() > 3, name


def test_quarter_levels_come_back_when_averaged():
    x = next(p for p in IMAGES if p.name == "ramps").pixels[-32:, :, 0].astype(float)
    means = x.reshape(16, 2, 128, 2).mean(axis=(1, 3))
    assert {0.0, 0.25, 0.5, 0.75} <= set((means % 1).ravel())


def test_exif_probes_show_one_picture_in_eight_ways():
    one = next(p for p in IMAGES if p.name == "exif_1").pixels
    for i in range(1, 9):
        probe = next(p for p in IMAGES if p.name == f"exif_{i}")
        assert np.array_equal(probe.pixels, one), "stored pixels are the same"
        shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(probe.data))))
        assert np.array_equal(probe.upright(), shown)


@pytest.mark.parametrize("fmt", probes.RAW_FORMATS)
@pytest.mark.parametrize("size", [(160, 120), (64, 48), (320, 180)])
def test_raw_frames_have_their_size_and_hold_the_picture(fmt, size):
    frames = probes.raw_probes(fmt, size)
    assert len(frames) == (9 if fmt in ("yuyv", "nv12") else 7)
    for p in frames:
        assert p.size == size and p.pixels.shape == (size[1], size[0], 3)
    if fmt in ("yuyv", "nv12"):
        full = next(p for p in frames if p.name.startswith("bars_full")).pixels[..., 0]
        limited = next(
            p for p in frames if p.name.startswith("bars_y" if fmt == "yuyv" else "bars_n")
        ).pixels[..., 0]
        assert (full.min(), full.max()) == (0, 255) and (limited.min(), limited.max()) == (16, 235)


def test_opencv_reads_the_yuv_frames_back_as_the_picture():
    w, h = probes.RAW_SIZE
    picture = probes.raw_probes("rgb24")[0].pixels.astype(int)
    yuyv = np.frombuffer(probes.raw_probes("yuyv")[0].data, np.uint8).reshape(h, w, 2)
    nv12 = np.frombuffer(probes.raw_probes("nv12")[0].data, np.uint8).reshape(h * 3 // 2, w)
    for frame, code in ((yuyv, cv2.COLOR_YUV2RGB_YUY2), (nv12, cv2.COLOR_YUV2RGB_NV12)):
        assert np.median(np.abs(cv2.cvtColor(frame, code).astype(int) - picture)) <= 1


def test_raw_probes_of_impossible_sizes_and_formats_are_refused():
    for fmt, size in (
        ("yuyv", (63, 48)),
        ("nv12", (64, 49)),
        ("rgb24", (8, 8)),
        ("yv12", (64, 48)),
    ):
        with pytest.raises(BadInputError):
            probes.raw_probes(fmt, size)


def test_own_codecs_on_odd_sizes_and_hard_content():
    rng = np.random.default_rng(3)
    for w, h in ((1, 1), (7, 9), (17, 16), (33, 8)):
        rgb = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        assert np.array_equal(read_image(encode_png(rgb)), rgb)
        flat = np.full((h, w, 3), 77, np.uint8)
        for sub in ("4:4:4", "4:2:0"):
            assert (
                np.abs(read_image(encode_jpeg(flat, subsampling=sub)).astype(int) - 77).max() <= 1
            )
            noisy = read_image(encode_jpeg(rgb, subsampling=sub, quality=100))
            assert noisy.shape == rgb.shape
            if sub == "4:4:4":
                assert np.abs(noisy.astype(int) - rgb).max() <= 4, (
                    "quality 100 loses only roundings"
                )
    large = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert np.array_equal(read_image(encode_png(large)), large), "more than one stored block"


def test_write_probes_writes_what_the_readme_says(tmp_path):
    folder = probes.write_probes(tmp_path / "a/b")
    listing = json.loads((folder / "probes.json").read_text())
    assert listing["hash"] == HASH_OF_VERSION_1 and listing["schema"] == "facelab.probes/1"
    readme = (folder / "README.md").read_text()
    for row, probe in zip(listing["probes"], probes.probe_set(), strict=True):
        assert (folder / row["file"]).read_bytes() == probe.data
        assert f"| `{probe.name}` | `{probe.file}` |" in readme
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInputError, match="folder"):
        probes.write_probes(tmp_path / "file")

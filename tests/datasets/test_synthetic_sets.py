"""Sets on disk and scenes: files as promised, resumed, the same for any workers, errors that say what to do."""

import csv
import io
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from facelab import cli
from facelab.commands.data import command
from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_array, sha256_file
from facelab.core.png import encode_png
from facelab.datasets import synthetic
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._shade import openness
from facelab.datasets.synthetic.camera import _filters as filters
from facelab.datasets.synthetic.camera import _jpeg as jpeg
from facelab.datasets.synthetic.geometry._raster import NOTHING
from facelab.datasets.synthetic.output import _rows as rows
from facelab.datasets.synthetic.output import _writer as writer
from facelab.datasets.synthetic.tasks import _liveness as liveness
from facelab.datasets.synthetic.tasks import _pairs as pairs
from facelab.datasets.synthetic.tasks import _scenes as scenes
from facelab.datasets.synthetic.tasks import _sets as sets
from facelab.datasets.synthetic.tasks._scenes import SUBSETS

LEADING = (
    "file identity emotion intensity yaw pitch roll x1 y1 x2 y2 "
    "lx0 ly0 lx1 ly1 lx2 ly2 lx3 ly3 lx4 ly4"
)


def plane_residual(depth: np.ndarray, box: np.ndarray) -> float:
    """Return the robust RMS distance (mm) of a face's depth from its best plane.

    A flat print leaves a few millimetres, a face more than ten: the simplest test for liveness.
    """
    x1, y1, x2, y2 = (int(v) for v in np.rint(box))
    d = depth[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)].astype(np.float64)
    yy, xx = np.mgrid[0 : d.shape[0], 0 : d.shape[1]] / max(1, d.shape[0])
    columns = [xx, yy, np.ones_like(xx)]
    design = np.stack(columns, -1)
    known = d > 0
    if known.sum() < 50:
        return 0.0
    known &= np.abs(d - np.median(d[known])) < 150
    keep = known
    for _ in range(3):
        solution, *_ = np.linalg.lstsq(design[keep], d[keep], rcond=None)
        residual = np.abs(d - design @ solution)
        keep = known & (residual < 3.5 * (1.4826 * float(np.median(residual[known])) + 0.5))
    return float(np.sqrt(np.mean(residual[keep] ** 2)))


def write(folder, name, n, size=32, workers=1, seed=7, **options):
    return writer.write_set(
        writer.make_request(name, seed, size, **options), n, folder, workers=workers
    )


def table(path):
    with Path(path).open(newline="") as f:
        return list(csv.DictReader(f))


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def emotion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emotion") / "set"
    write(folder, "emotion", 24, size=48)
    return folder


@pytest.fixture(scope="module")
def verification(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verification") / "set"
    write(folder, "verification", 124, size=16)
    return folder


def test_labels_start_with_the_promised_columns(emotion):
    header = (emotion / "labels.csv").read_text().splitlines()[0].split(",")
    assert " ".join(header[:21]) == LEADING
    labels = table(emotion / "labels.csv")
    assert len(labels) == 24
    for k, row in enumerate(labels):
        s = synthetic.sample(7, k, size=48)
        assert row["file"] == f"images/{k:06d}.png" and (emotion / row["file"]).is_file()
        assert float(row["x1"]) == pytest.approx(s.box[0], abs=0.01)
        assert float(row["ly4"]) == pytest.approx(s.landmarks[4, 1], abs=0.01)
        assert (row["emotion"], int(row["identity"]), row["split"]) == (
            s.emotion,
            s.identity,
            s.split,
        )
        with Image.open(emotion / row["file"]) as im:
            assert (np.asarray(im) == s.image).all()


def test_the_manifest_has_true_hashes_of_files_and_pixels(emotion):
    manifest = json.loads((emotion / "manifest.json").read_text())
    assert (
        manifest["schema"] == "facelab.synthetic/1"
        and manifest["n"] == 24
        and manifest["seed"] == 7
    )
    on_disk = set(contents(emotion)) - {"manifest.json", ".journal.jsonl"}
    assert set(manifest["files"]) == on_disk
    for name, facts in manifest["files"].items():
        assert sha256_file(emotion / name) == facts["sha256"]
        if "pixels_sha256" in facts:
            with Image.open(emotion / name) as im:
                assert sha256_array(np.asarray(im)) == facts["pixels_sha256"]
    with Image.open(emotion / "contact_sheet.png") as im:
        assert im.width > 500 and np.asarray(im).std() > 20


def test_an_interrupted_run_is_taken_up_without_drawing_twice(emotion, tmp_path):
    folder = tmp_path / "again"
    write(folder, "emotion", 9, size=48)
    (folder / "images/000003.png").write_bytes(b"cut short")
    (folder / "images/000005.png").unlink()
    with (folder / ".journal.jsonl").open("a") as f:
        f.write('\n{"index": 9, "fil')
    untouched = (folder / "images/000004.png").stat().st_mtime_ns
    done = write(folder, "emotion", 24, size=48)
    assert done.drawn == 24 - 9 + 2
    assert (folder / "images/000004.png").stat().st_mtime_ns == untouched
    assert contents(folder) == contents(emotion)
    assert write(folder, "emotion", 24, size=48).drawn == 0


def test_an_interruption_leaves_whole_files_only(tmp_path):
    class Stop(Exception):
        pass

    def stop_after_four(entries, total):
        for k, entry in enumerate(entries):
            if k == 4:
                raise Stop
            yield entry

    request = writer.make_request("emotion", 7, 32)
    with pytest.raises(Stop):
        writer.write_set(request, 10, tmp_path / "s", progress=stop_after_four)
    for path in (tmp_path / "s").rglob("*.png"):
        Image.open(path).load()
    assert not (tmp_path / "s/manifest.json").exists()
    assert writer.write_set(request, 10, tmp_path / "s").drawn == 5


@pytest.mark.parametrize("name, n", [("emotion", 8), ("detection", 3), ("liveness", 8)])
def test_two_workers_write_the_same_bytes(tmp_path, name, n):
    size = 128 if name == "detection" else 32
    write(tmp_path / "a", name, n, size, workers=1)
    write(tmp_path / "b", name, n, size, workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_folder_with_something_else_is_refused(tmp_path, emotion):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    with pytest.raises(BadInputError, match="not empty"):
        write(tmp_path / "mine", "emotion", 3)
    with pytest.raises(BadInputError, match="another set"):
        write(emotion, "emotion", 30, size=48, seed=8)
    with pytest.raises(BadInputError, match="more pictures"):
        write(emotion, "emotion", 5, size=48)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="not a folder"):
        write(tmp_path / "file", "emotion", 3)
    assert (tmp_path / "mine/thesis.txt").read_text() == "precious"


# ---------------------------------------------------------------- verification
def test_pairs_are_lfws_layout(verification):
    labels = {row["file"]: row for row in table(verification / "labels.csv")}
    base = table(verification / "pairs.csv")
    assert list(base[0]) == ["fold", "a", "b", "same"]
    assert {int(p["fold"]) for p in base} == set(range(10))
    people = defaultdict(set)
    for p in base:
        a, b = labels[p["a"]], labels[p["b"]]
        assert (a["identity"] == b["identity"]) == (p["same"] == "1")
        assert a["factor"] == b["factor"] == "" and a["file"] != b["file"]
        people[p["fold"]] |= {a["identity"], b["identity"]}
    for fold, count in Counter((p["fold"], p["same"]) for p in base).items():
        assert count == 12, fold
    assert len(set.union(*people.values())) == sum(len(s) for s in people.values()), (
        "folds share nobody"
    )
    assert len({(p["a"], p["b"]) for p in base}) == len(base)


def test_hard_pairs_change_one_factor(verification):
    labels = {row["file"]: row for row in table(verification / "labels.csv")}
    hard = table(verification / "pairs_hard.csv")
    assert {p["factor"] for p in hard} == set(synthetic.HARD_FACTORS)
    for p in hard:
        a, b = labels[p["a"]], labels[p["b"]]
        assert a["factor"] == "anchor" and b["factor"] == p["factor"]
        assert (a["identity"] == b["identity"]) == (p["same"] == "1")
        if p["same"] == "1" and p["factor"] != "pose":
            assert (a["yaw"], a["pitch"], a["roll"]) == (b["yaw"], b["pitch"], b["roll"])
        if p["factor"] == "pose":
            assert abs(float(b["yaw"])) >= 40 > abs(float(a["yaw"]))


def test_pairs_txt_reads_as_lfw(verification):
    lines = (verification / "pairs.txt").read_text().splitlines()
    folds, size = map(int, lines[0].split("\t"))
    assert folds == 10 and len(lines) == 1 + folds * 2 * size
    for k, line in enumerate(lines[1:]):
        parts = line.split("\t")
        genuine = k // size % 2 == 0
        assert len(parts) == (3 if genuine else 4)
        shots = [(parts[0], parts[1]), (parts[0], parts[2])] if genuine else [parts[:2], parts[2:]]
        for person, number in shots:
            assert (verification / f"images/{person}/{person}_{int(number):04d}.png").is_file()


def test_verification_places_are_unique_files():
    request = rows.Request("verification", 7, (16, 16))
    assert len({rows.file_name(request, k) for k in range(1000)}) == 1000
    with pytest.raises(BadInputError, match="ten folds"):
        writer.write_set(request, 39, "unused")


@settings(max_examples=20, deadline=None)
@given(st.integers(40, 2000), st.integers(0, 99))
def test_base_pairs_are_balanced_for_any_number(n, seed):
    found = pairs.base_pairs(seed, n)
    counts = Counter((p.fold, p.same) for p in found)
    for fold in range(10):
        assert counts[fold, 1] >= 2 and 0 < counts[fold, 0] <= counts[fold, 1]
        assert counts[fold, 0] == counts[fold, 1]
    for p in found:
        a, b = (sets.verification_place(k) for k in (p.a, p.b))
        assert (a["identity"] == b["identity"]) == bool(p.same) and a["fold"] == b["fold"] == p.fold


# ---------------------------------------------------------------- detection
def test_scene_annotations_are_widers(tmp_path):
    write(tmp_path / "s", "detection", 6, size=320)
    every = table(tmp_path / "s/labels.csv")
    labels = [row for row in every if row["x1"]]
    by_file = defaultdict(list)
    for row in labels:
        by_file[row["file"]].append(row)
    lines = (tmp_path / "s/wider_face_bbx_gt.txt").read_text().splitlines()
    seen = 0
    while lines:
        name, count = lines.pop(0), int(lines.pop(0))
        assert count == len(by_file[name])
        boxes = [list(map(int, lines.pop(0).split())) for _ in range(max(1, count))]
        for row, (x, y, w, h, *flags) in zip(by_file[name], boxes, strict=False):
            assert (
                abs(x - float(row["x1"])) <= 0.51
                and abs(y + h - float(row["y2"])) <= 0.51
                and w > 0
            )
            assert len(flags) == 6 and flags[3] == int(row["invalid"])
        seen += 1
    assert seen == 6
    for easy, medium, hard in (tuple(int(r[k]) for k in SUBSETS) for r in labels):
        assert easy <= medium <= hard
    from facelab.datasets._wider import load_ground_truth

    truth = load_ground_truth(tmp_path / "s")
    assert sum(map(len, truth.boxes)) == len(labels)


def test_pictures_without_a_face_have_a_row_that_detectors_labels_read(tmp_path):
    from facelab.detection import read_labels

    seed = next(s for s in range(200) if scenes._count(Stream(s, "detection", 0, "scene")) == 0)
    write(tmp_path / "s", "detection", 2, size=96, seed=seed)
    rows_of = defaultdict(list)
    for row in table(tmp_path / "s/labels.csv"):
        rows_of[row["file"]].append(row)
    assert set(rows_of) == {"images/000000.png", "images/000001.png"}
    empty = rows_of["images/000000.png"]
    assert len(empty) == 1 and empty[0]["x1"] == "" and empty[0]["split"]
    labels = read_labels(tmp_path / "s/labels.csv")
    assert labels.counts["images/000000.png"] == 0
    assert labels.boxes["images/000000.png"].shape == (0, 4)


def test_scenes_hold_what_was_asked_for():
    assert synthetic.scene(1, 0, (160, 120), faces=0).faces == ()
    drawn = synthetic.scene(1, 1, (320, 240), faces=4, smallest=30, largest=60)
    assert 1 <= len(drawn.faces) <= 4 and drawn.image.shape == (240, 320, 3)
    for face in drawn.faces:
        assert 24 < face.height < 75
        assert 0 <= face.visibility <= 1
    counts = [scenes._count(Stream(k)) for k in range(2000)]
    assert min(counts) == 0 and max(counts) >= 29 and max(counts) <= 30
    with pytest.raises(BadInputError):
        synthetic.scene(1, 0, smallest=50, largest=20)


def test_a_nearer_person_hides_the_one_behind():
    hidden = [
        f
        for k in range(5)
        for f in synthetic.scene(4, k, (240, 180), faces=14, smallest=16).faces
        if f.visibility < 0.6 and not f.recipe.mask and f.recipe.eyewear != "sun"
    ]
    assert hidden and all(f.occlusion == 2 for f in hidden)
    assert any(not f.visible.all() for f in hidden)


# ---------------------------------------------------------------- liveness
def test_live_faces_have_relief_and_spoofs_have_none(tmp_path):
    write(tmp_path / "s", "liveness", 24, size=64)
    found = defaultdict(list)
    for row in table(tmp_path / "s/labels.csv"):
        with Image.open(tmp_path / "s" / row["depth"]) as im:
            depth = np.asarray(im)
        assert depth.max() <= liveness.MAX_MILLIMETRES and (depth == 0).mean() < 0.4
        box = np.array([float(row[k]) for k in ("x1", "y1", "x2", "y2")])
        found[row["kind"]].append(plane_residual(depth, box))
    assert set(found) == set(liveness.KINDS)
    assert min(found["live"]) > 6 > max(found["print_flat"] + found["screen"])
    assert np.mean(found["print_bent"]) > 1.3 * np.mean(found["print_flat"])


# ---------------------------------------------------------------- command line
def test_the_command_writes_json_and_resumes(tmp_path):
    arguments = [
        "synth",
        "--set",
        "emotion",
        "--n",
        "6",
        "--seed",
        "7",
        "--size",
        "32",
        "--out",
        str(tmp_path / "d"),
        "--workers",
        "1",
        "--json",
        "--depth",
    ]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["pictures"] == told["drawn"] == told["faces"] == 6
    assert len(list((tmp_path / "d/depth").glob("*.png"))) == 6
    assert json.loads(CliRunner().invoke(command, arguments).stdout)["drawn"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "emotions", "--n", "3"],
        ["--set", "emotion", "--n", "0"],
        ["--set", "emotion", "--n", "3", "--size", "4"],
        ["--set", "verification", "--n", "20"],
        ["--set", "detection", "--n", "3", "--depth"],
        ["--set", "detection", "--n", "3", "--size", "32"],
        ["--set", "emotion", "--n", "3", "--seed", "-1"],
        ["--set", "emotion", "--n", "3", "--workers", "0"],
        ["--set", "emotion"],
    ],
)
def test_bad_options_end_with_code_2_and_write_nothing(tmp_path, arguments, capsys):
    assert cli.run(["data", "synth", *arguments, "--out", str(tmp_path / "d")]) == 2
    assert not (tmp_path / "d").exists()
    assert "Traceback" not in capsys.readouterr().err


# ---------------------------------------------------------------- files and filters
@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))),
        hnp.arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    )
)
def test_any_picture_survives_png(image):
    with Image.open(io.BytesIO(encode_png(image))) as im:
        assert (np.asarray(im).astype(image.dtype) == image).all()


def test_png_copes_with_very_uneven_counts():
    # Fibonacci-like counts ask for codes longer than deflate's 15 bits
    counts = [1, 1]
    while len(counts) < 22:
        counts.append(counts[-1] + counts[-2])
    image = np.repeat(np.arange(22, dtype=np.uint8), counts)[None]
    with Image.open(io.BytesIO(encode_png(image))) as im:
        assert (np.asarray(im) == image).all()
    with pytest.raises(BadInputError):
        encode_png(np.zeros((4, 4), np.float32))


def test_jpeg_losses_are_like_a_real_jpegs():
    image = synthetic.sample(7, 2, size=96, jpeg=None).image
    for quality in (20, 60, 90):
        data = io.BytesIO()
        Image.fromarray(image).save(data, "JPEG", quality=quality, subsampling=2)
        with Image.open(data) as im:
            real = np.asarray(im).astype(int)
        ours = jpeg.jpeg_losses(image, quality).astype(int)
        real_loss, our_loss = (np.sqrt(((x - image) ** 2).mean()) for x in (real, ours))
        # libjpeg smooths enlarged chroma and we do not: alike in size, and nearer to it than to the source
        assert 0.8 < our_loss / real_loss < 1.3, quality
        assert (
            np.abs(ours[..., 1] - real[..., 1]).mean()
            < 0.8 * np.abs(image[..., 1] - real[..., 1]).mean() + 0.6
        )


def _naive_openness(depth, scale, strength):
    """Return the openness by sums over explicit windows, in float64."""
    out, hit = np.ones(depth.shape), depth > NOTHING
    steps = np.where(hit, np.rint(depth.astype(float) * 4096), 0) / 4096
    for reach, gain in ((0.055, 2.6), (0.20, 1.15)):
        r = max(1, int(reach * scale))
        for i, j in np.argwhere(hit):
            window = np.s_[max(0, i - r) : i + r + 1, max(0, j - r) : j + r + 1]
            mean = steps[window].sum() / max(hit[window].sum(), (2 * r + 1) ** 2 // 50 + 1)
            behind = (mean - float(depth[i, j]) - 0.01) * gain * strength
            out[i, j] *= 1 - min(max(behind, 0), 0.6)
    return out


@pytest.mark.parametrize("scale", [10.0, 40.0])
def test_openness_is_the_mean_over_windows(scale):
    r = np.random.default_rng(3)
    depth = (r.random((23, 31)) * 2 - 0.7).astype(np.float32)
    depth[r.random(depth.shape) < 0.3] = NOTHING
    got, hit = openness(depth, scale, 0.82), depth > NOTHING
    # float32 factors: a step is 6e-8
    np.testing.assert_allclose(got[hit], _naive_openness(depth, scale, 0.82)[hit], atol=1e-6)


def test_gaussian_blur_agrees_with_scipy():
    from scipy.ndimage import gaussian_filter

    image = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype(np.int32)
    for sigma in (0.7, 1.5, 4.0):
        theirs = gaussian_filter(image.astype(float), sigma, mode="nearest", truncate=3)
        assert np.abs(filters.gaussian_blur(image, sigma) - theirs).max() < 8, sigma
    assert sum(filters.gaussian_taps(2.3)) == 4096


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(2)),
        elements=st.integers(0, 4095),
    ),
    st.integers(1, 15),
    st.integers(1, 15),
)
def test_area_resize_keeps_the_mean(image, width, height):
    small = filters.area_resize(image, (width, height))
    assert small.shape == (height, width, 2)
    np.testing.assert_allclose(small.mean((0, 1)), image.mean((0, 1)), rtol=1e-12)


def test_many_faces_show_themselves_in_a_notebook():
    from facelab.datasets import synthetic

    shown = synthetic.generate("emotion", 3, seed=7, size=24)._repr_html_()
    assert "3 faces of" in shown and "data:image/png;base64," in shown and "<table>" in shown

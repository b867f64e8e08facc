"""Embedders on real labelled pairs, against their owners' code, and on stand-ins of every family's signature."""

import csv

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facelab import detection, embedding
from facelab.commands import eval_embedder
from facelab.core.errors import BadInputError
from facelab.detection import Detector
from facelab.embedding import internals as embedding_internals
from facelab.embedding._acquire import main_face
from facelab.embedding.internals import (
    ALIGNMENTS,
    MISTAKES,
    boxes_from_landmarks,
    find_face,
    mistaken,
    with_alignment,
)


@pytest.fixture(scope="session")
def pairs(assets):
    """Return the pairs of LFW people, of labelled press photographs and of a series: not ORL, not the hard ones."""
    every = embedding.read_pairs(assets / "labelled" / "identity_pairs.csv")
    return every.take(np.isin(every.group, ["lfw", "deepface", "ageitgey", "bbt", "openface"]))


@pytest.fixture(scope="session")
def faces(mirror, pairs):
    files = embedding_internals.locate(pairs, mirror / "labelled")
    return embedding_internals.acquire(detection.load("yunet-n", threads=1, max_side=640), files)


@pytest.fixture(scope="session")
def mobile(mirror):
    return embedding.load("mobilefacenet", threads=1)


@pytest.fixture(scope="session")
def dlib_resnet():
    return embedding.load("dlib-resnet")


def accuracy(distance, same, threshold):
    return ((distance < threshold) == same).mean()


def test_every_image_has_a_face(faces):
    assert not faces.failures and not faces.errors


def test_mobilefacenet_on_real_pairs(faces, pairs, mobile):
    """ASSETS.md: accuracy .998 at cosine .325. Here .998 is reached at .385, and .997 at .325."""
    d = embedding.pair_distances(mobile, embedding.embed_faces(mobile, faces), pairs)
    assert accuracy(d, pairs.same, 2 - 2 * 0.385) >= 0.998
    assert accuracy(d, pairs.same, 2 - 2 * 0.325) >= 0.996
    lfw = pairs.group == "lfw"
    impostors, genuine = np.sort(d[lfw & ~pairs.same]), d[lfw & pairs.same]
    assert (genuine < impostors[0]).mean() >= 0.99


def test_preprocessing_mistakes_cost_what_assets_says(faces, pairs, mobile):
    """ASSETS.md, TPR at FPR .1 % on LFW people: right .998, BGR .989, x/255 only .973, raw .036."""
    lfw = pairs.take(pairs.group == "lfw")
    some = embedding_internals.Faces({n: faces.found[n] for n in lfw.images}, {})
    share = {}
    for mistake in (None, *MISTAKES[:3]):
        model = mobile if mistake is None else mobile.with_spec(mistaken(mobile.spec, mistake))
        d = embedding.pair_distances(model, embedding.embed_faces(model, some), lfw)
        share[mistake] = (d[lfw.same] < np.sort(d[~lfw.same])[0]).mean()
    assert share[None] >= 0.99
    assert 0.90 <= share["swapped channels"] <= share[None]
    assert 0.90 <= share["x/255 only"] <= share[None]
    assert share["raw 0-255"] < 0.3


def test_dlib_equals_dlib(faces, pairs, dlib_resnet):
    """1e-4 between our embedding and dlib's own, on real faces; its published accuracy is reached."""
    import dlib

    predictor, network = dlib_resnet.points.handle, dlib_resnet.model.handle
    for name in pairs.images[:12]:
        image, face = faces.found[name]
        x1, y1, x2, y2 = (round(float(v)) for v in face.boxes[0])
        shape = predictor(image, dlib.rectangle(x1, y1, x2 - 1, y2 - 1))
        theirs = np.array(network.compute_face_descriptor(image, shape))
        ours = dlib_resnet.embed_detections(image, face)[0]
        assert np.abs(ours - theirs).max() < 1e-4
    lfw = pairs.take(pairs.group == "lfw")
    some = embedding_internals.Faces({n: faces.found[n] for n in lfw.images}, {})
    d = embedding.pair_distances(dlib_resnet, embedding.embed_faces(dlib_resnet, some), lfw)
    assert accuracy(d, lfw.same, 0.36) >= 0.97  # 0.6 on plain L2, as its owner compares


def test_alignment_matters_in_the_known_order(faces, pairs, mobile):
    lfw = pairs.take(pairs.group == "lfw")
    some = embedding_internals.Faces({n: faces.found[n] for n in lfw.images}, {})
    gap = {}
    for how in ALIGNMENTS:
        model = mobile.with_spec(with_alignment(mobile.spec, how))
        d = embedding.pair_distances(model, embedding.embed_faces(model, some), lfw)
        gap[how] = np.median(d[~lfw.same]) - np.median(d[lfw.same])
    assert gap["umeyama"] > gap["none"] + 0.1
    assert abs(gap["umeyama"] - gap["affine3"]) < 0.1


def test_crops_and_landmarks_give_one_embedding(faces, pairs, mobile):
    from facelab.preprocess.align import align_opencv

    image, face = faces.found[pairs.images[0]]
    crop = align_opencv(image, face.landmarks[0])
    whole = mobile.embed(image, face.landmarks)
    # the crop is rounded to whole levels once more on either way, by the same warp
    assert np.abs(mobile.embed(crop) - whole).max() < 5e-3
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    raw = mobile.embed(image, face.landmarks, normalise=False)
    assert np.allclose(raw / np.linalg.norm(raw), whole, atol=1e-6)
    assert mobile.embed(np.stack([crop, crop])).shape == (2, 128)
    assert mobile.embed(image, np.zeros((0, 5, 2))).shape == (0, 128)


def test_batches_of_any_size_give_the_same_and_bound_what_the_network_sees(
    faces, mobile, monkeypatch
):
    """All faces went through the network at once: a thousand crops were a thousand tensors in memory."""
    image, face = next(f for f in faces.found.values() if f is not None)
    points, boxes = np.repeat(face.landmarks, 7, 0), np.repeat(face.boxes, 7, 0)
    points = points + np.arange(7)[:, None, None].astype(np.float32)
    want = mobile.embed(image, points, boxes=boxes)
    seen, run = [], mobile._all
    monkeypatch.setattr(mobile, "_all", lambda makers: seen.append(len(makers)) or run(makers))
    for batch, sizes in ((1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (32, [7])):
        seen.clear()
        got = mobile.embed(image, points, boxes=boxes, batch=batch)
        assert seen == sizes and got.shape == want.shape
        # other batch sizes take other kernels: the last bits of float32 sums
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert mobile.timings.run > 0
    crops = np.random.default_rng(1).integers(0, 255, (5, 112, 112, 3)).astype(np.uint8)
    np.testing.assert_allclose(mobile.embed(crops, batch=2), mobile.embed(crops), atol=1e-5)
    assert mobile.embed(image, np.zeros((0, 5, 2))).shape == (0, mobile.dim)
    with pytest.raises(BadInputError, match="at least one face"):
        mobile.embed(crops, batch=0)
    with pytest.raises(BadInputError, match="as many landmarks as boxes"):
        mobile.embed(image, points, boxes=boxes[:3])


def test_boxes_from_landmarks_overlap_dlibs_own(faces, pairs):
    from facelab.detection.internals import overlap

    hog, shares = detection.load("dlib-hog"), []
    for name in [n for n in pairs.images if n.startswith("identity/lfw")][:12]:
        image, face = faces.found[name]
        found = hog.detect(image)
        shares.append(
            overlap(boxes_from_landmarks(face.landmarks.astype(float)), found.boxes).max(initial=0)
        )
    assert np.median(shares) > 0.7


def stand_in(path, dim=64, size=112, batch=1):
    """Write an ONNX embedder: per-channel means of image quarters, times a fixed matrix."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node(
            "AveragePool", ["x"], ["p"], kernel_shape=[size // 4] * 2, strides=[size // 4] * 2
        ),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, dim])],
        [numpy_helper.from_array(rng.standard_normal((48, dim)).astype(np.float32), "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path
    )
    return path


@pytest.mark.parametrize("family", ["arcface", "mobilefacenet", "adaface", "sface", "facenet"])
@pytest.mark.parametrize("batch", [1, "n"])
def test_each_family_on_a_stand_in(family, batch, tmp_path):
    size = 160 if family == "facenet" else 112
    model = embedding.load(stand_in(tmp_path / "m.onnx", size=size, batch=batch), family=family)
    image = np.random.default_rng(0).integers(0, 256, (200, 180, 3), dtype=np.uint8)
    points = np.array([[[60, 80], [110, 80], [85, 105], [65, 135], [105, 135]]] * 2, dtype=float)
    boxes = np.array([[40, 40, 130, 160]] * 2, dtype=float)
    out = model.embed(image, points, boxes=boxes)
    assert out.shape == (2, 64) and out.dtype == np.float32 and np.array_equal(out[0], out[1])
    assert model.embed(image[:size, :size]).shape == (1, 64)
    with pytest.raises(BadInputError, match="size the model takes"):
        model.embed(image)
    with pytest.raises(BadInputError, match="finds a face by its"):
        model.embed(image, **({"landmarks": points} if family == "facenet" else {"boxes": boxes}))


def test_adaface_sees_bgr_and_sface_raw_pixels(tmp_path):
    path = stand_in(tmp_path / "m.onnx")
    red = np.zeros((112, 112, 3), np.uint8)
    red[..., 0] = 255
    models = {f: embedding.load(path, family=f) for f in ("arcface", "adaface", "sface")}
    assert np.allclose(
        models["adaface"].embed(red), models["arcface"].embed(red[..., ::-1]), atol=1e-6
    )
    raw = models["sface"].embed(red, normalise=False)
    scaled = models["arcface"].embed(red, normalise=False)
    zero = models["arcface"].embed(np.zeros_like(red), normalise=False)
    assert np.allclose(raw / 127.5, scaled - zero, atol=1e-4)


def test_misfits_are_refused(tmp_path, mirror):
    with pytest.raises(BadInputError, match="does not fit"):
        embedding.load(stand_in(tmp_path / "m.onnx", size=96), family="arcface")
    with pytest.raises(BadInputError, match="not an embedding"):
        embedding.load(stand_in(tmp_path / "n.onnx"), family="arcface", dim=512)
    with pytest.raises(BadInputError, match="needs its spec or its family"):
        embedding.load(tmp_path / "n.onnx")
    with pytest.raises(BadInputError, match="did you mean"):
        embedding.load("mobilefacenett")
    with pytest.raises(BadInputError, match="not a dlib embedder"):
        embedding.load(tmp_path / "n.onnx", family="dlib")


class Shy(Detector):
    """Finds one face, and only where there is room around it."""

    family, score_threshold = "shy", 0.5

    def _run(self, rgb):
        box = np.array([[60.0, 60, 90, 90]])
        n = int(rgb.shape[0] > 100)
        return detection.Detections(box[:n], np.ones(n), np.tile(box[:n, None, :2] + 5, (1, 5, 1)))


def test_the_main_face_is_large_and_central_and_tight_crops_are_tried_with_a_border():
    boxes = np.array([[0, 0, 60, 60], [80, 80, 130, 130], [90, 90, 100, 100]], dtype=float)
    assert main_face(detection.Detections(boxes, np.ones(3)), (200, 200)) == 1
    found = find_face(Shy("shy"), np.zeros((80, 100, 3), np.uint8))
    # a border of half the longer side was added, and is taken off again
    assert found.boxes.tolist() == [[10, 10, 40, 40]] and found.landmarks[0, 0].tolist() == [15, 15]
    assert find_face(Shy("shy"), np.zeros((20, 30, 3), np.uint8)) is None


def test_pairs_are_read_strictly(tmp_path):
    def write(text):
        path = tmp_path / "p.csv"
        path.write_text(text)
        return path

    good = embedding.read_pairs(
        write("a,b,same,dataset\nx/1.jpg,x/2.jpg,1,d\nx/1.jpg,y/1.jpg,0,d\n")
    )
    assert (
        good.first.tolist() == ["x", "x"]
        and good.group.tolist() == ["d", "d"]
        and len(good.images) == 3
    )
    # the folders contradict the labels: nobody knows who these people are
    assert embedding.read_pairs(write("a,b,same\nx/1.jpg,x/2.jpg,0\n")).first is None
    for text in ("a,b\n1,2\n", "a,b,same\nx,y,2\n", "a,b,same\n,y,1\n", ""):
        with pytest.raises(BadInputError):
            embedding.read_pairs(write(text))
    with pytest.raises(BadInputError, match="missing"):
        embedding_internals.locate(good, tmp_path)


def test_a_failure_to_acquire_is_never_accepted_and_stays_in(mobile):
    rows = {
        "a": np.ones(128, np.float32),
        "b": np.ones(128, np.float32),
        "c": np.full(128, np.nan, np.float32),
    }
    names = np.array(["a", "a"]), np.array(["b", "c"])
    pairs = embedding.PairList(*names, np.array([True, True]), None, None, np.array(["g", "g"]))
    d = embedding.pair_distances(mobile, rows, pairs)
    assert d[0] == 0 and np.isinf(d[1])
    assert embedding.by_group(d, pairs, 1.0)[0] | {"naive_lo": 0, "naive_hi": 0} == {
        "group": "g",
        "pairs": 2,
        "genuine": 2,
        "failed": 1,
        "far": None,
        "frr": 0.5,
        "accuracy": 0.5,
        "naive_lo": 0,
        "naive_hi": 0,
    }


def test_order_is_mixed_only_where_folds_would_be_of_one_kind():
    sorted_pairs = np.repeat([True, False], 100)
    order = embedding_internals.mixed_order(sorted_pairs)
    assert sorted(order) == list(range(200))
    shares = [sorted_pairs[order][i : i + 20].mean() for i in range(0, 200, 20)]
    assert min(shares) >= 0.4 and max(shares) <= 0.6
    assert embedding_internals.mixed_order(np.tile(np.repeat([True, False], 10), 10)) is None


def test_the_command_reports_what_the_functions_give(mirror, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from facelab.commands.eval_embedder import command

    source = mirror / "labelled" / "identity_pairs.csv"
    with source.open() as f:
        rows = [r for r in csv.DictReader(f) if r["dataset"] == "bbt"]
    path = tmp_path / "pairs.csv"
    path.write_text(
        "a,b,same,dataset\n" + "".join(f"{r['a']},{r['b']},{r['same']},bbt\n" for r in rows)
    )
    out = CliRunner().invoke(
        command,
        [
            "--model",
            "mobilefacenet",
            "--pairs",
            str(path),
            "--images",
            str(mirror / "labelled"),
            "--detector",
            "mtcnn",
            "--bootstrap",
            "50",
            "--json",
            str(tmp_path / "o.json"),
            "--out",
            str(tmp_path / "e.npz"),
        ],
    )
    assert out.exit_code == 0, out.output
    import json

    value = json.loads((tmp_path / "o.json").read_text())
    assert (
        value["accuracy"] >= 0.95
        and value["counts"]["pairs"] == 80
        and value["groups"][0]["group"] == "bbt"
    )
    with np.load(tmp_path / "e.npz", allow_pickle=False) as z:
        assert set(z) == {"a", "b", "same", "failed", "ids"} and z["a"].shape == (80, 128)


def test_a_group_of_pairs_without_groups_names_the_missing_column():
    names = np.array(["1.jpg", "2.jpg"])
    pairs = embedding.PairList(names, names, np.array([True, False]), None, None, None)
    with pytest.raises(BadInputError, match="the list of pairs has no groups") as caught:
        eval_embedder._chosen(pairs, ("lfw",))
    assert "column `group`" in str(caught.value)

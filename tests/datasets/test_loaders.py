"""Loaders: real annotation files read whole, and one tiny broken file per failure mode, named with its line."""

import pickle

import numpy as np
import pytest

from facelab.core.errors import BadInputError, FacelabError, MissingAssetError
from facelab.datasets import _fer2013 as fer2013
from facelab.datasets import _image_folder as image_folder
from facelab.datasets import _lfw as lfw
from facelab.datasets import _wider as wider


def test_lfw_pairs(assets):
    pairs = lfw.load_pairs(assets / "annotations" / "lfw_pairs.txt")
    assert len(pairs) == 6000
    assert np.array_equal(pairs.same, np.tile(np.r_[np.ones(300, bool), np.zeros(300, bool)], 10))
    assert np.array_equal(pairs.id_a == pairs.id_b, pairs.same)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("2\t1\nA\t1\n", ":2"),
        ("1\t1\nA\tx\t2\n", ":2"),
        ("10\t300\nA\t1\t2\n", ":1"),
        ("a,b,same\nx/1.jpg,y/2.jpg,maybe\n", ":2"),
    ],
)
def test_broken_pairs_are_named_with_their_line(text, where, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(BadInputError) as e:
        lfw.load_pairs(path)
    assert e.value.where.endswith(where)


def test_packs_are_read_without_running_what_is_inside(tmp_path):
    path = tmp_path / "x.bin"
    images = [np.frombuffer(b"jpeg%d" % i, np.uint8) for i in range(4)]
    path.write_bytes(pickle.dumps(([images[0].tobytes(), *images[1:]], [True, False])))
    got, same = lfw.load_bin(path)
    assert got == [b"jpeg0", b"jpeg1", b"jpeg2", b"jpeg3"]
    assert same.tolist() == [True, False]
    path.write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "run") + b"'\ntR.")
    with pytest.raises(BadInputError, match="not an InsightFace pack"):
        lfw.load_bin(path)
    assert not (tmp_path / "run").exists()
    path.write_bytes(pickle.dumps(([b"x"], [True])))
    with pytest.raises(BadInputError, match="two images per pair"):
        lfw.load_bin(path)


def test_wider_ground_truth(assets):
    truth = wider.load_ground_truth(assets / "annotations")
    assert len({e for e, _ in truth.names}) == 61
    assert (len(truth.names), sum(map(len, truth.boxes))) == (3226, 39708)
    assert {k: int(v.sum()) for k, v in truth.subsets.items()} == {
        "easy": 7211,
        "medium": 13319,
        "hard": 31958,
    }
    assert not (truth.subsets["easy"] & ~truth.subsets["medium"]).any()
    assert sum(int(m.sum()) for m in wider.size_masks(truth).values()) == 39708


def test_wider_text_forms(tmp_path):
    path = tmp_path / "wider_face_val_bbx_gt.txt"
    path.write_text(
        "0--P/a.jpg\n1\n1 2 3 4 2 0 1 0 1 0\n0--P/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n0--P/c.jpg\n1\n"
        "5 6 7 8 0 0 0 1 0 0\n"
    )
    truth = wider.load_ground_truth(tmp_path)
    assert truth.names == [("0--P", "a"), ("0--P", "b"), ("0--P", "c")]
    assert [b.tolist() for b in truth.boxes] == [[[1, 2, 3, 4]], [], [[5, 6, 7, 8]]]
    assert truth.subsets["all"].tolist() == [True, False]
    assert wider.attribute_masks(truth, "blur")["heavy"].tolist() == [True, False]
    path.write_text("0--P/a.jpg\n1\n1 2 3\n")
    with pytest.raises(BadInputError) as e:
        wider.load_text(path)
    assert e.value.where.endswith(":3")


@pytest.mark.parametrize("break_it", ["missing", "damaged", "empty"])
def test_broken_wider_ground_truth(break_it, tmp_path):
    if break_it == "damaged":
        (tmp_path / "wider_face_val.mat").write_bytes(b"MATLAB 5.0" + bytes(200))
    with pytest.raises(FacelabError) as e:
        wider.load_ground_truth(tmp_path / "nowhere" if break_it == "missing" else tmp_path)
    assert e.value.exit_code == 2


def test_fer2013(tmp_path):
    path = tmp_path / "fer2013.csv"
    pixels = " ".join(["7"] * 2304)
    path.write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n6,{pixels},PublicTest\n")
    got = fer2013.load_fer2013(path)
    assert got.images.shape == (2, 48, 48)
    assert [fer2013.FER2013_CLASSES[k] for k in got.label] == ["joy", "neutral"]
    for text, where in [
        ("emotion,Usage\n", ":1"),
        (f"emotion,pixels\n9,{pixels}\n", ":2"),
        ("emotion,pixels\n1,1 2 3\n", ":2"),
        (f"emotion,pixels\n1,{pixels},x\n", ":2"),
    ]:
        path.write_text(text)
        with pytest.raises(BadInputError) as e:
            fer2013.load_fer2013(path)
        assert e.value.where.endswith(where)
    with pytest.raises(MissingAssetError):
        fer2013.load_fer2013(tmp_path / "nowhere.csv")


def test_ferplus_votes(assets):
    got = fer2013.load_ferplus(assets / "annotations" / "ferplus_test_label.csv")
    assert got.votes.shape[1] == 10
    assert (got.votes.sum(axis=1) == 10).mean() > 0.99
    assert set(got.majority()) <= {"", *fer2013.FERPLUS_COLUMNS[:8]}


def test_image_folder(tmp_path):
    for name in ("happy/1.jpg", "happy/sub/2.PNG", "calm/3.jpg", "contempt/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    table = {"happy": "joy", "calm": "neutral", "contempt": ""}
    got = image_folder.load_image_folder(tmp_path, table=table)
    assert (got.labels, got.dropped) == (["neutral", "joy", "joy"], 1)
    with pytest.raises(BadInputError, match="not in the table"):
        image_folder.load_image_folder(tmp_path, table={"happy": "joy"})
    with pytest.raises(BadInputError, match="fewer than two classes"):
        image_folder.load_image_folder(tmp_path, table={**table, "calm": "joy"})
    (tmp_path / "sad").mkdir()
    with pytest.raises(BadInputError, match="holds no image"):
        image_folder.load_image_folder(tmp_path)

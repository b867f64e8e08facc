"""Folders, CSV files, FER2013 and FER+; every bad input of the issue ends in an error that names the file."""

import csv

import cv2
import numpy as np
import pytest

from facelab.core.errors import BadInputError, FacelabError, MissingAssetError
from facelab.datasets._fer2013 import FERPLUS_COLUMNS
from facelab.datasets.labels import NAMES, SEVEN, map_label, table_for
from facelab.emotion import _data, collect
from facelab.emotion.internals import classes_of, prepare, sources


def picture(path, value, size=80):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(value).integers(0, 256, (size, size, 3)).astype(np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for k, label in enumerate(("angry", "happy", "neutral")):
        for i in range(12):
            picture(root / label / f"{i}.jpg", 100 * k + i)
    return root


def test_a_folder_becomes_four_disjoint_parts(folder, spec):
    got = collect(str(folder), spec, crop="whole")
    assert got.faces.counts() == {"anger": 12, "joy": 12, "neutral": 12}
    parts = prepare(got, seed=1).parts
    assert sum(len(p) for p in parts.values()) == 36
    assert all(
        set(p.counts().values()) == {len(p) // 3} for p in parts.values()
    )  # each class alike in each part


def test_train_and_test_folders_are_parts(folder, tmp_path, spec):
    root = tmp_path / "kaggle"
    for part in ("train", "test"):
        for k, label in enumerate(("angry", "happy", "neutral")):
            for i in range(9):
                picture(root / part / label / f"{i}.png", 1000 * (part == "test") + 100 * k + i)
    parts = prepare(collect(str(root), spec, crop="whole"), seed=1).parts
    assert all("/test/" in name for name in parts["test"].names)
    assert len(parts["test"]) == 27


def test_an_empty_class_folder_is_named(folder, spec):
    (folder / "sad").mkdir()
    with pytest.raises(BadInputError, match="no image") as e:
        collect(str(folder), spec)
    assert e.value.where == str(folder / "sad")


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>" + b[:50]]
)
def test_a_corrupt_jpeg_is_named(folder, damage, spec):
    bad = folder / "happy" / "3.jpg"
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(BadInputError) as e:
        collect(str(folder), spec, crop="whole")
    assert e.value.where == str(bad)


def test_an_unknown_label_is_named_before_any_image_is_read(folder, spec):
    (folder / "happy").rename(folder / "hapy")
    (folder / "angry" / "0.jpg").write_bytes(b"")
    with pytest.raises(BadInputError, match="did you mean 'happy'") as e:
        collect(str(folder), spec)
    assert e.value.where == str(folder / "hapy")


def test_one_class_is_refused(folder, spec):
    for label in ("angry", "neutral"):
        (folder / label).rename(folder.parent / label)
    with pytest.raises(BadInputError, match="fewer than two classes") as e:
        collect(str(folder), spec)
    assert e.value.where == str(folder)


def write(path, header, rows):
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([header, *rows])
    return path


@pytest.mark.parametrize(
    ("header", "row", "what", "where"),
    [
        (("file", "emotio"), ("a.jpg", "joy"), "no column 'emotion'", ""),
        (("fil", "emotion"), ("a.jpg", "joy"), "no column 'file'", ""),
        (("file", "emotion"), ("a.jpg", "hapy"), "not in the table", ":2"),
        (("file", "emotion"), ("a.jpg",), "different number of cells", ":2"),
        (
            ("file", "emotion", "x1", "y1", "x2", "y2"),
            ("a.jpg", "joy", "1", "2", "x", "9"),
            "not a number",
            ":2",
        ),
        (
            ("file", "emotion", "x1", "y1", "x2", "y2"),
            ("a.jpg", "joy", "9", "2", "1", "9"),
            "box is empty",
            ":2",
        ),
        (("file", "emotion", "split"), ("a.jpg", "joy", "trian"), "did you mean 'train'", ":2"),
        (("file", "emotion"), ("a.jpg", "sad"), "no row of these classes", ""),
    ],
)
def test_a_bad_csv_is_named_with_its_line(header, row, what, where, tmp_path, spec):
    path = write(tmp_path / "set.csv", header, [row])
    with pytest.raises(BadInputError, match=what) as e:
        collect(str(path), spec)
    assert e.value.where == f"{path}{where}"


def test_a_csv_with_one_class_or_a_missing_image_is_named(tmp_path, spec):
    picture(tmp_path / "a.png", 1)
    picture(tmp_path / "b.png", 2)
    path = write(tmp_path / "set.csv", ("file", "emotion"), [("a.png", "joy"), ("b.png", "happy")])
    with pytest.raises(BadInputError, match="single class") as e:
        collect(str(path), spec, crop="whole")
    assert e.value.where == str(path)
    write(path, ("file", "emotion"), [("a.png", "joy"), ("none.png", "angry")])
    with pytest.raises(BadInputError) as e:
        collect(str(path), spec, crop="whole")
    assert e.value.where == str(tmp_path / "none.png")
    with pytest.raises(MissingAssetError):
        collect(str(tmp_path / "nowhere"), spec)
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    with pytest.raises(FacelabError):
        collect(str(tmp_path / "bytes"), spec)


def test_boxes_identities_and_parts_of_a_csv_are_used(tmp_path, spec):
    image = np.zeros((80, 200, 3), np.uint8)
    image[:, 100:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    rows = [
        ("a.png", "joy", "p1", 2, 20, 30, 60, "train"),
        ("a.png", "angry", "p2", 160, 20, 190, 60, "test"),
    ]
    path = write(
        tmp_path / "set.csv", ("file", "emotion", "identity", "x1", "y1", "x2", "y2", "split"), rows
    )
    read = sources.csv_rows(path)
    assert [(r.emotion, r.identity, r.part) for r in read] == [
        ("joy", "p1", "train"),
        ("anger", "p2", "test"),
    ]
    faces = sources.load_rows(read, spec)
    assert faces.images[0].max() == 0
    assert faces.images[1].min() == 255


def test_what_data_synth_writes_can_be_trained_on(tmp_path, spec):
    from facelab.datasets.synthetic import make_request, write_set

    write_set(make_request("emotion", 3, 48, 3), 21, tmp_path, workers=1)
    got = collect(str(tmp_path), spec)
    assert len(got.faces) == 21
    assert all(got.faces.identities)
    assert set(got.given) >= {"train", "test"}


def test_synthetic_crops_are_kept_and_only_missing_ones_are_drawn(tmp_path, spec, monkeypatch):
    from facelab.datasets import synthetic

    fresh = sources.synthetic(5, 5, spec, workers=1)
    first = sources.synthetic(3, 5, spec, workers=1, cache=tmp_path)
    asked, draw = [], synthetic.generate
    monkeypatch.setattr(
        synthetic, "generate", lambda *a, **k: asked.append((k["start"], k["n"])) or draw(*a, **k)
    )
    again = sources.synthetic(3, 5, spec, workers=1, cache=tmp_path)
    more = sources.synthetic(5, 5, spec, workers=1, cache=tmp_path)
    assert asked == [(3, 2)]
    assert again.hash() == first.hash()
    assert more.hash() == fresh.hash()
    assert more.identities == fresh.identities
    assert len(list(tmp_path.glob("emotion-*.npz"))) == 1
    assert sources.synthetic(3, 6, spec, workers=1, cache=tmp_path).hash() != first.hash()


def test_identities_from_file_names_only_where_names_look_like_people(tmp_path):
    def rows(*names):
        return [sources.Row(tmp_path / f"{n}.jpg", "joy") for n in names]

    people = rows(
        "Ann_Lee_0001",
        "Ann_Lee_0002",
        "Bo_Ek_0001",
        "Cy_Fo_0003",
        "Di_Go_0001",
        "Ed_Ho_0009",
        "x1",
        "x2",
    )
    assert [r.identity for r in sources.named_identities(people)] == [
        "Ann_Lee",
        "Ann_Lee",
        "Bo_Ek",
        "Cy_Fo",
        "Di_Go",
        "Ed_Ho",
        "",
        "",
    ]
    counted = rows("img_0001", "img_0002", "img_0003", "img_0004")
    assert sources.named_identities(counted) == counted
    own = [sources.Row(tmp_path / "Ann_Lee_0001.jpg", "joy", identity="7")]
    assert sources.named_identities(own) == own


def fer_csv(path, labels, usages):
    rng = np.random.default_rng(1)
    rows = [
        (label, " ".join(map(str, rng.integers(0, 256, 2304))), usage)
        for label, usage in zip(labels, usages)
    ]
    return write(path, ("emotion", "pixels", "Usage"), rows)


def test_fer2013_and_its_parts(tmp_path, spec):
    labels = [0, 3, 6] * 20 + [4, 1]  # sadness and disgust are none of the three
    usages = ["Training"] * 42 + ["PublicTest"] * 9 + ["PrivateTest"] * 11
    path = fer_csv(tmp_path / "fer2013.csv", labels, usages)
    got = collect(str(path), spec)
    assert got.faces.counts() == {"anger": 20, "joy": 20, "neutral": 20}
    parts = prepare(got, seed=1).parts
    assert (len(parts["test"]), len(parts["validation"])) == (9, 9)
    assert len(parts["train"]) + len(parts["calibration"]) == 42
    assert sources.fer(path, spec, classes=SEVEN)[0].counts()["sadness"] == 1
    gray = got.faces.images[0]
    assert np.array_equal(gray[..., 0], gray[..., 2])


def test_ferplus_votes_replace_labels(tmp_path, spec):
    path = fer_csv(tmp_path / "fer2013.csv", [0, 3, 6, 0, 0], ["Training"] * 5)
    header = ("Usage", "Image name", *FERPLUS_COLUMNS[:-1], "NF")
    votes = write(
        tmp_path / "fer2013new.csv",
        header,
        [
            ("Training", "fer0000000.png", 0, 8, 0, 0, 2, 0, 0, 0, 0, 0),  # joy, not anger
            ("Training", "", *[0] * 9, 10),  # no face: without a name, but with a row
            ("Training", "fer0000001.png", 9, 0, 0, 0, 0, 0, 0, 0, 1, 0),
            ("Training", "fer0000002.png", 0, 0, 0, 0, 7, 0, 0, 0, 0, 3),
            ("Training", "fer0000003.png", 2, 2, 2, 2, 2, 0, 0, 0, 0, 0),
        ],
    )  # nobody agrees
    faces, _ = sources.fer(path, spec, votes=votes)
    assert [(faces.classes[k], name[-1]) for k, name in zip(faces.labels, faces.names)] == [
        ("joy", "0"),
        ("neutral", "2"),
        ("anger", "3"),
    ]
    votes.write_text("\n".join(votes.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(BadInputError, match="different number of rows"):
        sources.fer(path, spec, votes=votes)


def test_a_broken_fer2013_is_named_with_its_line(tmp_path, spec):
    path = fer_csv(tmp_path / "fer2013.csv", [0, 3], ["Training"] * 2)
    path.write_text(path.read_text().replace("3,", "9,", 1))
    with pytest.raises(BadInputError) as e:
        collect(str(path), spec)
    assert e.value.where == f"{path}:3"


def test_the_table_and_the_classes():
    assert {v for v in NAMES.values() if v} == set(SEVEN)
    narrowed = table_for(("joy", "neutral"))
    assert map_label(" Happiness ", narrowed, where="x") == "joy"
    assert map_label("angry", narrowed, where="x") == ""
    assert classes_of("7") == SEVEN
    for wrong in ("joy", "joy,hapiness", ""):
        with pytest.raises(BadInputError):
            classes_of(wrong)


def test_the_largest_face_is_cropped(spec):
    class Two:
        def detect(self, image):
            from facelab.detection import Detections

            return Detections(
                np.array([[0, 0, 10, 10], [20, 20, 60, 60], [0, 0, 79, 79]]),
                np.array([0.9, 0.8, 0.1]),
            )

    find = _data.largest_face(Two(), least=0.5)
    assert find(np.zeros((80, 80, 3), np.uint8)) == (20, 20, 60, 60)
    assert _data.largest_face(Two(), least=0.95)(np.zeros((80, 80, 3), np.uint8)) is None


def test_a_whole_picture_is_cropped_to_itself(spec):
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert np.array_equal(sources.crop_face(spec, image, sources.whole(image, spec)), image)

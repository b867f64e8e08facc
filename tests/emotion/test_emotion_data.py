"""Splits share no identity and no image; parts as a data set gives them; balance; augmentation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.emotion import Augmentation
from facelab.emotion._augment import augment
from facelab.emotion._data import balance, check_classes
from facelab.emotion._prepare import FRACTIONS
from facelab.emotion._split_file import write_split
from facelab.emotion.internals import (
    Collected,
    FaceSet,
    as_trained,
    check_disjoint,
    prepare,
    split,
    unseen,
)

CLASSES = ("anger", "joy", "neutral")


def faces(labels, identities, contents=None):
    n = len(labels)
    contents = range(n) if contents is None else contents
    images = np.stack(
        [
            np.full((4, 4, 3), 0, np.uint8) + np.array([c % 256, c // 256, 7], np.uint8)
            for c in contents
        ]
    )
    return FaceSet(
        images,
        np.array(labels, np.int64),
        CLASSES,
        tuple(f"f{i}" for i in range(n)),
        tuple(identities),
    )


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 1000))
def test_no_identity_and_no_image_is_in_two_parts(data, seed):
    n = data.draw(st.integers(1, 80))
    who = data.draw(st.lists(st.sampled_from(["", *"abcdefgh"]), min_size=n, max_size=n))
    what = data.draw(st.lists(st.integers(0, 60), min_size=n, max_size=n))
    labels = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    parts = split(faces(labels, who, what), FRACTIONS, seed=seed)
    check_disjoint(parts)
    assert sorted(name for p in parts.values() for name in p.names) == sorted(
        f"f{i}" for i in range(n)
    )


def test_parts_keep_the_share_and_the_balance_of_classes():
    n = 1200
    parts = split(faces(np.arange(n) % 3, [f"p{i // 3}" for i in range(n)]), FRACTIONS, seed=3)
    for name, share in FRACTIONS.items():
        assert abs(len(parts[name]) - share * n) <= 6
        assert max(parts[name].counts().values()) - min(parts[name].counts().values()) <= 3
    again = split(faces(np.arange(n) % 3, [f"p{i // 3}" for i in range(n)]), FRACTIONS, seed=3)
    other = split(faces(np.arange(n) % 3, [f"p{i // 3}" for i in range(n)]), FRACTIONS, seed=4)
    assert again["test"].names == parts["test"].names != other["test"].names


@pytest.mark.parametrize(
    ("kind", "who", "what"), [("image", ("", ""), (5, 5)), ("identity", ("a", "a"), (1, 2))]
)
def test_shared_images_and_identities_are_refused_by_name(kind, who, what):
    one, two = faces([0], [who[0]], [what[0]]), faces([1], [who[1]], [what[1]])
    with pytest.raises(BadInputError, match=kind):
        check_disjoint({"train": one, "test": two})


def test_one_class_and_a_missing_class_are_refused():
    with pytest.raises(BadInputError, match="single class") as e:
        check_classes(faces([1, 1, 1], "abc"), where="set.csv")
    assert e.value.where == "set.csv"
    with pytest.raises(BadInputError, match="too few") as e:
        check_classes(faces([0, 0, 1, 1], "abcd"), where="set.csv")
    assert "neutral: 0" in e.value.got


def test_parts_of_the_data_set_are_kept_and_cleaned():
    n = 90
    given_ = tuple("train" if i < 60 else "test" for i in range(n))
    contents = [
        *range(60),
        *range(57, 60),
        *range(63, 90),
    ]  # three training images are in the test part too
    parts = prepare(Collected(faces(np.arange(n) % 3, [""] * n, contents), given_, "x"), seed=1)
    assert "less 3 faces" in parts.notes[-1]
    assert set(parts.parts["test"].names) == {f"f{i}" for i in range(60, 90)}
    assert sum(len(p) for p in parts.parts.values()) == n - 3
    assert all(len(p) for p in parts.parts.values())


def test_an_empty_part_is_refused():
    with pytest.raises(BadInputError, match="comes out empty"):
        prepare(Collected(faces([0, 0, 1, 1, 2, 2], ["a"] * 6), ("",) * 6, "x"), seed=1)


def test_balance_repeats_rarer_classes_only():
    got = balance(faces([0] * 10 + [1] * 4 + [2] * 7, [""] * 21), seed=2)
    assert got.counts() == {"anger": 10, "joy": 10, "neutral": 10}
    assert got.names[:21] == tuple(f"f{i}" for i in range(21))


def test_a_copy_depends_on_its_own_face_alone():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    whole = FaceSet(images, np.array([0, 1, 2]), CLASSES, ("a", "b", "c"), ("", "", ""))
    got = augment(whole, Augmentation(copies=2), seed=9)
    assert len(got) == 9
    assert np.array_equal(got.images[:3], images)
    assert np.array_equal(
        augment(whole.take([0]), Augmentation(copies=2), seed=9).images[1:], got.images[[3, 6]]
    )
    assert not np.array_equal(got.images[3], got.images[6])
    assert augment(whole, Augmentation(copies=0), seed=9) is whole


def test_nothing_seen_in_training_is_evaluated_on(tmp_path):
    train, test = faces([0, 1, 2], "abc", [1, 2, 3]), faces([0, 1, 2], "def", [4, 5, 6])
    write_split(tmp_path, {"train": train, "test": test})
    mixed = faces(
        [0, 1, 2, 0], ["x", "b", "d", ""], [1, 50, 4, 60]
    )  # a known image, a known person, a test face, new
    assert unseen(mixed, tmp_path).names == ("f2", "f3")
    assert unseen(mixed, tmp_path / "nowhere") is mixed


def test_fewer_faces_keep_the_parts_that_the_training_had_them_in(tmp_path):
    whole = faces([0, 1, 2] * 40, [f"p{i // 3}" for i in range(120)], range(120))
    shares = {"train": 0.7, "test": 0.3}
    trained = split(whole, shares, seed=7)
    write_split(tmp_path, trained)
    fewer, known = whole.take(range(60)), set(trained["train"].identities)
    assert known & set(split(fewer, shares, seed=7)["test"].identities)  # why it is not split again
    parts = as_trained(fewer, tmp_path)
    assert len(parts["train"]) + len(parts["test"]) == 60
    assert not known & set(parts["test"].identities)
    with pytest.raises(BadInputError, match="in the training's part 'test'"):
        as_trained(trained["train"], tmp_path)


def test_wrong_forms_are_refused():
    with pytest.raises(BadInputError, match="wrong form"):
        FaceSet(np.zeros((2, 4, 4), np.uint8), np.zeros(2, int), CLASSES, ("a", "b"), ("", ""))
    with pytest.raises(BadInputError, match="differ in number"):
        FaceSet(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(1, int), CLASSES, ("a", "b"), ("", ""))
    with pytest.raises(BadInputError, match="sum to 1"):
        split(faces([0], [""]), {"train": 0.5}, seed=1)

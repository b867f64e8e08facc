"""`facelab eval verification` from pictures: an LFW folder, scikit-learn's data home, an InsightFace pack."""

import json
import pickle

import cv2
import numpy as np
import pytest

from facelab.cli import run
from facelab.datasets.synthetic import sample
from facelab.preprocess.align import align

PEOPLE, FOLDS = 8, 10


def face(person, picture):
    return sample(
        11,
        2 * person + picture,
        set="verification",
        size=160,
        identity=700 + person,
        yaw=0,
        pitch=0,
        roll=0,
    )


def write_lfw(folder):
    """Write two pictures per person in LFW's layout; return ten folds of one genuine and one impostor pair each."""
    lines = [f"{FOLDS}\t1"]
    for person in range(PEOPLE):
        name = f"Person_{'ABCDEFGH'[person]}"
        (folder / name).mkdir(parents=True)
        for picture in range(2):
            cv2.imwrite(
                str(folder / name / f"{name}_{picture + 1:04d}.jpg"),
                face(person, picture).image[..., ::-1],
            )
    for fold in range(FOLDS):
        a, b = (f"Person_{'ABCDEFGH'[k % PEOPLE]}" for k in (fold, fold + 3))
        lines += [f"{a}\t1\t2", f"{a}\t1\t{b}\t2"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def lfw(tmp_path_factory):
    home = tmp_path_factory.mktemp("scikit") / "lfw_home"
    text = write_lfw(home / "lfw_funneled")
    (home / "pairs.txt").write_text(text)
    (home / "lfw_funneled" / "pairs.txt").write_text(text)
    return home


MODELS = ["--model", "dlib-resnet", "--detector", "dlib-hog", "--bootstrap", "20"]


def test_a_folder_and_scikit_learns_home_give_the_same(lfw, tmp_path, monkeypatch):
    assert (
        run(
            [
                "eval",
                "verification",
                "--lfw",
                str(lfw / "lfw_funneled"),
                *MODELS,
                "--json",
                str(tmp_path / "a.json"),
            ]
        )
        == 0
    )
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(lfw.parent))
    assert (
        run(["eval", "verification", "--lfw-sklearn", *MODELS, "--json", str(tmp_path / "b.json")])
        == 0
    )
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "ab")
    assert a["counts"] == {
        "pairs": 20,
        "genuine": 10,
        "impostor": 10,
        "failed": a["counts"]["failed"],
        "identities": PEOPLE,
    }
    assert (
        a["counts"]["failed"] <= 2
    )  # a face that the detector does not see is counted, not dropped
    assert a["accuracy"] > 0.5
    assert {k: v for k, v in a.items() if k != "source"} == {
        k: v for k, v in b.items() if k != "source"
    }


def test_an_empty_home_is_not_a_download(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    assert run(["eval", "verification", "--lfw-sklearn", *MODELS]) == 2
    message = capsys.readouterr().err
    assert "LFW is not in scikit-learn's data home" in message and "--download" in message


def pack(path, pairs):
    """Write an InsightFace pack of aligned crops."""
    images, same = [], []
    for (a, b), label in pairs:
        for person, picture in (a, b):
            it = face(person, picture)
            crop = align(it.image, it.landmarks)
            images.append(
                np.frombuffer(cv2.imencode(".png", crop[..., ::-1])[1].tobytes(), np.uint8)
            )
        same.append(label)
    path.write_bytes(pickle.dumps((images, same)))
    return path


@pytest.mark.parametrize("flip", [[], ["--flip"]])
def test_an_insightface_pack(mirror, tmp_path, flip):
    pairs = [
        (((k % PEOPLE, 0), ((k + 3 * (1 - g)) % PEOPLE, 1)), bool(g))
        for k in range(FOLDS)
        for g in (1, 0)
    ]
    path = pack(tmp_path / "faces.bin", pairs)
    assert (
        run(
            [
                "eval",
                "verification",
                "--bin",
                str(path),
                "--model",
                "mobilefacenet",
                *flip,
                "--bootstrap",
                "20",
                "--json",
                str(tmp_path / "o.json"),
            ]
        )
        == 0
    )
    value = json.loads((tmp_path / "o.json").read_text())
    assert value["counts"]["pairs"] == 20 and value["counts"]["identities"] is None
    assert value["accuracy"] > 0.5 and value["flip"] is bool(flip)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a pickle", "not an InsightFace pack"),
        (pickle.dumps(([b"xx"], [True])), "two images per pair"),
        (pickle.dumps(([b"xx", b"yy"], [True])), "image 0"),
        (pickle.dumps(print), "not an InsightFace pack"),
    ],
)
def test_a_broken_pack_is_refused(mirror, tmp_path, capsys, content, said):
    (tmp_path / "x.bin").write_bytes(content)
    assert (
        run(["eval", "verification", "--bin", str(tmp_path / "x.bin"), "--model", "mobilefacenet"])
        == 2
    )
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["--lfw-sklearn"],
        ["--lfw-sklearn", "--lfw", "x", "--model", "dlib-resnet"],
        ["--bin", "x.bin"],
    ],
)
def test_usage(args):
    assert run(["eval", "verification", *args]) == 2


def real_pack(path, mirror, *, turned):
    """Write a pack of real pairs, cut out aligned or turned by a quarter of a right angle about the box."""
    import csv

    from facelab import detection
    from facelab.preprocess.align import template, umeyama

    folder = mirror / "labelled"
    with (folder / "identity_pairs.csv").open() as f:
        rows = list(csv.DictReader(f))
    chosen = [r for r in rows if r["same"] == "1"][:90:6] + [r for r in rows if r["same"] == "0"][
        :240:16
    ]
    finder, images, same = detection.load("yunet-n"), [], []
    for k, row in enumerate(chosen):
        cut = []
        for side, name in enumerate((row["a"], row["b"])):
            x = cv2.imread(str(folder / name))
            found = finder.detect(np.ascontiguousarray(x[..., ::-1]))
            if not len(found):
                break
            x1, y1, x2, y2 = found.boxes[0]
            m = umeyama(np.asarray(found.landmarks[0], float), template("arcface", (112, 112)))
            if turned:
                centre, angle = ((x1 + x2) / 2, (y1 + y2) / 2), 25 if (k + side) % 2 else -25
                m = cv2.getRotationMatrix2D(
                    tuple(map(float, centre)), angle, 86 / max(x2 - x1, y2 - y1)
                )
                m[:, 2] += 56 - np.array(centre)
            cut.append(cv2.imencode(".png", cv2.warpAffine(x, m, (112, 112)))[1])
        if len(cut) == 2:
            images += [np.frombuffer(c.tobytes(), np.uint8) for c in cut]
            same.append(row["same"] == "1")
    path.write_bytes(pickle.dumps((images, same)))
    return path


@pytest.mark.slow
def test_a_pack_that_is_not_aligned_is_questioned_and_an_aligned_one_is_not(
    mirror, tmp_path, capsys
):
    if not (mirror / "labelled/identity_pairs.csv").is_file():
        pytest.skip("the labelled photographs are not in the mirror")
    command = [
        "eval",
        "verification",
        "--model",
        "mobilefacenet",
        "--bootstrap",
        "10",
        "--strict",
        "--bin",
    ]
    assert run([*command, str(real_pack(tmp_path / "right.bin", mirror, turned=False))]) == 0
    assert "warning:" not in capsys.readouterr().out
    assert run([*command, str(real_pack(tmp_path / "wrong.bin", mirror, turned=True))]) == 1
    assert capsys.readouterr().out.startswith(
        "warning: the pack's faces look as if they were not aligned"
    )

"""People as folders: searches among many, with pictures of those that went wrong."""

import numpy as np
import pytest
from PIL import Image

from facelab import embedding
from facelab.core.errors import BadInputError
from facelab.detection import Detections
from facelab.embedding import internals as embedding_internals


class Finder:
    """Finds the whole picture as one face; nothing in a black one."""

    name = "whole"

    def detect(self, image):
        h, w = image.shape[:2]
        n = int(image.max() > 0)
        return Detections(np.array([[0, 0, w, h]] * n, float), np.ones(n), np.zeros((n, 5, 2)))


class Colour:
    """Embeds a picture as its mean colour."""

    dim, normalised = 3, True

    def embed_detections(self, image, found, *, normalise=False):
        return image.reshape(-1, 3).mean(axis=0, keepdims=True).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    colours = {
        "ann": (200, 10, 10),
        "bob": (10, 200, 10),
        "cleo": (10, 10, 200),
        "dan": (190, 30, 20),
    }
    for name, colour in colours.items():
        (tmp_path / name).mkdir()
        for k in range(3):
            shade = np.clip(np.array(colour) + k, 0, 255).astype(np.uint8)
            Image.fromarray(np.tile(shade, (8, 8, 1))).save(tmp_path / name / f"{k}.png")
    return tmp_path


def test_people_are_enrolled_searched_for_and_left_out(folder, tmp_path):
    people = embedding.read_people(folder)
    assert len(people) == 4
    found = embedding.identify(Colour(), people, Finder(), unknown=0, fpirs=())
    assert found.result.people == 4 and found.result.mated == 8 and found.result.unmated == 0
    assert found.result.ranks["1"]["value"] == 1
    some = embedding.identify(Colour(), people, Finder(), unknown=0.5, fpirs=(0.5,), seed=3)
    assert some.result.people == 2 and some.result.unmated == 6 and some.result.mated == 4
    assert some.result.open_set[0]["fnir"] is not None


def test_pictures_of_what_went_wrong(folder, tmp_path):
    (folder / "ann" / "1.png").write_bytes(
        (folder / "bob" / "1.png").read_bytes()
    )  # ann looks like bob
    found = embedding.identify(
        Colour(), embedding.read_people(folder), Finder(), unknown=0, fpirs=()
    )
    wrong = embedding_internals.write_searches(found, tmp_path / "out")
    assert [r["file"] for r in wrong] == ["miss_000.png"] and wrong[0]["rank"] > 1
    assert "bob" in wrong[0]["found"]
    with Image.open(tmp_path / "out" / "miss_000.png") as image:
        assert image.size == (480, 160)


def test_a_person_whose_enrolled_picture_shows_no_face_is_a_stranger(folder):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "ann" / "0.png")
    found = embedding.identify(
        Colour(), embedding.read_people(folder), Finder(), unknown=0, fpirs=()
    )
    assert found.result.people == 3 and found.result.unmated == 3 and found.result.failed == 1


def test_wrong_folders_are_refused(folder, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "loose.png")
    with pytest.raises(BadInputError, match="beside the folders of people"):
        embedding.read_people(folder)
    with pytest.raises(BadInputError, match="not there"):
        embedding.read_people(tmp_path / "none")


def test_lists_of_pairs_in_other_spellings(tmp_path):
    (tmp_path / "p.csv").write_text("a,b,same\nx/1.jpg,x/2.jpg,True\nx/1.jpg,y/1.jpg,no\n")
    assert embedding.read_pairs(tmp_path / "p.csv").same.tolist() == [True, False]
    (tmp_path / "pairs.txt").write_text("1\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBo_Ek\t3\n")
    lfw = embedding.read_pairs(tmp_path / "pairs.txt")
    assert lfw.a.tolist() == ["Ann_Lee/Ann_Lee_0001.jpg"] * 2 and lfw.same.tolist() == [True, False]
    assert lfw.b[1] == "Bo_Ek/Bo_Ek_0003.jpg" and lfw.second[1] == "Bo_Ek"

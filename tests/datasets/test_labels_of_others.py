"""Labels as other programs really write them: encodings, paths, folders, turned pictures, shares, classes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.datasets.annotations import read, write
from facelab.detection import Detections, evaluate, read_labels
from facelab.preprocess.image import apply_exif


def picture(path, size=(100, 80), orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size, (90, 90, 90)).save(path, exif=exif)
    return path


def voc(name, boxes, size=(100, 80), label="face"):
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
        "</bndbox></object>"
        for a, b, c, d in boxes
    )
    return (
        f"<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"{objects}</annotation>"
    )


def coco(files, boxes, size=(100, 80)):
    images = [
        {"id": k, "file_name": f, "width": size[0], "height": size[1]} for k, f in enumerate(files)
    ]
    marks = [
        {"id": k, "image_id": i, "category_id": 1, "bbox": b} for k, (i, b) in enumerate(boxes)
    ]
    return json.dumps(
        {"images": images, "annotations": marks, "categories": [{"id": 1, "name": "face"}]}
    )


class Finder:
    """Stands in for a detector: finds the boxes it is given on every picture."""

    family = "stand-in"
    score_threshold = 0.5

    def __init__(self, *boxes):
        self.boxes = np.array(boxes, float).reshape(-1, 4)

    def describe(self):
        return {"name": "finder", "family": self.family, "file": None, "options": {}}

    def detect(self, image):
        return Detections(self.boxes, np.full(len(self.boxes), 0.9))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-marked"])
@pytest.mark.parametrize("form", ["csv", "coco", "voc", "cvat", "wider"])
def test_marks_and_windows_line_ends(tmp_path, form, encoding):
    text = {
        "csv": "path,x,y,w,h\nMüller 1.jpg,10,20,30,40\n",
        "coco": coco(["Müller 1.jpg"], [(0, [10, 20, 30, 40])]),
        "voc": voc("Müller 1.jpg", [(11, 21, 40, 60)]),
        "cvat": '<annotations><image name="Müller 1.jpg" width="100" height="80"><box label="face" '
        'xtl="10" ytl="20" xbr="40" ybr="60"/></image></annotations>',
        "wider": "Müller 1.jpg\n1\n10 20 30 40 0 0 0 0 0 0\n",
    }[form].replace("\n", "\r\n")
    data = "\ufeff".encode("utf-16-be") + text.encode("utf-16-be")
    data = data if encoding == "utf-16-be-marked" else text.encode(encoding)
    file = tmp_path / {"csv": "l.csv", "coco": "l.json", "wider": "l.txt"}.get(form, "l.xml")
    file.write_bytes(data)
    assert read(file).boxes["Müller 1.jpg"].tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize("name", ["l.csv", "l.txt", "a.txt"])
def test_another_encoding_is_refused_with_its_line(tmp_path, name):
    text = {
        "l.csv": "path,x,y,w,h\na.jpg,1,2,3,4\nMüller.jpg,10,20,30,40\n",
        "l.txt": "a.jpg\n0\nMüller.jpg\n1\n10 20 30 40 0 0 0 0 0 0\n",
        "a.txt": "0 0.5 0.5 0.1 0.1 \n# Müller\n",
    }[name]
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    picture(tmp_path / "a.jpg")
    with pytest.raises(BadInputError) as e:
        read(tmp_path / name)
    assert "UTF-8" in str(e.value) and e.value.fix


@pytest.mark.parametrize("by", [";", "\t"])
def test_tables_with_other_separators(tmp_path, by):
    (tmp_path / "l.csv").write_text(
        by.join(["path", "x", "y", "w", "h"]) + "\n" + by.join(["a", "1", "2", "3", "4"])
    )
    assert read(tmp_path / "l.csv").boxes["a"].tolist() == [[1, 2, 4, 6]]


def test_a_decimal_comma_is_called_so(tmp_path):
    (tmp_path / "l.csv").write_text("path;x1;y1;x2;y2\na.jpg;1,5;2,0;3,0;4,0\n")
    with pytest.raises(BadInputError, match="is not a number") as e:
        read_labels(tmp_path / "l.csv")
    assert "decimal comma" in e.value.fix and e.value.where == f"{tmp_path}/l.csv:2"


def test_a_column_twice_is_refused(tmp_path):
    (tmp_path / "l.csv").write_text("path,x1,y1,x2,y2,x1\na.jpg,1,2,3,4,5\n")
    with pytest.raises(BadInputError, match="column twice"):
        read(tmp_path / "l.csv")


@pytest.mark.parametrize(
    "stated", [r"C:\data\a\1.jpg", "/srv/data/a/1.jpg", r".\a\1.jpg", "./a/1.jpg"]
)
def test_paths_of_another_computer_fit_by_their_end(tmp_path, stated):
    picture(tmp_path / "pictures/a/1.jpg"), picture(tmp_path / "pictures/b/1.jpg")
    (tmp_path / "l.csv").write_text(f"path,x1,y1,x2,y2\n{stated},1,2,30,40\n")
    labels = read_labels(tmp_path / "l.csv")
    found = evaluate(Finder((1, 2, 30, 40)), tmp_path / "pictures", labels, only_labelled=True)
    assert list(found.found) == ["a/1.jpg"] and found.labels["recall"] == 1
    assert found.labels["labels_without_image"] == 0


def test_labels_that_fit_no_picture_or_one_picture_twice_are_counted(tmp_path, capsys):
    picture(tmp_path / "p/1.jpg"), picture(tmp_path / "p/2.jpg")
    (tmp_path / "l.csv").write_text(
        "path,x1,y1,x2,y2\n1.jpg,1,2,30,40\nC:/x/2.jpg,1,2,30,40\nD:/y/2.jpg,1,2,30,40\ngone.jpg,1,2,30,40\n"
    )
    found = evaluate(Finder((1, 2, 30, 40)), tmp_path / "p", tmp_path / "l.csv", only_labelled=True)
    assert found.labels["images"] == 1 and found.labels["labels_without_image"] == 3
    assert "3 labelled pictures are not among the images" in str(found)
    with pytest.raises(BadInputError, match="no image has a label"):  # before anything runs
        evaluate(Finder(), {"9.jpg": tmp_path / "p/1.jpg"}, tmp_path / "l.csv")


def test_letters_in_decomposed_form_fit(tmp_path):
    picture(tmp_path / "p" / "M\u00fcller.jpg")
    (tmp_path / "l.csv").write_text(
        "path,x1,y1,x2,y2\nMu\u0308ller.jpg,1,2,30,40\n", encoding="utf-8"
    )
    found = evaluate(Finder((1, 2, 30, 40)), tmp_path / "p", tmp_path / "l.csv")
    assert found.labels["recall"] == 1


def test_voc_files_of_several_folders_with_one_file_name_stay_apart(tmp_path):
    for k, folder in enumerate("ab"):
        (tmp_path / "xml" / folder).mkdir(parents=True)
        (tmp_path / "xml" / folder / "1.xml").write_text(voc("1.jpg", [(11 + k, 21, 40, 60)]))
        picture(tmp_path / "p" / folder / "1.jpg")
    found = read(tmp_path / "xml")
    assert found.counts == {"a/1.jpg": 1, "b/1.jpg": 1} and found.boxes["b/1.jpg"][0, 0] == 11
    labels = read_labels(tmp_path / "xml").matched(
        {f"{f}/1.jpg": tmp_path / "p" / f / "1.jpg" for f in "ab"}
    )
    assert labels.counts == {"a/1.jpg": 1, "b/1.jpg": 1}
    (tmp_path / "xml/a/copy.xml").write_text(voc("1.jpg", [(1, 2, 4, 6)]))
    with pytest.raises(BadInputError, match="listed twice"):
        read(tmp_path / "xml")


@pytest.mark.parametrize(
    "boxes, origin, first",
    [
        ([(1, 21, 40, 60)], None, 1),
        ([(0, 21, 40, 60), (5, 6, 9, 10)], None, 0),
        ([(0, 21, 40, 60)], 1, 1),
        ([(5, 6, 9, 10)], 0, 0),
        ([(-4, 21, 40, 60)], None, 1),  # a face at the border says nothing
    ],
)
def test_the_first_pixel_of_voc(tmp_path, boxes, origin, first):
    (tmp_path / "1.xml").write_text(voc("1.jpg", boxes))
    found = read(tmp_path, voc_origin=origin)
    x1, y1, x2, y2 = boxes[-1]
    assert found.boxes["1.jpg"][-1].tolist() == [x1 - first, y1 - first, x2, y2]
    assert f"{len(boxes)} boxes have corners counted from {first}" in found.said()


def test_the_first_pixel_is_for_voc_alone(tmp_path):
    (tmp_path / "l.csv").write_text("path,x1,y1,x2,y2\na,1,2,3,4\n")
    with pytest.raises(BadInputError, match="Pascal VOC alone"):
        read(tmp_path / "l.csv", voc_origin=0)


def test_a_picture_listed_twice_is_refused_in_every_form(tmp_path):
    texts = {
        "l.json": coco(["a.jpg", "a.jpg"], [(0, [1, 2, 3, 4])]),
        "l.xml": '<annotations><image name="a"/><image name="a"/></annotations>',
        "l.txt": "a.jpg\n1\n1 2 3 4\na.jpg\n1\n5 6 7 8\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInputError, match="listed twice"):
            read(tmp_path / name)
    value = json.loads(texts["l.json"])
    value["images"][1] |= {"file_name": "b.jpg", "id": 0}
    (tmp_path / "l.json").write_text(json.dumps(value))
    with pytest.raises(BadInputError, match="id is not unique"):
        read(tmp_path / "l.json")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_of_the_stored_pixels_are_turned_with_the_picture(tmp_path, orientation):
    file = picture(tmp_path / "p/1.jpg", (100, 60), orientation)
    raw = np.zeros((60, 100), bool)
    raw[10:25, 30:70] = True
    ys, xs = np.nonzero(apply_exif(raw, orientation))
    shown = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    (tmp_path / "l.json").write_text(coco(["1.jpg"], [(0, [30, 10, 40, 15])], (100, 60)))
    found = read(tmp_path / "l.json", images=tmp_path / "p")
    assert found.boxes["1.jpg"].tolist() == [shown] and found.sizes["1.jpg"] == (60, 100)
    assert "1 pictures are turned by EXIF" in found.said()
    result = evaluate(Finder(shown), {"1.jpg": file}, tmp_path / "l.json", iou=0.99)
    assert result.labels["recall"] == 1 and "turned by EXIF" in str(result)
    # labels that state the size as it is shown stay
    (tmp_path / "l.json").write_text(coco(["1.jpg"], [(0, [1, 2, 3, 4])], (60, 100)))
    still = read(tmp_path / "l.json", images=tmp_path / "p")
    assert (
        still.boxes["1.jpg"].tolist() == [[1, 2, 4, 6]]
        and "taken as of the upright" in still.said()
    )


def test_pictures_of_another_size_than_the_labels_state_are_refused(tmp_path):
    picture(tmp_path / "p/1.jpg", (50, 40))
    (tmp_path / "l.json").write_text(coco(["1.jpg"], [(0, [30, 10, 40, 15])]))
    with pytest.raises(BadInputError, match="a different size"):
        evaluate(Finder(), tmp_path / "p", tmp_path / "l.json")
    assert run(["data", "convert", str(tmp_path / "l.json"), "--to", "csv", "--images", str(tmp_path / "p"),
                "--out", str(tmp_path / "o.csv")]) == 2  # fmt: skip
    assert not (tmp_path / "o.csv").exists()


def test_boxes_outside_their_picture_are_said(tmp_path):
    picture(tmp_path / "p/1.jpg", (50, 40))
    (tmp_path / "l.csv").write_text("path,x1,y1,x2,y2\n1.jpg,45,2,90,40\n1.jpg,1,2,30,40\n")
    found = evaluate(Finder((1, 2, 30, 40)), tmp_path / "p", tmp_path / "l.csv")
    assert "1 labelled boxes lie mostly outside their picture" in str(found)


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_shares_are_not_taken_for_pixels(tmp_path, form):
    text = {
        "csv": "path,x1,y1,x2,y2\n1.jpg,0.1,0.25,0.5,1.0\n",
        "coco": coco(["1.jpg"], [(0, [0.1, 0.25, 0.4, 0.75])]),
    }[form]
    file = tmp_path / f"l.{'json' if form == 'coco' else 'csv'}"
    file.write_text(text)
    if form == "csv":
        with pytest.raises(BadInputError, match="shares of the picture"):
            read(file)
        picture(tmp_path / "p/1.jpg")
    found = read(file, images=tmp_path / "p")
    assert found.boxes["1.jpg"] == pytest.approx(np.array([[10, 20, 50, 80.0]]))
    assert "1 boxes were shares of the picture" in found.said()


def yolo(folder, lines, names=None):
    folder.mkdir(parents=True, exist_ok=True)
    picture(folder / "1.jpg")
    (folder / "1.txt").write_text("\n".join(lines))
    for file, text in (names or {}).items():
        (folder / file).write_text(text)
    return folder


CLASSES = ["0 .5 .5 .1 .1", "1\t.25 .5 .1 .1", "1 .75 .5 .1 .1"]


@pytest.mark.parametrize(
    "names",
    [
        {"classes.txt": "person\nface\n"},
        {"obj.names": "\ufeffperson\r\nFace\r\n"},
        {"data.yaml": "train: a\nnames: ['person', \"face\"]\nnc: 2\n"},
        {"data.yaml": "names:\n  0: person\n  1: face  # ours\nnc: 2\n"},
        {"data.yaml": "nc: 2\nnames:\n- person\n- face\n"},
    ],
)
def test_only_faces_of_a_yolo_set_with_several_classes_count(tmp_path, names):
    found = read(yolo(tmp_path / "y", CLASSES, names))
    assert found.counts == {"1.jpg": 2} and found.dropped == 1
    assert found.boxes["1.jpg"][:, 0] == pytest.approx([20, 70])


def test_classes_that_nothing_names_are_asked_for(tmp_path):
    folder = yolo(tmp_path / "y", CLASSES)
    with pytest.raises(BadInputError, match="several classes"):
        read(folder)
    assert read(folder, category="0").counts == {"1.jpg": 1}
    with pytest.raises(BadInputError, match="no category"):
        read(folder, category="7")


def test_pictures_without_a_yolo_file_and_readmes_are_not_labels(tmp_path):
    folder = yolo(tmp_path / "y", ["0 .5 .5 .1 .1"], {"README.roboflow.txt": "hello there"})
    picture(folder / "2.jpg"), (folder / "empty.txt").write_text("")
    picture(folder / "empty.jpg")
    found = read(folder)
    assert found.counts == {"1.jpg": 1, "empty.jpg": 0}
    assert "1 pictures have no file of labels" in found.said()


def test_one_bare_name_in_two_folders_is_not_guessed(tmp_path):
    for folder in "ab":
        picture(tmp_path / "images" / folder / "1.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").write_text("0 .5 .5 .1 .1")
    with pytest.raises(BadInputError, match="is not there"):
        read(tmp_path)
    (tmp_path / "labels/a").mkdir()
    (tmp_path / "labels/1.txt").rename(tmp_path / "labels/a/1.txt")
    assert read(tmp_path).counts == {"a/1.jpg": 1}


def test_what_cvat_draws_beside_boxes_is_counted_and_rotated_boxes_are_enclosed(tmp_path):
    (tmp_path / "c.xml").write_text(
        '<annotations><image name="1.jpg" width="100" height="80">'
        '<polygon label="face" points="1,2;3,4;5,9"/><points label="eye" points="1,2"/>'
        '<box label="face" xtl="10" ytl="20" xbr="50" ybr="40" rotation="90.0"/></image></annotations>'
    )
    found = read(tmp_path / "c.xml")
    assert found.boxes["1.jpg"] == pytest.approx(np.array([[20, 10, 40, 50.0]]))
    assert "2 shapes are not boxes" in found.said() and "1 boxes are rotated" in found.said()


def test_widers_boxes_without_an_extent_are_not_called_other_categories(tmp_path):
    (tmp_path / "w.txt").write_text("a.jpg\n2\n1 2 0 4 0 0 0 0 0 0\n1 2 3 4 0 0 0 0 0 0\n")
    found = read(tmp_path / "w.txt")
    assert found.dropped == 0 and "1 boxes without an extent were left out" in found.said()


def test_boxes_that_are_there_twice_are_counted(tmp_path):
    (tmp_path / "l.csv").write_text("path,x1,y1,x2,y2\na,1,2,3,4\na,1,2,3,4\n")
    assert "1 boxes are in their picture twice" in read(tmp_path / "l.csv").said()


@pytest.mark.parametrize("form", ["voc", "yolo"])
def test_two_pictures_never_share_a_file_of_labels(tmp_path, form):
    (tmp_path / "l.csv").write_text("path,x1,y1,x2,y2\na.jpg,1,2,3,4\na.png,1,2,3,4\n")
    labels = dataclasses.replace(read(tmp_path / "l.csv"), sizes={"a.jpg": (9, 9), "a.png": (9, 9)})
    with pytest.raises(BadInputError, match="two pictures"):
        write(labels, form, tmp_path / "out")
    assert not list(Path(tmp_path / "out").glob("*"))

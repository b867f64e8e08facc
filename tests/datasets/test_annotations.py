"""Labels of boxes in their published forms: read as published, written and read again, wrong ones refused by line."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.datasets.annotations import FORMATS, Annotations, read, write
from facelab.datasets.annotations._read import recognise
from facelab.detection import Detections, read_labels
from facelab.detection._evaluate import score_detections

COCO = {
    "images": [
        {"id": 7, "file_name": "a/1.jpg", "width": 100, "height": 80},
        {"id": 9, "file_name": "empty.jpg", "width": 10, "height": 10},
    ],
    "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "car"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10.5, 20, 30, 40], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 2, "bbox": [1, 1, 5, 5]},
    ],
}
VOC = """<annotation><folder>x</folder><filename>1.jpg</filename>
<size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>face</name><difficult>0</difficult>
<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>
<object><name>face</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"""
CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<image id="0" name="a/1.jpg" width="100" height="80">
<box label="face" occluded="0" source="manual" xtl="10.50" ytl="20.00" xbr="40.50" ybr="60.00" z_order="0"></box>
<box label="face" occluded="0" xtl="0" ytl="0" xbr="5" ybr="5"><attribute name="ignore">true</attribute></box>
</image><image id="1" name="empty.jpg" width="10" height="10"></image></annotations>"""
WIDER = """0--Parade/1.jpg
2
10 20 30 40 0 0 0 0 0 0
0 0 5 5 2 0 0 1 0 0
0--Parade/empty.jpg
0
0 0 0 0 0 0 0 0 0 0
0--Parade/2.jpg
1
1 2 3 4 0 0 0 0 0 0
"""


def test_coco_as_published(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(COCO))
    found = read(path)
    assert found.boxes["a/1.jpg"].tolist() == [[10.5, 20, 40.5, 60], [0, 0, 5, 5]]
    assert found.ignore["a/1.jpg"].tolist() == [False, True]
    assert found.counts == {"a/1.jpg": 1, "empty.jpg": 0} and found.dropped == 1
    assert found.sizes["a/1.jpg"] == (100, 80)
    assert "2 pictures, 1 faces, 1 to ignore, 1 boxes of other categories" in found.said()


def test_pascal_voc_counts_pixels_from_one_and_both_corners_belong_to_the_box(tmp_path):
    (tmp_path / "1.xml").write_text(VOC)
    found = read(tmp_path)
    assert found.form == "voc" and found.boxes["1.jpg"].tolist() == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert found.ignore["1.jpg"].tolist() == [False, True]
    assert read(tmp_path / "1.xml").counts == found.counts


def test_cvat_as_published(tmp_path):
    (tmp_path / "a.xml").write_text(CVAT)
    found = read(tmp_path / "a.xml")
    assert found.form == "cvat" and found.boxes["a/1.jpg"].tolist()[0] == [10.5, 20, 40.5, 60]
    assert found.ignore["a/1.jpg"].tolist() == [False, True] and found.counts["empty.jpg"] == 0


def test_wider_text_as_published(tmp_path):
    (tmp_path / "wider_face_val_bbx_gt.txt").write_text(WIDER)
    found = read(tmp_path / "wider_face_val_bbx_gt.txt")
    assert found.form == "wider" and found.boxes["0--Parade/1.jpg"].tolist()[0] == [10, 20, 40, 60]
    assert found.ignore["0--Parade/1.jpg"].tolist() == [False, True]
    assert found.counts == {"0--Parade/1.jpg": 1, "0--Parade/empty.jpg": 0, "0--Parade/2.jpg": 1}


@pytest.mark.parametrize("layout", ["beside", "labels and images"])
def test_yolo_shares_need_the_pictures_sizes(tmp_path, layout):
    labels = tmp_path / ("all" if layout == "beside" else "labels")
    images = labels if layout == "beside" else tmp_path / "images"
    for folder in {labels, images}:
        folder.mkdir()
    Image.new("RGB", (200, 100)).save(images / "1.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: it is shown 100 wide and 200 high
    Image.new("RGB", (200, 100)).save(images / "2.jpg", exif=exif)
    (labels / "1.txt").write_text("0 0.5 0.5 0.1 0.2\n\n0  0.25 0.5 0.1 0.2\n")
    (labels / "2.txt").write_text("0 0.5 0.5 0.1 0.2\n")
    (labels / "classes.txt").write_text("face\n")
    found = read(tmp_path if layout == "labels and images" else labels)
    assert found.form == "yolo"
    assert found.boxes["1.jpg"] == pytest.approx(np.array([[90, 40, 110, 60], [40, 40, 60, 60]]))
    assert found.boxes["2.jpg"] == pytest.approx(np.array([[45, 80, 55, 120]]))


@pytest.mark.parametrize(
    "head, row",
    [
        ("path,x1,y1,x2,y2", "a.jpg,1,2,11,22"),
        ("filename,xmin,ymin,xmax,ymax", "a.jpg,1,2,11,22"),
        ("image,left,top,right,bottom", "a.jpg,1,2,11,22"),
        ("path,x,y,w,h", "a.jpg,1,2,10,20"),
        ("file,x,y,width,height,ignore", "a.jpg,1,2,10,20,0"),
        ("Path,X,Y,W,H,Difficult", "a.jpg,1,2,10,20,1"),
    ],
)
def test_columns_of_csv_are_recognised(tmp_path, head, row):
    (tmp_path / "l.csv").write_text(f"{head}\n{row}\n")
    found = read(tmp_path / "l.csv")
    assert found.boxes["a.jpg"].tolist() == [[1, 2, 11, 22]]
    assert found.counts["a.jpg"] == (0 if row.endswith(",1") else 1)


whole = st.integers(0, 400)
boxes = st.lists(
    st.tuples(whole, whole, st.integers(1, 300), st.integers(1, 300), st.booleans()), max_size=5
)
names = st.lists(
    st.sampled_from([f"{a}/{b}.jpg" for a in "pq" for b in "xyz"]), min_size=1, unique=True
)


@given(st.data(), names)
@settings(max_examples=25)
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_what_is_written_is_read_again(tmp_path_factory, form, data, names):
    """Whole pixels survive every form to 1e-6 of a pixel; YOLO leaves out what is to be ignored, and says so."""
    rows = {n: data.draw(boxes) for n in names}
    given_boxes = {
        n: np.array([(x, y, x + w, y + h) for x, y, w, h, _ in r], float).reshape(-1, 4)
        for n, r in rows.items()
    }
    ignore = {n: np.array([i for *_, i in r], bool) for n, r in rows.items()}
    labels = Annotations("csv", given_boxes, ignore, dict.fromkeys(names, (701, 703)))
    folder = tmp_path_factory.mktemp("round")
    images = folder / "pictures"
    for n in names:
        (images / n).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (701, 703)).save(images / n)
    out = folder / ("labels" if form in ("voc", "yolo") else f"labels.{form}")
    told = write(labels, form, out, images=images)
    if form == "voc":
        assert recognise(out) == "voc"
    again = read(out, form=None if form != "csv" else "csv", images=images)
    assert again.form == form and set(again.boxes) == set(names)
    for n in names:
        keep = ~ignore[n] if form == "yolo" else np.ones(len(ignore[n]), bool)
        assert again.boxes[n] == pytest.approx(given_boxes[n][keep], abs=1e-6)
        assert again.ignore[n].tolist() == (
            [False] * int(keep.sum()) if form == "yolo" else ignore[n].tolist()
        )
    assert told["ignored_left_out"] == (
        sum(int(v.sum()) for v in ignore.values()) if form == "yolo" else 0
    )


def coco(**changes):
    return json.dumps({**COCO, **changes})


BROKEN = {
    "l.json": ('{"images": []}', "not COCO's"),
    "a.json": (
        json.dumps({**COCO, "annotations": [{"image_id": 7, "bbox": [1, 2]}]}),
        "no box or no image",
    ),
    "b.json": (
        json.dumps(
            {**COCO, "annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 0, 4]}]}
        ),
        "empty",
    ),
    "c.json": (
        json.dumps({**COCO, "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]}),
        "several categories",
    ),
    "a.xml": ("<annotation><object>", "cannot be read"),
    "b.xml": ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares entities"),
    "c.xml": ("<annotations><track/></annotations>", "tracks of a video"),
    "d.xml": (VOC.replace("<xmin>11", "<xmin>eleven"), "not a number"),
    "w.txt": ("a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n", "fewer than four numbers"),
    "v.txt": ("a.jpg\n1\n1 2 nan 4 0 0 0 0 0 0\n", "empty or no number"),
    "y.csv": ("path,u,v\na,1,2\n", "other columns"),
    "z.csv": ("path,x1,y1,x2,y2\na.jpg,5,5,1,9\n", "empty or no number"),
    "q.txt": ("hello there\n", "not recognised"),
    "e.txt": ("", "not recognised"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_wrong_labels_are_refused_by_name_and_line(tmp_path, name):
    text, says = BROKEN[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInputError, match=says) as e:
        read(tmp_path / name)
    assert name in str(e.value.where) and e.value.fix


@pytest.mark.parametrize(
    "line, says",
    [
        ("0 0.5 0.5 0.1", "4 values"),
        ("0 .5 .5 .1 .1 .2 .3 .4", "polygons"),
        ("0 50 50 10 10", "shares"),
    ],
)
def test_yolo_lines_that_are_not_boxes(tmp_path, line, says):
    Image.new("L", (10, 10)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text(line + "\n")
    with pytest.raises(BadInputError) as e:
        read(tmp_path)
    assert says in str(e.value)


def test_a_picture_cannot_write_outside_the_folder(tmp_path):
    labels = Annotations(
        "csv",
        {"../a.jpg": np.array([[0, 0, 1, 1.0]])},
        {"../a.jpg": np.array([False])},
        {"../a.jpg": (9, 9)},
    )
    with pytest.raises(BadInputError, match="outside"):
        write(labels, "voc", tmp_path / "out")


def test_ignored_faces_are_neither_missed_nor_false_alarms(tmp_path):
    (tmp_path / "l.csv").write_text(
        "path,x,y,w,h,ignore\na.jpg,0,0,10,10,0\na.jpg,50,50,10,10,1\na.jpg,80,80,10,10,1\n"
    )
    labels = read_labels(tmp_path / "l.csv")
    found = Detections(np.array([[0, 0, 10, 10], [50, 50, 60, 60.0]]), np.array([0.9, 0.8]))
    told = score_detections({"a.jpg": found}, labels, operating=0.5)
    assert told["exact_count"] == 1 and told["recall"] == 1 and told["precision"] == 1
    assert told["counted_faces"] == 1 and told["ignored_faces"] == 2 and told["ap"] == 1


def test_labels_of_file_names_alone_fit_pictures_in_folders(tmp_path):
    (tmp_path / "1.xml").write_text(VOC)
    for name in ("deep/down/1.jpg", "2.jpg", "a/1.jpg", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80)).save(tmp_path / name)
    where = {n: tmp_path / n for n in ("deep/down/1.jpg", "2.jpg")}
    labels = dataclasses.replace(read_labels(tmp_path), folder=None).matched(where)
    assert labels.counts == {"deep/down/1.jpg": 1} and not labels.unmatched
    where = {n: tmp_path / n for n in ("a/1.jpg", "b/1.jpg")}
    same = dataclasses.replace(read_labels(tmp_path), folder=None).matched(where)
    assert same.counts == {} and same.unmatched == (
        "1.jpg",
    )  # two pictures fit: nothing is guessed


def test_convert_from_the_command_line(tmp_path, capsys):
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    args = [
        "data",
        "convert",
        str(tmp_path / "c.json"),
        "--to",
        "csv",
        "--out",
        str(tmp_path / "o.csv"),
    ]
    assert run([*args, "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["boxes"] == 2 and "coco: 2 pictures" in out.err
    assert read(tmp_path / "o.csv").counts == {"a/1.jpg": 1, "empty.jpg": 0}
    assert (
        run(
            [
                "data",
                "convert",
                str(tmp_path / "o.csv"),
                "--to",
                "yolo",
                "--out",
                str(tmp_path / "y"),
            ]
        )
        == 2
    )
    assert "size of a picture is not known" in capsys.readouterr().err

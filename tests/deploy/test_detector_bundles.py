"""Bundles of detectors: small, and with the other half of the contract, from which a reader decodes the same boxes."""

import json
import math

import numpy as np
import pytest

from facelab.cli import run
from facelab.deploy import make_bundle, verify
from facelab.deploy.internals import golden
from facelab.detection import load

NAMES = ["yunet-n-320", "ultraface-rfb-320-raw", pytest.param("scrfd-2.5g", marks=pytest.mark.slow)]
NAMES += [
    pytest.param(n, marks=pytest.mark.slow) for n in ("retinaface-mnet025-320", "blazeface-front")
]
NAMES += [pytest.param("yolov5n-0.5-face", marks=pytest.mark.slow)]


def bundled(name, folder):
    made = make_bundle(name, folder / "bundle")
    held = [p for p in (folder / "bundle").rglob("*") if p.is_file()]
    return made, sum(p.stat().st_size for p in held)


def limit(made):
    return 2 * made.model.stat().st_size + 10_000_000


def cells(size, stride):
    columns, rows = (math.ceil(n / stride) for n in size)
    return [(x, y) for y in range(rows) for x in range(columns)]


def flat(outputs, width):
    return sorted((o.reshape(-1, width) for o in outputs if o.shape[-1] == width), key=len)[::-1]


def yunet(rules, outputs, size):
    """Written from decoding.json alone."""
    ones = flat(outputs, 1)
    for level, stride in enumerate(rules["strides"]):
        bbox, kps = flat(outputs, 4)[level], flat(outputs, 10)[level]
        cls, obj = (o for o in ones if len(o) == len(bbox))
        for i, (x, y) in enumerate(cells(size, stride)):
            score = math.sqrt(min(max(cls[i, 0], 0), 1) * min(max(obj[i, 0], 0), 1))
            cx, cy = (x + bbox[i, 0]) * stride, (y + bbox[i, 1]) * stride
            w, h = (math.exp(v) * stride for v in bbox[i, 2:])
            points = [
                ((x + kps[i, 2 * k]) * stride, (y + kps[i, 2 * k + 1]) * stride) for k in range(5)
            ]
            yield score, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), points


def scrfd(rules, outputs, size):
    for level, stride in enumerate(rules["strides"]):
        score, bbox, kps = (flat(outputs, w)[level] for w in (1, 4, 10))
        places = cells(size, stride)
        each = len(score) // len(places)
        for i in range(len(score)):
            ax, ay = (v * stride for v in places[i // each])
            d = bbox[i] * stride
            points = [
                (ax + kps[i, 2 * k] * stride, ay + kps[i, 2 * k + 1] * stride) for k in range(5)
            ]
            yield score[i, 0], (ax - d[0], ay - d[1], ax + d[2], ay + d[3]), points


def ssd(rules, outputs, size, clip):
    width, height = size
    priors = []
    for stride, sizes in zip(rules["strides"], rules["min_sizes"]):
        for x, y in cells(size, stride):
            for s in sizes:
                p = (x + 0.5) * stride / width, (y + 0.5) * stride / height, s / width, s / height
                priors.append([min(max(v, 0), 1) for v in p] if clip else p)
    a, b = rules["variances"]
    loc, conf = flat(outputs, 4)[0], flat(outputs, 2)[0]
    landm = flat(outputs, 10)[0] if not clip else None
    for i, (px, py, pw, ph) in enumerate(priors):
        cx, cy = px + loc[i, 0] * a * pw, py + loc[i, 1] * a * ph
        w, h = pw * math.exp(loc[i, 2] * b), ph * math.exp(loc[i, 3] * b)
        box = (
            (cx - w / 2) * width,
            (cy - h / 2) * height,
            (cx + w / 2) * width,
            (cy + h / 2) * height,
        )
        points = landm is not None and [
            ((px + landm[i, 2 * k] * a * pw) * width, (py + landm[i, 2 * k + 1] * a * ph) * height)
            for k in range(5)
        ]
        yield conf[i, 1], box, points


READERS = {
    "yunet": yunet,
    "scrfd": scrfd,
    "retinaface": lambda *a: ssd(*a, clip=False),
    "ultraface": lambda *a: ssd(*a, clip=True),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_small_and_says_how_to_decode(name, mirror, tmp_path, capsys):
    made, size = bundled(name, tmp_path)
    folder = tmp_path / "bundle"
    assert size < limit(made)
    assert verify(folder).ok and run(["bundle", "verify", str(folder)]) == 0
    rules = json.loads((folder / "decoding.json").read_text())
    page = (folder / "README.md").read_text()
    family = load(name).family
    assert rules["family"] == family and f"From outputs to boxes (family {family})" in page
    assert {"score", "box", "suppression", "score_threshold", "nms_threshold", "strides"} <= set(
        rules
    )
    boxes = json.loads((folder / "golden" / "boxes.json").read_text())
    assert set(boxes) == set(made.manifest.golden) and any(boxes.values())
    if family in READERS:
        check_by_reader(READERS[family], rules, folder, boxes, len(made.manifest.outputs), page)


def check_by_reader(reader, rules, folder, boxes, count, page):
    """Every golden box is among those that an independent reader decodes, by a hundredth of a pixel."""
    seen = 0
    for probe, listed in boxes.items():
        names = [probe if k == 0 else f"{probe}.{k}" for k in range(count)]
        outputs = [np.load(folder / "golden" / "outputs" / f"{n}.npy") for n in names]
        shape = golden.read_tensor(golden.tensor_file(folder / "golden" / "tensors", probe)).shape
        size = (shape[3], shape[2]) if shape[1] in (1, 3) else (shape[2], shape[1])
        found = [f for f in reader(rules, outputs, size) if f[0] >= 0.04]
        for row in listed:
            near = [
                f
                for f in found
                if abs(f[0] - row["score"]) < 1e-3
                and max(abs(a - b) for a, b in zip(f[1], row["box"])) < 0.02
            ]
            assert near, (probe, row)
            if "landmarks" in row:
                assert np.abs(np.array(near[0][2]) - row["landmarks"]).max() < 0.02
            seen += 1
    assert seen


def test_large_inputs_keep_a_few_golden_probes_and_all_on_request(mirror, tmp_path):
    made, size = bundled("yunet-n-640", tmp_path)
    assert 1 < len(made.manifest.golden) < 25 and "face" in made.manifest.golden
    assert size < limit(made)
    page = (tmp_path / "bundle" / "README.md").read_text()
    assert "The fingerprint covers 25 of the files" in page and "--golden all" in page
    from facelab import fingerprint

    assert len(fingerprint.load(tmp_path / "bundle" / "train.json").output) == 25


def test_an_embedder_has_no_boxes(mirror, tmp_path):
    make_bundle("mobilefacenet", tmp_path / "b")
    assert not (tmp_path / "b" / "decoding.json").exists()


def test_help_shows_the_options_that_people_use(capsys):
    assert run(["bundle", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--evidence" in out and "--golden" in out and "Options of facelab bundle MODEL" in out

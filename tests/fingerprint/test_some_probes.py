"""Fingerprints of some probes, files given to compare(), and what 'unknown' says of the probes."""

import numpy as np
import pytest

from facelab import fingerprint
from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.preprocess.presets import preset


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """The training side of a preset, and the folder of its tensors."""
    folder = tmp_path_factory.mktemp("sides")
    train = fingerprint.capture_spec(preset("fer"), tensors=folder / "t")
    train.save(folder / "train.json")
    return folder


def subset(sides, tmp_path, keep):
    out = tmp_path / "some"
    out.mkdir()
    for path in (sides / "t").glob("*.npy"):
        if keep(path.stem):
            np.save(out / path.name, np.load(path))
    return out


def test_some_probes_are_imported_on_request_only(sides, tmp_path, capsys):
    some = subset(sides, tmp_path, lambda n: not n.startswith(("jpeg", "exif")))
    with pytest.raises(BadInputError, match="missing") as e:
        fingerprint.import_tensors(some)
    assert "--partial" in e.value.fix
    assert (
        run(
            [
                "fingerprint",
                "import",
                "--tensors",
                str(some),
                "--partial",
                "--out",
                str(tmp_path / "i.json"),
            ]
        )
        == 0
    )
    held = fingerprint.load(tmp_path / "i.json")
    assert "partial" in held.declares and 5 < len(held.output) < 25
    found = fingerprint.compare(sides / "train.json", str(tmp_path / "i.json"))
    assert found.verdict == "identical"
    assert any("so nothing is said of the others" in n for n in found.notes)


def test_unknown_lists_the_probes_that_differ_and_by_how_much(sides, tmp_path):
    some = subset(sides, tmp_path, lambda n: True)
    rng = np.random.default_rng(0)
    for name in ("marks", "bars", "jpeg_420"):
        a = np.load(some / f"{name}.npy")
        noise = rng.normal(0, np.ptp(a) * 0.2, a.shape).astype(a.dtype)
        np.save(some / f"{name}.npy", a + noise)
    found = fingerprint.compare(sides / "train.json", fingerprint.import_tensors(some))
    assert found.verdict == "mismatch"
    said = "\n".join(found.notes)
    if any(f.kind == "unknown" for f in found.findings):
        assert "PNG and raw probes: 2 of" in said and "marks" in said and "levels RMS" in said
        assert "JPEG probes: 1 of" in said


def test_what_is_not_a_fingerprint_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(BadInputError):
        fingerprint.compare(tmp_path / "x.json", tmp_path / "x.json")

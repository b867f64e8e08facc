"""Damaged models, bundles, fingerprints, tables, pictures and arrays: a result, or an error that a user can act on."""

import gzip
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

from conftest_deploy import spec, write_model
from damage import bytes_of, value_of

from facelab.core import plain_pickle
from facelab.core.array_files import read_npy, read_npz
from facelab.core.errors import FacelabError
from facelab.core.files import loads_strict
from facelab.core.text_files import read_csv
from facelab.core.toml_files import loads_toml
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.image import read_image


def check(note, call):
    """Call; a FacelabError is an answer, anything else a finding that names the round."""
    try:
        return call()
    except FacelabError as e:
        assert e.what
        str(e).encode("utf-8")
    except Exception as e:
        pytest.fail(f"{note}: {type(e).__name__}: {e}")


def pictures():
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"):
        f = io.BytesIO()
        image.save(f, kind)
        yield f.getvalue()


def test_pictures(rounds):
    whole = list(pictures())
    for note, r in rounds():
        data = bytes_of(r, r.choice(whole))
        got = check(note, lambda data=data: read_image(data))
        assert got is None or (got.dtype == np.uint8 and got.shape[2] == 3)


def test_arrays_and_packs(rounds):
    import pickle

    f, z = io.BytesIO(), io.BytesIO()
    np.save(f, np.arange(30, dtype=np.float32).reshape(5, 6))
    np.savez_compressed(z, a=np.arange(9), b=np.array(["x", "y"]))
    pack = pickle.dumps(([b"ab", np.arange(3, dtype=np.uint8)], [True]), 4)
    old = pickle.dumps(([b"ab", np.arange(3, dtype=np.uint8)], [True]), 2)
    for note, r in rounds():
        check(note, lambda r=r: read_npy(bytes_of(r, f.getvalue())))
        check(note, lambda r=r: read_npy(bytes_of(r, gzip.compress(f.getvalue()))))
        check(note, lambda r=r: read_npz(bytes_of(r, z.getvalue())))
        check(note, lambda r=r: plain_pickle.read(bytes_of(r, r.choice((pack, old)))))


def test_text_formats(rounds, tmp_path):
    from facelab.core import records
    from facelab.datasets import load_fer2013, load_pairs
    from facelab.deploy import policy

    document = json.dumps(spec().to_dict()).encode()
    record = records.Record("r", "s", "c", "accuracy", 0.5, lo=0.4, hi=0.6).to_json().encode()
    fer = b"emotion,pixels,Usage\n1," + b" ".join([b"7"] * 2304) + b",Training\n"
    path = tmp_path / "x"
    for note, r in rounds():
        check(note, lambda r=r: PreprocessSpec.from_dict(loads_strict(bytes_of(r, document))))
        text = bytes_of(r, policy.DEFAULT.encode()).decode("utf-8", "replace")
        check(note, lambda text=text: policy.parse(text, "p"))
        check(
            note,
            lambda r=r: loads_toml(bytes_of(r, b'a = 1\nb = [[1], {c = "x"}]\n'), "t", where=""),
        )
        for data, read in (
            (record, records.read),
            (b"2\t1\nA\t1\t2\nB\t1\t2\nA\t1\tB\t1\nA\t2\tB\t2\n", load_pairs),
            (b"a,b,same\nx/1.jpg,y/2.jpg,1\n", load_pairs),
            (fer, load_fer2013),
            (b"a,b\n1,2\n", lambda p: read_csv(p, "table", fix="")),
        ):
            path.write_bytes(bytes_of(r, data))
            check(note, lambda read=read: read(path))


def test_specs_by_value(rounds):
    whole = spec().to_dict()
    for note, r in rounds():
        changed = check(note, lambda r=r: PreprocessSpec.from_dict(value_of(r, whole)))
        if changed is not None:
            assert changed.hash and changed.text()


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory):
    from facelab.fingerprint import capture_spec

    path = tmp_path_factory.mktemp("f") / "train.json"
    capture_spec(spec()).save(path)
    return path.read_bytes()


def test_fingerprints(rounds, fingerprint, tmp_path):
    from facelab.fingerprint import load

    path, document = tmp_path / "f.json", json.loads(fingerprint)
    for note, r in rounds():
        changed = (
            bytes_of(r, fingerprint)
            if r.random() < 0.5
            else json.dumps(value_of(r, document)).encode()
        )
        path.write_bytes(changed)
        check(note, lambda: load(path))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    from facelab.deploy._bundle import make_bundle

    folder = tmp_path_factory.mktemp("b")
    return make_bundle(write_model(folder / "m.onnx"), folder / "bundle").folder


def test_bundles(rounds, bundle, tmp_path):
    from facelab.deploy._verify import verify
    from facelab.deploy.manifest import canonical_hash

    copy = Path(shutil.copytree(bundle, tmp_path / "b"))
    document = json.loads((copy / "manifest.json").read_text())
    for note, r in rounds():
        changed = value_of(r, document)
        if isinstance(changed, dict) and r.random() < 0.7:
            try:
                changed["hash"] = canonical_hash(changed)
            except (TypeError, ValueError):
                continue
        (copy / "manifest.json").write_text(json.dumps(changed))
        found = check(note, lambda: verify(copy))
        assert found is None or not found.ok or changed == document or found.manifest.hash


def test_models(rounds, tmp_path):
    """A damaged model ends no process but its own: one process for each, so few of them in the brief time."""
    from facelab.core import fresh

    whole = write_model(tmp_path / "m.onnx").read_bytes()
    for note, r in rounds(least=1):
        path = tmp_path / "x.onnx"
        path.write_bytes(bytes_of(r, whole))
        try:
            fresh.call("facelab.zoo.runtimes._trial:_child", str(path), "onnx", timeout=60)
        except fresh.FreshProcessError as e:
            assert e.where is None or e.where.startswith("ended by"), f"{note}: {e}"


WORDS = [
    "--help",
    "--json",
    "--out",
    "-",
    "/",
    ".",
    "..",
    "../x",
    "\x1b[2J",
    "é",
    "0",
    "-1",
    "999999999999999999999",
    "1e999",
    "nan",
    "--seed",
    "--n",
    "--set",
    "emotion",
    "--policy",
    "--inference",
    "--expect",
    "00000000",
    "/dev/null",
    "/dev/full",
    "--spec",
    "--threads",
    "--kind",
    "data",
]
COMMANDS = (
    ("gate",),
    ("bundle",),
    ("bundle", "verify"),
    ("assets", "list"),
    ("assets", "verify"),
    ("compare",),
    ("fingerprint", "compare"),
    ("fingerprint", "import"),
    ("preprocess", "run"),
    ("match", "search"),
    ("eval", "verification"),
)


def test_command_lines(rounds, tmp_path, monkeypatch, capsys):
    from facelab import cli

    monkeypatch.chdir(tmp_path)
    for note, r in rounds():
        words = [*r.choice(COMMANDS), *(r.choice(WORDS) for _ in range(r.randrange(5)))]
        try:
            code = cli.run(words)
        except SystemExit as e:
            code = e.code
        except Exception as e:
            pytest.fail(f"{note}: {words}: {type(e).__name__}: {e}")
        assert code in (0, 1, 2), f"{note}: {words}: exit code {code}"
        capsys.readouterr()

"""A folder that holds every file that the examples in help texts and documentation name."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

# tests are not a package: this folder's helpers, and the small model of the gate's tests
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "deploy")]

from conftest_docs import REPOSITORY  # noqa: E402
from shared_work import made_once  # noqa: E402
from warm_commands import WarmCommands  # noqa: E402

PREPROCESS = """import numpy as np
from PIL import Image, ImageOps

def prepare(path):
    pixels = ImageOps.exif_transpose(Image.open(path)).convert("RGB").resize((24, 24), Image.Resampling.BILINEAR)
    return (np.asarray(pixels, np.float32)[None] - 127.5) / 127.5
"""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """Return a folder for all workers: a test that writes copies it first, as `shell` does."""
    return made_once(tmp_path_factory, "examples", _prepare)


def _prepare(home: Path) -> Path:
    """Build a model and its bundle, fingerprints, photographs, lists, records."""
    from conftest_deploy import spec, write_model

    from facelab.core.records import Record, write
    from facelab.deploy import policy
    from facelab.deploy._bundle import make_bundle
    from facelab.fingerprint import capture_spec

    write_model(home / "model.onnx", quantized=True)
    write_model(home / "float.onnx")
    made = make_bundle(home / "float.onnx", home / "bundle")
    (home / "policy.toml").write_text(policy.DEFAULT)
    _releases(home)
    capture_spec(spec(), tensors=home / "tensors").save(home / "train.json")
    capture_spec(spec(), backend="pillow").save(home / "infer.json")
    write(home / "int8.jsonl", [Record("r", "s", "int8", "agreement", 0.99)])
    (home / "preprocess.py").write_text(PREPROCESS)
    shutil.copytree(REPOSITORY / "examples", home / "examples")
    (home / "train.py").write_text(PREPROCESS.replace("def prepare", "def preprocess"))
    wrong = PREPROCESS.replace("def prepare", "def preprocess").replace(
        "(pixels, np.float32)", "(pixels)[..., ::-1]"
    )
    (home / "device.py").write_text(wrong)
    for name in ("emotion.preprocess.json", "model.preprocess.json"):
        spec().save(home / name)
    _photographs(home)
    _vectors(home)
    _collection(home)
    _runs(home)
    assert made.manifest.golden
    return home


def _releases(home: Path) -> None:
    """A store with a release to go back from."""
    from facelab.deploy import make_bundle
    from facelab.serving import ReleaseStore

    store, other = ReleaseStore(home / "releases"), make_bundle(home / "model.onnx", home / "int8")
    for folder in (home / "bundle", other.folder):
        store.promote(store.admit(folder).manifest.hash, reason="prepared")


def _photographs(home: Path) -> None:
    from PIL import Image
    from skimage import data

    image = Image.fromarray(data.astronaut())
    (home / "photos").mkdir()
    for name in ("photo.jpg", "face.png", "photos/astronaut.png", "photos/again.png"):
        image.save(home / name)
    rows = [f"{n}.png,170,72,278,222" for n in ("astronaut", "again")]
    (home / "faces.csv").write_text("path,x1,y1,x2,y2\n" + "\n".join(rows) + "\n")
    pairs = "photos/astronaut.png,photos/again.png,1\nphotos/again.png,face.png,0\n"
    (home / "pairs.csv").write_text("a,b,same\n" + pairs * 10)
    _labelled(home / "data")


def _labelled(folder: Path) -> None:
    """Drawn faces in a folder an emotion, to calibrate on and to evaluate on."""
    from PIL import Image

    from facelab.datasets import synthetic

    for part, start in (("calibration", 0), ("test", 24)):
        faces = synthetic.generate("emotion", 24, seed=7, size=96, classes=3, start=start)
        for k, (image, emotion) in enumerate(zip(faces.images, faces.emotion, strict=True)):
            path = folder / part / str(emotion) / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def _vectors(home: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(home / "G.npy", rng.standard_normal((200, 32)).astype(np.float32))
    np.save(home / "Q.npy", rng.standard_normal((5, 32)).astype(np.float32))
    n = 6000
    a = rng.standard_normal((n, 32)).astype(np.float32)
    same = np.tile(np.r_[np.ones(300), np.zeros(300)], 10).astype(np.uint8)
    b = np.where(
        same[:, None] == 1, a + 0.5 * rng.standard_normal((n, 32)), rng.standard_normal((n, 32))
    )
    np.savez(home / "pairs.npz", a=a, b=b.astype(np.float32), same=same)


def _collection(home: Path) -> None:
    """A collection of three vectors, a copy of it, names for more, and a short history."""
    from facelab.index import Collection
    from facelab.index.internals import Operation, save_history

    with Collection.create(home / "people", dimension=32) as c:
        c.add(np.eye(3, 32, dtype=np.float32), [f"photo-{n}" for n in (17, 18, 19)])
    shutil.copytree(home / "people", home / "backup" / "people")
    (home / "ids.txt").write_text("".join(f"new-{n}\n" for n in range(200)))
    (home / "names.txt").write_text("".join(f"person {n % 40}\n" for n in range(200)))
    save_history(home / "history.jsonl", [Operation("a", "k", "read", 0.0, 1.0, None)])


def _runs(home: Path) -> None:
    """Two finished runs, and the plan that tells facelab where the project is."""
    from facelab.core.records import Record, write

    (home / "notebooks").mkdir()
    (home / "notebooks" / "plan.toml").write_text(
        (REPOSITORY / "notebooks" / "plan.toml").read_text()
    )
    for notebook in (REPOSITORY / "notebooks").glob("*.ipynb"):
        (home / "notebooks" / notebook.name).write_text(notebook.read_text())
    for k, run in enumerate(("20260101-000000-aaaa", "20260102-000000-bbbb")):
        folder = home / "reports" / "runs" / run
        write(
            folder / "s" / "records.jsonl",
            [Record(run, "s", "c", "accuracy", 0.9 + 0.01 * k, better="higher")],
        )
        (folder / "run.json").write_text(json.dumps({"run": run, "finished": True}))


UNTRAINED = """import sys, keras, tensorflow as tf
from keras import layers
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((64, 64, 3)), layers.AveragePooling2D(16), layers.Flatten(),
                          layers.Dense(3, activation="softmax")])
open(sys.argv[1], "wb").write(tf.lite.TFLiteConverter.from_keras_model(model).convert())
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Return a folder `emotion` as a training leaves it, with an untrained network of the right form."""
    return made_once(tmp_path_factory, "trained", _untrained)


def _untrained(folder: Path) -> Path:
    import subprocess

    from facelab.emotion import emotion_spec

    home = folder / "emotion"
    home.mkdir()
    subprocess.run(
        [sys.executable, "-c", UNTRAINED, str(home / "emotion_fp32.tflite")],
        check=True,
        timeout=240,
        capture_output=True,
    )
    emotion_spec().save(home / "emotion_fp32.preprocess.json")
    (home / "labels.txt").write_text("anger\njoy\nneutral\n")
    return home


@pytest.fixture(scope="session")
def warm():
    """Forks of one warm process for all command lines; None where each shall be a process from its start."""
    if os.environ.get("FACELAB_TEST_WHOLE_PROCESSES"):
        yield None
        return
    commands = WarmCommands(environment())
    yield commands
    commands.close()


def environment() -> dict[str, str]:
    """Return the environment of a user's shell, with this checkout's facelab."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture
def shell(prepared, warm, tmp_path):
    """Return a function that runs one command line as a user would, in a copy of the prepared folder.

    With `whole` the line is a process from its start, imports included.
    """
    import shlex
    import subprocess

    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)

    def run(line: str, *, timeout: float = 240, whole: bool = False):
        words = shlex.split(line, comments=True)
        assert words[0] == "facelab", line
        env = {**environment(), "FACELAB_DATA": str(tmp_path / "kept")}
        if warm is not None and not whole:
            return warm.run(words[1:], cwd=tmp_path, env=env, timeout=timeout)
        return subprocess.run(
            [sys.executable, "-m", "facelab.cli", *words[1:]],
            cwd=tmp_path,
            env=env,
            timeout=timeout,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="module")
def copied(prepared, tmp_path_factory):
    """One copy of the prepared folder for all examples of a test file."""
    made = tmp_path_factory.mktemp("copied")
    shutil.copytree(prepared, made, dirs_exist_ok=True)
    return made


@pytest.fixture
def inside(copied, monkeypatch):
    """Work in the folder, and leave the process as it was."""
    monkeypatch.chdir(copied)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("FACELAB_DATA", str(copied / "kept"))

"""A small model bundled once, and inference sides that are right or wrong."""

import copy
import hashlib
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from conftest_deploy import spec, write_model

from facelab.deploy import _answers, _bundle, _gate
from facelab.deploy._bundle import make_bundle
from facelab.deploy._bundle_files import _contents
from facelab.fingerprint import capture_spec


@pytest.fixture(scope="session")
def known_captures():
    return {}


@pytest.fixture(scope="session")
def known_answers():
    return {}


@pytest.fixture(scope="module", autouse=True)
def captured_once(tmp_path_factory, known_captures):
    """Capture each specification once for all bundles of these tests; half their time went into it."""
    known = known_captures

    def capture(spec, *, tensors=None):
        key = repr(spec.to_dict())
        if key not in known:
            kept = tmp_path_factory.mktemp("tensors")
            known[key] = capture_spec(spec, tensors=kept), kept
        made, kept = known[key]
        if tensors is not None:
            shutil.copytree(kept, tensors, dirs_exist_ok=True)
        return copy.deepcopy(made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_contents, "capture_spec", capture)
        yield


TEXTS = {".html", ".json", ".jsonl", ".md", ".toml", ".txt", ".xml"}
"""What is in a bundle for readers and for the gate; the process that runs the model opens none of it."""


@pytest.fixture(scope="module", autouse=True)
def answered_once(known_answers):
    """Run each model on its golden tensors once: a process a gate is most of what these tests took.

    What a model answers follows from the files that the process reads, which are the key: the model with what lies
    beside it, its preprocessing and the tensors. A model that ends its process is asked each time, as nothing is kept.
    """
    known = known_answers

    def ask(folder, manifest, *, seconds):
        read = [
            (str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest())
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and (path.suffix not in TEXTS or path.name == "preprocess.json")
        ]
        key = tuple(read), manifest.model, tuple(manifest.golden), seconds
        if key not in known:
            known[key] = _answers.ask(folder, manifest, seconds=seconds)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bundle, "ask", ask)
        patch.setattr(_gate, "ask", ask)
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "small.onnx")


@pytest.fixture(scope="session")
def whole(model, tmp_path_factory):
    """A bundle that nobody may change."""
    return make_bundle(
        model, tmp_path_factory.mktemp("bundle") / "small", licence="Apache-2.0"
    ).folder


@pytest.fixture
def bundle(whole, tmp_path):
    """A copy of the bundle for tests that damage it."""
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def infer(tmp_path_factory):
    """Return the fingerprint file of an inference side whose stages differ as given."""
    folder, known = tmp_path_factory.mktemp("infer"), {}

    def build(backend="pillow", **changes) -> Path:
        key = repr((backend, changes))
        if key not in known:
            made = capture_spec(spec(**changes), backend=backend)
            made.spec = None  # a black box: the cause must be found in the numbers
            known[key] = made.save(folder / f"{len(known)}.json")
        return known[key]

    return build

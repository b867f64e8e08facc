"""Programs in other languages: build them, run them on the probes, and have their switchable mistakes named."""

import shutil
import subprocess

import pytest

from facelab.fingerprint import capture_spec, compare, import_tensors
from facelab.fingerprint.probes import _set as probes
from facelab.preprocess.spec import PreprocessSpec

C = {"none": None, "bgr": "channel_order", "nearest": "resize_kernel", "mean": "mean"}
JAVASCRIPT = {"none": None, "range": "yuv_range", "uv": "channel_order", "flip": "flip"}


@pytest.fixture(scope="module")
def probe_folder(tmp_path_factory):
    return probes.write_probes(tmp_path_factory.mktemp("probes"))


def diagnose(command, mistake, probe_folder, out, spec):
    out.mkdir()
    options = [] if mistake == "none" else ["--mistake", mistake]
    subprocess.run(
        [*command, str(probe_folder), str(out), *options],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return compare(capture_spec(PreprocessSpec.load(spec)), import_tensors(out))


def judge(comparison, kind):
    if kind is None:
        assert comparison.verdict in ("identical", "equivalent"), [
            f.to_dict() for f in comparison.findings
        ]
    else:
        assert comparison.verdict == "mismatch" and [f.kind for f in comparison.findings] == [kind]


@pytest.mark.parametrize("mistake", C)
def test_the_c_program(mistake, probe_folder, repository, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path / "preprocess"
    folder = repository / "examples" / "c"
    subprocess.run(
        [
            compiler,
            "-O2",
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            program,
            folder / "preprocess.c",
            "-lm",
        ],
        check=True,
        capture_output=True,
    )
    judge(
        diagnose(
            [program], mistake, probe_folder, tmp_path / "out", folder / "train.preprocess.json"
        ),
        C[mistake],
    )


@pytest.mark.parametrize("mistake", JAVASCRIPT)
def test_the_javascript_program(mistake, probe_folder, repository, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    folder = repository / "examples" / "javascript"
    judge(
        diagnose(
            [node, folder / "preprocess.mjs"],
            mistake,
            probe_folder,
            tmp_path / "out",
            folder / "train.preprocess.json",
        ),
        JAVASCRIPT[mistake],
    )


@pytest.mark.parametrize(
    "arguments", [[], ["a"], ["a", "b", "--mistake", "none-such"], ["no/such/folder", "b"]]
)
def test_wrong_use_of_the_examples_is_an_error(arguments, repository, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    done = subprocess.run(
        [node, repository / "examples" / "javascript" / "preprocess.mjs", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode != 0 and done.stderr

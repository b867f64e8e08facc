"""The repository itself: no index host, no machine path, pinned locks, no committed weights or outputs."""

import re
import subprocess

import pytest

INDEX_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|anaconda\.(?:org|com)|registry\.npmjs|deb\.debian", re.I
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root)/|/home/[a-z]\w*/")
WEIGHTS = (
    ".onnx",
    ".tflite",
    ".h5",
    ".keras",
    ".pb",
    ".npz",
    ".pth",
    ".dat",
    ".pkl",
    ".parquet",
    ".mat",
)


@pytest.fixture(scope="module")
def tracked(repository):
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [
        repository / name
        for name in done.stdout.split("\0")
        if name and (repository / name).is_file()
    ]


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_index_host_and_no_machine_path_is_named(tracked, repository):
    bad = []
    for path in tracked:
        if path.name == "test_repository.py":
            continue
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if INDEX_HOSTS.search(line) or MACHINE_PATHS.search(line):
                bad.append(f"{path.relative_to(repository)}:{number}: {line.strip()[:100]}")
    assert not bad, "\n".join(bad)


def test_no_weights_are_committed_and_no_file_is_large(tracked, repository):
    bad = [p for p in tracked if p.suffix in WEIGHTS or p.stat().st_size > 600_000]
    assert not bad, bad


@pytest.mark.parametrize("name", ["main.lock", "modelmaker.lock", "tools.lock"])
def test_locks_are_pinned_and_hashed(repository, name):
    entries = re.split(
        r"\n(?=[A-Za-z0-9])", (repository / "requirements" / name).read_text().strip()
    )
    for entry in entries:
        assert re.match(r"[A-Za-z0-9_.\[\]-]+==[^\s;]+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_the_packages_the_user_fixed_are_locked(repository):
    main = (repository / "requirements" / "main.lock").read_text()
    for name in (
        "jupyterlab",
        "tensorflow",
        "onnxruntime",
        "numpy",
        "pandas",
        "matplotlib",
        "papermill",
    ):
        assert re.search(rf"^{name}==", main, re.M), name
    assert (
        "tflite-model-maker==0.4.3" in (repository / "requirements" / "modelmaker.lock").read_text()
    )


def test_the_isolated_pins_do_not_leak_into_the_main_environment(repository):
    main = (repository / "requirements" / "main.lock").read_text()
    assert "tflite-model-maker" not in main and not re.search(
        r"^tensorflow==2\.1[0-5]\.", main, re.M
    )


def test_environment_yml_points_at_the_same_lock(repository):
    text = (repository / "environment.yml").read_text()
    assert "-r requirements/main.lock" in text and "nodefaults" in text and "modelmaker" in text


def test_every_direct_dependency_is_justified(repository):
    known = (repository / "docs" / "dependencies.md").read_text().lower()
    for name in ("main.in", "modelmaker.in"):
        for line in (repository / "requirements" / name).read_text().splitlines():
            if line and not line.startswith("#"):
                package = re.split(r"[<>=!~ \[]", line)[0]
                assert f"`{package.lower()}`" in known, (
                    f"{package} ({name}) has no line in docs/dependencies.md"
                )


def test_make_help_lists_every_target(repository):
    targets = re.findall(r"^([a-z-]+):.*##", (repository / "Makefile").read_text(), re.M)
    assert {"setup", "reproduce", "test", "lint", "lab", "clean", "help"} <= set(targets)


def test_readme_links_every_notebook_with_its_question(repository):
    import json

    readme = (repository / "README.md").read_text()
    for path in sorted((repository / "notebooks").glob("*.ipynb")):
        source = json.loads(path.read_text())["cells"][0]["source"]
        question = "".join(source).splitlines()[0].lstrip("# ").strip()
        assert f"| [{path.stem}](notebooks/{path.name}) | {question} |" in readme, path.name
    for target in re.findall(r"\]\(([\w./-]+)\)", readme):
        assert (repository / target).exists(), f"README links {target}, which is not there"


def test_ruff_finds_nothing(repository):
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        cwd=repository,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_plan_is_in_reading_order(repository):
    names = re.findall(
        r'^name = "(\d\d_\w+)"', (repository / "notebooks" / "plan.toml").read_text(), re.M
    )
    assert names == sorted(names)

"""Every command's help carries an example, each example parses, and each works as it stands."""

import json
import re
import shlex
import shutil

import click
import numpy as np
import pytest
from conftest_docs import REPOSITORY, show

from facelab.cli import cli

NETWORK = ("assets fetch",)
"""Examples that need an official address."""
TRAINED = (
    "bundle models/emotion",
    "emotion predict",
    "emotion evaluate",
    "quantize models/emotion",
)
"""Examples that take on a trained model."""
DRAWN = ("doodle predict", "doodle evaluate")
"""Examples that take on a classifier of drawings, and drawings."""
SLOW = (
    *TRAINED,
    "doctor",
    "data synth",
    "emotion train",
    "doodle train",
    "recovery measure",
    *DRAWN,
    "reproduce",
    "match bench",
    "preprocess conformance",
    "eval embedder",
    "eval identification",
    "quantize",
    "trace prove",
    "memory run",
    "memory prove",
    "budget measure",
)
NEEDS_WIDER = ("eval wider",)
NEEDS_MIRROR = (
    "eval detector",
    "eval identification",
    "assets verify",
    "trace run",
    "trace prove",
    "memory run",
    "feedback follow",
)
NEEDS_TRACE = ("trace show", "trace export", "trace send")


def commands(command=cli, path=("facelab",)):
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from commands(command.get_command(click.Context(command), name), (*path, name))


EXAMPLES = {" ".join(path): (command.epilog or "") for path, command in commands()}


def lines(epilog: str) -> list[str]:
    return [m.strip() for m in re.findall(r"(facelab .*)", epilog)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_carries_an_example_of_this_very_command(name):
    found = lines(EXAMPLES[name])
    assert found and EXAMPLES[name].startswith("Example"), f"{name} --help has no example"
    first = name.removesuffix(" make")  # `facelab bundle MODEL` is `facelab bundle make MODEL`
    assert all(line.startswith(first) for line in found), found


ALL = sorted({line for epilog in EXAMPLES.values() for line in lines(epilog)})


@pytest.mark.parametrize("line", ALL)
def test_every_example_parses(line):
    """Options and arguments are those that the command takes today; nothing is run."""
    command, args, context = cli, shlex.split(line)[1:], click.Context(cli, info_name="facelab")
    while isinstance(command, click.Group):
        context = command.make_context(context.info_name, list(args), parent=context.parent)
        rest = (
            [*context._protected_args, *context.args]
            if hasattr(context, "_protected_args")
            else context.args
        )
        name, command, args = command.resolve_command(context, rest)
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(context.info_name, list(args), parent=context.parent)


def _marks(line: str):
    slow = any(line.startswith(f"facelab {s}") for s in SLOW) and "--quick" not in line
    return [pytest.mark.slow] if slow else []


@pytest.mark.parametrize("line", [pytest.param(x, marks=_marks(x)) for x in ALL])
def test_every_example_works(line, shell, request, monkeypatch, tmp_path):
    rest = line.removeprefix("facelab ")
    if rest.startswith(NETWORK):
        pytest.skip("asks an official address: not run by tests")
    if rest.startswith((*NEEDS_WIDER, *NEEDS_MIRROR)):
        assets = request.getfixturevalue("assets")
        monkeypatch.setenv("FACELAB_MIRROR", str(assets))
        if rest.startswith(NEEDS_WIDER):
            _wider(tmp_path, assets)
    if rest.startswith(TRAINED):
        shutil.copytree(request.getfixturevalue("trained"), tmp_path / "models" / "emotion")
        monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "models"))
    if rest.startswith(NEEDS_TRACE):
        _trace(tmp_path)
    if rest.startswith(DRAWN):
        monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "models"))
        _drawings(tmp_path)
    if rest.startswith("budget run"):
        (tmp_path / "budget.toml").write_text("memory_mb = 128\n")
    _own_data(rest, tmp_path, request)
    if rest.startswith("eval threshold"):  # as few pairs support no lower rate
        line = line.replace("--far 0.001", "--far 0.05 --every-pair")
    if rest.startswith("trace send"):
        pytest.skip("needs a receiver: tests/tracing has one; the line is parsed above")
    if rest.startswith("emotion train"):
        pytest.skip(
            "trains for minutes: tests/emotion trains a small one; the line is parsed above"
        )
    line = line.replace("--n 3000", "--n 30")  # drawing thousands of faces takes minutes
    if rest.startswith("reproduce"):
        line += " --dry-run"
    if rest.startswith("preprocess conformance"):
        (tmp_path / "docs" / "reference").mkdir(parents=True)
        shutil.copy(
            REPOSITORY / "docs" / "reference" / "preprocessing-conformance.md",
            tmp_path / "docs" / "reference",
        )
    done = shell(line)
    # a check that fails (no GPU, a missing optional package, a figure that got worse) is an answer, not a breakdown
    answers = (
        (0, 1)
        if rest.startswith(("doctor", "compare", "quantize", "liveness check", "doodle evaluate"))
        else (0,)
    )
    assert done.returncode in answers, show(done)
    assert "Traceback" not in done.stderr


def _own_data(rest, tmp_path, request):
    """Labels, pairs and people where the examples look for them."""
    if rest.startswith("data convert"):
        mark = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
        value = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
            "annotations": [mark],
            "categories": [{"id": 1, "name": "face"}],
        }
        (tmp_path / "instances.json").write_text(json.dumps(value))
    if rest.startswith("eval threshold"):
        _pairs(tmp_path)
    if rest.startswith("eval identification"):
        people = request.getfixturevalue("assets") / "labelled" / "identity" / "ageitgey"
        shutil.copytree(people, tmp_path / "faces")


def _pairs(folder):
    """Embeddings of thirty people, four each, with their identities."""
    rng = np.random.default_rng(0)
    who = np.repeat([f"p{k:02d}" for k in range(30)], 4)
    rows = np.repeat(rng.normal(size=(30, 16)), 4, axis=0) + rng.normal(size=(120, 16)) * 0.2
    a, b = rows[::2], rows[1::2]
    ids = np.stack([who[::2], who[1::2]], axis=1)
    np.savez(folder / "pairs.npz", a=a, b=b, same=ids[:, 0] == ids[:, 1], ids=ids)


def _drawings(folder):
    from facelab import doodle
    from facelab.datasets import doodles

    doodle.train(folder / "models" / "doodle", doodle.Settings(n=600, epochs=3))
    doodles.write_drawings(folder / "drawings", doodles.synthetic(6, seed=2))
    shutil.copy(next((folder / "drawings" / "heart").iterdir()), folder / "drawing.png")


def _trace(folder):
    from facelab.tracing import Tracer

    with Tracer(watch_s=None) as tracer:
        for _ in range(30):
            with tracer.span("frame"):
                pass
    tracer.trace().save(folder / "trace.npz")


def _wider(folder, assets):
    """Ground truth from the mirror and one prediction file, where the examples look for them."""
    for name in ("eval_tools/ground_truth", "data/wider/ground_truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for mat in (assets / "annotations").glob("wider_*_val.mat"):
            shutil.copy(mat, folder / name)
    event = folder / "runs" / "yunet" / "0--Parade"
    event.mkdir(parents=True)
    (event / "0_Parade_marchingband_1_465.txt").write_text(
        "0_Parade_marchingband_1_465\n1\n345 211 4 4 0.9\n"
    )

"""What commands cost before they do anything: processor time against numpy's import, and what they must not load.

Both are measured in turn on the spot, so that a slow or busy machine slows both. The budgets leave a third for noise.
"""

import os
import subprocess
import sys

import pytest

REFERENCE = ("-c", "import numpy, click")
HEAVY = {"cv2", "keras", "matplotlib", "onnxruntime", "pandas", "scipy", "tensorflow", "torch"}
TRAIN = ("fingerprint", "capture", "--spec", "{spec}", "--out", "train.json")
INFER = ("fingerprint", "capture", "--pipeline", "{device}:preprocess", "--out", "infer.json")
BUNDLE = ("bundle", "mtcnn-onet", "--spec", "{spec}", "--out", "bundle")
QUANTIZE = ("quantize", "no.onnx", "--recipe", "int8", "--calibration", "c", "--evaluate", "e")
SEARCH = ("match", "search", "--gallery", "no.npy", "--queries", "no.npy", "--out", "o.npz")
COMMANDS = {
    "help": (("--help",), 0, 0.9, HEAVY | {"numpy", "pydantic"}),
    "missing": (("fingerprint", "compare", "no.json", "no.json"), 2, 1.9, HEAVY),
    "policy": (("gate", "--print-policy"), 0, 2.4, HEAVY | {"numpy"}),
    "whole": (("bundle", "verify", "no-bundle"), 2, 3.9, HEAVY),
    "search": (SEARCH, 2, 1.9, HEAVY | {"pydantic", "rich"}),
    "quantize": (QUANTIZE, 2, 5, HEAVY),
    "detector": (("eval", "detector", "--model", "no.onnx", "--images", "."), 2, 4.1, HEAVY),
    "compare": (("fingerprint", "compare", "train.json", "infer.json"), 1, 4.8, HEAVY),
    "doctor": (("doctor", "--quick"), 0, 8.5, HEAVY),
    "gate": (("gate", "bundle", "--inference", "infer.json"), 1, 12, HEAVY),
}


def processor_seconds(folder, *words):
    """Run Python and return the user and system time of it and its children, and what it printed on standard error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    before = os.times()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    spent = after.children_user + after.children_system
    return spent - before.children_user - before.children_system, done


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository):
    """Return a folder with two fingerprints and a bundle."""
    made = tmp_path_factory.mktemp("budgets")
    examples = repository / "examples" / "python"
    places = {"spec": examples / "train.preprocess.json", "device": examples / "device.py"}
    for words in (TRAIN, INFER, BUNDLE):
        filled = [word.format(**places) for word in words]
        _, done = processor_seconds(made, "-m", "facelab.cli", *filled)
        assert done.returncode == 0, done.stderr[-2000:]
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_keeps_its_budget(name, folder):
    words, code, most, _ = COMMANDS[name]
    best = {REFERENCE: 1e9, words: 1e9}
    for attempt in range(5):
        spent, done = processor_seconds(folder, "-m", "facelab.cli", *words)
        assert done.returncode == code, done.stderr[-2000:]
        best[words] = min(best[words], spent)
        best[REFERENCE] = min(best[REFERENCE], processor_seconds(folder, *REFERENCE)[0])
        if attempt and best[words] <= most * best[REFERENCE]:
            return
    ratio = best[words] / best[REFERENCE]
    pytest.fail(
        f"{best[words]:.2f} s of processor time, {ratio:.1f} imports of numpy (at most {most})"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loads_nothing_heavy(name, folder):
    words, code, _, forbidden = COMMANDS[name]
    program = (
        "import sys\n"
        "from facelab.cli import run\n"
        "code = run(sys.argv[1:])\n"
        "print(code, *sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    _, done = processor_seconds(folder, "-c", program, *words)
    last, *loaded = done.stderr.splitlines()[-1].split()
    assert int(last) == code
    assert not forbidden & set(loaded)


def test_no_commands_help_loads_anything_heavy(folder):
    """One process asks each command for its help; what is loaded then, some help has loaded."""
    program = (
        "import sys, click\n"
        "from facelab.cli import cli, run\n"
        "def ask(command, words):\n"
        "    assert run([*words, '--help']) == 0, words\n"
        "    if isinstance(command, click.Group):\n"
        "        for name in command.list_commands(click.Context(command)):\n"
        "            ask(command.get_command(click.Context(command), name), [*words, name])\n"
        "ask(cli, [])\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    _, done = processor_seconds(folder, "-c", program)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Usage:") > 60
    assert not (HEAVY | {"numpy", "pydantic"}) & set(done.stderr.splitlines()[-1].split())


def test_importing_facelab_loads_no_numpy(folder):
    program = (
        "import sys, facelab; early = 'numpy' in sys.modules; print(early, facelab.start.__name__)"
    )
    _, done = processor_seconds(folder, "-c", program)
    assert done.stdout.split() == ["False", "start"], done.stderr

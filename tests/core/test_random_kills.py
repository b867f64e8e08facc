"""Issue 22.1: each command that starts processes, killed at 50 random moments of its measured duration.

Within 5 s nothing is left; nothing half-written counts as whole; the next call gives what an unkilled one gives.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from facelab.core.png import encode_png
from tests.core.kills import kill_at, printed, run, start, whole

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("FACELAB_KILLS", "50"))
TIMES = ("at", "milliseconds", "seconds", "samples", "machine", "load", "versions", "took_s")
CLASSES = ("anger", "disgust", "fear")


@dataclass(frozen=True)
class Case:
    """A small form of a command; what its folder claims to hold whole, or None; what its output says, times left out.

    `finish` is the word that the last call leaves out.
    """

    words: str
    kept: Callable = lambda out: None
    said: Callable = lambda text: None
    finish: str = ""


def released(out):
    state = Path(out) / "state.json"
    return json.loads(state.read_text())["stack"] if state.is_file() else None


def steps_done(out):
    """Return the records of each step that counts as done, in any run."""
    found = {}
    for path in Path(out).rglob("step.json"):
        if json.loads(path.read_text())["state"] == "done":
            rows = (path.parent / "records.jsonl").read_text().splitlines()
            found[path.parent.name] = [json.loads(row)["value"] for row in rows]
    return found or None


def of_searches(text):
    return [(r["case"], r["name"], r["correct"]) for r in json.loads(text)["results"]]


def of_faults(text):
    found = json.loads(text)
    report = {k: v for k, v in found["report"].items() if k != "faults"}
    return report, found["injected"], found["held"]


CASES = {
    "data synth": Case(
        "--set emotion --n 16 --size 48 --seed 3 --workers 2 --out OUT",
        lambda out: whole(out, "manifest.json", "*.png", "*.csv"),
    ),
    "emotion train": Case(
        "--backend keras --backbone none --n 60 --epochs 1 --copies 0 --size 32 --workers 1 --out OUT",
        lambda out: whole(out, "model_card.md", "*.preprocess.json", "split.json", "*.tflite"),
    ),
    "emotion evaluate": Case(
        "MODEL --data synthetic --n 12 --workers 2 --json", said=lambda text: printed(text, *TIMES)
    ),
    "quantize": Case(
        "MODEL --recipe u8s8-per-channel-minmax --calibration CAL --evaluate TEST --least 8 --crop whole "
        "--runs 50 --out OUT",
        lambda out: whole(out, "quantization.json", "*.onnx", "*.preprocess.json"),
    ),
    "match bench": Case(
        "--peer faiss --queries 1 --gallery 2000 --dimension 32 --repeats 3 --budget 0.3 --json",
        said=of_searches,
    ),
    "eval detector": Case(
        "--model DETECTOR --family yunet --images IMAGES --labels LABELS --threads 1 --json -",
        said=lambda text: printed(text, *TIMES),
    ),
    "bundle make": Case(
        "MODEL --licence MIT --out OUT", lambda out: whole(out, "manifest.json", "*")
    ),
    "reproduce": Case("--plan PLAN --reports OUT --force --json", steps_done, finish="--force"),
    "recovery prove": Case("--faults 2 --frames 6 --deadline 0.5 --json", said=of_faults),
    "release promote": Case("BUNDLE --store OUT --again", released),
    "budget run": Case(
        "--json BUDGET -- PYTHON -c __import__('time').sleep(1)", said=lambda text: bool(text)
    ),
}  # fmt: skip


def strangers(model, path):
    """Copy a known model with other bytes: nobody has verified it."""
    import onnx

    known = onnx.load(model)
    known.doc_string = "a stranger's"
    onnx.save(known, path)
    return path


@pytest.fixture(scope="module")
def given(tmp_path_factory, assets):
    """Return {word: path} of the files that commands name, made once."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "deploy"))
    sys.path.insert(0, str(REPOSITORY / "tests" / "reproduce"))
    from conftest_deploy import write_model
    from conftest_reproduce import Project, code

    from facelab.deploy import make_bundle

    base = tmp_path_factory.mktemp("given")
    model = write_model(base / "m.onnx", seed=int.from_bytes(os.urandom(3)))
    for name in ("labels.txt", "m.labels.txt"):
        (base / name).write_text("\n".join(CLASSES) + "\n")
    images = base / "images"
    images.mkdir()
    found = sorted((assets / "images").rglob("*.jpg"))[:6]
    for k, picture in enumerate(found):
        shutil.copy(picture, images / f"{k}.jpg")
    rows = [f"{k}.jpg,10,10,60,60" for k in range(len(found))]
    (base / "labels.csv").write_text("\n".join(["path,x1,y1,x2,y2", *rows]) + "\n")
    for part in ("calibration", "test"):
        for k in range(12):
            folder = base / part / CLASSES[k % 3]
            folder.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([k, len(part)]).integers(0, 255, (32, 32, 3), np.uint8)
            (folder / f"{k}.png").write_bytes(encode_png(noise))
    project = Project(base / "project")
    for k, name in enumerate(("one", "two")):
        body = f"import time\ntime.sleep(0.3)\nrun.record('a', 'b', {k})"
        project.body(name, code("work", body))
        project.step(name)
    make_bundle(model, base / "bundle", licence="MIT")
    (base / "budget.toml").write_text('schema = "facelab.budget/1"\nmemory_mb = 900\n')
    return {
        "BUDGET": base / "budget.toml",
        "DETECTOR": strangers(assets / "models/detectors/yunet_n_320_320.onnx", base / "y.onnx"),
        "CAL": base / "calibration",
        "TEST": base / "test",
        "MODEL": model,
        "IMAGES": images,
        "LABELS": base / "labels.csv",
        "PLAN": project.notebooks / "plan.toml",
        "BUNDLE": base / "bundle",
        "PYTHON": Path(sys.executable),
    }


@pytest.fixture
def env(tmp_path, mirror):
    """Return an environment with its own folders for data, models and temporary files."""
    (tmp_path / "temporary").mkdir()
    kept = {k: v for k, v in os.environ.items() if k != "FACELAB_OPEN_DIRECTLY"}
    return {
        **kept,
        "FACELAB_DATA": str(tmp_path / "data"),
        "FACELAB_MODELS": str(tmp_path / "models"),
        "FACELAB_TRUST": str(tmp_path / "trust.jsonl"),
        "FACELAB_MIRROR": str(mirror),
        "XDG_DATA_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "OMP_NUM_THREADS": "1",
    }


def forget_trials():
    """Let strangers' models be tried again: what was opened once is opened directly."""
    shutil.rmtree(REPOSITORY / ".cache" / "opened", ignore_errors=True)


def left_in(temporary):
    """Return what is left there except for the file by which Python tries whether it may write: it is not ours."""
    found = [p for p in temporary.iterdir() if not re.fullmatch(r"[a-z0-9_]{8}", p.name)]
    return [p.name for p in found]


def check_whole(name, kept, promised, when):
    """Hold what counts as whole against an unkilled call; of a run of notebooks some steps may be."""
    if name == "reproduce":
        assert kept.items() <= promised.items(), f"{when}: a part counts as done"
    else:
        assert kept == promised, f"{when}: a part counts as whole"


def moments(chance, count, seconds):
    """Return random moments over a whole run, in random order: one in each of `count` equal parts of it."""
    parts = chance.sample(range(count), count)
    return [max(0.05, (k + chance.random()) * seconds / count) for k in parts]


def over_the_run(kills, seconds):
    """Return how many kills fell into each tenth of the run, and how many of those met processes."""
    tenths = [[k for k in kills if min(9, int(10 * k.after_s / seconds)) == n] for n in range(10)]
    return " ".join(f"{sum(k.processes > 0 for k in ks)}/{len(ks)}" for ks in tenths)


def report(name, kills, seconds, temporary):
    """Print one line of figures and one of moments; `pytest -s` shows them."""
    late = max(kills, key=lambda k: k.gone_s)
    print(
        f"\n{name}: {len(kills)} kills of {seconds:.1f} s, up to {max(k.processes for k in kills)} processes, "
        f"{sum(k.processes > 0 for k in kills)} kills with some; all gone after {late.gone_s:.2f} s at most "
        f"(killed at {late.after_s:.1f} s); left {sum(map(len, (k.left for k in kills)))}; "
        f"{temporary} temporary files before the next call, 0 after it\n"
        f"kills that met processes of all kills, by tenths of the run: {over_the_run(kills, seconds)}"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_a_command_killed_at_random_moments(name, tmp_path, env, given):
    case = CASES[name]

    def words(out, text=case.words):
        places = {**given, "OUT": out}
        filled = [str(places.get(w, w)) for w in text.split()]
        return [*name.split(), *filled]

    first, out = tmp_path / "unkilled", tmp_path / "killed"
    run(words(first), env, tmp_path)  # whatever is compiled or fetched once is there from now on
    shutil.rmtree(first, ignore_errors=True)
    forget_trials()
    code, text, seconds = run(words(first), env, tmp_path)
    promised = case.kept(first), case.said(text)
    assert promised != (None, None)
    chance, kills = random.Random(os.environ.get("FACELAB_FUZZ_SEED", "") + name), []
    for k, moment in enumerate(moments(chance, KILLS, seconds)):
        forget_trials()
        kills.append(kill_at(words(out), moment, env, tmp_path))
        assert kills[-1].left == (), f"kill {k} after {kills[-1].after_s:.2f} s"
        kept = case.kept(out)
        if kept is not None:
            check_whole(name, kept, promised[0], f"kill {k}")
            if k % 2 or kept == promised[0]:  # the next call has work to do again
                shutil.rmtree(out)
    temporary = len(list((tmp_path / "temporary").iterdir()))
    assert KILLS < 50 or any(k.processes for k in kills), "the command started no process"
    again, text, _ = run(words(out, case.words.replace(case.finish, "")), env, tmp_path)
    assert (again, case.kept(out), case.said(text)) == (code, *promised)
    assert left_in(tmp_path / "temporary") == [], "what killed calls left was not removed"
    assert [p.name for p in tmp_path.rglob("*.fltmp")] == []
    report(name, kills, seconds, temporary)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answer(port, picture, seconds):
    """Return what the service finds on a picture, asked until it answers."""
    until = time.monotonic() + seconds
    while True:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/detect",
            data=picture,
            headers={"Content-Type": "image/jpeg"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as reply:
                return json.loads(reply.read())["faces"]
        except OSError:
            assert time.monotonic() < until, "the service does not answer"
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_service_killed_at_random_moments(tmp_path, env, given):
    port = free_port()
    run(["release", "promote", str(given["BUNDLE"]), "--store", str(tmp_path / "s")], env, tmp_path)
    words = f"serve --detector haar --emotion {tmp_path / 's'} --port {port}".split()
    picture = (given["IMAGES"] / "0.jpg").read_bytes()

    def answered():
        began = time.monotonic()
        process, _ = start(words, env, tmp_path)
        try:
            return answer(port, picture, 60), time.monotonic() - began
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(Exception):
                process.wait(20)
            process.kill()

    promised, seconds = answered()
    chance, kills = random.Random(os.environ.get("FACELAB_FUZZ_SEED", "") + "serve"), []
    for k, moment in enumerate(moments(chance, KILLS, 1.5 * seconds)):
        kills.append(kill_at(words, moment, env, tmp_path))
        assert kills[-1].left == (), f"kill {k} after {kills[-1].after_s:.2f} s"
    temporary = len(list((tmp_path / "temporary").iterdir()))
    assert any(k.processes for k in kills), "the service started no process"
    assert answered()[0] == promised
    assert left_in(tmp_path / "temporary") == [], "what killed calls left was not removed"
    report("serve", kills, 1.5 * seconds, temporary)

"""Every row of the degradation matrix is triggered, is named in a record and in an answer, costs what was measured, and

ends by itself; and the parts that carry the rows out: chains of ways, watched cameras, sets of shards, missing depth.
"""

import dataclasses
import json
import time

import numpy as np
import pytest

from facelab.cli import run
from facelab.core import degraded
from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.core.records import Record
from facelab.serving.degradation import (
    Chain,
    Degradation,
    DepthFallback,
    ShardSet,
    WatchedSource,
    Way,
    load_losses,
    load_matrix,
)
from facelab.studies import fallbacks

QUICK = {"hot", "temperature_unknown", "camera_silent", "index_shard_away", "index_metadata_away"}
NAMES = [row.name for row in load_matrix().entries]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert degraded.active() == ()


@pytest.fixture(scope="module")
def setting():
    return fallbacks.Setting("yunet-n", pictures=3)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
@pytest.mark.timeout(240)
def test_a_row_is_triggered_said_and_ended(name, setting, mirror):
    try:
        loss = fallbacks.trials()[name](setting)
    except fallbacks.Unmeasured as e:
        pytest.skip(str(e))
    assert loss.name == name and loss.n > 0
    assert loss.record, "a record that was made meanwhile names it"
    assert loss.answer, "the answer names it"
    assert loss.back, "it ends by itself"
    held = load_losses().named(name)
    assert held is not None and held.metric == loss.metric
    if held.fallen < held.usual - 0.1:
        assert loss.fallen < loss.usual, "what was measured to be lost is lost again"


def test_every_row_has_a_trial_and_a_measured_loss():
    measured = load_losses()
    assert list(fallbacks.trials()) == NAMES and not measured.unmeasured
    assert [e.name for e in measured.entries] == NAMES
    assert all(e.shown and e.n >= 1 for e in measured.entries)
    assert {e.name for e in measured.entries if e.method == "model"} == {
        "hot",
        "temperature_unknown",
    }
    assert measured.machine["cores"] and measured.at
    assert len(measured.rows()) == len(NAMES) >= 20


def test_numbers_of_the_matrix_are_those_of_the_code():
    from facelab.feedback.beat import AdaptiveBeat
    from facelab.feedback.beat._laws import HOT_C
    from facelab.feedback.schedule._lane import HANGS_S

    matrix = load_matrix()
    assert matrix.named("hot").limit == HOT_C
    assert matrix.named("temperature_unknown").limit == AdaptiveBeat().stale_s
    assert matrix.named("output_failing").limit == HANGS_S


def test_every_name_that_a_room_says_is_a_row():
    import re

    from facelab.core.project import package_file

    said = set()
    for path in package_file("__init__.py").parent.rglob("*.py"):
        text = path.read_text()
        said |= set(re.findall(r"(?:fall_back|\.say|\.trip|Fallback)\(\s*\"(\w+)\"", text))
    assert {"delegate_missing", "cores_missing", "fifo_refused", "requests_shed"} <= said
    assert said <= set(NAMES), said - set(NAMES)


# -- the commands ------------------------------------------------------------------------------------------------------


def test_the_commands_show_and_measure(capsys, tmp_path):
    assert run(["recovery", "show", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in rows] == NAMES and all(r["measured"] for r in rows)
    assert run(["recovery", "show"]) == 0
    assert "measured  faces found 1 →" in capsys.readouterr().out
    out = tmp_path / "losses.json"
    words = ["recovery", "measure", "hot", "--detector", "haar", "--out", str(out)]
    assert run(words) == 0
    assert "hot                  said and ended: beats per second" in capsys.readouterr().out
    assert [e.name for e in load_losses(out).entries] == ["hot"]
    assert run(["recovery", "show", "--losses", str(out)]) == 0
    assert "not measured: no trial was run" in capsys.readouterr().out
    assert run(["recovery", "measure", "hott", "--detector", "haar"]) == 2
    assert "did you mean 'hot'" in capsys.readouterr().err
    for text in ("", "[]", '{"schema": "x"}', '{"schema": "facelab.degradation-losses/1"}'):
        out.write_text(text)
        assert run(["recovery", "show", "--losses", str(out)]) == 2


def test_a_fallback_that_is_not_said_fails_the_command(monkeypatch, capsys):
    loss = dataclasses.replace(load_losses().named("hot"), record=False)
    monkeypatch.setattr("facelab.studies.fallbacks._outputs.hot", lambda setting: loss)
    assert run(["recovery", "measure", "hot", "--detector", "haar"]) == 1
    assert "NOT SHOWN" in capsys.readouterr().out


# -- chains ------------------------------------------------------------------------------------------------------------


class Thing:
    def __init__(self, name):
        self.name, self.closed = name, False

    def close(self):
        self.closed = True


def test_a_chain_falls_back_says_why_and_comes_back():
    now, broken = [0.0], [ImportError("no such library"), UnsupportedError("too old", fix="x")]

    def best():
        if broken:
            raise broken[0]
        return Thing("best")

    chain = Chain([Way("best", best), Way("plain", lambda: Thing("plain"))], clock=lambda: now[0])
    plain = chain.get()
    assert plain.name == "plain" and chain.used == "plain"
    assert chain.degraded == ("runtime_missing",) and "no such library" in chain.why["best"]
    assert Record("r", "s", "c", "m", 1.0).degraded == "runtime_missing"
    broken.pop(0)
    assert chain.get() is plain, "it is not tried at each call"
    now[0] = 31.0
    assert chain.get() is plain and "too old" in chain.why["best"]
    broken.clear()
    now[0] = 45.0
    assert chain.get() is plain
    now[0] = 62.0
    best_one = chain.get()
    assert best_one.name == "best" and plain.closed and chain.degraded == () and not chain.why
    chain.close()
    assert best_one.closed


def test_a_chain_of_which_nothing_opens_raises_the_last_error_and_tries_again():
    fine = []

    def make():
        if not fine:
            raise OSError("away")
        return "here"

    chain = Chain([Way("only", make)])
    with pytest.raises(FacelabError, match="no way of the chain") as e:
        chain.get()
    assert "away" in e.value.got and chain.used is None
    fine.append(1)
    assert chain.get() == "here" and chain.degraded == ()


def test_memory_is_a_reason_of_its_own():
    free = [100]
    now = [0.0]
    ways = [Way("large", lambda: "large", 60), Way("small", lambda: "small", 20)]
    chain = Chain(ways, free=lambda: free[0], clock=lambda: now[0])
    assert chain.get() == "small" and chain.degraded == ("model_too_large",)
    assert "needs more memory" in chain.why["large"]
    free[0], now[0] = 120, 31.0
    assert chain.get() == "large" and chain.degraded == ()
    with pytest.raises(BadInputError, match="different names"):
        Chain([ways[0], ways[0]])
    with pytest.raises(BadInputError):
        Chain([])


# -- cameras -----------------------------------------------------------------------------------------------------------


class Shot:
    """The least that a frame has."""

    def __init__(self, time_s, *, gray=False, stream="colour"):
        self.time_s, self.stream = time_s, stream
        self._picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        if gray:
            self._picture[:] = self._picture[..., :1]

    def image(self, colour):
        return self._picture


class Shots:
    streams = ("colour", "depth")

    def __init__(self, shots):
        self._shots = iter(shots)

    def read(self, timeout_s):
        return next(self._shots, None)


def watched(shots, **options):
    now = [0.0]
    state = Degradation(clock=lambda: now[0])
    return WatchedSource(Shots(shots), degradation=state, clock=lambda: now[0], **options), now


def test_a_slow_camera_is_said_and_a_clock_that_jumps_is_not_taken_for_one():
    times = (
        [k / 30 for k in range(20)] + [5 + k / 30 for k in range(20)] + [k / 30 for k in range(20)]
    )
    source, _ = watched([Shot(t) for t in times], rate_hz=30)
    said = []
    for _ in times:
        source.read()
        said.append("camera_slow" in source.degraded)
    # the jump ahead looks like a pause until it leaves the window; it needs seconds of calm to be over
    assert not any(said[:20]) and source.rate_hz == pytest.approx(30)
    source.close()
    slow, now = watched(
        [Shot(k / 10) for k in range(40)] + [Shot(4 + k / 30) for k in range(40)], rate_hz=30
    )
    for _ in range(30):
        slow.read()
    assert slow.degraded == ("camera_slow",) and slow.rate_hz == pytest.approx(10)
    for _ in range(50):
        slow.read()
    assert slow.degraded == ("camera_slow",), "calm is counted in seconds"
    now[0] = 2.5
    assert slow.degraded == ()
    with pytest.raises(BadInputError):
        WatchedSource(Shots([]), rate_hz=0)


def test_frames_without_colour_are_said_by_format_by_pixels_and_in_a_jpeg():
    import cv2

    from facelab.serving.degradation._camera import _components

    source, now = watched([Shot(0.0), Shot(0.1, gray=True), Shot(0.2), Shot(0.3)])
    source.read()
    assert source.degraded == ()
    source.read()
    assert source.degraded == ("camera_gray",)
    source.read()
    now[0] = 1.1
    source.read()
    assert source.degraded == ()
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for given, n in ((picture, 3), (picture[..., 0], 1)):
        assert _components(cv2.imencode(".jpg", given)[1].tobytes()) == n
    assert _components(b"\xff\xd8 truncated") == 0


def test_depth_that_stops_is_said():
    shots = [s for k in range(6) for s in (Shot(k / 30), Shot(k / 30, stream="depth"))]
    shots += [Shot(1 + k / 30) for k in range(14)] + [Shot(2.0, stream="depth")]
    source, _ = watched(shots, depth=True)
    said = []
    while source.read() is not None:
        said.append("depth_missing" in source.degraded)
    assert not any(said[:12]) and said[-2] and not said[-1]
    source.close()
    alone = Shots([])
    alone.streams = ("colour",)
    with WatchedSource(alone, depth=True) as none:
        assert none.degraded == ("depth_missing",)


def test_the_pipeline_reads_a_watched_source_and_says_what_was_active():
    from facelab.serving import Pipeline, PipelineStage
    from facelab.serving.internals import RenderedFrames

    pictures = [np.full((16, 16, 3), 90, np.uint8)]
    stages = [PipelineStage("size", lambda frame: frame.image().shape[0])]
    with WatchedSource(RenderedFrames(pictures, count=4)) as source:
        found = Pipeline(stages).run(source)
    assert found.results == (16,) * 4 and found.degraded == ("camera_gray",)
    assert Pipeline(stages).run(RenderedFrames(pictures, count=2)).degraded == ()


# -- shards and depth --------------------------------------------------------------------------------------------------


def test_shards_that_do_not_belong_together_or_are_all_away_are_refused(tmp_path):
    from facelab.index import Collection

    rows = np.eye(4, dtype=np.float32)
    for name, dimension, metric in (("a", 4, "cosine"), ("b", 3, "cosine"), ("c", 4, "l2")):
        with Collection.create(tmp_path / name, dimension=dimension, metric=metric) as made:
            made.add(rows[:, :dimension][:dimension], ids=[f"{name}{k}" for k in range(dimension)])
    for other in ("b", "c"):
        with pytest.raises(BadInputError, match="do not belong together"):
            ShardSet([tmp_path / "a", tmp_path / other])
    with pytest.raises(FacelabError):
        ShardSet([tmp_path / "no", tmp_path / "never"])
    with pytest.raises(BadInputError, match="no shard"):
        ShardSet([])
    with ShardSet([tmp_path / "a", tmp_path / "no"]) as shards:
        found = shards.search(rows[:1], 3)
        assert found.hits.ids[0][0] == "a0" and not found.whole
        assert found.missing == (str(tmp_path / "no"),) and found.degraded == ("index_shard_away",)
        assert len(shards) == 4


def test_merged_hits_are_those_of_one_collection(tmp_path):
    from facelab.index import Collection

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 8)).astype(np.float32)
    for metric in ("cosine", "l2", "ip"):
        root = tmp_path / metric
        with Collection.create(root / "all", dimension=8, metric=metric) as made:
            made.add(rows, ids=[str(k) for k in range(300)])
            whole = made.search(rows[:20], 5)
        for part in range(3):
            with Collection.create(root / str(part), dimension=8, metric=metric) as made:
                made.add(rows[part::3], ids=[str(k) for k in range(part, 300, 3)])
        with ShardSet([root / str(part) for part in range(3)]) as shards:
            found = shards.search(rows[:20], 5).hits
        assert found.ids == whole.ids
        assert np.allclose(np.array(list(found.distances)), whole.distances, atol=1e-6)


def test_missing_depth_is_never_an_easier_way_in():
    from facelab import liveness

    data = liveness.rendered(2, kinds=("live", "print_flat"), seed=3)
    whole, motion = liveness.load("depth-geometry"), liveness.load("motion")
    alone = DepthFallback(whole)
    flat = [
        dataclasses.replace(p, looks=tuple(dataclasses.replace(k, depth=None) for k in p.looks))
        for p in data
    ]
    for shown in flat:
        answer = alone.score(shown)
        assert not answer.answered and "depth" in answer.reason
        assert not alone.is_live(shown) and alone.degraded == ("depth_missing",)
    for shown in data:
        assert alone.is_live(shown) == whole.is_live(shown) and alone.degraded == ()
    with pytest.raises(BadInputError, match="do not fit"):
        DepthFallback(motion)
    with pytest.raises(BadInputError, match="do not fit"):
        DepthFallback(whole, whole)


# -- models ------------------------------------------------------------------------------------------------------------


def test_a_model_says_with_how_many_cores_it_runs_until_it_is_closed(tmp_path, monkeypatch):
    from facelab.zoo.runtimes import _opening

    class Opened:
        pass

    from facelab.zoo.runtimes._base import Model

    asked = []

    def open_file(path, runtime, threads, options):
        asked.append(threads)
        return Model(path, object(), (), (), threads)

    monkeypatch.setattr(_opening, "_open_file", open_file)
    monkeypatch.setattr(_opening, "cores", lambda: 2)
    for threads, granted in ((1, 1), (2, 2), (3, 2), (64, 2), (None, None)):
        with _opening._open(tmp_path / "m.onnx", "onnx", threads, {}) as model:
            expected = ("cores_missing",) if granted != threads else ()
            assert asked[-1] == granted and model.degraded == expected == degraded.active()
        assert degraded.active() == ()


def test_a_model_that_nobody_holds_any_more_is_no_fallback():
    import gc

    from facelab.zoo.runtimes._base import Model

    model = Model("x", object(), (), (), 1)
    model.fall_back("cores_missing", "why")
    model.fall_back("cores_missing", "twice")
    assert degraded.active() == ("cores_missing",)
    del model
    gc.collect()
    assert degraded.active() == ()


def test_the_service_names_what_its_models_and_its_queue_met(mirror):
    import urllib.error
    import urllib.request

    from facelab.serving import create_app
    from facelab.serving.internals import FaceTasks, Limits, running

    held = degraded.Fallback("cores_missing")
    app = create_app(lambda: FaceTasks({}, {}), limits=Limits(wait_s=0.1))
    with running(app) as address:
        request = urllib.request.Request(
            f"{address}/v1/detect", b"no image", {"Content-Type": "image/png"}
        )
        with pytest.raises(urllib.error.HTTPError) as e, urllib.request.urlopen(request):
            pass
        with e.value as answer:
            assert json.load(answer)["degraded"] == ["cores_missing"]
    held.end()


def test_a_witness_sees_what_is_short():
    from facelab.studies.fallbacks._trial import Witness

    with Witness("overload") as witness:
        held = degraded.Fallback("overload")
        time.sleep(0.05)
        held.end()
    assert witness.seen
    with Witness("overload") as other:
        time.sleep(0.02)
    assert not other.seen


def test_the_page_shows_the_losses_that_the_package_carries():
    from pathlib import Path

    def figure(value):
        return "–" if value is None else f"{value:.3g}"

    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "surviving-crashes.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{e.name}` | {e.metric} (n = {e.n}) | {figure(e.usual)} | {figure(e.fallen)} | "
        f"{figure(e.ms)} | {figure(e.fallen_ms)} |"
        for e in load_losses().entries
    ]

"""Long calls: computed by a runner, loaded by a person, and computed again whenever anything they depend on differs."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelab.core import progress
from facelab.core.errors import BadInputError
from facelab.metrics.intervals import Interval, wilson
from facelab.session import _call_key as call_key
from facelab.session import _kept_results as kept_results
from facelab.session import _stored_results as stored_results
from facelab.session._run import Run, start

REPOSITORY = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------- storing
def same(a, b) -> bool:
    """Equal in value and in type, arrays and NaN included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and (
                all(map(same, a.ravel(), b.ravel()))
                if a.dtype.hasobject
                else a.tobytes() == b.tobytes()
            )
        )
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) for x, y in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return a == b


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | hnp.arrays(
        st.sampled_from([np.uint8, np.float32, np.int64, np.bool_, "<U3"]),
        hnp.array_shapes(min_side=0, max_dims=3, max_side=4),
    )
    | st.sampled_from(
        [
            np.float32(0.1),
            np.int64(-3),
            np.bool_(True),
            Path("a/b"),
            {"x", "y"},
            frozenset({1}),
            np.array(["a", None, 10**30], object),
            Interval(0.1, 0.2, 0.3, "w", 9),
        ]
    )
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text(max_size=4) | st.integers() | st.just("$array"), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(value=VALUES)
def test_what_is_stored_comes_back_equal(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("kept")
    given_back = stored_results.keep(
        folder, "x", value, parts={}, key="k", at="now", run="r", seconds=1.0
    )
    kept, _ = stored_results.find([folder], "x", "k")
    assert same(given_back, value) and same(kept.value, value)


def test_a_table_comes_back_equal(tmp_path):
    import pandas as pd

    table = pd.DataFrame(
        {"name": ["a", "b"], "n": [1, 2], "share": [0.5, float("nan")], "ok": [True, False]}
    )
    stored_results.keep(
        tmp_path, "t", {"table": table}, parts={}, key="k", at="", run="", seconds=0
    )
    pd.testing.assert_frame_equal(
        stored_results.find([tmp_path], "t", "k")[0].value["table"], table
    )


@pytest.mark.parametrize(
    "value", [object(), lambda: 1, b"bytes", 1j, np.array([object()]), subprocess.Popen]
)
def test_a_value_that_cannot_be_stored_is_refused_and_the_earlier_one_stays(tmp_path, value):
    stored_results.keep(tmp_path, "x", 1, parts={}, key="k", at="", run="", seconds=0)
    with pytest.raises(BadInputError):
        stored_results.keep(tmp_path, "x", [value], parts={}, key="k", at="", run="", seconds=0)
    assert stored_results.find([tmp_path], "x", "k")[0].value == 1


def test_a_nest_without_end_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(BadInputError, match="nested"):
        stored_results.pack(endless)


@pytest.mark.parametrize(
    "damage",
    [
        lambda j, z: j.write_text(j.read_text()[:40]),
        lambda j, z: z.write_bytes(z.read_bytes()[:-3]),
        lambda j, z: z.unlink(),
        lambda j, z: j.write_text("[1]"),
        lambda j, z: j.write_text(
            json.dumps({**json.loads(j.read_text()), "value": {"$run": "rm"}})
        ),
        lambda j, z: j.write_text(
            json.dumps({**json.loads(j.read_text()), "value": {"$array": 7}})
        ),
        lambda j, z: j.write_text(
            json.dumps(
                {
                    **json.loads(j.read_text()),
                    "value": {"$object": "os:system", "fields": {"command": "x"}},
                }
            )
        ),
        lambda j, z: j.write_text(
            json.dumps(
                {
                    **json.loads(j.read_text()),
                    "value": {"$object": "facelab.core.hashing:sha256_file", "fields": {}},
                }
            )
        ),
    ],
)
def test_a_damaged_result_counts_as_none(tmp_path, damage):
    stored_results.keep(tmp_path, "x", np.arange(4), parts={}, key="k", at="", run="", seconds=0)
    damage(tmp_path / "x.json", tmp_path / "x.npz")
    assert stored_results.find([tmp_path], "x", "k")[0] is None


def test_a_pickle_in_the_arrays_is_not_opened(tmp_path):
    from facelab.core.hashing import sha256_file

    stored_results.keep(tmp_path, "x", np.arange(4), parts={}, key="k", at="", run="", seconds=0)
    np.savez(tmp_path / "x.npz", a0=np.array([{"a": 1}], object))
    head = json.loads((tmp_path / "x.json").read_text())
    (tmp_path / "x.json").write_text(
        json.dumps({**head, "arrays_sha256": sha256_file(tmp_path / "x.npz")})
    )
    assert stored_results.find([tmp_path], "x", "k")[0] is None


# ---------------------------------------------------------------- keys
def key(*args, **kwargs):
    return call_key.key_of(call_key.parts(wilson, args, kwargs))


def test_the_key_follows_arguments_however_they_are_given():
    assert key(3, 10) == key(3, 10) == key(n=10, successes=3) != key(4, 10)


def test_the_key_follows_code_packages_and_mirror(monkeypatch, tmp_path):
    before = key(3, 10)
    monkeypatch.setenv("FACELAB_MIRROR", str(tmp_path))
    assert key(3, 10) != before
    monkeypatch.delenv("FACELAB_MIRROR")
    for name in ("_packages", "code"):
        with monkeypatch.context() as m:
            m.setattr(call_key, name, lambda *a: "other")
            assert key(3, 10) != before


def test_arguments_are_distinguished_by_content(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for path, text in ((a, "1"), (b, "2")):
        path.write_text(text)
    different = [
        a,
        b,
        [1],
        (2,),
        1.5,
        np.arange(3),
        np.arange(3.0),
        np.arange(4),
        "x" * 300,
        "y" * 300,
        Interval(0, 1, 2, "m", 9),
        Interval(0, 1, 3, "m", 9),
        wilson,
        None,
        np.array(["u", None], object),
    ]
    described = [json.dumps(call_key.describe(v)) for v in different]
    assert len(set(described)) == len(described)
    assert call_key.describe(a) == call_key.describe(Path(str(a)))


def test_specs_of_one_name_are_distinguished():
    from facelab.preprocess import PreprocessSpec

    order = [
        PreprocessSpec(
            "s",
            [
                {
                    "op": "decode",
                    "format": "encoded",
                    "order": o,
                    "idct": "accurate",
                    "alpha": "drop",
                }
            ],
        )
        for o in ("rgb", "bgr")
    ]
    assert call_key.describe(order[0]) != call_key.describe(order[1])
    assert call_key.describe(order[0]) == call_key.describe(
        PreprocessSpec("t", [s.to_dict() for s in order[0].stages])
    )


def test_a_copy_elsewhere_of_a_file_or_folder_is_the_same_argument(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("same")
    assert call_key.describe(tmp_path / "a") == call_key.describe(tmp_path / "b")


def top_level_of_a_test():
    return 1


@pytest.mark.parametrize("function", [lambda: 1, top_level_of_a_test, len, Run.done])
def test_code_that_the_key_cannot_cover_is_refused(function):
    with pytest.raises(BadInputError, match="only a function of a module"):
        call_key.function_name(function)


@pytest.mark.parametrize("value", [lambda: 1, object(), iter([1])])
def test_an_argument_that_cannot_be_distinguished_is_refused(value):
    with pytest.raises(BadInputError):
        call_key.describe({"a": [value]})


def test_detections_do_not_differ_by_how_long_they_took():
    from facelab.detection import Detections
    from facelab.detection.internals import Timings

    one, two = (
        Detections(np.zeros((1, 4)), np.ones(1), timings=Timings(t, t, t)) for t in (1.0, 2.0)
    )
    assert call_key.describe(one) == call_key.describe(two)


# ---------------------------------------------------------------- a notebook's run
@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder without runs, as the working folder; nothing says headless."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "plan.toml").write_text('schema = "facelab.plan/1"\n')
    monkeypatch.chdir(tmp_path)
    for name in ("FACELAB_STEP_DIR", "FACELAB_STEP", "FACELAB_RUN"):
        monkeypatch.delenv(name, raising=False)
    # the checkout may have been edited while this process ran
    monkeypatch.setattr(call_key, "LOADED", math.inf)
    return tmp_path


@pytest.fixture
def counted():
    """A function of facelab that counts its calls."""

    def function(n, *, factor=1):
        function.calls += 1
        return {"values": np.arange(n) * factor}

    function.calls, function.__module__, function.__qualname__ = (
        0,
        "facelab.metrics.intervals",
        "function",
    )
    return function


def headless(project, run="20260101-000000-aaaa"):
    return Run("step", folder=project / "reports" / "runs" / run / "step", run=run, headless=True)


def test_a_runner_always_computes_and_a_person_gets_what_it_kept(project, counted, capsys):
    for run in ("20260101-000000-aaaa", "20260102-000000-bbbb"):
        first = headless(project, run).long("values", counted, 4, factor=3)
    assert counted.calls == 2 and not capsys.readouterr().out
    loaded = start("step").long("values", counted, 4, factor=3)
    assert counted.calls == 2 and (loaded["values"] == first["values"]).all()
    said = capsys.readouterr().out
    assert (
        "loaded" in said
        and "run 20260102-000000-bbbb" in said
        and "start('step', recompute=True)" in said
    )


def test_another_argument_is_computed_and_said_and_then_kept(project, counted, capsys):
    headless(project).long("values", counted, 4)
    for _ in range(2):
        assert start("step").long("values", counted, 5)["values"].tolist() == [0, 1, 2, 3, 4]
    assert counted.calls == 2  # the runner's, and one of the two interactive ones
    said = capsys.readouterr().out.splitlines()
    assert "n: 4 → 5" in said[0] and "an earlier session" in said[1]


def test_an_older_run_is_used_where_the_last_one_had_other_arguments(project, counted):
    headless(project, "20260101-000000-aaaa").long("values", counted, 4)
    headless(project, "20260102-000000-bbbb").long("values", counted, 2)
    start("step").long("values", counted, 4)
    assert counted.calls == 2


def test_recompute_computes(project, counted, capsys):
    headless(project).long("values", counted, 4)
    start("step", recompute=True).long("values", counted, 4)
    assert counted.calls == 2 and "recompute=True" in capsys.readouterr().out


def test_changed_files_are_neither_loaded_nor_kept(project, counted, capsys, monkeypatch):
    headless(project).long("values", counted, 4)
    monkeypatch.setattr(call_key, "LOADED", 0.0)
    run = start("step")
    run.long("values", counted, 4)
    assert counted.calls == 2 and "restart" in capsys.readouterr().out
    assert not (run.folder / "results").exists()


@pytest.fixture
def writing():
    """A function of facelab that fills a folder and names a file in it."""

    def function(n, out, *, backbone=None):
        function.calls += 1
        out.mkdir(parents=True, exist_ok=True)
        (out / "model.bin").write_bytes(bytes(n))
        return {"model": out / "model.bin", "elsewhere": Path("/etc/hosts")}

    function.calls, function.__module__, function.__qualname__ = (
        0,
        "facelab.metrics.intervals",
        "function",
    )
    return function


def test_the_files_that_a_long_call_wrote_come_along(project, writing):
    made = headless(project)
    assert (
        made.long("model", writing, 4, made.output("model"))["model"]
        == made.folder / "model" / "model.bin"
    )
    for _ in range(2):  # the second time over its own copy
        mine = start("step")
        got = mine.long("model", writing, 4, mine.output("model"))
        assert got == {
            "model": mine.folder / "model" / "model.bin",
            "elsewhere": Path("/etc/hosts"),
        }
        assert got["model"].read_bytes() == bytes(4)
    assert writing.calls == 1


def test_a_result_whose_files_are_gone_is_computed_again(project, writing, capsys):
    made = headless(project)
    made.long("model", writing, 4, made.output("model"))
    shutil.rmtree(made.folder / "model")
    mine = start("step")
    assert mine.long("model", writing, 4, out=mine.output("model"))["model"].is_file()
    assert writing.calls == 2 and "files are gone" in capsys.readouterr().out


def test_another_step_has_its_own_results(project, counted):
    headless(project).long("values", counted, 4)
    start("other").long("values", counted, 4)
    assert counted.calls == 2


def test_a_bad_name_is_refused_before_anything_is_computed(project, counted):
    with pytest.raises(BadInputError, match="plain word"):
        start("step").long("../x", counted, 4)
    assert counted.calls == 0


def test_the_verdict_shows_its_checks(project):
    run = start("step")
    run.check("a<b", "accuracy", 0.5, ">= 0.9")
    verdict = run.done()
    assert verdict == "0 of 1 budgets met; missed: a<b · accuracy" and isinstance(verdict, str)
    shown = verdict._repr_html_()
    assert "FAIL" in shown and "a&lt;b" in shown and "&gt;= 0.9" in shown


# ---------------------------------------------------------------- progress
def test_only_the_outermost_loop_counts():
    sink = progress.Sink()
    token = progress._SINK.set(sink)
    try:
        seen = []
        for _ in progress.track(range(3), "models"):
            list(progress.track(range(50), "inner"))
            seen.append((sink.what, sink.done, sink.total))
    finally:
        progress._SINK.reset(token)
    assert (
        seen == [("models", 0, 3), ("models", 1, 3), ("models", 2, 3)]
        and sink.done == 3
        and not sink.busy
    )


@pytest.mark.parametrize(
    ("done", "total", "expected", "shares"),
    [
        (0, 0, None, None),
        (0, 0, 20.0, 0.25),
        (0, 0, 1.0, 0.99),
        (2, 8, 20.0, 0.25),
        (0, 8, None, 0.0),
    ],
)
def test_the_bar_shows_what_is_known(done, total, expected, shares):
    sink = progress.Sink()
    sink.done, sink.total = done, total
    shown = progress.bar_html("a<b", sink, 5.0, expected)
    assert "a&lt;b" in shown
    assert (f'value="{shares:.3f}"' in shown) if shares is not None else ('value="' not in shown)


KERNEL = """
from facelab.core import progress
import time
with progress.bar("slow", expected_s=None):
    for _ in progress.track(range(4), "parts"):
        time.sleep(0.35)
"""


def test_a_bar_moves_in_a_real_kernel(tmp_path):
    """The display of the cell is updated from the bar's own thread, and says at last how long it took."""
    from jupyter_client.manager import start_new_kernel

    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "IPYTHONDIR": str(tmp_path)}
    manager, client = start_new_kernel(
        kernel_name="python3", startup_timeout=60, env=env, cwd=str(tmp_path)
    )
    try:
        shown = []

        def hook(message):
            if "data" in message["content"]:
                assert message["parent_header"]["msg_type"] == "execute_request"
                shown.append(message["content"]["data"]["text/html"])

        reply = client.execute_interactive(KERNEL, timeout=60, output_hook=hook)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply
    assert shown[0].startswith("<progress") and any(
        f"parts {k} of 4" in s for k in (1, 2, 3) for s in shown
    )
    assert "slow: computed in" in shown[-1]


def test_results_of_all_runs_are_looked_through_newest_first(project):
    for name in ("20260102-000000-bbbb", "20260101-000000-aaaa"):
        (project / "reports" / "runs" / name).mkdir(parents=True)
    found = kept_results.folders(project / "reports", "s")
    assert [p.parents[1].name for p in found] == [
        "20260102-000000-bbbb",
        "20260101-000000-aaaa",
        "interactive",
    ]


def test_a_run_shows_its_records(project):
    run = start("step")
    run.record("a<b", "speed", 1.5, unit="ms")
    run.check("c", "accuracy", 0.95, ">= 0.9")
    shown = run._repr_html_()
    assert "a&lt;b" in shown and "1.5" in shown and "PASS" in shown and "2 records" in shown

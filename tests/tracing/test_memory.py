"""Memory verdicts: the slope's statistics, rules on readings whose truth is known, planted cases in fresh processes."""

import gc
import subprocess
import sys
import time

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.studies import planted_leaks
from facelab.tracing import MemoryWatch, _census, allocating_lines
from facelab.tracing._census import Census
from facelab.tracing._growth import growth
from facelab.tracing._verdict import Evidence, decide
from facelab.tracing.internals import VERDICTS

N = 120
MB = 1_000_000


def walk(seed, n=160):
    """Noise as allocators make it: it hangs together, and it only adds."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.exponential(50_000, n // 4), 4)


def test_noise_is_rarely_called_growth():
    x = np.arange(160)
    called = sum(growth(x, walk(s), least=256 * 1024).sustained for s in range(300))
    assert called == 0


@pytest.mark.parametrize("slope", [5_000.0, 20_000.0])
def test_the_interval_holds_the_true_slope(slope):
    x = np.arange(160)
    hits = 0
    for seed in range(200):
        g = growth(x, slope * x + walk(seed), least=256 * 1024)
        hits += g.lo <= slope <= g.hi
        assert g.sustained
    assert hits / 200 >= 0.95 - 2.6 * (0.95 * 0.05 / 200) ** 0.5


def test_a_slope_above_the_visible_one_is_seen():
    x = np.arange(160)
    for seed in range(100):
        quiet = growth(x, walk(seed), least=256 * 1024)
        assert growth(x, walk(seed) + 3 * quiet.visible * x, least=256 * 1024).sustained


def census(**changes):
    base = {
        "objects": 1000,
        "object_bytes": 100_000,
        "types": {"dict": 10},
        "arrays": {},
        "sessions": 1,
        "orphans": 0,
        "threads": ("MainThread",),
        "files": ("/a",),
    }
    return Census(**{**base, **changes})


def evidence(series=None, *, after=None, rss_end=None, trimmed=None):
    x = np.arange(N, dtype=np.float64)
    readings = {k: np.full(N, 100.0 * MB) for k in ("rss", "anonymous", "in_use")}
    readings |= {"frame": x, "blocks": np.full(N, 5e5), "threads": np.ones(N)}
    readings |= {"descriptors": np.full(N, 9.0)}
    for name, per_frame in (series or {}).items():
        readings[name] = readings[name] + per_frame * x
    end = readings["rss"][-1] if rss_end is None else rss_end
    return Evidence(readings, 20, census(), after or census(), end, trimmed or end - MB)


LEAKY = {"rss": 50_000, "anonymous": 50_000, "in_use": 50_000}
RULES = {
    "no growth": evidence(),
    "warm-up": evidence(rss_end=120 * MB),
    "retention": evidence(rss_end=160 * MB, trimmed=105 * MB),
    "native leak": evidence(LEAKY),
    "Python objects": evidence({"blocks": 80, "rss": 8000}),
    "held array": evidence(LEAKY, after=census(arrays={"(100,) uint8": (50, 5 * MB)})),
    "session held by a NodeArg": evidence(LEAKY, after=census(orphans=2)),
    "held sessions": evidence(LEAKY, after=census(sessions=3)),
    "threads": evidence({"threads": 0.1, **LEAKY}),
    "descriptors": evidence({"descriptors": 0.2}),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_rules(name):
    found = decide(RULES[name])
    assert found.name == name and found.what


def test_growth_that_a_trim_returns_is_retention_and_not_a_leak():
    kept = evidence({"rss": 600_000, "anonymous": 600_000}, trimmed=105 * MB)
    assert decide(kept).name == "retention"


def test_growth_of_rss_past_malloc_is_a_leak():
    assert decide(evidence({"rss": 50_000, "anonymous": 50_000})).name == "native leak"


def test_pages_of_files_are_not_a_leak():
    """A memory-mapped gallery that is read bit by bit grows RSS, not anonymous memory."""
    assert not VERDICTS[decide(evidence({"rss": 300_000})).name].leak


@pytest.fixture
def small(monkeypatch):
    """Leave out of censuses what other tests and their libraries hold: to count millions of objects takes seconds."""
    gc.collect()
    gc.freeze()
    monkeypatch.setattr(gc, "unfreeze", lambda: None)


@pytest.mark.usefixtures("small")
def test_a_short_run_gets_no_verdict():
    watch = MemoryWatch(settle=10, every=5)
    for frame in range(40):
        watch.tick(frame)
    with pytest.raises(BadInputError) as caught:
        watch.finish()
    assert caught.value.fix
    with pytest.raises(BadInputError):
        MemoryWatch(settle=0, every=0)


@pytest.mark.usefixtures("small")
def test_a_slow_count_of_malloc_does_not_slow_the_run(monkeypatch):
    """A heap with many freed pieces makes mallinfo2 take 20 ms and more."""
    asked = []

    def slow():
        asked.append(time.perf_counter())
        time.sleep(0.02)
        return 10**9 + len(asked)

    monkeypatch.setattr("facelab.core.allocator.in_use_bytes", slow)
    watch = MemoryWatch(settle=20, every=1)
    started = time.perf_counter()
    for frame in range(200):
        watch.tick(frame)
    report = watch.finish()
    spent = time.perf_counter() - started
    assert 2 <= len(asked) <= 2 + spent / 0.1  # each call takes a fifth of the time to the next
    assert report.readings["in_use"].min() > 10**9


FROZEN = """
import gc
from facelab.tracing import MemoryWatch

kept = [[n] for n in range(50_000)]
gc.collect()
gc.freeze()
watch = MemoryWatch(settle=20, every=1)
for frame in range(100):
    watch.tick(frame)
report = watch.finish()
assert abs(report.after.objects - report.before.objects) < len(kept) / 10
assert not report.leaks and gc.get_freeze_count() > len(kept), "frozen as before"
print("right")
"""


def test_what_the_program_froze_before_is_not_growth():
    """Servers freeze what they have loaded; the census left it out at the start and counted it at the end."""
    done = subprocess.run(
        [sys.executable, "-c", FROZEN], capture_output=True, text=True, check=False
    )
    assert done.stdout == "right\n", done.stderr


@pytest.mark.usefixtures("small")
def test_a_watch_does_not_see_itself(tmp_path):
    watch = MemoryWatch(settle=200, every=1)
    for frame in range(1500):
        watch.tick(frame)
    report = watch.finish()
    assert not report.leaks, report.verdict
    assert report.to_dict()["schema"] == "facelab.memory/1"
    assert report.save(tmp_path / "m.json").is_file() and "<table" in report._repr_html_()
    assert report.verdict.visible < 2000  # bytes per frame


def test_who_holds_arrays_is_found_among_frozen_objects_too():
    """Python 3.12 freezes objects itself, so that everything was frozen when the holder was looked for."""
    held = [np.zeros((3, 141)) for _ in range(4)]
    gc.freeze()
    try:
        assert _census.holder("(3, 141) float64") == "a list of 4" and len(held) == 4
        assert gc.get_freeze_count() > 0, "frozen as before"
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("case", ["dicts in a list", "frames in a list", "files that stay open"])
def test_planted_cases_in_a_fresh_process(case):
    found = planted_leaks.leak_table(frames=300, cases=(case,))
    assert found.right == 1, found.text()
    if case == "frames in a list":
        assert "planted_leaks._held" in found.rows[0]["what"]
        # 16 kB of data, the array object and a list slot
        assert found.rows[0]["growth_bytes_per_frame"] == pytest.approx(
            planted_leaks.LEAK, rel=0.05
        )


def test_an_unknown_case_is_refused():
    with pytest.raises(BadInputError) as caught:
        planted_leaks.leak_table(cases=("rust",))
    assert caught.value.fix


@pytest.mark.slow
def test_every_planted_case_gets_its_verdict():
    found = planted_leaks.leak_table()
    assert found.right == len(found.rows), found.text()


def test_memray_names_the_line():
    pytest.importorskip("memray")
    held = []

    def work():
        for _ in range(50):
            held.append(np.ones(20_000, np.uint8))
            np.ones(100_000)

    found = allocating_lines(work)
    place, size, _ = found.rows[0]
    assert "test_memory.py" in place and "(work)" in place and 1e6 <= size < 1.5e6
    assert found.to_dict()["rows"] and len(found.to_frame()) == len(found.rows)

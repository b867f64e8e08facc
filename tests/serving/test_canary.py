"""The canary: who gets the candidate, when it is stopped, and that looking often costs nothing."""

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from facelab.core.errors import BadInputError, FacelabError
from facelab.serving import Canary, ModelSlot
from facelab.serving.canary._comparison import REFERENCE, Comparison
from facelab.serving.canary._rollout import Stop, load, parse
from facelab.serving.internals import bounds
from models import bundle, picture

UNITS = [f"camera-{k}" for k in range(10_000)]


def rollout(ratio=0.05, name="second", salt="a salt of this test", more=""):
    return (
        f'schema = "facelab.rollout/1"\nname = "{name}"\nsalt = "{salt}"\nratio = {ratio}\n{more}'
    )


def taken(**options):
    r = parse(rollout(**options), "test")
    return {u for u in UNITS if r.decide(u)[0] == "candidate"}


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.05, 0.1, 0.5, 0.9])
def test_the_share_of_10_000_decisions_is_within_the_binomial_interval(ratio):
    low, high = stats.binom.interval(0.999, len(UNITS), ratio)
    assert low <= len(taken(ratio=ratio)) <= high


def test_none_and_all():
    assert taken(ratio=0) == set() and taken(ratio=1) == set(UNITS)


def test_a_larger_ratio_keeps_everybody_who_had_the_candidate():
    sets = [taken(ratio=r) for r in (0.01, 0.05, 0.1, 0.5, 0.9)]
    assert all(a < b for a, b in itertools.pairwise(sets))


@given(st.text(max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_decisions_are_monotone_in_the_ratio_for_any_unit(unit, a, b):
    low, high = sorted((a, b))
    got = [parse(rollout(ratio=r), "test").decide(unit)[0] for r in (low, high)]
    assert got != ["candidate", "stable"]


def test_two_rollouts_draw_independently():
    """Another name or another salt is another draw: a unit is not the guinea pig of every rollout."""
    base = taken(ratio=0.2)
    for other in (taken(ratio=0.2, name="third"), taken(ratio=0.2, salt="another salt")):
        table = [
            [len(base & other), len(base - other)],
            [len(other - base), len(UNITS) - len(base | other)],
        ]
        assert stats.chi2_contingency(table).pvalue > 0.001
        assert abs(len(base & other) / len(UNITS) - 0.04) < 0.01


def test_a_decision_is_the_same_in_every_process():
    code = (
        "from facelab.serving.canary._rollout import _position as p; print(p('camera-7', 'n', 's'))"
    )
    got = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert got == {"16389082220073589314\n"}


def test_groups_come_before_the_ratio_and_deny_before_allow():
    more = 'allow = ["staff"]\ndeny = ["clinic"]\n[groups]\nstaff = ["a", "b"]\nclinic = ["b", "c"]'
    r = parse(rollout(ratio=1, more=more), "test")
    assert [r.decide(u) for u in "abcd"] == [
        ("candidate", "allow"),
        ("stable", "deny"),
        ("stable", "deny"),
        ("candidate", "ratio"),
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("ratio = ", "not TOML"),
        (rollout(ratio=1.5), "'ratio'"),
        (rollout(ratio="nan"), "'ratio'"),
        (rollout(salt="short"), "'salt'"),
        (rollout(more="ratioo = 1"), "did you mean 'ratio'"),
        (rollout(more='deny = ["staf"]\n[groups]\nstaff = []'), "did you mean 'staff'"),
        (rollout(more="[stop]\nalpha = 0"), "'stop.alpha'"),
    ],
)
def test_a_bad_rollout_is_refused_with_the_key(text, words):
    with pytest.raises(FacelabError) as e:
        parse(text, "r.toml")
    assert words in str(e.value)


class TestSequential:
    def test_bounds_hold_the_truth_at_every_look(self):
        """200 runs of 100 looks: the truth may ever be outside in at most 5 % of them. A fixed-size interval fails."""
        rng = np.random.default_rng(5)
        ever, ever_fixed, p = 0, 0, 0.1
        for _ in range(200):
            s = np.cumsum(rng.random(1000) < p)
            looks = range(9, 1000, 10)
            ever += any(not _inside(bounds(int(s[k]), k + 1, 0.05), p) for k in looks)
            share = s / np.arange(1, 1001)
            z = np.abs(share - p) / np.sqrt(p * (1 - p) / np.arange(1, 1001))
            ever_fixed += bool((z[9::10] > 1.96).any())
        assert ever / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
        assert ever_fixed / 200 > 0.25, "what peeking does to an ordinary interval"

    @given(st.integers(0, 200), st.integers(0, 200), st.floats(0.001, 0.5))
    def test_bounds_enclose_the_share_and_tighten_with_alpha(self, a, b, alpha):
        n, k = max(a, b), min(a, b)
        low, high = bounds(k, n, alpha)
        assert 0 <= low <= high <= 1
        if n:
            assert low <= k / n <= high
        wide = bounds(k, n, alpha / 2)
        assert wide[0] <= low + 1e-9 and high <= wide[1] + 1e-9
        mirrored = bounds(n - k, n, alpha)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)

    def test_bad_counts_are_refused(self):
        with pytest.raises(BadInputError):
            bounds(3, 2)

    def test_equal_versions_are_not_stopped_and_worse_ones_are(self):
        rng = np.random.default_rng(11)
        verdicts = [_run(rng, candidate=0.02) for _ in range(60)]
        assert verdicts.count("stop") <= 3
        assert [_run(rng, candidate=0.2) for _ in range(5)] == ["stop"] * 5


def _inside(interval, p):
    return interval[0] <= p <= interval[1]


def _run(rng, candidate, n=1500):
    c = Comparison(Stop(alpha=0.05, error_rise=0.0))
    for k in range(n):
        version, p = (("stable", 0.02), ("candidate", candidate))[k % 2]
        c.saw(version, 0.01, failed=rng.random() < p)
        if k % 50 == 0 and c.judge().verdict == "stop":
            return "stop"
    return c.judge().verdict


def test_a_slow_candidate_and_a_disagreeing_one_are_stopped():
    rng = np.random.default_rng(2)
    c = Comparison(Stop())
    for _ in range(REFERENCE + 600):
        c.saw("stable", rng.exponential(0.01), failed=False)
        c.saw("candidate", rng.exponential(0.03), failed=False)
    judgement = c.judge()
    assert judgement.verdict == "stop" and "slow answers" in judgement.because
    c = Comparison(Stop(least_agreement=0.95))
    for k in range(300):
        c.both(k % 5 > 0)
    assert "agreement is 240 of 300" in c.judge().because


def test_a_candidate_as_good_is_said_to_be_good():
    c = Comparison(Stop(error_rise=0.05, slow_rise=0.2, slow_ms=100))
    for _ in range(3000):
        c.saw("stable", 0.01, failed=False)
        c.saw("candidate", 0.01, failed=False)
        c.both(True)
    judgement = c.judge()
    assert judgement.verdict == "good"
    assert len(judgement.to_frame()) == 3


@pytest.fixture(scope="module")
def slots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    same, other = bundle(folder, "same", seed=1), bundle(folder, "other", seed=2)
    with ModelSlot() as stable, ModelSlot() as candidate:
        assert stable.offer(same).accepted and candidate.offer(other).accepted
        yield stable, candidate


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_unit_keeps_its_version_and_the_audit_has_each_change(tmp_path, slots):
    path = tmp_path / "r.toml"
    path.write_text(rollout(ratio=0.3))
    with Canary(*slots, path) as canary:
        first = {u: canary.decide(u)[0] for u in UNITS[:500]}
        new = tmp_path / "new"
        new.write_text(rollout(ratio=0.6))
        new.replace(path)
        until(lambda: canary.rollout.ratio == 0.6)
        second = {u: canary.decide(u)[0] for u in UNITS[:500]}
        assert all(second[u] == "candidate" for u in first if first[u] == "candidate")
        path.write_text(rollout(ratio=7))
        until(lambda: canary.audit.read()[-1]["what"] == "refuse")
        assert canary.rollout.ratio == 0.6
        path.write_text(rollout(ratio=0.6, more='deny = ["all"]\n[groups]\nall = ["camera-1"]'))
        until(lambda: canary.decide("camera-1") == ("stable", "deny"))
        # a change is noted once it holds
        until(lambda: [x["what"] for x in canary.audit.read()].count("rollout") > 2)
        lines = canary.audit.read()
    changes = [x for x in lines if x["what"] == "rollout"]
    assert [x["after"]["ratio"] for x in changes] == [0.3, 0.6, 0.6]
    assert changes[1]["before"]["ratio"] == 0.3
    assert "refuse" in [x["what"] for x in lines]


def test_a_rollout_that_is_written_slowly_is_taken_when_it_is_whole(tmp_path, slots):
    """`ratio = 0` is valid, and the first half of `ratio = 0.8`: everybody would lose the candidate for a moment."""
    path = tmp_path / "r.toml"
    text = rollout(ratio=0.2)
    path.write_text(text)
    with Canary(*slots, path) as canary:
        at = text.index("0.2")
        with path.open("w") as f:
            for piece in (text[:at], "0", ".8", text[at + 3 :]):
                f.write(piece)
                f.flush()
                time.sleep(0.06)

        def taken():
            return [x["after"]["ratio"] for x in canary.audit.read() if x["what"] == "rollout"]

        until(lambda: taken()[-1] == 0.8)  # written just after the rollout is taken
    assert taken() == [0.2, 0.8]


def test_a_candidate_that_answers_otherwise_is_stopped_by_itself_and_stays_so(tmp_path, slots):
    path = tmp_path / "r.toml"
    path.write_text(rollout(ratio=0.5, more="shadow = 1.0"))
    pictures = [picture(k) for k in range(8)]
    with Canary(*slots, path, agree=lambda a, b: a.label[-1] == b.label[-1]) as canary:
        for k in range(4000):
            answer = canary.ask(UNITS[k % 500], lambda r, k=k: r.run(pictures[k % 8]))
            assert answer.value.label.startswith(
                "same" if answer.version == "stable" else "other"
            ), "an answer is of one version"
            if canary.stopped:
                break
        assert canary.stopped and "agreement" in canary.stopped
        assert canary.decide(UNITS[0]) == ("stable", "stopped")
        assert canary.audit.read()[-1]["what"] == "stop"
    with Canary(*slots, path) as again:
        assert again.decide(UNITS[0]) == ("stable", "stopped"), "a restart does not forget"
    path.write_text(rollout(ratio=1, name="corrected"))
    with Canary(*slots, path) as third:
        assert third.decide(UNITS[0])[0] == "candidate"


def test_a_failing_candidate_costs_no_request_and_is_stopped(tmp_path, slots):
    path = tmp_path / "r.toml"
    path.write_text(rollout(ratio=0.5, more="shadow = 0.0"))
    bad = slots[1].release.hash

    def work(release):
        if release.hash == bad:
            raise RuntimeError("no")
        return "fine"

    def wrong(release):
        raise BadInputError("no image", fix="send one")

    with Canary(*slots, path) as canary:
        with pytest.raises(BadInputError):
            canary.ask("x", wrong)
        answers = [canary.ask(u, work) for u in UNITS[:300]]
        assert {a.value for a in answers} == {"fine"}
        assert any(a.fell_back for a in answers)
        assert "errors" in canary.stopped
        assert canary.status().figures[0].candidate[1] < 150


def test_threads_may_ask_at_once(tmp_path, slots):
    path = tmp_path / "r.toml"
    path.write_text(rollout(ratio=0.5))
    with Canary(*slots, path, agree=lambda a, b: True) as canary:
        answers, image = [], picture()

        def ask(k):
            mine = UNITS[k * 50 : k * 50 + 50]
            answers.extend([(u, canary.ask(u, lambda r: r.run(image))) for u in mine])

        threads = [threading.Thread(target=ask, args=(k,)) for k in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        plan = load(path)
        assert len(answers) == 300
        for unit, answer in answers:
            assert answer.version == plan.decide(unit)[0]
            assert answer.release == canary.slots[answer.version].release.hash


class TestFullDisk:
    """A disk that takes nothing more must not keep a bad candidate alive, nor fail a request."""

    def test_the_stop_holds_at_once_and_for_the_name(self, slots, tmp_path, monkeypatch, caplog):
        from facelab.serving.canary import _canary

        path = tmp_path / "rollout.toml"
        path.write_text(rollout(ratio=0.5))
        with Canary(*slots, path) as canary:

            def full(*_, **__):
                raise OSError(28, "No space left on device")

            with monkeypatch.context() as m:
                m.setattr(_canary, "write_json", full)
                m.setattr(canary.audit, "append", full)
                canary.stop("agreement is too low")
                assert canary.decide("camera-1") == ("stable", "stopped")
                path.write_text(rollout(ratio=0.9))
                assert canary.reload() and canary.decide("camera-1")[1] == "stopped"
            assert "until a restart only" in caplog.text and "not in the audit yet" in caplog.text
            path.write_text(rollout(ratio=0.8))
            canary.reload()
            told = [line["what"] for line in canary.audit.read()]
            assert told == ["rollout", "stop", "rollout", "rollout"]

    def test_a_file_that_is_removed_after_it_was_read_is_audited_all_the_same(
        self, slots, tmp_path, monkeypatch
    ):
        from facelab.serving.canary import _canary

        path, parse_ = tmp_path / "rollout.toml", _canary.parse
        path.write_text(rollout(ratio=0.5))
        with Canary(*slots, path) as canary:

            def read_then_gone(text, where):
                path.unlink()
                return parse_(text, where)

            path.write_text(rollout(ratio=0.25))
            monkeypatch.setattr(_canary, "parse", read_then_gone)
            assert canary.reload()
            last = canary.audit.read()[-1]
            assert last["after"]["ratio"] == 0.25 and last["file_owner"] is None


def test_a_slow_copy_is_not_taken_for_a_rollout_of_its_own(slots, tmp_path):
    """`ratio = 0` and then, half a second later, `.2` and the groups that must not get the candidate."""
    path = tmp_path / "rollout.toml"
    more = 'deny = ["clinic"]\n[groups]\nclinic = ["a"]\n'
    path.write_text(rollout(ratio=0.5, more=more))
    with Canary(*slots, path) as canary:
        whole, seen = rollout(ratio=1, more=more), set()
        for part in (whole[: whole.index("deny")], whole[: whole.index("ratio") + 7], whole):
            path.write_text(part)
            for _ in range(12):
                seen.add((canary.rollout.ratio, canary.rollout.deny))
                time.sleep(0.05)
        for _ in range(100):
            if canary.rollout.ratio == 1:
                break
            time.sleep(0.05)
        assert canary.rollout.deny == ("clinic",) and (1.0, ()) not in seen

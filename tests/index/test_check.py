"""The checker agrees with trying every order, and finds what it must find."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.index.internals import Operation, check_history, read_history, save_history


def brute(operations):
    """Try every order of every subset of the lost swaps: the textbook definition."""
    known = [o for o in operations if o.done is not None]
    lost = [o for o in operations if o.done is None and o.kind == "swap"]
    for count in range(len(lost) + 1):
        for chosen in itertools.combinations(lost, count):
            for order in itertools.permutations([*known, *chosen]):
                if _in_time(order) and _explains(order):
                    return True
    return False


def _in_time(order):
    for i, later in enumerate(order):
        for earlier in order[:i]:
            if later.ret is not None and later.ret < earlier.call:
                return False
    return True


def _explains(order):
    value = None
    for o in order:
        if o.kind == "read":
            if o.value != value:
                return False
        elif o.done is False:
            if o.expected == value:
                return False
        elif o.expected == value:
            value = o.value
        elif o.done:
            return False
    return True


values = st.sampled_from([None, "a", "b", "c"])
single = st.builds(
    lambda kind, call, length, value, expected, done: Operation(
        "c",
        "k",
        kind,
        float(call),
        None if done is None and kind == "swap" else float(call + length),
        value if kind == "read" else (value or "d"),
        expected if kind == "swap" else None,
        done if kind == "swap" else True,
    ),
    st.sampled_from(["read", "swap"]),
    st.integers(0, 9),
    st.integers(0, 6),
    values,
    values,
    st.sampled_from([True, False, None]),
)


@settings(max_examples=600)
@given(st.lists(single, min_size=1, max_size=6))
def test_verdicts_are_those_of_trying_every_order(operations):
    if all(o.unknown for o in operations):
        with pytest.raises(BadInputError):
            check_history(operations)
        return
    assert check_history(operations).linearizable is brute(operations)


@st.composite
def honest(draw):
    """Return a history that one register produced: each call takes effect at a point within its time."""
    points = draw(st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True))
    value, found = None, []
    for n, point in enumerate(sorted(points)):
        call = point - draw(st.integers(0, 8))
        ret = float(point + draw(st.integers(0, 8)))
        if draw(st.booleans()):
            found.append(Operation("c", "k", "read", float(call), ret, value))
            continue
        expected = draw(st.sampled_from([value, value, f"old {n}"]))
        done, answered = expected == value, draw(st.booleans())
        found.append(
            Operation(
                "c", "k", "swap", float(call), ret if answered else None, f"v{n}", expected,
                done if answered else None,
            )
        )  # fmt: skip
        value = f"v{n}" if done else value
    return found


@given(honest())
def test_what_one_register_produced_is_linearizable(operations):
    if not all(o.unknown for o in operations):
        assert check_history(operations).linearizable is True


def swap(client, call, ret, value, expected, done=True, key="k"):
    return Operation(client, key, "swap", call, ret, value, expected, done)


def read(client, call, ret, value, key="k"):
    return Operation(client, key, "read", call, ret, value)


def test_a_stale_read_is_found():
    history = [swap("a", 0, 1, "1", None), swap("a", 2, 3, "2", "1"), read("b", 4, 5, "1")]
    found = check_history(history)
    assert found.linearizable is False and "client b read '1'" in found.because
    assert check_history([*history[:2], read("b", 1.5, 5, "1")]).linearizable is True


def test_a_lost_update_is_found():
    both = [swap("a", 0, 1, "1", None), swap("b", 2, 5, "2", "1"), swap("c", 3, 6, "3", "1")]
    assert check_history(both).linearizable is False
    refused = [*both[:2], swap("c", 3, 6, "3", "1", False)]
    assert check_history(refused).linearizable is True


def test_a_transaction_that_was_retried_and_denies_itself_is_found():
    denied = [swap("a", 0, 1, "1", None, False), read("b", 2, 3, "1")]
    assert check_history(denied).linearizable is False
    assert check_history([swap("a", 0, None, "1", None, None), denied[1]]).linearizable is True


def test_a_lost_swap_that_nobody_saw_may_still_explain_a_refusal():
    """Dropping it because its value was never seen would call this a violation."""
    history = [
        swap("a", 0, 1, "1", None),
        swap("b", 2, None, "2", "1", None),
        swap("c", 3, 4, "3", "1", False),
    ]
    assert check_history(history).linearizable is True
    assert check_history([history[0], history[2]]).linearizable is False


def test_keys_are_independent_and_the_bad_one_is_named():
    good = [swap("a", 0, 1, "1", None), read("a", 2, 3, "1")]
    bad = [swap("a", 0, 1, "1", None, key="q"), read("a", 2, 3, None, key="q")]
    found = check_history([*good, *bad])
    assert found.linearizable is False and found.because.startswith("key q") and found.keys == 2


def test_a_search_that_is_given_up_says_so():
    n = 24
    lost = [swap(str(i), 0, None, str(i), None if i == 0 else str(i - 1), None) for i in range(n)]
    loops = [swap(f"x{i}", 0, None, "0", str(i), None) for i in range(n)]
    history = [*lost, *loops, read("r", 5, 6, "never")]
    found = check_history(history, max_states=50)
    assert found.linearizable is None and "cannot be determined" in found.text()


def test_long_histories_are_judged_in_seconds():
    import random

    rng, history, t, value = random.Random(0), [], 0.0, None
    for n in range(6000):
        t += 1
        wide = rng.random() * 4
        if rng.random() < 0.4:
            history.append(read("r", t - wide, t + rng.random() * 4, value))
        elif rng.random() < 0.01:
            took = rng.random() < 0.5
            history.append(swap("u", t - wide, None, f"v{n}", value, None))
            value = f"v{n}" if took else value
        else:
            history.append(swap("w", t - wide, t + rng.random() * 4, f"v{n}", value))
            value = f"v{n}"
    found = check_history(history)
    assert found.linearizable is True and found.seconds < 20
    reads = [i for i, o in enumerate(history) if o.kind == "read"]
    o = history[reads[1000]]
    history[reads[1000]] = read("r", o.call, o.ret, history[reads[900]].value)
    assert check_history(history).linearizable is False


def test_histories_are_saved_and_read(tmp_path):
    history = [swap("a", 0, 1, "1", None), swap("b", 2, None, "2", "1", None), read("c", 3, 4, "1")]
    save_history(tmp_path / "h.jsonl", history)
    assert read_history(tmp_path / "h.jsonl") == history
    (tmp_path / "h.jsonl").write_text('{"client": "a"}\n')
    with pytest.raises(BadInputError, match="not an operation"):
        read_history(tmp_path / "h.jsonl")


@pytest.mark.parametrize(
    "bad",
    [
        ("c", "k", "write", 0.0, 1.0, "a"),
        ("c", "k", "read", 2.0, 1.0, "a"),
        ("c", "k", "read", float("nan"), 1.0, "a"),
        ("c", "k", "swap", 0.0, None, "a", None, True),
        ("c", 7, "read", 0.0, 1.0, "a"),
    ],
)
def test_operations_that_contradict_themselves_are_refused(bad):
    with pytest.raises(BadInputError):
        Operation(*bad)

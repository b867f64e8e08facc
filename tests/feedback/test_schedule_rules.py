"""Merge rules of vibration, tones by priority, programs: properties and mistakes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.feedback.schedule import (
    Program,
    Pulse,
    PulseRules,
    Tone,
    heart_program,
    merge_pulses,
    program_of,
    read_program,
    resolve_tones,
)

MS = st.integers(0, 2000)
PULSES = st.lists(st.tuples(MS, st.integers(0, 200)), max_size=25).map(
    lambda rows: [Pulse(a / 1000, (a + n) / 1000) for a, n in rows]
)


@given(PULSES)
def test_what_a_motor_gets_keeps_every_rule(asked):
    found, rules = merge_pulses(asked), PulseRules()
    for pulse in found.pulses:
        assert pulse.seconds >= rules.least_s - 1e-9
    for one, then in zip(found.pulses, found.pulses[1:]):
        assert then.start_s - one.stop_s >= rules.gap_s - 1e-9
    again = merge_pulses(found.pulses)
    assert again.pulses == found.pulses and again.dropped == again.stretched == 0
    alone = found.asked - found.merged - found.dropped
    assert found.asked == len(asked) and 0 <= alone <= len(found.pulses)


@given(PULSES)
def test_against_a_raster_of_milliseconds(asked):
    """An oracle that shares no code: paint milliseconds, close gaps, drop short runs, stretch, close gaps again."""
    line = np.zeros(2600, bool)
    for p in asked:
        line[round(p.start_s * 1000) : round(p.stop_s * 1000)] = True

    def runs():
        edge = np.flatnonzero(np.diff(np.r_[0, line.astype(int), 0]))
        return list(zip(edge[::2], edge[1::2]))

    def close():
        for (_, stop), (start, _) in zip(runs(), runs()[1:]):
            if start - stop < 20:
                line[stop:start] = True

    close()
    for start, stop in runs():
        line[start:stop] = stop - start >= 30
    for start, stop in runs():
        line[start : max(stop, start + 50)] = True
    close()
    whole = [p for p in asked if p.seconds > 0]  # an empty pulse paints nothing
    found = [(round(p.start_s * 1000), round(p.stop_s * 1000)) for p in merge_pulses(whole).pulses]
    assert found == [(int(a), int(b)) for a, b in runs()]


@pytest.mark.parametrize(
    ("asked", "played", "counts"),
    [
        ([(0, 29)], [], (0, 1, 0)),
        ([(0, 30)], [(0, 50)], (0, 0, 1)),
        ([(0, 40)], [(0, 50)], (0, 0, 1)),  # between the source text's two limits
        ([(0, 15), (34, 49)], [(0, 50)], (2, 0, 1)),
        ([(0, 15), (35, 50)], [], (0, 2, 0)),
        ([(0, 30), (55, 90)], [(0, 90)] * 0 + [(0, 105)], (2, 0, 2)),  # stretched into the next one
        ([(10, 200), (0, 60), (50, 70)], [(0, 200)], (3, 0, 0)),
    ],
)
def test_cases_by_hand(asked, played, counts):
    found = merge_pulses([Pulse(a / 1000, b / 1000) for a, b in asked])
    assert [(round(p.start_s * 1000), round(p.stop_s * 1000)) for p in found.pulses] == played
    assert (found.merged, found.dropped, found.stretched) == counts


TONES = st.lists(
    st.builds(
        Tone,
        st.integers(0, 50).map(float),
        st.integers(1, 20).map(float),
        st.sampled_from([220.0, 440.0]),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(TONES)
def test_at_each_moment_the_winner_of_those_that_started_sounds(tones):
    found = resolve_tones(tones)
    for one, then in zip(found.segments, found.segments[1:]):
        assert one.stop_s <= then.start_s
    assert found.whole + found.cut + found.dropped == found.asked == len(tones)
    for s in found.segments:
        tone = tones[s.tone]
        assert s.start_s == tone.start_s and s.stop_s <= tone.start_s + tone.seconds
        for k, other in enumerate(tones):  # nobody more important sounds inside a segment
            if k != s.tone and other.priority > tone.priority:
                begins = other.start_s
                assert not (s.start_s < begins < s.stop_s)


@pytest.mark.parametrize(
    "wrong", [Pulse(0.2, 0.1), Pulse(-1, 0), Pulse(0, float("nan")), Pulse(0, float("inf"))]
)
def test_a_pulse_that_is_not_a_span_is_refused(wrong):
    with pytest.raises(BadInputError) as e:
        merge_pulses([wrong])
    assert e.value.fix


@pytest.mark.parametrize("wrong", [Tone(0, 0, 440), Tone(0, 1, 5), Tone(-1, 1, 440), Tone(0, 1, np.nan)])  # fmt: skip
def test_a_tone_that_cannot_be_heard_is_refused(wrong):
    with pytest.raises(BadInputError):
        resolve_tones([wrong])


def test_a_program_is_read_back_as_it_was_written(tmp_path):
    program = Program(
        heart_program("joy", 0.2).led,
        25.0,
        (Pulse(0.0, 0.1),),
        (Tone(0.1, 0.2, 440.0, 2),),
        PulseRules(0.01, 0.02, 0.06),
    )
    again = read_program(program.save(tmp_path / "p.json"))
    assert again.to_dict() == program.to_dict()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "x"}, "not a feedback program"),
        ({"vibrations": []}, "vibrations"),
        ({"led": ["01"]}, "led[0]"),
        ({"led": "0"}, "led"),
        ({"led_hz": 0}, "fixed rate"),
        ({"led_hz": 1e9}, "fixed rate"),
        ({"vibration": [[1]]}, "vibration[0]"),
        ({"vibration": [[1, 1e12]]}, "too long"),
        ({"tones": [[0, 1, 440], [0, 1, "a"]]}, "tones[1]"),
        ({"tones": [[0, 1, 1]]}, "tones[0]"),
        ({"rules": {"gap": 1}}, "rules"),
        ({"rules": {"gap_s": True}}, "rules.gap_s"),
    ],
)
def test_a_mistake_in_a_program_is_named_with_its_place(tmp_path, change, says):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"schema": "facelab.feedback/1", **change}))
    with pytest.raises(BadInputError) as e:
        read_program(path)
    assert says in str(e.value) and e.value.fix


def test_something_else_than_an_object_is_refused():
    with pytest.raises(BadInputError):
        program_of([1, 2])


def test_a_heart_vibrates_once_per_beat_and_grows_on_the_matrix():
    program = heart_program("anger", 3.0)
    assert len(program.vibration) == 6 and program.pulses.dropped == 0
    lit = program.led.sum(axis=(1, 2))
    assert lit.max() > 1.5 * lit.min() and lit.max() < 64
    assert (program.led == program.led[:, :, ::-1]).all()  # a heart is symmetric


def test_everything_is_at_rest_when_a_program_ends():
    program = Program(np.ones((3, 8, 8)), 10.0, (Pulse(0, 0.1),), (Tone(0, 0.2, 440),))
    last = {a.channel: a.value for a in program.actions()}
    assert last == {"led": [0] * 8, "motor": 0, "tone": 0.0}


def test_led_pictures_that_strobe_are_refused(tmp_path, capsys):
    from facelab.cli import run
    from facelab.core.errors import CheckFailedError
    from facelab.feedback.schedule import Program, heart_program

    strobe = np.zeros((30, 8, 8), np.uint8)
    strobe[::2] = 1
    with pytest.raises(CheckFailedError, match="LED pictures flash too often") as e:
        Program(strobe, 30.0).check()
    assert e.value.fix
    assert Program(strobe, 4.0).check().passed and Program(strobe[:0]).check() is None
    for emotion in ("anger", "joy", None):
        assert heart_program(emotion, 2.0).check().passed
    path = tmp_path / "strobe.json"
    Program(strobe, 30.0).save(path)
    assert run(["feedback", "play", str(path)]) == 1
    assert "seizures" in capsys.readouterr().err


@pytest.mark.parametrize("value", [-0.01, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["gap_s", "drop_s", "least_s"])
def test_a_rule_that_is_no_length_of_time_is_refused(name, value):
    with pytest.raises(BadInputError, match="must be a duration"):
        PulseRules(**{name: value})

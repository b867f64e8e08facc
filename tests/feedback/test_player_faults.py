"""Drivers that hang, raise or are missing; starts that never come; a cheap report; what `degraded` says."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facelab.core import degraded
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.records import Record
from facelab.feedback.drivers import open_driver
from facelab.feedback.schedule import Player, Program, Pulse

EMPTY = np.zeros((0, 8, 8))


def blinking(seconds: float, hz: float = 50.0) -> Program:
    led = np.zeros((int(seconds * hz), 8, 8), np.uint8)
    led[::2, 3, 3] = 1
    return Program(led, hz, (Pulse(0.0, 0.1), Pulse(seconds / 2, seconds / 2 + 0.1)))


def balanced(report) -> bool:
    return all(
        e.actions == e.played + e.skipped + e.superseded + e.failed + e.waiting
        for e in report.ledgers.values()
    )


def test_a_driver_that_hangs_delays_no_other_channel_and_is_said():
    with Player({"led": "recording", "motor": "recording:hangs_s=2.5"}) as one:
        one.send(blinking(1.6))
        time.sleep(1.3)
        middle = one.report()
        assert "output_failing" in middle.degraded and "has not returned" in middle.errors[-1]
        assert Record("r", "s", "c", "m", 1.0).degraded == "output_failing"
        one.finish()
        report = one.report()
        led = report.ledgers["led"]
        assert led.played + led.skipped == led.actions and led.skipped < 0.1 * led.actions
        assert report.late_ms(0.9) < 200, "the LED does not wait for the motor"
        assert balanced(report)
        time.sleep(1.6)  # the driver returns
        after = one.report()
        assert after.degraded == () and balanced(after)
    assert degraded.active() == ()


def test_closing_does_not_wait_for_a_driver_that_hangs():
    one = Player({"motor": "recording:hangs_s=60"})
    one.send(Program(EMPTY, vibration=(Pulse(0.0, 0.1),)))
    time.sleep(0.2)
    began = time.monotonic()
    one.close()
    assert time.monotonic() - began < 6
    assert one._process.returncode == 3, "the exit code says that an output was left on"
    assert degraded.active() == ()


def test_a_driver_that_raises_is_degraded_until_it_takes_a_value_again():
    with Player({"motor": "recording:fails=1"}) as one:
        one.send(Program(EMPTY, vibration=(Pulse(0.0, 0.4),)))
        time.sleep(0.15)
        assert one.report().degraded == ("output_failing",)
        one.finish()
        report = one.report()
        assert report.degraded == () and report.ledgers["motor"].failed == 1 and balanced(report)


def test_a_device_that_is_not_here_is_refused_or_recorded_where_that_was_asked_for():
    outputs = {"led": "luma:port=7", "motor": "recording"}
    with pytest.raises(UnsupportedError, match="not here"):
        Player(outputs)
    with Player(outputs, substitute=True) as one:
        assert set(one.missing) == {"led"} and one.degraded == ("output_missing",)
        assert Record("r", "s", "c", "m", 1.0).degraded == "output_missing"
        one.send(blinking(0.2))
        one.finish()
        report = one.report()
        assert report.degraded == ("output_missing",) and report.ledgers["led"].played > 5
    assert Record("r", "s", "c", "m", 1.0).degraded is None
    with pytest.raises(BadInputError):
        Player({"led": "nonsense"}, substitute=True)


def test_fifo_that_is_refused_is_degraded():
    with Player({"led": "recording"}, fifo=10) as one:
        expected = () if one.schedule.granted else ("fifo_refused",)
        assert one.degraded == expected == one.report().degraded
    assert degraded.active() == ()


@pytest.mark.parametrize("start", [float("nan"), float("inf"), 1e18])
def test_a_start_that_never_comes_is_refused(start):
    with Player({"led": "recording"}) as one:
        with pytest.raises(BadInputError, match="too far away"):
            one.send(blinking(0.1), start_s=start)
        one.send(blinking(0.1), start_s=-5.0)  # long ago: at once
        one.finish()


@pytest.mark.parametrize(
    ("channel", "spec"),
    [
        ("led", "luma:serial=noop,contrast=999"),
        ("led", "luma:serial=noop,contrast=dark"),
        ("motor", "gpiozero:pins=mock,strength=2"),
        ("motor", "gpiozero:pins=mock,strength=nan"),
        ("motor", "gpiozero:pins=mock,colour=red"),
        ("tone", "sounddevice:volume=nan"),
        ("tone", "sounddevice:volume=7"),
        ("led", "recording:fails"),
    ],
)
def test_an_option_out_of_range_is_a_sentence_and_no_traceback(channel, spec):
    with pytest.raises((BadInputError, UnsupportedError)) as e:
        open_driver(channel, spec)
    assert e.value.fix


def test_waiting_for_the_end_costs_the_player_nothing_that_grows():
    """`finish` asked for the whole report fifty times per second, and that grows with all that was played."""
    with Player({"led": "recording"}) as one:
        one.send(blinking(2.0, 200.0))
        one.finish()
        heard = []
        hear = one._hear
        one._hear = lambda s: heard.append(hear(s)) or heard[-1]
        one.send(blinking(0.2))
        one.finish()
        assert heard and all("late_s" not in a and "recorded" not in a for a in heard)


def test_a_flood_of_programs_plays_the_newest_and_balances():
    with Player({"led": "recording", "motor": "recording"}) as one:
        for k in range(40):
            one.send(blinking(0.3 + 0.01 * (k % 3)))
        one.finish()
        report = one.report()
        assert balanced(report)
        assert report.ledgers["led"].superseded > report.ledgers["led"].played


PARENT = """
import sys, time
from facelab.feedback.schedule import Player, Program, Pulse
import numpy as np
one = Player({"motor": "recording:hangs_s=30"})
one.send(Program(np.zeros((0, 8, 8)), vibration=(Pulse(0.0, 5.0),)))
time.sleep(0.3)
print(one.pid, flush=True)
"""


def test_no_process_is_left_where_a_driver_hangs_and_the_script_ends():
    done = subprocess.run(
        [sys.executable, "-c", PARENT], capture_output=True, text=True, timeout=60, check=True
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the player lives on")

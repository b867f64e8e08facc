"""The player: deadlines, newest wins, ledger, drivers on recordings and mocks, and what happens when processes die."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.feedback.internals import drivers
from facelab.feedback.schedule import (
    Player,
    PlayerDiedError,
    Program,
    Pulse,
    Tone,
    heart_program,
)


def gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def balanced(report):
    return all(
        led.actions == led.played + led.skipped + led.superseded + led.failed + led.waiting
        for led in report.ledgers.values()
    )


@pytest.fixture(scope="module")
def player():
    with Player(nice=0) as one:
        yield one


def test_each_action_happens_once_in_order_near_its_deadline(player):
    program = Program(
        np.eye(8)[None].repeat(20, 0), 50.0, (Pulse(0.1, 0.2),), (Tone(0.0, 0.3, 440.0),)
    )
    before = player.report().ledgers
    player.send(program)
    player.finish()
    report = player.report()
    assert balanced(report) and not report.errors
    assert report.ledgers["led"].played - before["led"].played >= 20
    motor = [(t, v) for t, v in report.recorded["motor"] if t >= 0]
    assert [v for _, v in motor] == [1, 0]
    assert motor[0][0] == pytest.approx(0.1, abs=0.09)  # a loaded machine is late, never early
    assert motor[0][0] >= 0.1 and motor[1][0] >= 0.2
    assert (report.late_s >= 0).all()


def test_the_newest_program_wins_and_no_backlog_is_played(player):
    """Ten programs in a burst: only the last one's tone sounds on, and the account says where the others went."""
    before = player.report().ledgers["tone"]
    for k in range(10):
        player.send(Program(np.zeros((0, 8, 8)), tones=(Tone(0.2, 5.0, 300.0 + k),)))
    time.sleep(0.5)
    report = player.report()
    after = report.ledgers["tone"]
    heard = {v for t, v in report.recorded["tone"] if t >= 0 and v}
    assert heard == {309.0} and balanced(report)
    assert after.superseded - before.superseded == 18
    player.send(Program(np.zeros((0, 8, 8))))  # nothing: the tone must not go on
    time.sleep(0.1)
    assert player.report().recorded["tone"][-1][1] == 0.0


def test_a_busy_interpreter_here_delays_nothing_there(player):
    count = len(player.report().late_s)
    player.send(heart_program("joy", 0.5))
    end = time.monotonic() + 0.7
    while time.monotonic() < end:  # holds the lock that Python's threads share
        sum(k * k for k in range(2000))
    assert len(player.report().late_s) - count >= 15


def test_a_driver_that_fails_is_counted_and_a_failed_stop_is_tried_again():
    with Player({"motor": "recording:fails=1"}) as one:
        one.send(Program(np.zeros((0, 8, 8)), vibration=(Pulse(0.0, 0.1),)))
        one.finish()
        report = one.report()
    assert report.ledgers["motor"].failed == 1 and report.ledgers["motor"].played == 1
    assert "fails as planned" in report.errors[0] and balanced(report)
    with Player({"motor": "recording:fails=99"}) as one:
        one.send(Program(np.zeros((0, 8, 8)), vibration=(Pulse(0.0, 0.1),)))
        one.finish()
        report = one.report()
    assert any("could not be switched off" in e for e in report.errors)


def test_closing_in_the_middle_of_a_pulse_stops_the_motor_and_the_last_account_stays():
    one = Player({"motor": "recording"})
    one.send(Program(np.zeros((0, 8, 8)), vibration=(Pulse(0.0, 30.0),)))
    time.sleep(0.1)
    pid = one.pid
    one.close()
    one.close()
    assert gone(pid) and one.report().ledgers["motor"].waiting == 1
    with pytest.raises(BadInputError, match="closed"):
        one.send(heart_program("joy", 0.2))


CHILD = """import sys, time, numpy as np
from facelab.feedback.schedule import Player, Program, Pulse
from facelab.feedback.internals import drivers
from facelab.feedback.drivers import _base
one = Player({"motor": "gpiozero:pins=mock"})
one.send(Program(np.zeros((0, 8, 8)), vibration=(Pulse(0.0, 60.0),)))
time.sleep(0.3)
print(one.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_player_ends_with_its_parent_however_that_ends(number):
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    pid = int(child.stdout.readline())
    child.send_signal(number)
    child.wait(20)
    child.stdout.close()
    assert gone(pid)


def test_everything_is_switched_off_when_the_parent_is_gone(tmp_path):
    """The worker's own loop, in this process: a closed channel ends it, and the motor stops."""
    from multiprocessing import Pipe

    from facelab.feedback.schedule._lane import Lane
    from facelab.feedback.schedule._worker import Worker

    here, there = Pipe()
    motor = drivers.RecordingDriver()
    worker = Worker(there, {"motor": Lane("motor", motor)})
    worker._begin({"start_s": None, "actions": [[0.0, "motor", 1], [60.0, "motor", 0]]})
    here.close()
    worker.loop()
    worker.end()
    assert [v for _, v in motor.record()] == [1, 0] or [v for _, v in motor.record()] == [0]
    there.close()


def test_a_killed_player_is_an_error_and_not_a_silence():
    one = Player({"motor": "gpiozero:pins=mock"})
    os.kill(one.pid, signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(PlayerDiedError) as e:
        for _ in range(50):
            one.send(heart_program("joy", 0.1))
            one.report()
    assert "signal 9" in str(e.value) and e.value.fix
    one.close()


@pytest.mark.parametrize(
    ("outputs", "kind", "says"),
    [
        ({"led": "lumaa"}, BadInputError, "did you mean 'luma'"),
        ({"lamp": "recording"}, BadInputError, "no such channel"),
        ({"led": "sounddevice"}, BadInputError, "no such driver"),
        ({"motor": "gpiozero:pin"}, BadInputError, "NAME=VALUE"),
        ({"motor": "recording:speed=1"}, BadInputError, "speed"),
        ({"led": "luma:port=99"}, UnsupportedError, "SPI 99.0"),
    ],
)
def test_a_wrong_driver_is_refused_before_anything_plays(outputs, kind, says):
    with pytest.raises(kind) as e:
        Player(outputs)
    assert says in str(e.value) and e.value.fix


def test_what_the_scheduler_grants_is_said():
    with Player({"led": "recording"}, fifo=5) as one:
        granted = one.schedule
    assert granted.asked["fifo"] == 5
    assert (granted.policy == "fifo") != ("fifo" in granted.refused)


# ---------------------------------------------------------------- drivers
class RecordingSerial:
    """What luma's device talks to, kept byte for byte."""

    def __init__(self):
        self.sent = []

    def data(self, data):
        self.sent.append(list(data))

    def command(self, *commands):
        self.sent.append(list(commands))

    def cleanup(self):
        pass


def test_the_matrix_gets_the_bytes_of_its_picture():
    from facelab.feedback.drivers._luma import LumaMatrix

    serial = RecordingSerial()
    matrix = LumaMatrix(serial=serial)
    serial.sent.clear()
    picture = np.zeros((8, 8), np.uint8)
    picture[0, 0] = picture[2, 5] = picture[7, 7] = 1
    matrix.set(np.packbits(picture).tolist())
    assert len(serial.sent) == 8  # one transfer per digit of the MAX7219
    shown = np.zeros((8, 8), np.uint8)
    for (
        register,
        bits,
    ) in serial.sent:  # a digit is a column of luma's picture; its lowest bit is the top
        for y in range(8):
            shown[y, register - 1] = bits >> y & 1
    assert (shown == picture).all()


def test_a_motor_on_mock_pins_runs_and_stops():
    motor = drivers.open_driver("motor", "gpiozero:pins=mock,strength=0.5,pin=18")
    states = motor.motor.pin
    motor.set(1)
    assert states.state == pytest.approx(0.5)
    motor.off(0)
    assert states.state == 0
    motor.close()


def test_a_tone_has_its_frequency_and_does_not_click():
    from facelab.feedback.drivers._sound import Tones

    tones = Tones(48_000, 0.5)
    tones.wanted = 440.0
    sound = np.concatenate([tones.block(n) for n in (333, 480, 48_000)])
    spectrum = np.abs(np.fft.rfft(sound[2000:][:44_100] * np.hanning(44_100)))
    assert np.argmax(spectrum) * 48_000 / 44_100 == pytest.approx(440, abs=1.1)
    tones.wanted = 0.0
    end = tones.block(4800)
    whole = np.concatenate([sound, end])
    fastest = 0.5 * 2 * np.pi * 440 / 48_000 + 0.5 / (0.005 * 48_000)
    assert np.abs(np.diff(whole)).max() <= fastest and end[-1] == 0


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(UnsupportedError) as e:
        drivers.open_driver("motor", "gpiozero")
    assert "facelab[feedback]" in e.value.fix


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("pulseaudio") and shutil.which("parec")),
    reason="no PulseAudio (Debian: pulseaudio, pulseaudio-utils, libportaudio2)",
)
def test_a_tone_arrives_at_a_null_sink(tmp_path, monkeypatch):
    """A sound server without a card: what was played is recorded from its monitor."""
    (tmp_path / "rt").mkdir()
    (tmp_path / ".asoundrc").write_text(
        "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
    )
    socket = f"{tmp_path}/native"
    environment = {"HOME": str(tmp_path), "PULSE_RUNTIME_PATH": f"{tmp_path}/rt",
                   "PULSE_SERVER": f"unix:{socket}"}  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = subprocess.Popen(
        ["pulseaudio", "-n", "--load=module-null-sink sink_name=null", "--exit-idle-time=-1",
         f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1",
         "--daemonize=no", "--disallow-exit"], stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while not Path(socket).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        with (tmp_path / "sound.raw").open("wb") as out:
            recorder = subprocess.Popen(
                [
                    "parec",
                    "-d",
                    "null.monitor",
                    "--format=s16le",
                    "--rate=48000",
                    "--channels=1",
                    "--latency-msec=20",
                ],
                stdout=out,
            )
        while not (tmp_path / "sound.raw").stat().st_size and time.monotonic() < deadline:
            time.sleep(0.05)  # the recorder runs
        with Player({"tone": "sounddevice"}) as one:
            one.send(Program(np.zeros((0, 8, 8)), tones=(Tone(0.3, 1.0, 660.0),)))
            one.finish()
            time.sleep(1.5)
            assert not one.report().errors
        recorder.terminate()
        recorder.wait(10)
    finally:
        server.terminate()
        server.wait(10)
    sound = np.frombuffer((tmp_path / "sound.raw").read_bytes(), "<i2").astype(float)
    loud = np.flatnonzero(np.abs(sound) > 1000)
    heard = sound[loud[0] : loud[-1]]
    assert 0.75 < len(loud) / 48_000 < 1.2  # a sine is above this level nine tenths of the time
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * 48_000 / len(heard) == pytest.approx(660, abs=3)

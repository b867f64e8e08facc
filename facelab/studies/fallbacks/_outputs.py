"""Trials of feedback: devices that are missing or fail, FIFO refused, heat, and no temperature."""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path

import numpy as np

from facelab.core.machine import cores
from facelab.core.safety.scratch import ScratchFolder
from facelab.feedback import beat
from facelab.feedback.schedule import Player, Program, Pulse
from facelab.serving.degradation import Loss
from facelab.studies.fallbacks._trial import Setting, Witness, ended, loss, need
from facelab.studies.feedback_schedule import busy

EMPTY = np.zeros((0, 8, 8), np.uint8)
CAP_SYS_NICE, PR_CAPBSET_DROP = 23, 24


def _pulses(n: int = 12) -> Program:
    return Program(EMPTY, vibration=tuple(Pulse(0.2 * k, 0.2 * k + 0.08) for k in range(n)))


def _lights(seconds: float, hz: float = 60.0) -> Program:
    led = np.zeros((int(seconds * hz), 8, 8), np.uint8)
    led[::2, 3, 3] = 1
    return Program(led, hz)


def output_missing(setting: Setting) -> Loss:
    """Name a bus that is not there."""
    name, shown = "output_missing", _lights(1.0)
    with Player({"led": "luma:serial=noop"}) as good:
        good.send(shown)
        good.finish()
        usual = good.report()
    with Witness(name) as witness:
        with Player({"led": "luma:port=7", "motor": "recording"}, substitute=True) as bad:
            bad.send(shown)
            bad.finish()
            fallen = bad.report()
            witness.look()
        closed = ended(name)
    with Player({"led": "luma:serial=noop"}, substitute=True) as again:
        back = closed and again.degraded == ()
    shown_now = 0 if "led" in bad.missing else fallen.ledgers["led"].played  # a record shows nobody
    return loss(
        name,
        "pictures shown",
        usual.ledgers["led"].played / usual.ledgers["led"].actions,
        shown_now / fallen.ledgers["led"].actions,
        fallen.ledgers["led"].actions,
        took=(usual.late_ms(0.5), fallen.late_ms(0.5)),
        shown=(witness.seen, name in fallen.degraded, back),
        note="an SPI bus that this machine does not have; milliseconds that actions were late",
    )


def output_failing(setting: Setting) -> Loss:
    """Let the motor's driver hang for two seconds."""
    name, shown = "output_failing", _pulses()
    with Player({"motor": "recording"}) as good:
        good.send(shown)
        good.finish()
        usual = good.report()
    with Witness(name) as witness, Player({"motor": "recording:hangs_s=1.6"}) as bad:
        bad.send(shown)
        time.sleep(1.3)
        middle = bad.report()
        witness.look()
        time.sleep(0.6)  # the driver returns
        bad.finish()
        fallen = bad.report()
        back = fallen.degraded == () and ended(name)
    good_motor, bad_motor = usual.ledgers["motor"], fallen.ledgers["motor"]
    return loss(
        name,
        "actions in time",
        float(np.mean(usual.late_s < 0.05)) * good_motor.played / good_motor.actions,
        float(np.sum(fallen.late_s < 0.05)) / bad_motor.actions,
        bad_motor.actions,
        took=(usual.late_ms(1.0), fallen.late_ms(1.0)),
        shown=(witness.seen, name in middle.degraded, back),
        note="twelve pulses in 2.4 s; the first call takes 1.6 s; in time is within 50 ms; "
        "milliseconds of the latest action",
    )


def fifo_refused(setting: Setting) -> Loss:
    """Take the right to real-time scheduling away, with busy cores."""
    name = "fifo_refused"
    with Player({"led": "recording"}, fifo=10) as probe:
        need("fifo" not in probe.schedule.refused, "this system grants nobody FIFO scheduling")
    shown = _lights(2.0)
    with busy(cores()):
        with Player({"led": "recording"}, fifo=10) as good:
            good.send(shown)
            good.finish()
            usual = good.report()
        with Witness(name) as witness:
            with _without_right() as bad:
                bad.send(shown)
                bad.finish()
                fallen = bad.report()
                witness.look()
            closed = ended(name)
    with Player({"led": "recording"}, fifo=10) as again:
        back = closed and again.degraded == ()
    return loss(
        name,
        "pictures within 2 ms",
        float(np.mean(usual.late_s < 0.002)),
        float(np.mean(fallen.late_s < 0.002)),
        len(usual.late_s),
        took=(usual.late_ms(0.99), fallen.late_ms(0.99)),
        shown=(witness.seen, name in fallen.degraded, back),
        note="60 pictures per second, every core busy; milliseconds late, P99",
    )


def _without_right() -> Player:
    """Open a player from a thread that gave up CAP_SYS_NICE for all that it starts."""
    made: list[Player] = []

    def run() -> None:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE, 0, 0, 0)
        made.append(Player({"led": "recording"}, fifo=10))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    need(made, "a player without the right to FIFO cannot be made here")
    need("fifo" in made[0].schedule.refused, "FIFO is granted without the right to it")
    return made[0]


def _tree(root: Path, celsius: float | None) -> Path:
    zone = root / "thermal_zone0"
    zone.mkdir(exist_ok=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("broken\n" if celsius is None else f"{celsius * 1000:.0f}\n")
    return root


def _interval(
    law: beat.AdaptiveBeat, root: Path, seconds: range, celsius: float | None
) -> tuple[float, tuple[str, ...]]:
    """Return the interval and the fallbacks after some seconds at a temperature."""
    _tree(root, celsius)
    ms = 0.0
    for k in seconds:
        sensor = beat.sensors(root)[0]
        ms = law.update(float(k), sensor.celsius, 60.0)
    return ms, law.degraded


def _beat_trial(name: str, celsius: float | None, note: str) -> Loss:
    law = beat.AdaptiveBeat()
    with ScratchFolder(prefix="facelab-sysfs-") as folder, Witness(name) as witness:
        root = Path(folder)
        ms, before = _interval(law, root, range(60), 58.0)
        slow, said = _interval(law, root, range(60, 180), celsius)
        witness.look()
        again, after = _interval(law, root, range(180, 300), 58.0)
    back = name not in before and name not in after and abs(again - ms) <= 20 and ended(name)
    law.close()
    return loss(
        name,
        "beats per second",
        1000 / ms,
        1000 / slow,
        120,
        took=(ms, slow),
        shown=(witness.seen, name in said, back),
        method="model",
        note=f"{note}; a made tree of sensors, milliseconds between two beats",
    )


def hot(setting: Setting) -> Loss:
    """Warm the device up to 80 °C."""
    return _beat_trial("hot", 80.0, "58 against 80 °C")


def temperature_unknown(setting: Setting) -> Loss:
    """Break the only sensor."""
    return _beat_trial("temperature_unknown", None, "58 °C against a sensor that gives no number")

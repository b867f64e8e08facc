"""What a driver is, and the registry that opens one by its name."""

from __future__ import annotations

import abc
import importlib
import time
from typing import Any

from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean

CHANNELS: dict[str, Any] = {"led": [0] * 8, "motor": 0, "tone": 0.0}
"""Channel → its value at rest."""

DRIVERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "recording": ("_recording", "RecordingDriver", ("led", "motor", "tone")),
    "luma": ("_luma", "LumaMatrix", ("led",)),
    "gpiozero": ("_gpiozero", "GpioMotor", ("motor",)),
    "sounddevice": ("_sound", "Speaker", ("tone",)),
}
"""Name → module, class, and the channels that it can drive."""


class Driver(abc.ABC):
    """One output. Options come from the text after its name, such as `gpiozero:pin=17`."""

    quick: bool = False
    """Whether `set` always returns at once. Any other driver gets its own thread, since it may hang."""

    @abc.abstractmethod
    def set(self, value: Any) -> None:
        """Set the output: eight bytes of rows for `led`, 0 or 1 for `motor`, hertz for `tone`."""

    def off(self, rest: Any) -> None:
        """Set the output to rest; by default like any other value."""
        self.set(rest)

    def record(self) -> list[tuple[float, Any]]:
        """Return (monotonic seconds, value) of what was set, where the driver keeps that."""
        return []

    def close(self) -> None:  # noqa: B027 (most drivers hold nothing)
        """Release the device."""


def open_driver(channel: str, spec: str = "recording") -> Driver:
    """Open a driver by its name.

    Parameters
    ----------
    channel
        `led`, `motor` or `tone`.
    spec
        A name of `DRIVERS` and options: `luma:port=0,device=0`, `gpiozero:pin=17`, `sounddevice:volume=0.2`.

    Returns
    -------
    Driver
        Opened.

    Raises
    ------
    BadInputError
        The channel, driver or an option is not known.
    UnsupportedError
        Its library is not installed, or there is no such device here.
    """
    if channel not in CHANNELS:
        raise BadInputError(
            f"there is no such channel{did_you_mean(channel, CHANNELS)}",
            expected=", ".join(CHANNELS),
            got=channel,
            fix="name one of these",
        )
    name, _, rest = spec.partition(":")
    if name not in DRIVERS or channel not in DRIVERS[name][2]:
        fitting = [n for n, (_, _, known) in DRIVERS.items() if channel in known]
        raise BadInputError(
            f"no such driver for this channel{did_you_mean(name, fitting)}",
            where=channel,
            expected=", ".join(fitting),
            got=name,
            fix="name one of these",
        )
    module, kind, _ = DRIVERS[name]
    made = getattr(importlib.import_module(f"facelab.feedback.drivers.{module}"), kind)
    try:
        return made(**_options(rest))
    except (
        TypeError,
        ValueError,
        AssertionError,
    ) as e:  # libraries refuse values in their own ways
        raise BadInputError(
            "the driver does not take this option",
            where=spec,
            got=str(e) or type(e).__name__,
            fix="see the how-to page",
        ) from None
    except (ImportError, OSError) as e:
        raise UnsupportedError(
            "the driver's library or device is not here",
            where=spec,
            got=str(e) or type(e).__name__,
            fix="install facelab[feedback] and check the wiring, or use `recording`",
        ) from None


def put_to_rest(channel: str, driver: Driver, tries: int = 3) -> str | None:
    """Switch an output off, again where that fails; return why it could not be done, or None.

    A motor that keeps running is worse than a picture that stays: a failed stop is never ignored.
    """
    problem = None
    for k in range(tries):
        try:
            driver.off(CHANNELS[channel])
            return None
        except Exception as e:  # any library's error: the output may still run
            problem = f"{type(e).__name__}: {e}"
            time.sleep(0.01 * (k + 1))
    return problem


def _options(text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise BadInputError(
                "an option of a driver is not NAME=VALUE", got=word, fix="write gpiozero:pin=17"
            )
        try:
            out[key] = int(value)
        except ValueError:
            try:
                out[key] = float(value)
            except ValueError:
                out[key] = value
    return out

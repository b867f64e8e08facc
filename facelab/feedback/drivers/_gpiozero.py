"""A vibration motor on a GPIO pin, through gpiozero."""

from __future__ import annotations

from typing import Any

from facelab.feedback._numbers import share
from facelab.feedback.drivers._base import Driver


class GpioMotor(Driver):
    """A motor that a transistor switches by pulse-width modulation.

    Parameters
    ----------
    pin
        GPIO number.
    strength
        Share of the time that the motor is driven while a pulse lasts, 0 to 1.
    pins
        `mock` for gpiozero's mock pins; otherwise those of the machine.
    """

    def __init__(self, pin: int = 17, strength: float = 1.0, pins: str | None = None) -> None:
        import warnings

        share("strength", strength)
        from gpiozero import PWMOutputDevice
        from gpiozero.exc import BadPinFactory, GPIOZeroError

        self.strength, factory = strength, None
        if pins == "mock":
            from gpiozero.pins.mock import MockFactory, MockPWMPin

            factory = MockFactory(pin_class=MockPWMPin)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns once per pin library that is not here
                self.motor = PWMOutputDevice(pin, frequency=200, pin_factory=factory)
        except (BadPinFactory, GPIOZeroError) as e:
            raise OSError(f"GPIO {pin}: {e}") from None

    def set(self, value: Any) -> None:
        """Run the motor (1) or stop it (0)."""
        self.motor.value = self.strength if value else 0.0

    def close(self) -> None:
        """Release the pin."""
        self.motor.close()

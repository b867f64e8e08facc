"""LED matrices of the MAX7219 kind, through luma.led_matrix."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from facelab.feedback.drivers._base import Driver


class LumaMatrix(Driver):
    """An 8 by 8 LED matrix on a serial bus.

    Parameters
    ----------
    port, device
        Of the SPI bus.
    contrast
        Brightness, 0 to 255; low by default, since bright LEDs dazzle.
    serial
        A serial interface of luma.core in place of SPI; `noop` for one that goes nowhere.
    """

    def __init__(
        self, port: int = 0, device: int = 0, contrast: int = 16, serial: Any = None
    ) -> None:
        from luma.core.interface import serial as interfaces
        from luma.led_matrix.device import max7219

        if serial == "noop":
            serial = interfaces.noop()
        elif serial is None:
            try:
                serial = interfaces.spi(port=port, device=device, gpio=interfaces.noop())
            except Exception as e:  # luma raises its own kinds, which are not OSError
                raise OSError(f"SPI {port}.{device}: {e}") from None
        with _luma_quiet():
            self.matrix = max7219(serial, width=8, height=8)
        self.matrix.contrast(contrast)

    def set(self, value: Any) -> None:
        """Show eight bytes: one per row from the top, the leftmost dot in the highest bit."""
        from PIL import Image

        bits = np.unpackbits(np.array(value, np.uint8)).reshape(8, 8)
        with _luma_quiet():
            self.matrix.display(Image.fromarray(bits * np.uint8(255)).convert("1"))

    def close(self) -> None:
        """Switch the matrix off."""
        with _luma_quiet():
            self.matrix.cleanup()


@contextlib.contextmanager
def _luma_quiet() -> Iterator[None]:
    """Keep luma's use of what Pillow 14 drops from the user's terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield

"""Vela's estimate for Arm's Ethos-U accelerators, where its command is installed: a peer of the device model."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from facelab.core import lifetime
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder

ACCELERATOR = "ethos-u65-256"
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class VelaEstimate(Result):
    """What Vela says about an INT8 TFLite model: its own model's figures, and no measurement.

    Attributes
    ----------
    model, accelerator : str
        The file's name; the accelerator as Vela names it.
    latency_s : float
        One inference.
    macs : int
        Multiply-accumulates by Vela's count, which includes average pooling.
    sram_bytes : int
        Memory on the chip for activations and buffers.
    """

    model: str
    accelerator: str
    latency_s: float
    macs: int
    sram_bytes: int
    method: str = "model"


def vela_estimate(
    path: str | os.PathLike[str], *, accelerator: str = ACCELERATOR, command: str = "vela"
) -> VelaEstimate:
    """Ask Vela what a model would take on an Ethos-U.

    Parameters
    ----------
    path : path-like
        An INT8 `.tflite` file.
    accelerator : str
        Vela's name of the accelerator, such as `ethos-u55-128`.
    command : str
        The program, by name or path.

    Returns
    -------
    VelaEstimate
        Vela's figures, as it wrote them.

    Raises
    ------
    UnsupportedError
        Vela is not installed.
    BadInputError
        Vela refuses the model or the accelerator.
    """
    path = Path(path).resolve()
    program = shutil.which(command)
    if program is None:
        raise UnsupportedError(
            "Vela is not installed",
            where=command,
            expected="the command vela on the PATH",
            fix="install ethos-u-vela in its own environment, and put its vela on the PATH",
        )
    with ScratchFolder() as folder:
        words = [program, os.fspath(path), "--accelerator-config", accelerator]
        try:
            done = lifetime.run(
                [*words, "--output-dir", folder],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                cwd=folder,
            )
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        except subprocess.TimeoutExpired:
            said = [f"no answer within {TIMEOUT_S:g} s"]
        found = sorted(Path(folder).glob("*summary*.csv"))
        row = _row(found[0]) if found else {}
    try:
        return VelaEstimate(
            path.name,
            row["accelerator_configuration"],
            float(row["inference_time"]),
            int(float(row["nn_macs"])),
            round(float(row["sram_memory_used"]) * 1024),
        )
    except (KeyError, ValueError) as e:
        raise BadInputError(
            "Vela gives no estimate for the model",
            where=path,
            got=said[-1][:200] if said else f"no {e} in its summary",
            fix="give an INT8 .tflite, and an accelerator that vela --help lists",
        ) from None


def _row(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8", errors="replace") as f:
        return next(csv.DictReader(f), {})

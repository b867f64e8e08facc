"""The TensorFlow converter's recipes, run by `tf_job.py` in its own process; `run_job` runs such jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.core import fresh, job, lifetime, sandbox
from facelab.core.files import read_json, write_bytes, write_json
from facelab.core.safety.scratch import ScratchFolder
from facelab.quantization._edge import QuantizationError
from facelab.quantization._rows import write_rows
from facelab.zoo.internals import trust

if TYPE_CHECKING:
    from facelab.quantization._rows import Tensors


FLOAT = "fp32"


def _result(folder: Path, errors: str) -> dict[str, Any]:
    """Return what a job wrote at its end, or that it died."""
    if (folder / "done.json").is_file():
        return read_json(folder / "done.json")
    last = "\n".join(errors.splitlines()[-4:])
    return {"ok": False, "error": "the process died", "message": last}


def run_job(
    module: str,
    folder: Path,
    task: dict,
    *,
    tensors: Tensors | None,
    what: str,
    fix: str,
    timeout: float = 900,
) -> dict:
    """Run a job of this package on `task["source"]` in `folder` and return what it says.

    `tensors` become `calibration.npy`. Raises QuantizationError beginning with `what`, with the job's own words.
    """
    source = Path(task["source"])
    free = trust.may_run_freely(source)
    if not free and (why := sandbox.why_not()) is not None:
        raise trust.refuse_stranger(source, f"{what[0].lower()}{what[1:]}", why)
    write_json(folder / "job.json", task | {"source": str(source.resolve())})
    if tensors is not None:
        write_rows(folder / "calibration.npy", tensors)
    env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    try:
        done = lifetime.run(
            job.command(sys.executable, module, folder)
            if free
            else _confined(module, folder, source),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=sandbox.environment(os.path.realpath(folder), env) if not free else env,
        )
    except subprocess.TimeoutExpired:
        raise QuantizationError(
            f"{what} did not end in time",
            where=source,
            expected=f"at most {timeout:g} s",
            fix="convert fewer recipes at once, or use a machine with less load",
        ) from None
    result = _result(folder, done.stderr)
    if not result["ok"]:
        words = [line for line in result["message"].splitlines() if line.strip()] or [""]
        raise QuantizationError(
            f"{what} refuses the model",
            where=source,
            fix=fix,
            got=f"{result['error']}: {' '.join(words[:3])[:400]}",
        )
    return result


def _confined(module: str, folder: Path, source: Path) -> list[str]:
    """Return the command of a job on a stranger's model: converting a SavedModel runs what it holds."""
    limits = fresh.Confined(folder, (source,), seconds=None).limits()
    script, *_ = job.command(sys.executable, module, folder)[2:]
    return sandbox.command(limits, "facelab.core.job", script, os.path.realpath(folder))


def convert(
    source: Path,
    out: Path,
    variants: Sequence[dict],
    *,
    calibration: Tensors | None = None,
    timeout: float = 900,
) -> dict[str, Path]:
    """Convert a `.keras` file or SavedModel and return the written file of each variant.

    `variants` are {"name", "kind"}; kinds: float32, float16, dynamic-range, int8, uint8. Nothing is
    written unless all succeed. Raises QuantizationError with the converter's own words.
    """
    with ScratchFolder(prefix="facelab-convert-") as name:
        folder = Path(name)
        run_job(
            "facelab.quantization._tf_job",
            folder,
            {"source": str(source), "variants": list(variants)},
            tensors=calibration,
            what="the TensorFlow converter",
            timeout=timeout,
            fix="an operator it names may have no integer kernel: try dynamic-range, or ai-edge-quantizer with "
            "--keep-float",
        )
        return {
            v["name"]: write_bytes(
                out / f"{v['name']}.tflite", (folder / f"{v['name']}.tflite").read_bytes()
            )
            for v in variants
        }

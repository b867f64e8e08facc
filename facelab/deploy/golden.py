"""Golden outputs: what the model answers to the golden tensors, and how far another run or program is from that."""

from __future__ import annotations

import gzip
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.array_files import read_npy
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import write_bytes
from facelab.zoo.runtimes import Model

MAX_GOLDEN = 64 << 20
"""Bytes of one output of a model for one probe."""


@dataclass
class Distance:
    """How far outputs are from the golden ones.

    `worst` is the largest difference as a share of the golden output's range over all probes (float outputs), `steps`
    in steps (integer outputs); `top1` the share of probes with the same largest value (vectors of 2 to 1000 numbers).
    """

    probes: int
    worst: float | None = None
    steps: int | None = None
    probe: str | None = None
    top1: float | None = None
    misfits: list[str] = field(default_factory=list)


def file_name(probe: str, output: int) -> str:
    """Return the name of a probe's golden output: `NAME.npy`, and `NAME.1.npy`, … for a model's further outputs.

    >>> file_name("marks", 0), file_name("marks", 2)
    ('marks.npy', 'marks.2.npy')
    """
    return f"{probe}.npy" if output == 0 else f"{probe}.{output}.npy"


PACKED = ".npy.gz"
"""How the file of a golden tensor ends that gzip packed."""


def tensor_file(tensors: str | os.PathLike, probe: str) -> Path:
    """Return the file of a probe's golden tensor: `NAME.npy`, or `NAME.npy.gz` where a bundle packs them."""
    plain = Path(tensors) / f"{probe}.npy"
    packed = plain.with_name(probe + PACKED)
    return packed if packed.is_file() and not plain.is_file() else plain


def read_tensor(file: str | os.PathLike) -> np.ndarray:
    """Read a golden tensor, packed or not. Raises BadInputError naming the file."""
    return _array(Path(file))


def pack(file: Path) -> Path:
    """Replace a `.npy` file by one that gzip packed, without name or time in it, and return that."""
    packed = file.with_name(file.stem + PACKED)
    write_bytes(packed, gzip.compress(file.read_bytes(), 6, mtime=0))
    file.unlink()
    return packed


def read(folder: str | os.PathLike, probes: list[str], outputs: int) -> dict[str, list[np.ndarray]]:
    """Read a bundle's golden outputs: probe → one array an output. Raises BadInputError naming the file."""
    return {p: [_array(Path(folder) / file_name(p, k)) for k in range(outputs)] for p in probes}


def _array(path: Path) -> np.ndarray:
    return read_npy(path, "golden file", max_bytes=MAX_GOLDEN, fix="make the bundle again")


def rerun(
    model: Model,
    tensors: str | os.PathLike,
    probes: list[str],
    *,
    seconds: float,
    most: int | None = None,
) -> dict[str, list[np.ndarray]]:
    """Run a model on golden tensors until `seconds` are over, and return its outputs.

    At least three probes are run, and no more than `most`: the smallest ones.
    """
    out: dict[str, list[np.ndarray]] = {}
    started = time.perf_counter()
    # small inputs first, so that a time limit leaves out as few as possible
    files = {p: tensor_file(tensors, p) for p in probes}
    smallest = sorted(probes, key=lambda p: (files[p].stat().st_size, p))
    for probe in smallest[:most]:
        if len(out) >= 3 and time.perf_counter() - started > seconds:
            break
        out[probe] = model.run(_array(files[probe]))
    return out


def read_program(folder: str | os.PathLike, probes: list[str]) -> dict[str, list[np.ndarray]]:
    """Read the first outputs a program wrote for the probes: `NAME.npy`, or `NAME.bin` with `NAME.json`.

    Raises BadInputError for a missing folder or probe, and for a file that is not a tensor.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError(
            "the folder of outputs does not exist", where=folder, fix="give --outputs a folder"
        )
    missing = [
        p
        for p in probes
        if not ((folder / f"{p}.npy").is_file() or (folder / f"{p}.bin").is_file())
    ]
    if missing:
        raise BadInputError(
            f"the output for the probe {missing[0]!r} is missing",
            where=folder,
            expected=f"{missing[0]}.npy, or {missing[0]}.bin with {missing[0]}.json",
            got=f"{len(probes) - len(missing)} of {len(probes)} probes",
            fix="run the program on every probe of the bundle",
        )
    from facelab.fingerprint.capture import read_tensor

    return {p: [read_tensor(folder, p)] for p in probes}


def compare(golden: dict[str, list[np.ndarray]], got: dict[str, list[np.ndarray]]) -> Distance:
    """Return how far `got` is from `golden` on the probes it has; outputs are compared as far as both have them."""
    common = [p for p in golden if p in got]
    if not common:
        raise BadInputError(
            "there is no output to compare",
            expected=", ".join(list(golden)[:3]),
            got="nothing",
            fix="run the model on the golden probes and pass the folder with their outputs",
        )
    d = Distance(len(common))
    for k in range(min(len(golden[common[0]]), len(got[common[0]]))):
        pairs = [(p, np.squeeze(golden[p][k]), np.squeeze(got[p][k])) for p in common]
        fits = [(p, a, b) for p, a, b in pairs if a.shape == b.shape]
        d.misfits += [
            f"{p}: shape {b.shape}, golden {a.shape}" for p, a, b in pairs if a.shape != b.shape
        ]
        if not any(a.size for _, a, _ in fits):
            continue  # nothing, or arrays without elements: comparing those says nothing
        if all("f" not in (a.dtype.kind, b.dtype.kind) for _, a, b in fits):
            _steps(d, fits)
        else:
            _share(d, fits)
        if k == 0:
            _top1(d, fits)
    return d


def _steps(d: Distance, fits: Any) -> None:
    for p, a, b in fits:
        step = int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0))
        if d.steps is None or step > d.steps:
            d.steps, d.probe = step, p


def _share(d: Distance, fits: Any) -> None:
    finite = [a[np.isfinite(a)] for _, a, _ in fits]
    low, high = (
        min(x.min(initial=np.inf) for x in finite),
        max(x.max(initial=-np.inf) for x in finite),
    )
    span = max(float(high) - float(low), 1e-12)
    for p, a, b in fits:
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            whose = "the output" if np.isfinite(a).all() else "the golden output"
            d.misfits.append(f"{p}: {whose} holds NaN or infinity, so that it says nothing")
            continue
        off = np.abs(a.astype(np.float64) - b.astype(np.float64))
        worst = float(off[np.isfinite(off)].max(initial=0)) / span
        if d.worst is None or worst > d.worst:
            d.worst, d.probe = worst, p


def _top1(d: Distance, fits: Any) -> None:
    vectors = [(a, b) for _, a, b in fits if a.ndim == 1 and 2 <= a.size <= 1000]
    if vectors:
        d.top1 = float(np.mean([a.argmax() == b.argmax() for a, b in vectors]))


def check_finite(outputs: list[np.ndarray], probe: str, where: Path) -> None:
    """Refuse a model that answers NaN or infinity to a golden tensor."""
    for array in outputs:
        if array.dtype.kind not in "biuf" or array.nbytes > MAX_GOLDEN:
            raise BadInputError(
                "an answer of the model cannot be stored",
                where=where,
                expected=f"numbers, at most {MAX_GOLDEN} bytes",
                got=f"{array.nbytes} bytes of {array.dtype} for the probe {probe}",
                fix="export the model with outputs that a program on a device can read",
            )
    for k, array in enumerate(outputs):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FacelabError(
                "the model answers NaN or infinity to a golden tensor",
                where=where,
                got=f"output {k} on probe {probe!r}",
                fix="check the model and its preprocessing",
            )

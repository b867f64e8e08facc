"""Figures measured before the gate: records, evaluations, quantisations, measurements of a device."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import records
from facelab.core.errors import BadInputError
from facelab.core.files import read_json
from facelab.core.records import Better, Record
from facelab.deploy import _liveness_evidence
from facelab.deploy import _run_evidence as run_evidence

EVIDENCE = "evidence/records.jsonl"
QUANTIZED = {
    "bytes": ("bytes",),
    "size_ratio": ("size_ratio",),
    "accuracy_ratio": ("accuracy_ratio",),
    "agreement": ("agreement", "value"),
    "worst_class_change": ("worst_class", "change"),
    "ece_change": ("ece_change",),
    "cosine": ("cosine", "mean"),
    "recall": ("boxes", "recall"),
    "ap_ratio": ("ap_ratio",),
    "counts_ratio": ("counts_ratio",),
    "tar_ratio": ("tar_ratio",),
    "judged": ("judged",),
}
"""The gate's INT8 figures → where a row of `facelab quantize --json` has them."""
DEVICE_SCHEMA = "facelab.device/1"


def read(path: str | os.PathLike) -> list[Record]:
    """Return the records that a file or folder holds.

    A `.jsonl` file of records; the folder of a step or of a run (`*/records.jsonl`); the folder of a training or its
    `evaluation.json`; the JSON document of `facelab emotion evaluate` or `facelab quantize`.
    Raises BadInputError where there are none.
    """
    path = Path(path)
    if path.is_dir():
        files = (
            [path / "records.jsonl"]
            if (path / "records.jsonl").is_file()
            else sorted(path.glob("*/records.jsonl"))
        )
        if files:
            return [r for f in files for r in records.read(f)]
        if (path / "evaluation.json").is_file():
            return read(path / "evaluation.json")
        raise BadInputError(
            "the folder holds no figures",
            where=path,
            expected="records.jsonl or evaluation.json",
            fix="name a run of facelab reproduce, or a file of records",
        )
    if path.suffix == ".jsonl":
        return records.read(path)
    return _from_json(read_json(path), path)


def _from_json(value: Any, path: Path) -> list[Record]:
    if (
        isinstance(value, dict)
        and isinstance(value.get("accuracy"), dict)
        and "value" in value["accuracy"]
    ):
        return [*_evaluation(value), *_trained(value)]
    listed = value.get("rows", value.get("variants")) if isinstance(value, dict) else None
    if isinstance(listed, list):
        return [*_variants(listed, path), *_trained(value.get("evaluation"))]
    if isinstance(value, dict) and value.get("schema") in run_evidence.SCHEMAS:
        return run_evidence.records_of(value, path)
    if isinstance(value, dict) and value.get("schema") in _liveness_evidence.SCHEMAS:
        return _liveness_evidence.records_of(value, path)
    raise BadInputError(
        "the file holds no figures that facelab knows",
        where=path,
        expected="records (.jsonl), or the JSON of facelab emotion evaluate, quantize, eval liveness, "
        "memory run or budget run",
        fix="write it with that command's --json",
    )


TRAINED_ON = "trained_on"
"""The metric that counts evaluated images which the model was trained on: figures with it are not evidence."""


def _trained(value: Any) -> list[Record]:
    """Return the record of trained images among those that were evaluated, where there are any."""
    count = value.get(TRAINED_ON) if isinstance(value, dict) else None
    counted = isinstance(count, int) and not isinstance(count, bool) and count > 0
    return [_figure(TRAINED_ON, count, "none")] if counted else []


def _evaluation(value: dict) -> list[Record]:
    a = value["accuracy"]
    out = [
        _figure("accuracy", a["value"], "higher", lo=a.get("lo"), hi=a.get("hi"), n=value.get("n"))
    ]
    figures: tuple[tuple[str, Better], ...] = (("macro_f1", "higher"), ("ece", "lower"))
    for key, better in figures:
        if isinstance(value.get(key), (int, float)):
            out.append(_figure(key, value[key], better, n=value.get("n")))
    return out


def _variants(rows: list, path: Path) -> list[Record]:
    out = []
    for row in rows:
        if not isinstance(row, dict):
            raise BadInputError(
                "a row of the figures is not an object",
                where=path,
                got=type(row).__name__,
                fix='write each row as {"name": …, "value": …}',
            )
        case = str(row.get("variant", row.get("name", "model")))
        accuracy = row.get("accuracy")
        if isinstance(accuracy, dict) and "value" in accuracy:
            out.append(
                dataclasses.replace(
                    _evaluation({"accuracy": accuracy, "n": row.get("n")})[0], case=case
                )
            )
        for metric, path_ in QUANTIZED.items():
            value = row
            for key in path_:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                out.append(dataclasses.replace(_figure(metric, value, "none"), case=case))
    return out


def of_file(found: list[Record], size: int) -> list[Record]:
    """Return the figures of the file of `size` bytes where they name files by `bytes`, else those that name none."""
    sizes = {r.case: r.value for r in found if r.metric == "bytes"}
    return [r for r in found if sizes.get(r.case, size) == size]


def _figure(metric: str, value: Any, better: Better, **fields: Any) -> Record:
    return Record(
        run="evidence",
        step="evaluation",
        case="test",
        metric=metric,
        value=value,
        better=better,
        **fields,
    )


def align(
    baseline: list[Record], candidate: list[Record], wanted: Any
) -> tuple[list[Record], list[Record]]:
    """Return the quality figures that both sides hold, under one key each.

    `wanted(record)` chooses. Figures are matched by step, case and metric; else by case and metric; else by the
    metric alone where each side has it once. Where a side has a key twice, its last counts.
    """
    left, right = ([r for r in side if wanted(r)] for side in (baseline, candidate))
    out: tuple[list[Record], list[Record]] = ([], [])
    for key in (lambda r: r.key, lambda r: (r.case, r.metric), lambda r: r.metric):
        a, b = _index(left, key), _index(right, key)
        for name in a.keys() & b.keys():
            if isinstance(name, str) and (
                len(_all(left, key, name)) > 1 or len(_all(right, key, name)) > 1
            ):
                continue
            out[0].append(dataclasses.replace(a[name], step=b[name].step, case=b[name].case))
            out[1].append(b[name])
            left = [r for r in left if key(r) != name]
            right = [r for r in right if key(r) != name]
    return out


def _index(side: Any, key: Any) -> dict:
    return {key(r): r for r in side}


def _all(side: Any, key: Any, name: Any) -> set:
    return {r.key for r in side if key(r) == name}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What was measured on a device: seconds per call (n,), peak memory in bytes or None, and whose device it was."""

    device: str
    seconds: np.ndarray | None
    memory: int | None
    verdict: run_evidence.MemoryVerdict | None = None
    budget: run_evidence.BudgetVerdict | None = None


def read_devices(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> Measurement:
    """Read one or several measurements of one device and join them; where two hold the same figure, the last counts.

    A file is a device's own (`read_device`), a trace, a latency document, a verdict about memory or the report of
    a budgeted run.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    out = Measurement("unnamed device", None, None)
    for path in given:
        found = run_evidence.read(path) if run_evidence.is_run_evidence(path) else read_device(path)
        known = {k: v for k, v in vars(found).items() if v is not None}
        if known.get("device") == "unnamed device":
            known.pop("device")
        out = dataclasses.replace(out, **known)
    return out


def read_device(path: str | os.PathLike) -> Measurement:
    """Read `{"schema": "facelab.device/1", "device": …, "latency_ms": […], "peak_rss_mb": …}` from a target device.

    `latency_ms` is a list of at least 20 single calls. Raises BadInputError naming the key.
    """
    value = read_json(path)
    _check_device(value, path)
    times, memory = value.get("latency_ms"), value.get("peak_rss_mb")
    return Measurement(
        str(value.get("device", "unnamed device")),
        None if times is None else np.asarray(times, np.float64) / 1e3,
        None if memory is None else round(memory * 1e6),
    )


def _check_device(value: Any, path: str | os.PathLike) -> None:
    """Raise BadInputError naming the key of a measurement that cannot be used."""
    known = ("schema", "device", "latency_ms", "peak_rss_mb")
    if (
        not isinstance(value, dict)
        or value.get("schema") != DEVICE_SCHEMA
        or set(value) - set(known)
    ):
        raise BadInputError(
            "the file is not a measurement of a device",
            where=path,
            expected=f"keys {', '.join(known)}, schema {DEVICE_SCHEMA!r}",
            got=repr(value)[:100],
            fix="see the bundle's README.md",
        )
    times, memory = value.get("latency_ms"), value.get("peak_rss_mb")
    good = times is None or (
        isinstance(times, list)
        and len(times) >= 20
        and all(isinstance(t, (int, float)) and not isinstance(t, bool) and t > 0 for t in times)
    )
    if not good:
        raise BadInputError(
            "'latency_ms' is not a list of calls",
            where=path,
            expected="at least 20 positive numbers, one per call, in milliseconds",
            got=repr(times)[:80],
            fix="time at least 20 calls on the device and write each one in milliseconds",
        )
    if memory is not None and (
        not isinstance(memory, (int, float)) or isinstance(memory, bool) or memory <= 0
    ):
        raise BadInputError(
            "'peak_rss_mb' is not an amount of memory",
            where=path,
            expected="a positive number of MB",
            got=repr(memory)[:60],
            fix="write the largest resident memory of the process in MB",
        )

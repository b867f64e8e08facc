"""A device as the model of it sees it: MAC/s and bytes/s per class of work, memory, watts. TOML files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facelab.budget.model._classes import PLAIN, PLAIN_WORKS, WORKS
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import write_text
from facelab.core.text_files import read_text
from facelab.core.toml_files import loads_toml

SCHEMA = "facelab.device-model/1"
LARGEST_FILE = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rate(_Strict):
    """How fast one class of work goes: `macs_per_s`, `bytes_per_s`, and `overhead_s` once per operator.

    `work` and `dtype` may be "*". Where `overlap` is true, computing and moving bytes go on at once (a roofline: the
    longer one counts), else their times add up. Bytes of an operator beyond `cache_bytes` take
    1 / `spilled_bytes_per_s` each on top.
    """

    work: str = "*"
    dtype: str = "*"
    macs_per_s: float = Field(gt=0)
    bytes_per_s: float = Field(gt=0)
    overhead_s: float = Field(default=0.0, ge=0, le=1)
    overlap: bool = False
    cache_bytes: float | None = Field(default=None, gt=0)
    spilled_bytes_per_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _known(self) -> Rate:
        if (self.cache_bytes is None) != (self.spilled_bytes_per_s is None):
            raise ValueError("cache_bytes and spilled_bytes_per_s are given together or not at all")
        if self.work not in (*WORKS, *PLAIN_WORKS, "*"):
            raise ValueError(
                f"no class of work is named {self.work!r}{did_you_mean(self.work, WORKS)}"
            )
        return self

    def seconds(self, macs: int, moved: int) -> float:
        """Return the modelled time of one operator."""
        compute, transfer = macs / self.macs_per_s, moved / self.bytes_per_s
        if self.cache_bytes is not None and self.spilled_bytes_per_s is not None:
            transfer += max(0.0, moved - self.cache_bytes) / self.spilled_bytes_per_s
        both = max(compute, transfer) if self.overlap else compute + transfer
        return self.overhead_s + both


class DeviceModel(_Strict):
    """A device described by measured or stated figures; everything that follows from it is modelled.

    Attributes
    ----------
    name, source : str
        Whose figures, and whether they were `measured` on operators or `stated` by somebody.
    rates : tuple of Rate
        The first one that fits an operator counts; none fits: the operator's time is unknown.
    spread : (float, float)
        The interval of a prediction: its time multiplied by these. From the residuals of a measurement, or stated.
    call_overhead_s : float
        Once per call of the model.
    channel_block : int, optional
        Channels that the fast convolutions take at once; work on others is "plain". None: any number is fast.
    memory_mb : float, optional
        What a process may use, in MB (10⁶ bytes).
    base_mb, load_factor : float
        Memory of the process before the model, and the peak while loading over the bytes of the weights.
    idle_watts, busy_watts : float, optional
        Power, at rest and computing. Never measured here: what follows is called modelled.
    """

    schema_: Literal["facelab.device-model/1"] = Field(alias="schema", default=SCHEMA)
    name: str = Field(min_length=1, max_length=200)
    source: Literal["measured", "stated"] = "stated"
    note: str = ""
    threads: int = Field(default=1, ge=1, le=1024)
    rates: tuple[Rate, ...] = Field(alias="rate", min_length=1, max_length=200)
    spread: tuple[float, float] = (0.5, 2.0)
    call_overhead_s: float = Field(default=0.0, ge=0, le=10)
    channel_block: int | None = Field(default=None, ge=1, le=1024)
    memory_mb: float | None = Field(default=None, gt=0)
    base_mb: float = Field(default=0.0, ge=0)
    load_factor: float = Field(default=1.0, ge=0, le=100)
    idle_watts: float | None = Field(default=None, ge=0)
    busy_watts: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> DeviceModel:
        low, high = self.spread
        if not 0 < low <= 1 <= high:
            raise ValueError(f"spread {list(self.spread)} must hold 0 < low <= 1 <= high")
        if (self.idle_watts is None) != (self.busy_watts is None):
            raise ValueError("idle_watts and busy_watts are given together or not at all")
        if (
            self.idle_watts is not None
            and self.busy_watts is not None
            and self.idle_watts > self.busy_watts
        ):
            raise ValueError("idle_watts is larger than busy_watts")
        return self

    def rate(self, work: str, dtype: str) -> Rate | None:
        """Return the first rate that fits a class of work and a type, or None.

        "plain conv" takes the rate of "conv" where the device states none.
        """
        for rate in self.rates:
            if rate.work in (work, "*") and rate.dtype in (dtype, "*"):
                return rate
        return self.rate(work.removeprefix(PLAIN), dtype) if work.startswith(PLAIN) else None

    def work_of(self, work: str, channels: tuple[int, int] | None) -> str:
        """Return the class of work as this device does it: "plain conv" where channels do not fill its blocks."""
        block = self.channel_block
        if block is None or channels is None or work.startswith(PLAIN):
            return work
        read, written = channels
        if work == "depthwise":
            plain = written % block != 0
        else:  # few channels, as in a picture, have their own fast kernel; the last block written is filled up
            plain = work in WORKS[:4] and read > block and read % block != 0
        return PLAIN + work if plain else work

    def watts(self, busy: float) -> float | None:
        """Return the modelled power at a share `busy` of the time, 0…1; None where no power is stated."""
        if self.idle_watts is None or self.busy_watts is None:
            return None
        return self.idle_watts + (self.busy_watts - self.idle_watts) * min(1.0, max(0.0, busy))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model as TOML, atomically, and return the path."""
        return write_text(path, self.to_toml())

    def to_toml(self) -> str:
        """Return the model as TOML."""
        fields = self.model_dump(by_alias=True, exclude_none=True)
        rates = fields.pop("rate")
        lines = [f"{key} = {_toml(value)}" for key, value in fields.items()]
        for rate in rates:
            lines += ["", "[[rate]]", *(f"{key} = {_toml(value)}" for key, value in rate.items())]
        return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    import json

    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


EXAMPLE_DEVICE = """# A device model: an edge camera with a small accelerator. No figure here was measured.
schema = "facelab.device-model/1"
name = "example: 128 MB, 1.2 TOPS, 1.8 W"
source = "stated"
note = "1.2 TOPS at 8 bits are 0.6e12 MAC/s at best; nets reach a tenth to a half of that"
memory_mb = 128.0
base_mb = 24.0
load_factor = 3.0
idle_watts = 0.4
busy_watts = 1.8
call_overhead_s = 0.0002
spread = [0.5, 2.5]

[[rate]]
work = "depthwise"
dtype = "int8"
macs_per_s = 0.6e11
bytes_per_s = 1.6e9
overlap = true
overhead_s = 0.00001

[[rate]]
work = "*"
dtype = "int8"
macs_per_s = 2.4e11
bytes_per_s = 1.6e9
overlap = true
overhead_s = 0.00001

[[rate]]
work = "*"
dtype = "*"
macs_per_s = 4.0e9
bytes_per_s = 1.6e9
overhead_s = 0.00001
"""
"""The device of the examples. Float operators run on its processor."""


def example_device() -> DeviceModel:
    """Return the example device: 128 MB, 1.2 TOPS at 8 bits, 1.8 W, every figure stated and none measured.

    Returns
    -------
    DeviceModel
        The example device.

    Examples
    --------
    >>> example_device().memory_mb
    128.0
    """
    return parse_device(EXAMPLE_DEVICE, "example device")


def load_device(path: str | os.PathLike[str]) -> DeviceModel:
    """Read a device model from a TOML file.

    Parameters
    ----------
    path : path-like
        The file, as `facelab budget measure --out` writes it.

    Returns
    -------
    DeviceModel
        The checked model.

    Raises
    ------
    BadInputError
        The file cannot be read, or a key is unknown, missing or out of range.

    Examples
    --------
    >>> import tempfile
    >>> file = example_device().save(Path(tempfile.mkdtemp()) / "device.toml")
    >>> load_device(file).name
    'example: 128 MB, 1.2 TOPS, 1.8 W'
    """
    path = Path(path)
    fix = "facelab budget example --device --out device.toml"
    return parse_device(read_text(path, "device model", max_bytes=LARGEST_FILE, fix=fix), path)


def parse_device(text: str, where: object) -> DeviceModel:
    """Check the text of a device model; see `load_device`."""
    try:
        return DeviceModel.model_validate(loads_toml(text, "device model", where=where))
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        raise BadInputError(
            "the device model does not hold"
            if first["type"] != "extra_forbidden"
            else f"the device model has an unknown key {key!r}"
            + did_you_mean(str(first["loc"][-1]), _keys()),
            where=f"{where}: {key}" if key else where,
            expected=first["msg"],
            got=str(first.get("input"))[:80],
            fix="compare with: facelab budget example --device",
        ) from None


def _keys() -> list[str]:
    fields = [*DeviceModel.model_fields.items(), *Rate.model_fields.items()]
    return [f.alias or name for name, f in fields]

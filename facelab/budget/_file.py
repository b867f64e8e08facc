"""`facelab.budget/1`: what a command may use. A TOML file, checked key by key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.text_files import read_text
from facelab.core.toml_files import loads_toml

SCHEMA = "facelab.budget/1"
LARGEST_FILE = 1 << 20
LEAST_MEMORY_MB = 4.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Power(_Strict):
    """Watts at rest and with every allowed core busy. Their writer measured them or read them elsewhere."""

    idle_watts: float = Field(ge=0, le=1e4)
    busy_watts: float = Field(gt=0, le=1e4)

    @model_validator(mode="after")
    def _ordered(self) -> Power:
        if self.idle_watts > self.busy_watts:
            raise ValueError("idle_watts is larger than busy_watts")
        return self


class Budget(_Strict):
    """What a command may use; what is left out is not limited.

    Attributes
    ----------
    name : str
        Of the device or the role, for reports.
    memory_mb : float, optional
        Memory of all its processes together, in MB (10⁶ bytes).
    cpu_share : float, optional
        Processor time per second, in cores: 0.5 is half a core.
    threads : int, optional
        Cores that it may run on at once; libraries are asked for this many threads.
    watts : float, optional
        Mean power, modelled from processor time by `power`; never enforced.
    power : Power, optional
        The model for `watts`.

    Examples
    --------
    >>> Budget(memory_mb=512, threads=2).threads
    2
    """

    schema_: Literal["facelab.budget/1"] = Field(alias="schema", default=SCHEMA)
    name: str = Field(default="budget", min_length=1, max_length=200)
    memory_mb: float | None = Field(default=None, ge=LEAST_MEMORY_MB, le=1e8)
    cpu_share: float | None = Field(default=None, ge=0.01, le=1024)
    threads: int | None = Field(default=None, ge=1, le=1024)
    watts: float | None = Field(default=None, gt=0, le=1e4)
    power: Power | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Budget:
        if self.watts is not None and self.power is None:
            raise ValueError("watts can only be modelled: state [power] idle_watts and busy_watts")
        if all(v is None for v in (self.memory_mb, self.cpu_share, self.threads, self.watts)):
            raise ValueError(
                "the budget limits nothing: state memory_mb, cpu_share, threads or watts"
            )
        return self

    @property
    def memory_bytes(self) -> int | None:
        """The memory in bytes, or None."""
        return None if self.memory_mb is None else round(self.memory_mb * 1e6)

    def to_dict(self) -> dict[str, Any]:
        """Return the budget as plain JSON."""
        return self.model_dump(by_alias=True, exclude_none=True)


EXAMPLE_BUDGET = """# facelab.budget/1: what a command may use. Leave out what is not to be limited.
schema = "facelab.budget/1"
name = "example: 128 MB, half a core, 1.8 W"
memory_mb = 128.0          # of all its processes together
cpu_share = 0.5            # cores: half a second of processor time per second
threads = 1                # cores it may run on at once
watts = 1.8                # mean power, modelled by [power] from processor time

[power]
idle_watts = 0.4
busy_watts = 1.8
"""


def load_budget(path: str | os.PathLike[str]) -> Budget:
    """Read a budget from a TOML file.

    Parameters
    ----------
    path : path-like
        The file; `facelab budget example` prints one.

    Returns
    -------
    Budget
        The checked budget.

    Raises
    ------
    BadInputError
        The file cannot be read, or a key is unknown or out of range.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "budget.toml"
    >>> _ = file.write_text('schema = "facelab.budget/1"\\nmemory_mb = 128.0\\nthreads = 1\\n')
    >>> load_budget(file).memory_mb
    128.0
    """
    path = Path(path)
    fix = "facelab budget example --out budget.toml"
    return parse_budget(read_text(path, "budget", max_bytes=LARGEST_FILE, fix=fix), path)


def parse_budget(text: str, where: object = "budget") -> Budget:
    """Check the text of a budget.

    Examples
    --------
    >>> parse_budget("memory_mb = 128").memory_bytes
    128000000
    >>> parse_budget("memroy_mb = 128", "budget.toml")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: the budget has an unknown key 'memroy_mb'; did you mean 'memory_mb'?
      where:    budget.toml: memroy_mb
      got:      128
      fix:      compare with: facelab budget example
    """
    try:
        return Budget.model_validate(loads_toml(text, "budget", where=where))
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        names = ["schema", *Budget.model_fields, *Power.model_fields]
        hint = did_you_mean(str(first["loc"][-1]), names) if unknown else ""
        raise BadInputError(
            f"the budget has an unknown key {key!r}{hint}"
            if unknown
            else "the budget does not hold",
            where=f"{where}: {key}" if key else where,
            expected=None if unknown else first["msg"],
            got=str(first.get("input"))[:80],
            fix="compare with: facelab budget example",
        ) from None

"""`facelab.rollout/1` (TOML): who gets the candidate, and what stops it."""

from __future__ import annotations

import hashlib
import os
import tomllib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.text_files import read_text
from facelab.deploy.manifest import explain

SCHEMA = "facelab.rollout/1"
MAX_FILE = 4 << 20
Version = Literal["stable", "candidate"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Stop(_Strict):
    """When the candidate is stopped. Shares are 0…1; `alpha` bounds the false stops of the whole rollout.

    `slow_ms` says what a slow answer is; without it the stable version's P95 over its first 200 answers does.
    """

    alpha: float = Field(default=0.01, gt=0, le=0.5)
    least_agreement: Share = 0.95
    error_rise: Share = 0.01
    slow_rise: Share = 0.10
    slow_ms: float | None = Field(default=None, gt=0)


class Rollout(_Strict):
    """Who gets the candidate. `deny` wins over `allow`, and both over the ratio; groups are lists of units.

    A unit is whatever must stay with one version: a user, a camera, a door. Another `name` or `salt` draws other units.
    """

    schema_: Literal["facelab.rollout/1"] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=100)
    salt: str = Field(min_length=8, max_length=200)
    ratio: Share
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    shadow: Share = 0.1
    groups: dict[str, frozenset[str]] = Field(default_factory=dict)
    stop: Stop = Field(default_factory=Stop)

    @model_validator(mode="after")
    def _known(self) -> Rollout:
        for group in (*self.allow, *self.deny):
            if group not in self.groups:
                hint = did_you_mean(group, self.groups)
                raise ValueError(f"no group is named {group!r}{hint}")
        return self

    def decide(self, unit: str) -> tuple[Version, str]:
        """Return the unit's version and why: `deny`, `allow` or `ratio`."""
        if any(unit in self.groups[g] for g in self.deny):
            return "stable", "deny"
        if any(unit in self.groups[g] for g in self.allow):
            return "candidate", "allow"
        taken = _position(unit, self.name, self.salt) < int(self.ratio * 2**64)
        return ("candidate" if taken else "stable"), "ratio"

    def shadowed(self, request: str) -> bool:
        """Return whether both versions answer this request."""
        return _position(request, f"{self.name} shadow", self.salt) < int(self.shadow * 2**64)


def _position(unit: str, name: str, salt: str) -> int:
    """Return 64 bits of a keyed hash. Python's own `hash` differs in every process."""
    key = hashlib.blake2b(f"{name}\0{salt}".encode(), digest_size=32).digest()
    return int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=8, key=key).digest(), "big")


def load(path: str | os.PathLike) -> Rollout:
    """Read and check a rollout file. Raises BadInputError naming the key, with the nearest known one."""
    return parse(read(path), path)


def read(path: str | os.PathLike) -> str:
    """Return the text of a rollout file. Raises BadInputError where there is none."""
    fix = "check the path and the encoding (UTF-8)"
    return read_text(path, "rollout", max_bytes=MAX_FILE, fix=fix)


def parse(text: str, where: object) -> Rollout:
    """Check the text of a rollout; see `load`.

    >>> parse('schema = "facelab.rollout/1"\\nname = "a"\\nsalt = "12345678"\\nratio = 1.5', "r.toml")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: 'ratio' in the rollout cannot be used: input should be less than or equal to 1
      where:    r.toml
      got:      1.5
      fix:      write a value for 'ratio' that the message allows
    """
    try:
        return Rollout.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as e:
        raise BadInputError(
            "the rollout is not TOML", where=where, got=str(e)[:160], fix="correct that line"
        ) from None
    except ValidationError as e:
        raise explain(e, Rollout, where, "rollout") from None

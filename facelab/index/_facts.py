"""What a collection is and stays: written once, when it is created."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, IntegrityError
from facelab.core.files import dumps, read_json
from facelab.index._durable import FACTS, write_durably
from facelab.index._ids import check_namespace
from facelab.index._rows import DTYPES
from facelab.index._source import Source
from facelab.index.metadata._contract import check_key
from facelab.matching import Metric

SCHEMA = "facelab.index/1"
MAX_DIMENSION = 65_536


@dataclass(frozen=True)
class Facts:
    """What never changes: the collection's own id, its name and shard, and what its vectors are."""

    uid: str
    name: str
    shard: str
    dimension: int
    dtype: str
    metric: str
    source: Source | None
    namespace: str

    @property
    def key(self) -> str:
        """The key in the metadata."""
        return f"{self.name}/{self.shard}"

    def write(self, folder: Path) -> None:
        """Write the facts into a new collection's folder."""
        value = {"schema": SCHEMA, **self.to_dict()}
        write_durably(folder / FACTS, (dumps(value, indent=2) + "\n").encode())

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain JSON."""
        return {**self.__dict__, "source": self.source.to_dict() if self.source else None}

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """Read the facts of a collection. Raises BadInputError where there is none, IntegrityError where damaged."""
        if not (folder / FACTS).is_file():
            raise BadInputError(
                "there is no collection",
                where=folder,
                expected=f"a folder with {FACTS}",
                fix="check the path, or create one: facelab index create",
            )
        value = read_json(folder / FACTS)
        try:
            if value.pop("schema") != SCHEMA:
                raise TypeError(f"a different version than {SCHEMA}")
            source = value.pop("source")
            facts = make_facts(source=Source(**source) if source else None, **value)
        except (TypeError, KeyError, AttributeError, ValueError, BadInputError) as e:
            raise IntegrityError(
                "the collection's facts are damaged",
                where=folder / FACTS,
                expected=SCHEMA,
                got=str(e).splitlines()[0][:160],
                fix="restore the file from a copy",
            ) from None
        return facts


def make_facts(
    *,
    name: str,
    shard: str,
    dimension: int,
    dtype: str,
    metric: str,
    source: Source | None,
    namespace: str,
    uid: str | None = None,
) -> Facts:
    """Return checked facts, with their own id where none is given. Raises BadInputError."""
    check_key(f"{name}/{shard}"), check_namespace(namespace)
    whole = isinstance(dimension, (int, np.integer)) and not isinstance(dimension, bool)
    if not whole or not 1 <= dimension <= MAX_DIMENSION:
        raise BadInputError(
            "the dimension of a collection must be a whole number",
            expected=f"1 to {MAX_DIMENSION}",
            got=repr(dimension),
            fix="give the length of a vector",
        )
    if dtype not in DTYPES:
        raise BadInputError(
            "the number type of a collection is not supported",
            expected=", ".join(DTYPES),
            got=repr(dtype),
            fix="use float32",
        )
    kind = str(Metric.of(metric))
    own = secrets.token_hex(16) if uid is None else str(uid)
    return Facts(own, name, shard, int(dimension), dtype, kind, source, namespace)

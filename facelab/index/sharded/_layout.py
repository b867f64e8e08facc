"""How a sharded collection lies on the disk, and which shard an id belongs to: fixed when it is created."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, IntegrityError
from facelab.core.files import dumps, read_json
from facelab.index._durable import sync_folder, write_durably
from facelab.index._segment import id_keys

SCHEMA = "facelab.index.shards/1"
FILE = "shards.json"
METADATA = "metadata.sqlite"
MOST = 256


@dataclass(frozen=True)
class Layout:
    """The folder of a sharded collection, its name in the metadata, and the number of shards."""

    root: Path
    name: str
    shards: int

    @property
    def folders(self) -> list[Path]:
        """The folder of each shard."""
        return [self.root / str(i) for i in range(self.shards)]

    @property
    def keys(self) -> list[str]:
        """The key of each shard in the metadata."""
        return [f"{self.name}/{i}" for i in range(self.shards)]

    def shard_of(self, names: Sequence[str]) -> np.ndarray:
        """Return the shard of each id: a hash of the id, the same in every process and version.

        >>> Layout(Path("faces"), "faces", 4).shard_of(["anna", "ben", "zoë"]).tolist()
        [0, 1, 2]
        """
        return (id_keys(names) % np.uint64(self.shards)).astype(np.int64)

    def write(self) -> None:
        """Write the file that makes the folder a sharded collection; a crash before it leaves none."""
        value = {"schema": SCHEMA, "name": self.name, "shards": self.shards}
        write_durably(self.root / FILE, (dumps(value, indent=2) + "\n").encode())
        sync_folder(self.root)

    @classmethod
    def read(cls, root: Path) -> Layout:
        """Read the layout of a folder. Raises BadInputError where there is none, IntegrityError where damaged."""
        if not is_sharded(root):
            raise BadInputError(
                "there is no sharded collection",
                where=root,
                expected=f"a folder with {FILE}",
                fix="check the path, or create one: facelab index create --shards 4",
            )
        value = read_json(root / FILE)
        good = isinstance(value, dict) and value.get("schema") == SCHEMA
        good = (
            good
            and isinstance(value.get("name"), str)
            and set(value)
            == {
                "schema",
                "name",
                "shards",
            }
        )
        if not good or not _is_count(value["shards"]):
            raise IntegrityError(
                "the file that names the shards is damaged",
                where=root / FILE,
                expected=SCHEMA,
                got=str(value)[:120],
                fix="restore the file from a copy",
            )
        return cls(root, value["name"], value["shards"])


def is_sharded(root: Path) -> bool:
    """Return whether a folder holds a sharded collection."""
    return (root / FILE).is_file()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST


def check_shards(value: object) -> int:
    """Return a number of shards. Raises BadInputError for another value."""
    count = int(value) if isinstance(value, np.integer) else value
    if not _is_count(count):
        raise BadInputError(
            "the number of shards is out of range",
            expected=f"a whole number from 1 to {MOST}",
            got=repr(value),
            fix="give the number of shards that the collection will ever need",
        )
    assert isinstance(count, int)
    return count

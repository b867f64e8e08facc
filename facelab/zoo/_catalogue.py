"""The model catalogue: every model facelab knows, with source, hash, licence and preprocessing."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.project import package_file
from facelab.core.toml_files import read_toml
from facelab.zoo._assets import EntryFile, Kind, ModelEntry, modified, parse_entries


class Catalogue(EntryFile[ModelEntry]):
    """The entries of a catalogue file, in its order."""

    what, fix = "model", "facelab assets list shows the names"

    def __init__(self, entries: list[ModelEntry], where: Path):
        super().__init__(entries, where)
        for entry in entries:
            for part in entry.parts:
                if part not in self._by_name:
                    raise BadInputError(
                        f"{entry.name!r} has an unknown part {part!r}",
                        where=where,
                        fix="add the part as its own entry, or correct its name",
                    )

    def model(self, name: str) -> ModelEntry:
        """Return the entry with this name. Raises BadInputError with the nearest name."""
        return self.named(name)

    def of_kind(self, kind: Kind, *, family: str | None = None) -> list[ModelEntry]:
        """Return the entries of one kind (and family), in the file's order."""
        return [e for e in self.entries if e.kind == kind and family in (None, e.family)]

    def default(self, kind: Kind) -> ModelEntry:
        """Return the entry that is used where nobody chose. Raises BadInputError if the kind has none."""
        for entry in self.of_kind(kind):
            if entry.default:
                return entry
        raise BadInputError(
            f"the catalogue marks no default {kind}", where=self.where, fix="name a model"
        )

    def parts(self, entry: ModelEntry) -> list[ModelEntry]:
        """Return the entries that make up a model: its parts, or itself."""
        return [self.model(p) for p in entry.parts] if entry.parts else [entry]


def catalogue_path() -> Path:
    """Return the path of the model catalogue, which is part of the package."""
    return package_file("zoo/data/catalogue.toml")


def load_catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """Read and check a catalogue, by default the one of the package.

    Raises BadInputError naming the entry and the key for anything that does not fit.

    Parameters
    ----------
    path : str or path or None
        A catalogue file; None for the package's own.

    Returns
    -------
    Catalogue
        The entries, in the order of the file.

    Examples
    --------
    >>> entry = load_catalogue().model("yunet-s-320")
    >>> entry.kind, entry.family, entry.runtime
    ('detector', 'yunet', 'onnx')
    """
    path = Path(path) if path is not None else catalogue_path()
    return _load(path, modified(path, "catalogue"))


@functools.lru_cache(maxsize=8)
def _load(path: Path, stamp: int) -> Catalogue:
    return Catalogue(
        parse_entries(read_toml(path, "catalogue").get("model"), ModelEntry, path), path
    )

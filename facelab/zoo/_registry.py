"""The data registry: the data sets that the protocols need, with source, hash, licence and terms."""

from __future__ import annotations

import functools
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

from facelab.core.errors import IntegrityError
from facelab.core.project import package_file
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.toml_files import read_toml
from facelab.zoo._assets import Asset, EntryFile, data_folder, modified, parse_entries

MAX_UNPACKED = 64 << 30
"""Bytes that an archive of a data set may unpack to; WIDER FACE's largest has 1.6 GB."""


class DataEntry(Asset):
    """One file of a data set. `unpack` names the folder below `data/` that an archive's content goes to."""

    dataset: str
    task: Literal["detection", "verification", "emotion", "faces", "landmarks"]
    unpack: str = ""

    @property
    def folder(self) -> Path:
        return data_folder()

    @property
    def unpacked(self) -> Path | None:
        """Where the archive's content goes, or None for a plain file."""
        return data_folder() / self.unpack if self.unpack else None


class Registry(EntryFile[DataEntry]):
    """The entries of a registry file, in its order."""

    what, fix = "data set", "facelab assets list --kind data shows the names"

    def data(self, name: str) -> DataEntry:
        """Return the entry with this name. Raises BadInputError with the nearest name."""
        return self.named(name)


def load_registry(path: str | os.PathLike[str] | None = None) -> Registry:
    """Read and check a registry, by default the one of the package.

    Parameters
    ----------
    path : str or path or None
        A registry file; None for the package's own.

    Returns
    -------
    Registry
        The entries, in the order of the file.

    Raises
    ------
    BadInputError
        The file is not there, is not TOML, or an entry is incomplete or named twice.

    Examples
    --------
    >>> len(list(load_registry())) > 0
    True
    """
    path = Path(path) if path is not None else package_file("zoo/data/registry.toml")
    return _load(path, modified(path, "data registry"))


@functools.lru_cache(maxsize=8)
def _load(path: Path, stamp: int) -> Registry:
    return Registry(
        parse_entries(read_toml(path, "data registry").get("data"), DataEntry, path), path
    )


def unpack(entry: DataEntry, archive: Path) -> Path:
    """Unpack a verified archive into the entry's folder, once, whole or not at all, and return the folder.

    Members that would leave the folder are refused.

    Parameters
    ----------
    entry : DataEntry
        An entry of the registry.
    archive : path
        The archive that was downloaded.

    Returns
    -------
    path
        The folder of the entry.

    Raises
    ------
    IntegrityError
        For an archive that cannot be read.
    """
    target = entry.unpacked
    if target is None:
        return archive
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with ScratchFolder(prefix=f".{target.name}.", dir=target.parent) as near:
            inside = Path(near) / "unpacked"
            inside.mkdir()
            _extract_all(archive, inside)
            try:
                inside.replace(target)
            except OSError:
                # a second process may have put the same content there meanwhile
                if not target.is_dir():
                    raise
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as e:
        raise IntegrityError(
            f"{entry.name}: the archive cannot be unpacked",
            where=archive,
            got=str(e)[:160],
            fix=entry.fetch_command,
        ) from e
    return target


def _extract_all(archive: Path, folder: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as z:
            if (total := sum(m.file_size for m in z.infolist())) > MAX_UNPACKED:
                raise zipfile.BadZipFile(f"the archive unpacks to {total} bytes")
            for member in z.infolist():
                if member.filename.startswith("/") or ".." in Path(member.filename).parts:
                    raise zipfile.BadZipFile(f"the member {member.filename!r} leaves the folder")
            z.extractall(folder)
    else:
        with tarfile.open(archive) as t:
            if (total := sum(m.size for m in t)) > MAX_UNPACKED:
                raise tarfile.ReadError(f"the archive unpacks to {total} bytes")
            t.extractall(folder, filter="data")

"""`Asset`: one file that facelab can have: where it comes from, what it must be, what may be done with it."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.project import project_root
from facelab.preprocess.spec import PreprocessSpec

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]

E = TypeVar("E", bound="Asset")


def models_folder() -> Path:
    """Return the folder that keeps weights: `FACELAB_MODELS`, else `models/` of this checkout.

    Returns
    -------
    path
        The folder that keeps weights.

    Examples
    --------
    >>> models_folder().name
    'models'
    """
    return Path(os.environ.get("FACELAB_MODELS") or project_root() / "models")


def data_folder() -> Path:
    """Return the folder that keeps data sets: `FACELAB_DATA`, else `data/` of this checkout.

    Returns
    -------
    path
        The folder that keeps data sets.

    Examples
    --------
    >>> data_folder().name
    'data'
    """
    return Path(os.environ.get("FACELAB_DATA") or project_root() / "data")


class Strict(BaseModel):
    """A frozen model that takes no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageFile(Strict):
    """A file inside an installed pip dependency: `path` below the folder of the importable `module`."""

    distribution: Text
    module: Text
    path: str = ""


class Asset(Strict):
    """One file, verified by size and SHA-256.

    `file` is its name in the store's folder. `url` is the official address over https; where the address is an
    archive, `member` names the file inside it, and `archive_sha256` and `archive_bytes` describe the archive. `sha256`
    and `bytes` are always those of the file itself. Where nobody published a hash, `sha256` is empty and `hash_note`
    says so: such a file is fetched only with `--trust-first-use`. `package` names a pip dependency that carries the
    very same file. `terms` are restrictions beyond the licence; `research_only` marks those that forbid other use.
    """

    name: Name
    file: str = ""
    what: Text
    url: str = ""
    member: str | None = None
    archive_sha256: Sha256 = ""
    archive_bytes: StrictInt | None = Field(default=None, gt=0)
    sha256: Sha256 = ""
    bytes: StrictInt | None = Field(default=None, gt=0)
    hash_note: str = ""
    licence: Text
    terms: str = ""
    research_only: bool = False
    source: Text
    package: PackageFile | None = None

    @property
    def folder(self) -> Path:
        """The folder of the store that keeps this file."""
        raise NotImplementedError

    @property
    def path(self) -> Path:
        """Where the store keeps this file (present or not)."""
        return self.folder / self.file

    @property
    def fetch_command(self) -> str:
        """The command that gets this file."""
        return f"facelab assets fetch {self.name}"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.url and not self.url.startswith("https://"):
            raise ValueError(f"the url of {self.name!r} must be https, not {self.url!r}")
        parts = PurePosixPath(self.file).parts
        if self.file and (self.file.startswith("/") or ".." in parts or "\\" in self.file):
            raise ValueError(
                f"the file of {self.name!r} must be a plain relative path, not {self.file!r}"
            )
        if self.file and not self.sha256 and not self.hash_note:
            raise ValueError(
                f"{self.name!r} has no sha256: state it, or say in hash_note why nobody can"
            )
        if self.member is not None and not re.search(r"\.(zip|tar|tgz|tar\.gz|bz2|gz)$", self.url):
            raise ValueError(f"{self.name!r} has a member, so its url must be an archive")
        return self


def parse_entries(rows: object, model: type[Asset], where: Path) -> list:
    """Check a list of tables against `model`; names are unique. Raises BadInputError naming entry and key."""
    if not isinstance(rows, list):
        raise BadInputError(
            "the file has no entries",
            where=where,
            expected="[[model]] or [[data]] tables",
            fix="write at least one table",
        )
    entries, seen = [], set()
    for i, row in enumerate(rows):
        name = row.get("name", f"entry {i + 1}") if isinstance(row, dict) else f"entry {i + 1}"
        try:
            entry = model.model_validate(row)
        except ValidationError as e:
            # an unknown key explains a missing one, so it goes first
            first = min(e.errors(), key=lambda e: e["type"] != "extra_forbidden")
            key = ".".join(str(p) for p in first["loc"])
            hint = (
                did_you_mean(key, model.model_fields) if first["type"] == "extra_forbidden" else ""
            )
            raise BadInputError(
                f"{first['msg']}{': ' + repr(key) if key else ''}{hint}",
                where=f"{where}: {name}",
                got=repr(first["input"])[:80],
                fix="correct the entry",
            ) from None
        except BadInputError as e:
            # a preprocessing stage that does not fit; the entry knows its name, not its file
            e.where = f"{where}: {e.where}"
            raise
        if entry.name in seen:
            raise BadInputError(
                f"two entries are named {entry.name!r}", where=where, fix="rename one"
            )
        seen.add(entry.name)
        entries.append(entry)
    return entries


class EntryFile(Generic[E]):
    """The entries of one TOML file, in its order; `what` is what one of them is called."""

    what: ClassVar[str]
    fix: ClassVar[str]

    def __init__(self, entries: list[E], where: Path):
        self.entries, self.where = list(entries), where
        self._by_name = {e.name: e for e in entries}

    def __iter__(self) -> Iterator[E]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> list[str]:
        """The names, in the file's order."""
        return list(self._by_name)

    def named(self, name: str) -> E:
        """Return the entry with this name. Raises BadInputError with the nearest name."""
        if name not in self._by_name:
            raise BadInputError(
                f"no {self.what} is named {name!r}{did_you_mean(name, self._by_name)}",
                where=self.where,
                fix=self.fix,
            )
        return self._by_name[name]


def modified(path: Path, what: str) -> int:
    """Return when a file was last written, in ns, for a cache's key. Raises BadInputError where it cannot be read."""
    try:
        return path.stat().st_mtime_ns
    except OSError as e:
        raise BadInputError(
            f"the {what} cannot be read",
            where=path,
            got=e.strerror,
            fix="run facelab inside its checkout",
        ) from None


Kind = Literal["detector", "embedder", "emotion", "liveness", "aux"]
Runtime = Literal["onnx", "litert", "keras", "dlib", "opencv"]


class ModelEntry(Asset):
    """One model: an asset that a runtime can open, with the preprocessing it was trained for.

    `preprocess` is a list of stages of the `facelab.preprocess/1` schema (see `spec`). `options` are the family's own
    figures (strides, score threshold, labels, ...). A model of several networks (MTCNN) has no file itself but
    `parts`, the names of its entries. `convert` names the converter that turns the file into what `runtime` runs;
    `builtin` names the Python module that carries the model as code (dlib's HOG detector).
    `default` marks the entry that is used where nobody chose; research-only entries are never a default.
    """

    kind: Kind
    family: str
    runtime: Runtime
    preprocess: list[dict[str, Any]] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    labels: list[str] = Field(default_factory=list)
    parts: list[str] = Field(default_factory=list)
    convert: Literal["mtcnn", "keras-hdf5"] | None = None
    builtin: str | None = None
    default: bool = False

    @property
    def folder(self) -> Path:
        return models_folder()

    @functools.cached_property
    def spec(self) -> PreprocessSpec | None:
        """The preprocessing as a checked `PreprocessSpec`, or None where the entry states none (a part, a backbone)."""
        return (
            PreprocessSpec(self.name, self.preprocess, where=self.name) if self.preprocess else None
        )

    @model_validator(mode="after")
    def _model(self) -> Self:
        if self.default and self.research_only:
            raise ValueError(f"{self.name!r} is research-only and cannot be a default")
        if sum((bool(self.file), bool(self.parts), bool(self.builtin))) != 1:
            raise ValueError(f"{self.name!r} needs exactly one of file, parts, builtin")
        _ = self.spec
        return self

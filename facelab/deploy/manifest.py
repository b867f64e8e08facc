"""`facelab.bundle/2`: what a bundle's `manifest.json` says, read strictly."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
)

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import read_input, read_json
from facelab.core.hashing import sha256_json

SCHEMA = "facelab.bundle/2"
MANIFEST = "manifest.json"
MAX_MANIFEST = 4 << 20
MAX_BYTES = 16 << 30
"""What all files of a bundle hold together; a file without content may say any size and takes minutes to hash."""
MAX_FILES, MAX_PROBES, MAX_TENSORS = 20_000, 1_000, 64
Role = Literal[
    "model",
    "preprocess",
    "labels",
    "thresholds",
    "fingerprint",
    "float_fingerprint",
    "probe",
    "golden_tensor",
    "golden_output",
    "golden_boxes",
    "decoding",
    "evidence",
    "split",
    "card",
    "code",
    "page",
]
Probe = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")]
MAX_NAME = 1_000
Short = Annotated[str, StringConstraints(max_length=MAX_NAME)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A frozen model that takes no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class FileEntry(Strict):
    """One file of a bundle: its path below the bundle, size, hash, what it is for, and its licence."""

    path: str
    bytes: int = Field(ge=0)
    sha256: Sha256
    role: Role
    licence: str

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        parts = PurePosixPath(value).parts
        if (
            not parts
            or value.startswith("/")
            or ".." in parts
            or re.search(r"[\\\x00-\x1f:]", value)
        ):
            raise ValueError(
                "a path must be relative, with '/' between folders, and stay inside the bundle"
            )
        return value


class Tensor(Strict):
    """An input or output of the model; a dimension that is not fixed is null."""

    name: str
    shape: list[int | None]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class Licence(Strict):
    """Under which terms the model may be used, and who says so."""

    licence: str
    terms: str = ""
    source: str = ""


class Reference(Strict):
    """The float model that a quantised one was made from."""

    name: str
    sha256: Sha256
    bytes: int = Field(gt=0)


class Manifest(Strict):
    """What a bundle holds. `hash` is over everything else that the manifest says: one word that names the bundle."""

    schema_: Literal["facelab.bundle/2"] = Field(alias="schema")
    name: Short
    task: Short
    runtime: Short
    model: Short
    quantized: StrictBool
    inputs: list[Tensor] = Field(min_length=1, max_length=MAX_TENSORS)
    outputs: list[Tensor] = Field(min_length=1, max_length=MAX_TENSORS)
    labels: list[str]
    spec_hash: Sha256
    probe_set: str
    golden: list[Probe] = Field(min_length=1, max_length=MAX_PROBES)
    licence: Licence
    reference: Reference | None = None
    made_by: dict[Short, Short]
    hash: Sha256
    files: list[FileEntry] = Field(max_length=MAX_FILES)

    @field_validator("files")
    @classmethod
    def _bounded(cls, value: list[FileEntry]) -> list[FileEntry]:
        if (total := sum(f.bytes for f in value)) > MAX_BYTES:
            raise ValueError(f"the files hold {total} bytes, at most {MAX_BYTES} are read")
        return value

    def of_role(self, role: str) -> list[FileEntry]:
        """Return the files with this role."""
        return [f for f in self.files if f.role == role]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return self.model_dump(by_alias=True)


def check_name(name: str | None) -> None:
    """Raise BadInputError for a bundle's name that no manifest takes."""
    if name is not None and len(name) > MAX_NAME:
        raise BadInputError(
            "the bundle's name is too long",
            expected=f"at most {MAX_NAME} characters",
            got=f"{len(name)} characters",
            fix="choose a shorter --name",
        )


def canonical_hash(document: dict[str, Any]) -> str:
    """Return the SHA-256 over a manifest's JSON document, everything in it but the hash itself.

    Keys are sorted, blanks left out, whole floats written as integers (`facelab.core.hashing.canonical_json`).
    """
    return sha256_json({k: v for k, v in document.items() if k != "hash"})


def load(folder: str | Path) -> Manifest:
    """Read a bundle's manifest. Raises BadInputError if the folder is not a bundle or its manifest is malformed."""
    return read(folder)[0]


def read(folder: str | Path) -> tuple[Manifest, str]:
    """Return a bundle's manifest and the hash of what is written there; see `load`."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise BadInputError(
            "the folder is not a bundle" if folder.is_dir() else "the bundle does not exist",
            where=folder,
            expected=f"a folder with {MANIFEST}",
            fix="make one: facelab bundle MODEL --out DIR",
        )
    document = read_json(path, max_bytes=MAX_MANIFEST)
    return parse(document, path), canonical_hash(document)


def parse(value: Any, where: Path) -> Manifest:
    """Check a manifest's JSON document. Raises BadInputError naming the key."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        got = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise BadInputError(
            "the manifest has a different schema",
            where=where,
            expected=repr(SCHEMA),
            got=repr(got)[:80],
            fix="make the bundle again with this version of facelab",
        )
    try:
        return Manifest.model_validate(value)
    except ValidationError as e:
        raise explain(e, Manifest, where, "manifest") from None


def explain(
    error: ValidationError, model: type[BaseModel], where: object, what: str
) -> BadInputError:
    """Return pydantic's first complaint as one error, with the nearest known key where one is unknown."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields(model, first["loc"][:-1])
        return BadInputError(
            f"the {what} has an unknown key {key[:80]!r}{did_you_mean(str(first['loc'][-1]), known)}",
            where=where,
            expected=", ".join(known),
            fix="correct or remove it",
        )
    if first["type"] == "missing":
        return BadInputError(f"the {what} lacks {key!r}", where=where, fix="add it")
    message = str(first.get("ctx", {}).get("error", first["msg"]))
    options = first.get("ctx", {}).get("expected", "")
    hint = did_you_mean(first["input"], re.findall(r"'([^']*)'", options)) if options else ""
    return BadInputError(
        f"{key!r} in the {what} cannot be used: {message[:1].lower()}{message[1:]}{hint}",
        where=where,
        got=repr(first["input"])[:100],
        fix=f"write a value for {key!r} that the message allows",
    )


def _fields(model: type[BaseModel], path: tuple) -> list[str]:
    for part in path:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return [f.alias or name for name, f in model.model_fields.items()]


def public_key(given: str | os.PathLike[str]) -> Any:
    """Return minisign's key from its line (RWQ…), or from the file that is named.

    A line is one whatever files are here: in a stranger's folder, a file may be called like the key that is demanded,
    and hold another one. Raises BadInputError for what is neither.
    """
    import minisign

    text = os.fspath(given)
    with contextlib.suppress(minisign.Error, ValueError):
        return minisign.PublicKey.from_base64(text.strip())
    try:
        return minisign.PublicKey.from_bytes(read_input(text, max_bytes=4096))
    except (minisign.Error, BadInputError, OSError, ValueError) as e:
        raise BadInputError(
            "the public key cannot be read",
            where=text[:100],
            expected="a line such as RWQ…, or the file that minisign -G wrote",
            got=str(e)[:120] or type(e).__name__,
            fix="ask the signer of the bundles for minisign.pub, or print it: minisign -R -p KEY.pub",
        ) from None

"""Whether a bundle is whole: every file there, no other, each with the promised bytes, and all of one piece."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab import fingerprint as fingerprints
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import read_input
from facelab.core.hashing import sha256_file
from facelab.deploy import _signature as signatures
from facelab.deploy import thresholds
from facelab.deploy.golden import PACKED, file_name
from facelab.deploy.manifest import MANIFEST, MAX_MANIFEST, Manifest, read
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import SUFFIXES

MAX_STRAYS = 1_000
"""How many files that nobody listed are named."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a bundle: the file's path below it, and what, in a sentence."""

    path: str
    what: str


@dataclass(frozen=True)
class Integrity:
    """The outcome: `problems` is empty for a whole bundle; `files` and `bytes` were looked at."""

    folder: Path
    manifest: Manifest
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict:
        """Return the outcome as plain JSON."""
        m = self.manifest
        return {
            "schema": "facelab.integrity/1",
            "bundle": str(self.folder),
            "ok": self.ok,
            "hash": m.hash,
            "files": len(m.files),
            "bytes": sum(f.bytes for f in m.files),
            "problems": [{"path": p.path, "what": p.what} for p in self.problems],
        }


def verify(
    folder: str | os.PathLike,
    *,
    expect: str | None = None,
    public_key: str | os.PathLike | None = None,
) -> Integrity:
    """Check every file of a bundle against its manifest, and the parts against each other.

    `expect` is the hash (or its first 8 or more characters) that the bundle must have; `public_key` is the minisign key
    whose owner must have signed the manifest (see `facelab.deploy._signature`).

    Parameters
    ----------
    folder : str or path
        The folder of a bundle.
    expect : str or None
        The manifest hash that the caller knows; None for any.
    public_key : str or path or None
        The minisign key whose owner must have signed.

    Returns
    -------
    Integrity
        The problems, none in a good bundle, with the hash of the manifest.

    Raises
    ------
    BadInputError
        If the folder is not a bundle or the manifest cannot be read.

    Examples
    --------
    >>> found = verify("bundle")
    >>> found.ok, found.problems
    (True, [])
    """
    folder = Path(folder)
    manifest, hashed = read(folder)
    problems = []
    if expect is not None and not (len(expect) >= 8 and manifest.hash.startswith(expect.lower())):
        problems.append(
            Problem(
                MANIFEST, f"this is another bundle: {manifest.hash[:16]}…, expected {expect[:16]}"
            )
        )
    if hashed != manifest.hash:
        problems.append(
            Problem(MANIFEST, "what it says does not match the bundle's own hash: it was edited")
        )
    if public_key is not None and (wrong := signatures.problem(folder, public_key)):
        problems.append(Problem(MANIFEST, wrong))
    problems += [
        Problem(entry.path, wrong) for entry in manifest.files if (wrong := _wrong(folder, entry))
    ]
    known = {f.path for f in manifest.files} | {MANIFEST}
    if len(known) != len(manifest.files) + 1:
        problems.append(Problem(MANIFEST, "a file is listed twice"))
    problems += _twins(sorted(known))
    strays = _strays(folder, known | {signatures.SIGNATURE})
    problems += [Problem(p, "is not in the manifest") for p in strays]
    if not problems:
        problems = _parts(folder, manifest)
    return Integrity(folder, manifest, problems)


def _wrong(folder: Path, entry: Any) -> str | None:
    path = folder / entry.path
    if any(p.is_symlink() for p in (path, *path.parents) if folder in p.parents):
        return "is a link, which could point outside the bundle"
    try:
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            return "is missing"
        if size != entry.bytes:
            return f"has {size} bytes, {entry.bytes} promised"
        got = sha256_file(path)
    except OSError as e:
        return f"cannot be read: {e.strerror}"
    return (
        None
        if got == entry.sha256
        else f"was changed: SHA-256 {got[:12]}…, {entry.sha256[:12]}… promised"
    )


def _twins(names: list[str]) -> list[Problem]:
    """Names that are one file where a system ignores case or the form of accents: one would replace the other."""
    seen: dict[str, str] = {}
    problems = []
    for name in names:
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            problems.append(Problem(name, f"is the same file as {seen[key]!r} on some systems"))
        seen.setdefault(key, name)
    return problems


def _strays(folder: Path, known: set[str]) -> list[str]:
    """Return what is there and not listed, at most `MAX_STRAYS`, however deep the folders are."""
    found: list[str] = []
    waiting = [""]
    while waiting and len(found) < MAX_STRAYS:
        place = waiting.pop()
        try:
            with os.scandir(os.path.join(folder, place)) as entries:  # noqa: PTH118
                for entry in entries:
                    name = f"{place}/{entry.name}" if place else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    # what desktops leave in any folder is not a part of anything
                    elif name not in known and entry.name not in (".DS_Store", "Thumbs.db"):
                        found.append(name)
        except OSError:  # a path longer than the system takes, or a folder that may not be read
            found.append(place)
    return sorted(found)[:MAX_STRAYS]


def _parts(folder: Path, m: Manifest) -> list[Problem]:
    """Whether the parts belong together, which equal hashes alone do not say."""
    problems = []
    roles = {
        role: [f.path for f in m.of_role(role)]
        for role in ("model", "preprocess", "fingerprint", "thresholds")
    }
    for role, paths in roles.items():
        if len(paths) != 1:
            problems.append(
                Problem(MANIFEST, f"has {len(paths)} files for the role {role!r}, one is needed")
            )
    if problems or roles["model"] != [m.model]:
        return problems or [
            Problem(MANIFEST, f"names the model {m.model!r}, which is not its model file")
        ]
    try:
        spec = PreprocessSpec.load(folder / roles["preprocess"][0])
        train = fingerprints.load(folder / roles["fingerprint"][0])
        thresholds.load(folder / roles["thresholds"][0])
    except FacelabError as e:
        return [Problem(Path(str(e.where or "")).name or MANIFEST, e.what)]
    if spec.hash != m.spec_hash:
        problems.append(
            Problem(roles["preprocess"][0], "is not the preprocessing that the manifest names")
        )
    if train.spec is None or PreprocessSpec.from_dict(train.spec).hash != m.spec_hash:
        problems.append(
            Problem(roles["fingerprint"][0], "is not the fingerprint of this preprocessing")
        )
    if train.probes["hash"] != m.probe_set:
        problems.append(Problem(roles["fingerprint"][0], "was made with another set of probes"))
    if not set(m.golden) <= {p for p, e in train.output.items() if "error" not in e}:
        problems.append(Problem(MANIFEST, "names golden probes that its fingerprint does not have"))
    return problems + _claims(folder, m)


def _claims(folder: Path, m: Manifest) -> list[Problem]:
    """Whether what the manifest says beside the list of files agrees with the files."""
    problems = []
    outputs = range(len(m.outputs))
    tensors = {f.path for f in m.of_role("golden_tensor")}
    packed = any(path.endswith(PACKED) for path in tensors)  # all of them, or none
    ending = PACKED if packed else ".npy"
    wanted = {
        "golden_tensor": {f"golden/tensors/{p}{ending}" for p in m.golden},
        "golden_output": {f"golden/outputs/{file_name(p, k)}" for p in m.golden for k in outputs},
    }
    for role, paths in wanted.items():
        if {f.path for f in m.of_role(role)} != paths:
            problems.append(
                Problem(MANIFEST, f"has other {role.replace('_', ' ')} files than probes")
            )
    if SUFFIXES.get(Path(m.model).suffix.lower()) != m.runtime:
        problems.append(Problem(MANIFEST, f"names the runtime {m.runtime!r} for {m.model!r}"))
    if m.of_role("model")[0].licence != m.licence.licence:
        problems.append(Problem(MANIFEST, "names two licences of the model"))
    held = m.of_role("labels")
    lines = _lines(folder / held[0].path) if len(held) == 1 else []
    if len(held) > 1 or lines != m.labels:
        problems.append(Problem(MANIFEST, "names other labels than the file of labels"))
    return problems


def _lines(path: Path) -> list[str]:
    try:
        # longer ones are not those of a manifest, whose size is bounded
        raw = read_input(path, max_bytes=MAX_MANIFEST, what="file of labels")
    except BadInputError:
        return []
    return raw.decode("utf-8", "replace").removesuffix("\n").split("\n")

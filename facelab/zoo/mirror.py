"""`FACELAB_MIRROR`: a folder or a web address that serves closed networks, by sha256, by name or by MANIFEST.csv."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.files import read_input
from facelab.zoo._assets import Asset
from facelab.zoo._http import BrokenTransferError, Limit, chunks

MANIFEST = "MANIFEST.csv"
MAX_MANIFEST, MANIFEST_SECONDS = 16 << 20, 60.0


def mirror() -> str | None:
    """Return the mirror's folder or address as the user named it, or None."""
    return os.environ.get("FACELAB_MIRROR") or None


def is_address(value: str) -> bool:
    """Return whether a mirror is reached over http(s) rather than through the file system.

    >>> is_address("http://10.0.0.1/facelab"), is_address("/mnt/mirror")
    (True, False)
    """
    return urlsplit(value).scheme in ("http", "https")


def labelled(table: str) -> Path | None:
    """Return a table of the mirror's labelled photographs, which are beside it; None without a folder that has it."""
    root = mirror()
    if root is None or is_address(root):
        return None
    path = Path(root).expanduser() / "labelled" / table
    return path if path.is_file() else None


def layouts(asset: Asset) -> list[str]:
    """Return the relative paths under which a mirror may keep an asset, in the order in which they are tried."""
    names = []
    suffix = PurePosixPath(asset.file).suffix
    if asset.sha256:
        sha = asset.sha256
        names += [
            sha,
            sha + suffix,
            f"sha256/{sha}",
            f"sha256/{sha}{suffix}",
            f"{sha[:2]}/{sha}",
            f"{sha[:2]}/{sha}{suffix}",
        ]
    names += [asset.file, PurePosixPath(asset.file).name, asset.name + suffix, asset.name]
    if asset.url and asset.member is None:
        names.append(PurePosixPath(urlsplit(asset.url).path).name)
    elif asset.member:
        names.append(PurePosixPath(asset.member).name)
    return list(dict.fromkeys(n for n in names if n))


def folder_candidates(root: str, asset: Asset) -> Iterator[Path]:
    """Yield the existing files of a mirror folder that may be the asset, best promise first.

    Raises BadInputError if the folder does not exist or its MANIFEST.csv is malformed.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise BadInputError(
            "FACELAB_MIRROR names no folder",
            where="environment FACELAB_MIRROR",
            expected="a folder or an http(s) address",
            got=root,
            fix="correct or unset FACELAB_MIRROR",
        )
    seen = set()
    for relative in [*_listed_in_folder(folder, asset), *layouts(asset)]:
        path = folder / relative
        if path not in seen and path.is_file():
            seen.add(path)
            yield path


def _listed_in_folder(folder: Path, asset: Asset) -> list[str]:
    manifest = folder / MANIFEST
    if not asset.sha256 or not manifest.is_file():
        return []
    return _folder_manifest(manifest, manifest.stat().st_mtime_ns).get(asset.sha256, [])


@functools.lru_cache(maxsize=8)
def _folder_manifest(path: Path, stamp: int) -> dict[str, list[str]]:
    data = read_input(path, max_bytes=MAX_MANIFEST, what="mirror's manifest")
    return parse_manifest(data.decode("utf-8-sig", "replace"), str(path))


def address_candidates(root: str, asset: Asset) -> Iterator[str]:
    """Yield the addresses of a mirror at which the asset may lie, best promise first."""
    base = root.rstrip("/")
    listed = _address_manifest(base).get(asset.sha256, []) if asset.sha256 else []
    for relative in dict.fromkeys([*listed, *layouts(asset)]):
        yield f"{base}/{quote(relative)}"


@functools.lru_cache(maxsize=8)
def _address_manifest(base: str) -> dict[str, list[str]]:
    import requests

    where = f"{base}/{MANIFEST}"
    try:
        content = b"".join(chunks(where, Limit(MAX_MANIFEST, MANIFEST_SECONDS)))
    except requests.HTTPError:
        return {}
    except (requests.RequestException, BrokenTransferError) as e:
        raise MissingAssetError(
            "the mirror cannot be reached",
            where=where,
            got=type(e).__name__,
            fix="check the network, or correct or unset FACELAB_MIRROR",
        ) from None
    return parse_manifest(content.decode("utf-8-sig", "replace"), where)


def parse_manifest(text: str, where: str) -> dict[str, list[str]]:
    """Return sha256 → relative paths from a MANIFEST.csv with at least the columns path and sha256.

    Paths that leave the mirror are refused. Raises BadInputError.

    >>> parse_manifest("path,sha256\\na/b.onnx," + "0" * 64 + "\\n", "M")["0" * 64]
    ['a/b.onnx']
    """
    try:
        return _parsed(csv.DictReader(io.StringIO(text, newline="")), where)
    except csv.Error as e:
        raise BadInputError(
            "the mirror's manifest is not a CSV file",
            where=where,
            expected="path,sha256,…",
            got=str(e)[:120],
            fix="correct the manifest, or remove it to go by name",
        ) from None


def _parsed(rows: csv.DictReader, where: str) -> dict[str, list[str]]:
    if not {"path", "sha256"} <= set(rows.fieldnames or []):
        raise BadInputError(
            "the mirror's manifest has no path and sha256 columns",
            where=where,
            expected="path,sha256,…",
            got=",".join(rows.fieldnames or [])[:120] or "an empty file",
            fix="correct the manifest, or remove it to go by name",
        )
    listed: dict[str, list[str]] = {}
    for row in rows:
        path, sha = (row["path"] or "").strip(), (row["sha256"] or "").strip().lower()
        if path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
            raise BadInputError(
                "the mirror's manifest names a path outside the mirror",
                where=where,
                got=path[:120],
                fix="correct the manifest",
            )
        if path and sha:
            listed.setdefault(sha, []).append(path)
    return listed

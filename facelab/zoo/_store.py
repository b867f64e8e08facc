"""Where a model's or a data set's file is on this machine, and how it gets there.

Order: the store's own folder (`models/`, `data/`) → a pip dependency that carries the very file → `FACELAB_MIRROR` →
the official address. Every hit is verified by size and SHA-256 before it is handed out. A mirror *folder* is used in
place, nothing is copied; what comes from an *address* is kept in the store's folder. A bad file in the store's own
folder is removed; files of a mirror or a package are never touched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facelab.core import extras
from facelab.core.errors import BadInputError, FacelabError, IntegrityError, MissingAssetError
from facelab.core.hashing import sha256_file
from facelab.zoo import mirror, trust
from facelab.zoo._assets import Asset, ModelEntry
from facelab.zoo._download import NotThereError, download, exclusive
from facelab.zoo._integrity import file_hash, problem

Place = Literal["store", "package", "mirror", "builtin", "parts"]


@dataclass(frozen=True)
class Found:
    """Where an asset lies: the verified file and the kind of place."""

    path: Path
    place: Place


def locate(asset: Asset) -> Path | None:
    """Return the verified file of an asset that is on this machine, or None. Downloads nothing.

    A converted model (MTCNN's networks) is built on the first call, in milliseconds. A model of several parts is
    here when all of them are; the first part's path is returned. Raises IntegrityError where the only file found is
    not the promised one (the store's own is removed), BadInputError where FACELAB_MIRROR names no folder.
    """
    found = find(asset)
    return found.path if found else None


def find(asset: Asset) -> Found | None:
    """Return path and place of an asset that is on this machine, or None; see `locate` for what it raises.

    Parameters
    ----------
    asset : Asset
        An entry of the catalogue or the registry.

    Returns
    -------
    Found or None
        Where the file is, or None.

    Raises
    ------
    IntegrityError
        The file is there, but nobody vouches for it.

    Examples
    --------
    >>> from facelab.zoo import load_catalogue
    >>> found = find(load_catalogue().model("yunet-s-320"))
    >>> found is None or found.path.is_file()
    True
    """
    if isinstance(asset, ModelEntry) and asset.builtin:
        path = module_path(asset.builtin)
        return Found(path, "builtin") if path else None
    if isinstance(asset, ModelEntry) and asset.parts:
        return _find_parts(asset)
    found = _find_file(asset)
    if found and not _is_known(asset, found.path):
        raise unverified(asset, found.path)
    if found and isinstance(asset, ModelEntry) and asset.convert:
        from facelab.zoo._convert import converted

        return Found(converted(asset, found.path), found.place)
    return found


@dataclass(frozen=True)
class Status:
    """What is known of an asset on this machine: `state` is present, unverified, absent or bad; `problem` says why.

    `unverified`: a file of this name is here, nobody published its hash, and nobody here trusted it (see
    `facelab.zoo.trust`). Such a file is not used.
    """

    state: Literal["present", "unverified", "absent", "bad"]
    place: Place | None = None
    path: Path | None = None
    problem: FacelabError | None = None


def status(asset: Asset) -> Status:
    """Return whether an asset's file is here and verified, without converting it; a bad one is reported, not raised.

    A bad file in the store's own folder is removed, as by `locate`.

    Parameters
    ----------
    asset : Asset
        An entry of the catalogue or the registry.

    Returns
    -------
    Status
        Whether the files are there, whole and known.

    Raises
    ------
    BadInputError
        If FACELAB_MIRROR names no folder or its manifest is malformed.

    Examples
    --------
    >>> from facelab.zoo import load_catalogue
    >>> status(load_catalogue().model("yunet-s-320")).state in ("present", "absent", "unverified", "bad")
    True
    """
    try:
        if isinstance(asset, ModelEntry) and asset.parts:
            from facelab.zoo._catalogue import load_catalogue

            each = [status(part) for part in load_catalogue().parts(asset)]
            worst = next(
                (s for state in ("bad", "absent", "unverified") for s in each if s.state == state),
                None,
            )
            return worst or Status("present", "parts", each[0].path)
        found = _find_file(asset) if asset.file else find(asset)
    except IntegrityError as e:
        return Status("bad", None, None, e)
    if found and not _is_known(asset, found.path):
        return Status("unverified", found.place, found.path, unverified(asset, found.path))
    return Status("present", found.place, found.path) if found else Status("absent")


def _is_known(asset: Asset, path: Path) -> bool:
    """Return whether a file's content is the published one, or was trusted here. `path` was checked by `problem`."""
    if not asset.file or asset.sha256:
        return True
    return trust.is_trusted(asset.name, file_hash(path))


def unverified(asset: Asset, path: Path) -> IntegrityError:
    """Return the error for a file that only its name speaks for."""
    return IntegrityError(
        f"{asset.name}: the file is unverified: only its name says what it is",
        where=path,
        expected="a published hash, or an entry in the record of trust",
        got=asset.hash_note,
        fix=f"look where it comes from, then {asset.fetch_command} --trust-first-use",
    )


def source_file(asset: Asset) -> Path | None:
    """Return the verified file as its authors published it (a converted model's HDF5, say), or None.

    Parameters
    ----------
    asset : Asset
        An entry of the catalogue or of the data registry.

    Returns
    -------
    path or None
        The file; None where it is not on this machine.

    Raises
    ------
    IntegrityError
        Only the file's name says what it is.
    """
    found = _find_file(asset) if asset.file else find(asset)
    if found and not _is_known(asset, found.path):
        raise unverified(asset, found.path)
    return found.path if found else None


def _find_parts(asset: ModelEntry) -> Found | None:
    from facelab.zoo._catalogue import load_catalogue

    first = None
    for part in load_catalogue().parts(asset):
        found = find(part)
        if found is None:
            return None
        first = first or found.path
    return None if first is None else Found(first, "parts")


def _find_file(asset: Asset) -> Found | None:
    bad: list[FacelabError] = []
    if asset.path.is_file():
        seen = _stamp(asset.path)
        if not (wrong := problem(asset.path, asset)):
            return Found(asset.path, "store")
        if _stamp(asset.path) == seen:  # else another process has just put a new file there
            asset.path.unlink(missing_ok=True)
        bad.append(wrong)
    places: list[tuple[Path | None, Place]] = [(package_path(asset), "package")]
    for path, place in places + [(p, "mirror") for p in _mirror_files(asset)]:
        if path is None:
            continue
        if not (wrong := problem(path, asset)):
            return Found(path, place)
        bad.append(wrong)
    if bad:
        raise bad[0]
    return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _mirror_files(asset: Asset) -> Iterator[Path] | tuple[()]:
    root = mirror.mirror()
    return mirror.folder_candidates(root, asset) if root and not mirror.is_address(root) else ()


def module_path(module: str) -> Path | None:
    """Return the file or folder of an importable module without importing it, or None."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    return Path(places[0]) if places else Path(spec.origin) if spec.origin else None


def package_path(asset: Asset) -> Path | None:
    """Return the asset's file inside an installed pip dependency (which is not imported), or None."""
    if asset.package is None:
        return None
    folder = module_path(asset.package.module)
    path = folder / asset.package.path if folder else None
    return path if path and path.is_file() else None


def fetch(
    asset: Asset,
    *,
    trust_first_use: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> Path:
    """Return the verified file of an asset, downloading it where it is not on this machine.

    `say` receives, in one line each, what was refused and tried. An asset whose hash nobody published is downloaded
    only with `trust_first_use`. Two fetches of one file at once are safe: the second waits and finds it.
    Raises MissingAssetError (offline, not there: which file, from where, and what to do), IntegrityError (every
    source gave wrong bytes; nothing is kept).

    Parameters
    ----------
    asset : Asset
        An entry of the catalogue or the registry.
    trust_first_use : bool
        Whether a file without a known hash is trusted as it is found first.
    progress : bool
        Whether a bar is shown.
    say : callable
        Called with one line per step.

    Returns
    -------
    path
        Where the file now is.

    Raises
    ------
    BadInputError
        The file cannot be written.
    MissingAssetError
        No source has the file; naming where to get it.

    Examples
    --------
    >>> from facelab.zoo import load_catalogue
    >>> fetch(load_catalogue().model("mtcnn-onet")).suffix  # it is in a pip package: nothing is downloaded
    '.onnx'
    """
    if isinstance(asset, ModelEntry) and asset.parts:
        from facelab.zoo._catalogue import load_catalogue

        paths = [
            fetch(part, trust_first_use=trust_first_use, progress=progress, say=say)
            for part in load_catalogue().parts(asset)
        ]
        return paths[0]
    refused: list[FacelabError] = []
    if trust_first_use:
        _trust_present(asset, say)
    found = _find_or_remember(asset, refused, say)
    if found:
        return found
    _refuse_without_source(asset, trust_first_use, refused)
    try:
        with exclusive(asset.path):
            if asset.path.is_file() and (found := _find_or_remember(asset, refused, say)):
                return found
            path = _first_good_source(asset, progress, refused, say)
    except OSError as e:
        raise BadInputError(
            f"{asset.name} cannot be written",
            where=asset.folder,
            got=e.strerror or str(e),
            fix="free some space, or set FACELAB_MODELS or FACELAB_DATA to a folder that you can "
            "write to",
        ) from None
    if not asset.sha256:
        _trust(asset, path, asset.url, say)
    if isinstance(asset, ModelEntry) and asset.convert:
        from facelab.zoo._convert import converted

        return converted(asset, path)
    return path


def _trust_present(asset: Asset, say: Callable[[str], None]) -> None:
    """Put a file without a published hash that is here already into the record of trust, as the user asks for."""
    try:
        found = _find_file(asset) if asset.file and not asset.sha256 else None
    except IntegrityError:
        return  # told when it is looked for
    if found and not _is_known(asset, found.path):
        _trust(asset, found.path, str(found.path), say)


def _trust(asset: Asset, path: Path, source: str, say: Callable[[str], None]) -> None:
    sha = sha256_file(path)
    say(f"{asset.name}: no published hash; trusted on first use, sha256 {sha}")
    if not trust.remember(asset.name, sha, path.stat().st_size, source, "first use"):
        say(f"{asset.name}: the record of trust cannot be written: {trust.record_file()}")


def _find_or_remember(
    asset: Asset, refused: list[FacelabError], say: Callable[[str], None]
) -> Path | None:
    try:
        return locate(asset)
    except IntegrityError as e:
        say(f"{e.what} ({e.where}): refused" + (" and removed" if not asset.path.exists() else ""))
        refused.append(e)
        return None


def _refuse_without_source(
    asset: Asset, trust_first_use: bool, refused: list[FacelabError]
) -> None:
    if isinstance(asset, ModelEntry) and asset.builtin:
        raise MissingAssetError(
            f"{asset.name} is part of the Python module {asset.builtin!r}, which is not installed",
            fix=f"install {asset.package.distribution if asset.package else asset.builtin}",
        )
    if not asset.url and not mirror.mirror():
        if refused:
            raise refused[0]
        if asset.package:
            raise MissingAssetError(
                f"{asset.name} comes with the package {asset.package.distribution}, which is not "
                "installed",
                where=asset.package.path,
                fix=f"install {asset.package.distribution}: {extras.how_to_get(asset.package.module)}",
            )
        raise MissingAssetError(
            f"{asset.name} has no address to download from",
            where=asset.source,
            expected=f"the file {asset.path}",
            got=asset.hash_note or None,
            fix=f"get it from {asset.source} and put it there",
        )
    if not asset.sha256 and not trust_first_use:
        raise MissingAssetError(
            f"nobody published a hash for {asset.name}, so it is not downloaded unasked",
            where=asset.url,
            got=asset.hash_note,
            fix=f"look at the source, then {asset.fetch_command} --trust-first-use",
        )


def _sources(asset: Asset) -> Iterator[tuple[Any, str | None]]:
    root = mirror.mirror()
    if root and mirror.is_address(root):
        try:
            yield from ((address, None) for address in mirror.address_candidates(root, asset))
        except MissingAssetError as e:
            yield e, None
    if asset.url:
        yield asset.url, asset.member


def _first_good_source(
    asset: Asset, progress: bool, refused: list[FacelabError], say: Callable[[str], None]
) -> Path:
    unreachable: FacelabError | None = None
    earlier = len(refused)
    for source, member in _sources(asset):
        try:
            if isinstance(source, FacelabError):
                raise source
            return download(source, asset.path, asset, member=member, progress=progress)
        except NotThereError as e:
            unreachable = unreachable or e
        except MissingAssetError as e:
            say(f"{asset.name}: {e.what} ({e.where})")
            unreachable = e
        except IntegrityError as e:
            say(f"{e.what} ({e.where}): refused")
            refused.append(e)
    if len(refused) > earlier or (refused and unreachable is None):
        raise refused[-1]
    raise missing(asset, unreachable)


def missing(asset: Asset, cause: FacelabError | None = None) -> MissingAssetError:
    """Return the error for an asset that is not here: which file, from where, and the command that gets it."""
    got = None
    if cause is not None:
        got = cause.what + (f" ({cause.got})" if cause.got else "")
        got += f" at {cause.where}" if cause.where and cause.where != asset.url else ""
    fix = f"{asset.fetch_command}; on a closed network, FACELAB_MIRROR=DIR_OR_URL {asset.fetch_command}"
    return MissingAssetError(
        f"{asset.name} is not on this machine",
        where=asset.url or asset.source,
        expected=f"{asset.path}" + (f" ({asset.bytes} bytes)" if asset.bytes else ""),
        got=got,
        fix=fix,
    )


def require(asset: Asset) -> Path:
    """Return the verified file of an asset on this machine.

    Parameters
    ----------
    asset : Asset
        An entry of the catalogue or the registry.

    Returns
    -------
    path
        The path of the file, which is whole.

    Raises
    ------
    MissingAssetError
        With the command to get it.
    """
    path = locate(asset)
    if path is None:
        raise missing(asset)
    return path

"""Verification pairs: LFW's pairs.txt, CSV pairs, folders, InsightFace `.bin` packs, scikit-learn."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import plain_pickle
from facelab.core.array_files import read_npy
from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.files import is_count, read_input
from facelab.core.text_files import decoded

MOST_PACK = 8 << 30
"""Bytes of an InsightFace pack; the largest public one has under 1 GB."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of images: paths relative to the data set's folder without suffix, identities, and labels, one per pair.

    `a`, `b`: e.g. "Abel_Pacheco/Abel_Pacheco_0001"; `id_a`, `id_b`: identity names; `same`: bool (n,).
    """

    a: list[str]
    b: list[str]
    id_a: np.ndarray
    id_b: np.ndarray
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.a)

    @property
    def images(self) -> list[str]:
        """Return every image once, in order of first appearance."""
        return list(dict.fromkeys(x for pair in zip(self.a, self.b) for x in pair))


def load_pairs(path: str | os.PathLike[str]) -> Pairs:
    """Read pairs from LFW's `pairs.txt`, or from a CSV with columns a, b, same (paths; identity = the parent folder).

    The order of the file is kept: LFW's ten-fold split is the official one only if no pair is dropped. Raises
    BadInputError with file and line.

    Parameters
    ----------
    path : str or path
        LFW's `pairs.txt`.

    Returns
    -------
    Pairs
        The pairs.

    Raises
    ------
    BadInputError
        The list cannot be read, is not a list of pairs, or holds no pair.
    MissingAssetError
        The list does not exist.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "pairs.csv"
    >>> _ = file.write_text("a,b,same\\nx/1.jpg,x/2.jpg,1\\nx/1.jpg,y/1.jpg,0\\n")
    >>> load_pairs(file).images
    ['x/1', 'x/2', 'y/1']
    """
    path = Path(path)
    try:
        text = decoded(path, "utf-8-sig")
    except FileNotFoundError:
        raise MissingAssetError(
            "the list of pairs is not there", where=path, fix="check --pairs"
        ) from None
    except (OSError, UnicodeDecodeError) as e:
        raise BadInputError(
            "the list of pairs cannot be read",
            where=path,
            got=str(e)[:120],
            fix="check --pairs",
            expected="LFW's pairs.txt, or a CSV with a, b and same",
        ) from None
    first = text.split("\n", 1)[0]
    rows = _csv_rows(path, text) if "," in first and "same" in first else _lfw_rows(path, text)
    if not rows:
        raise BadInputError(
            "the file lists no pair",
            where=path,
            got="no row",
            expected="LFW's pairs.txt, or a CSV with a, b and same",
            fix="check that this is the right file",
        )
    a, b, id_a, id_b, same = zip(*rows)
    return Pairs(list(a), list(b), np.array(id_a), np.array(id_b), np.array(same, dtype=bool))


def _lfw_rows(path: Path, text: str) -> list[tuple]:
    rows: list[tuple] = []
    promised = None
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.split("\t") if "\t" in line else line.split()
        parts = [p.strip() for p in parts]
        if not any(parts):
            continue
        if number == 1 and len(parts) in (1, 2) and all(map(is_count, parts)):
            promised = 2 * int(parts[0]) * (int(parts[1]) if len(parts) == 2 else 1)
            continue
        indices = parts[1:] if len(parts) == 3 else parts[1::2]
        if len(parts) not in (3, 4) or not all(is_count(i) and int(i) > 0 for i in indices):
            raise BadInputError(
                "a line of the list of pairs is malformed",
                where=f"{path}:{number}",
                expected="`name n1 n2` (genuine) or `name1 n1 name2 n2` (impostor)",
                got=repr(line[:80]),
                fix="correct the line",
            )
        other = parts[0] if len(parts) == 3 else parts[2]
        rows.append(
            (
                _stem(parts[0], indices[0]),
                _stem(other, indices[1]),
                parts[0],
                other,
                len(parts) == 3,
            )
        )
    if promised is not None and len(rows) != promised:
        raise BadInputError(
            "the list does not hold as many pairs as its first line says",
            where=f"{path}:1",
            expected=promised,
            got=len(rows),
            fix="the file may be cut off; download it again",
        )
    return rows


def _stem(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"


def _csv_rows(path: Path, text: str) -> list[tuple]:
    rows = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        if not all(row.get(c) for c in ("a", "b", "same")) or row["same"].strip() not in ("0", "1"):
            raise BadInputError(
                "a row of the list of pairs is malformed",
                where=f"{path}:{number}",
                expected="columns a, b and same (0 or 1)",
                got=str(dict(row))[:120],
                fix="correct the row",
            )
        a, b = (str(Path(row[c].strip()).with_suffix("")) for c in ("a", "b"))
        same = row["same"].strip() == "1"
        rows.append((a, b, str(Path(a).parent), str(Path(b).parent), same))
    return rows


def find_images(folder: str | os.PathLike[str], pairs: Pairs) -> dict[str, Path]:
    """Return the image file of every image in `pairs`, from a folder in LFW's layout (`Name/Name_0001.jpg`).

    Raises MissingAssetError naming the first absent image and how many are absent.

    Parameters
    ----------
    folder : str or path
        The folder to search, with those below it.
    pairs : Pairs
        The pairs.

    Returns
    -------
    dict[str, path]
        The image file of every image in `pairs`, from a folder in LFW's layout
        (`Name/Name_0001.jpg`).

    Raises
    ------
    MissingAssetError
        Naming the first absent image and how many are absent.
    """
    return _find(Path(folder), pairs.images, (".jpg", ".jpeg", ".png"), "image")[0]


def _find(
    folder: Path,
    stems: list[str],
    suffixes: tuple[str, ...],
    what: str,
    allow_missing: bool = False,
) -> tuple[dict[str, Path], list[str]]:
    if not folder.is_dir():
        raise MissingAssetError(
            f"the folder of {what}s is not there", where=folder, fix="check the path"
        )
    found, missing = {}, []
    for stem in stems:
        # LFW's layout first, then all files in one folder
        options = [folder / f"{s}{suffix}" for s in (stem, Path(stem).name) for suffix in suffixes]
        hit = next((p for p in options if p.is_file()), None)
        if hit is None:
            missing.append(stem)
        else:
            found[stem] = hit
    if missing and (not allow_missing or not found):
        raise MissingAssetError(
            f"{len(missing)} of {len(stems)} {what}s are missing",
            where=folder,
            expected=f"{missing[0]}{suffixes[0]}",
            got="no such file",
            fix="an image whose face was not found counts as a failure to acquire: say so with "
            "--missing-is-failure"
            if found and what == "embedding"
            else "check the folder",
        )
    return found, missing


def load_embeddings(
    folder: str | os.PathLike[str], pairs: Pairs, *, missing_is_failure: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (a, b, failed) for `pairs` from a folder with one `.npy` an image (`Name/Name_0001.npy`, or flat).

    a, b: (n, d) float64; failed: bool (n,), pairs of which a side is absent (only with `missing_is_failure`, an error
    otherwise).

    Parameters
    ----------
    folder : str or path
        A folder.
    pairs : Pairs
        The pairs.
    missing_is_failure : bool
        Whether a picture without a vector counts as a face that was not found, instead of
        as an error.

    Returns
    -------
    tuple[ndarray, ndarray, ndarray]
        (a, b, failed) for `pairs` from a folder with one `.npy` an image
        (`Name/Name_0001.npy`, or flat).

    Raises
    ------
    BadInputError
        Naming the file for a damaged or differently shaped embedding.
    MissingAssetError
        An embedding is absent, and `missing_is_failure` is false.
    """
    found, _ = _find(Path(folder), pairs.images, (".npy",), "embedding", missing_is_failure)
    vectors: dict[str, np.ndarray] = {}
    dim = None
    for stem, path in found.items():
        v = read_npy(path, "embedding", fix="embed the image again").reshape(-1)
        dim = dim or v.size
        if v.dtype.kind not in "fiu" or v.size != dim or not np.isfinite(v).all() or not np.any(v):
            raise BadInputError(
                "an embedding is not a usable vector",
                where=path,
                expected=f"{dim} finite numbers, not all zero",
                got=f"{v.dtype}, {v.size} numbers",
                fix="embed the image again",
            )
        vectors[stem] = v.astype(np.float64)
    if dim is None:
        raise BadInputError(
            "the folder holds no embedding of these pairs",
            where=folder,
            expected=f"one .npy per picture, such as {pairs.images[0]}.npy",
            fix="name the folder that the embeddings were written to",
        )
    blank = np.full(dim, np.nan)
    a, b = (np.stack([vectors.get(stem, blank) for stem in side]) for side in (pairs.a, pairs.b))
    return a, b, np.isnan(a[:, 0]) | np.isnan(b[:, 0])


def _unpacked(path: Path) -> Sequence[Any]:
    """Return the two parts of an InsightFace pack as they are stored."""
    try:
        content = plain_pickle.read(read_input(path, max_bytes=MOST_PACK, what="pack"))
    except FileNotFoundError:
        raise MissingAssetError("the pack is not there", where=path, fix="check --bin") from None
    except (OSError, BadInputError) as e:
        raise BadInputError(
            "the file is not an InsightFace pack",
            where=path,
            expected="a pickle of (list of encoded images, list of labels)",
            got=getattr(e, "got", None) or str(e)[:160],
            fix="download it again",
        ) from None
    if not (isinstance(content, (tuple, list)) and len(content) == 2):
        raise BadInputError(
            "the file is not an InsightFace pack",
            where=path,
            expected="(images, labels)",
            got=type(content).__name__,
            fix="name a .bin pack such as lfw.bin",
        )
    return content


def _image(value: Any, path: Path) -> bytes:
    """Return an encoded image. `bytes` itself would take a number for a length, and a text's list for its codes."""
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 1:
        return value.tobytes()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise BadInputError(
        "the pack holds something that is not an image",
        where=path,
        expected="the bytes of a picture's file",
        got=type(value).__name__,
        fix="download the pack again",
    )


def _same(value: Any, path: Path) -> bool:
    """Return a label; what is neither true nor false says nothing about a pair, and `bool("no")` is true."""
    if isinstance(value, (bool, int, np.bool_, np.integer)) and value in (0, 1):
        return bool(value)
    raise BadInputError(
        "the pack holds a label that is neither true nor false",
        where=path,
        expected="a list of True, False, 1 or 0",
        got=f"{value:.20s}" if isinstance(value, str) else type(value).__name__,
        fix="download the pack again",
    )


def load_bin(path: str | os.PathLike[str]) -> tuple[list[bytes], np.ndarray]:
    """Read an InsightFace verification pack: (2n encoded images, same (n,) bool); pair i is images 2i and 2i+1.

    The pickle is read as data (`facelab.core.plain_pickle`): nothing in it runs.

    Parameters
    ----------
    path : str or path
        A packed file of pairs (`.bin`), as InsightFace writes them.

    Returns
    -------
    tuple[list[bytes], ndarray]
        The encoded pictures, two per pair, and whether each pair is of one person.

    Raises
    ------
    BadInputError
        Naming the file for anything but lists, bytes and numpy arrays.
    MissingAssetError
        The file is not there.

    Examples
    --------
    >>> import pathlib, pickle, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "pack.bin"
    >>> _ = file.write_bytes(pickle.dumps(([b"first JPEG", b"second JPEG"], [True])))
    >>> images, same = load_bin(file)
    >>> len(images), same.tolist()
    (2, [True])
    """
    path = Path(path)
    bins, labels = _unpacked(path)
    images = [_image(x, path) for x in bins]
    same = np.array([_same(x, path) for x in labels], dtype=bool)
    if len(images) != 2 * len(same) or not images:
        raise BadInputError(
            "the pack does not hold two images per pair",
            where=path,
            expected=f"{2 * len(same)} images",
            got=len(images),
            fix="download the pack again",
        )
    return images, same


def sklearn_folder(
    data_home: str | os.PathLike[str] | None = None, *, download: bool = False
) -> tuple[Path, Path]:
    """Return (folder of LFW's funneled images, its pairs.txt) in scikit-learn's data home.

    scikit-learn's own arrays are cropped and nameless; its files are whole and say who is in them. Goes to the network
    only with `download`.

    Parameters
    ----------
    data_home : str or path or None
        Scikit-learn's data folder; None for its default.
    download : bool
        Whether scikit-learn may download the set.

    Returns
    -------
    tuple[path, path]
        (folder of LFW's funneled images, its pairs.txt) in scikit-learn's data home.

    Raises
    ------
    MissingAssetError
        If the files are not there or cannot be had.
    """
    from sklearn.datasets import get_data_home
    from sklearn.datasets._lfw import _check_fetch_lfw

    home = Path(get_data_home(data_home)) / "lfw_home"
    images, pairs = home / "lfw_funneled", home / "pairs.txt"
    if not (images.is_dir() and pairs.is_file()):
        try:
            # its public fetcher would unpickle the cache that it finds in a data home that others may have filled
            _check_fetch_lfw(
                data_home=data_home, download_if_missing=download, n_retries=1, delay=0.1
            )
        except OSError as e:
            raise MissingAssetError(
                "LFW is not in scikit-learn's data home",
                where=home,
                got=str(e)[:160],
                expected="lfw_funneled/ and pairs.txt",
                fix="add --download where the network allows it, or unpack the archive there, or "
                "give a folder in LFW's layout with --lfw DIR",
            ) from None
    return images, pairs

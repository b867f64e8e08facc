"""Where `facelab eval verification` takes its pairs from: arrays, embedding folders, packs, LFW."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.array_files import read_npz
from facelab.core.errors import BadInputError, FacelabError, MissingAssetError, at
from facelab.metrics.plausibility import Suspicion, separation

if TYPE_CHECKING:
    from facelab.detection import Detector
    from facelab.embedding._base import Embedder


def _plain(items: Iterable[Any], **_: Any) -> Iterable[Any]:
    return items


@dataclass(frozen=True)
class PairArrays:
    """Embeddings of pairs (n, d) each, labels (n,), identities (n,) or None, failed pairs (n,), and their source."""

    a: np.ndarray
    b: np.ndarray
    same: np.ndarray
    first: np.ndarray | None
    second: np.ndarray | None
    failed: np.ndarray | None
    source: str


def from_npz(path: str) -> PairArrays:
    """Read arrays a, b (n, d) and same (n,); optionally ids (n, 2) or id_a and id_b, and failed (n,)."""
    if not Path(path).exists():
        raise MissingAssetError(
            "the embeddings are not there", where=path, fix="check --embeddings"
        )
    arrays = read_npz(
        path, "file of embeddings", fix="write it with numpy.savez(F, a=…, b=…, same=…)"
    )
    lacking = [k for k in ("a", "b", "same") if k not in arrays]
    if lacking:
        raise BadInputError(
            "the .npz lacks an array",
            where=path,
            expected="a, b, same",
            got=", ".join(arrays) or "no array",
            fix=f"add {', '.join(lacking)}",
        )
    ids = arrays.get("ids")
    if ids is not None and ids.shape != (len(arrays["a"]), 2):
        raise BadInputError(
            "`ids` must name both identities of each pair",
            where=path,
            expected=(len(arrays["a"]), 2),
            got=ids.shape,
            fix="write `ids` with shape (pairs, 2), or leave it out",
        )
    first, second = (
        (ids[:, 0], ids[:, 1]) if ids is not None else (arrays.get("id_a"), arrays.get("id_b"))
    )
    if (first is None) != (second is None):
        raise BadInputError(
            "one side's identities are missing",
            where=path,
            expected="both id_a and id_b",
            fix="write both arrays, or none of them",
        )
    return PairArrays(
        arrays["a"], arrays["b"], arrays["same"], first, second, arrays.get("failed"), path
    )


def from_folder(pairs_path: str, folder: str, missing_is_failure: bool) -> PairArrays:
    """Read a list of pairs and one `.npy` embedding an image."""
    from facelab.datasets import load_pairs
    from facelab.datasets.internals import load_embeddings

    pairs = load_pairs(pairs_path)
    a, b, failed = load_embeddings(folder, pairs, missing_is_failure=missing_is_failure)
    return PairArrays(a, b, pairs.same, pairs.id_a, pairs.id_b, failed, folder)


def from_bin(
    path: str, model: str, flip: bool, *, progress: Callable[..., Iterable[Any]] = _plain
) -> PairArrays:
    """Embed an InsightFace pack (aligned crops, two per pair) with an embedder of the zoo."""
    from facelab import embedding
    from facelab.datasets import load_bin
    from facelab.preprocess.image import read_image

    images, same = load_bin(path)
    embedder = embedding.load(model)
    vectors: list[np.ndarray] = []
    for i, data in enumerate(progress(images, description=f"embedding with {model}")):
        with at(f"{path}: image {i}"):
            vectors.append(_embed(embedder, read_image(data), flip))
    stacked = np.stack(vectors)
    return PairArrays(stacked[0::2], stacked[1::2], same, None, None, None, path)


def from_images(
    folder: str,
    pairs_path: str | None,
    model: str,
    detector: str,
    flip: bool,
    *,
    progress: Callable[..., Iterable[Any]] = _plain,
) -> PairArrays:
    """Find, align and embed the faces of an LFW folder; a face that is not found is a failure to acquire.

    Of several faces the one nearest to the middle counts, as LFW's labels mean it.
    """
    from facelab import detection, embedding
    from facelab.datasets import load_pairs
    from facelab.datasets.internals import find_images
    from facelab.preprocess.image import read_image

    pairs = load_pairs(pairs_path or Path(folder) / "pairs.txt")
    files = find_images(folder, pairs)
    finder, embedder = detection.load(detector), embedding.load(model)
    vectors: dict[str, np.ndarray | None] = {}
    for stem, path in progress(
        files.items(), description=f"embedding with {model}", total=len(files)
    ):
        image = read_image(path)
        found = finder.detect(image)
        vectors[stem] = None
        if len(found):
            centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - np.array(
                [image.shape[1], image.shape[0]]
            ) / 2
            face = found.take(np.array([int(np.argmin(np.linalg.norm(centre, axis=1)))]))
            vectors[stem] = _embed(embedder, image, flip, face)
    dim = next((len(v) for v in vectors.values() if v is not None), None)
    if dim is None:
        raise BadInputError(
            "no face was found in any image", where=folder, fix="check the images and the detector"
        )
    blank = np.full(dim, np.nan)
    filled = {s: blank if v is None else v for s, v in vectors.items()}
    a, b = (np.stack([filled[s] for s in side]) for side in (pairs.a, pairs.b))
    return PairArrays(
        a, b, pairs.same, pairs.id_a, pairs.id_b, np.isnan(a[:, 0]) | np.isnan(b[:, 0]), folder
    )


def _embed(embedder: Any, image: np.ndarray, flip: bool, face: Any = None) -> np.ndarray:
    """Return one raw embedding, the mirrored image's added with `flip` (insightface's rule).

    A whole image is mirrored together with its landmarks; left and right points change places.
    """

    def one(pixels: np.ndarray, found: Any) -> np.ndarray:
        if found is None:
            return embedder.embed(pixels, normalise=False)[0]
        return embedder.embed_detections(pixels, found, normalise=False)[0]

    out = one(image, face).astype(np.float64)
    if flip:
        mirrored = None if face is None else face.mirrored(image.shape[1])
        out = out + one(np.ascontiguousarray(image[:, ::-1]), mirrored)
    return out


WEAK, PROMISING = 0.85, 0.1
"""How often a genuine pair is nearer: below the first a pack is questioned, if aligning betters it by the second."""
TRIED_PAIRS = 60


def _aligned_anew(
    finder: Detector, embedder: Embedder, image: np.ndarray, flip: bool
) -> np.ndarray | None:
    """Return the embedding of the largest face, found and aligned; None where no face is found."""
    faces = finder.detect(image)
    if not len(faces):
        return None
    largest = np.argmax(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1))
    return _embed(embedder, image, flip, faces.take(np.array([int(largest)])))


def question_pack(path: str, model: str, flip: bool, arrays: PairArrays) -> Suspicion | None:
    """Return whether a pack's crops are not aligned: found, aligned and embedded again, they separate far better.

    Parameters
    ----------
    path : str
        The InsightFace pack that `arrays` come from.
    model : str
        The embedder.
    flip : bool
        Whether the mirrored image's embedding is added.
    arrays : PairArrays
        What `from_bin` returned.

    Returns
    -------
    Suspicion or None
        The likely cause and what trying it gave; None where the pack is no worse than others, or not for that reason.
    """
    from facelab import detection, embedding
    from facelab.datasets import load_bin
    from facelab.preprocess.image import read_image

    same = np.asarray(arrays.same, bool)
    short = len(same) < 20 or same.all() or not same.any()
    if short or separation(arrays.a, arrays.b, same) >= WEAK:
        return None
    try:
        finder = detection.load("yunet-n")
    except FacelabError:
        return None
    images, embedder = load_bin(path)[0], embedding.load(model)
    chosen = np.unique(
        np.linspace(0, len(same) - 1, min(TRIED_PAIRS, len(same))).round().astype(int)
    )
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for k in map(int, chosen):
        pair = [
            embedded
            for data in images[2 * k : 2 * k + 2]
            if (embedded := _aligned_anew(finder, embedder, read_image(data), flip)) is not None
        ]
        if len(pair) == 2:
            found[k] = pair[0], pair[1]
    kept = sorted(found)
    if len(kept) < len(chosen) / 2 or len(set(same[kept])) < 2:
        return None
    before = separation(arrays.a[kept], arrays.b[kept], same[kept])
    a, b = (np.stack([found[k][side] for k in kept]) for side in (0, 1))
    after = separation(a, b, same[kept])
    if after < before + PROMISING:
        return None
    return Suspicion(
        "pack_not_aligned",
        "the pack's faces look as if they were not aligned",
        f"found and aligned again, a genuine pair of {len(kept)} is nearer than an impostor one in {after:.1%} of "
        f"comparisons, as given in {before:.1%}",
        "write the pack from faces aligned as the embedder's specification says",
    )

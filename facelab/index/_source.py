"""Which model and which preprocessing made a vector: vectors of another source must not be compared with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.hashing import sha256_file

if TYPE_CHECKING:
    from facelab.embedding import Embedder

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """The model and the preprocessing spec that vectors come from, by hash.

    Parameters
    ----------
    model : str
        SHA-256 of the model file.
    spec : str
        Hash of the preprocessing spec.

    Examples
    --------
    >>> Source("a" * 64, "b" * 64).to_dict()["model"][:4]
    'aaaa'
    """

    model: str
    spec: str

    def __post_init__(self) -> None:
        for name in ("model", "spec"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _SHA256.fullmatch(value):
                raise BadInputError(
                    f"the {name} hash of a source has the wrong form",
                    expected="64 lower-case hexadecimal digits",
                    got=repr(value)[:80],
                    fix="source_of(embedder) makes a source",
                )

    def to_dict(self) -> dict[str, str]:
        """Return both hashes as plain JSON."""
        return {"model": self.model, "spec": self.spec}


def source_of(embedder: Embedder) -> Source:
    """Return the source of an embedder's vectors: the hash of its model file and of its spec.

    Parameters
    ----------
    embedder : Embedder
        One that runs a model file; `facelab.embedding.load` makes it.

    Returns
    -------
    Source
        The source of an embedder's vectors.

    Raises
    ------
    UnsupportedError
        The embedder has no model file or no spec.

    Examples
    --------
    >>> from facelab import embedding
    >>> source = source_of(embedding.load("sface"))
    >>> len(source.model), len(source.spec)
    (64, 64)
    """
    spec, model = getattr(embedder, "spec", None), getattr(embedder, "model", None)
    path = getattr(model, "path", None)
    if spec is None or path is None or not Path(path).is_file():
        raise UnsupportedError(
            "this embedder has no model file and spec that can be hashed",
            where=getattr(embedder, "name", None),
            fix="give Source(model, spec) with hashes of your own",
        )
    return Source(sha256_file(path), _plain(spec.hash))


def _plain(text: Any) -> str:
    return str(text).rpartition(":")[2]


def check_source(stored: Source | None, given: Source | None, where: object) -> None:
    """Raise BadInputError unless vectors of `given` may be compared with those of `stored`."""
    if given == stored:
        return
    if stored is None or given is None:
        have, lack = (
            ("the vectors", "the collection")
            if stored is None
            else ("the collection", "the vectors")
        )
        raise BadInputError(
            f"{have} name a model, {lack} do not",
            where=where,
            expected=_named(stored),
            got=_named(given),
            fix="pass source=source_of(embedder)"
            if given is None
            else "create the collection with this source",
        )
    part = "model" if given.model != stored.model else "preprocessing spec"
    raise BadInputError(
        f"the vectors come from another {part}",
        where=where,
        expected=_named(stored),
        got=_named(given),
        fix="embed the images again with the collection's model, or make a new collection",
    )


def _named(source: Source | None) -> str:
    return "no source" if source is None else f"model {source.model[:12]}, spec {source.spec[:12]}"

"""The picture size that a graph is fixed to."""

from __future__ import annotations

from facelab.core.errors import BadInputError
from facelab.preprocess.spec import PreprocessSpec


def picture_size(
    spec: PreprocessSpec, size: tuple[float, float] | None, what: str
) -> tuple[int, int]:
    """Return (width, height): the spec's own for raw frames, else the one given. Raises BadInputError."""
    stated = spec.decoding.size
    wanted = None if size is None else (int(size[0]), int(size[1]))
    if stated is None and wanted is None:
        raise BadInputError(
            f"{what} is for pictures of one size",
            where=spec.name,
            expected="their width and height",
            fix="state it: --size 640,480",
        )
    if stated and wanted not in (None, tuple(stated)):
        raise BadInputError(
            "the specification states another size",
            where=spec.name,
            expected=f"{stated[0]}×{stated[1]}",
            got=f"{wanted}",
            fix="leave --size out",
        )
    final: tuple[int, int] = stated or wanted or (0, 0)
    if min(final) < 1 or max(final) > 16384:
        raise BadInputError(
            "a picture has no such size", got=str(final), expected="1 to 16384", fix="state another"
        )
    return final

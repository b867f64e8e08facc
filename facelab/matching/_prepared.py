"""A prepared matcher as plain arrays, so that a saved index is mapped into memory instead of being built again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from facelab.core.errors import IntegrityError
from facelab.matching._gallery import Gallery, GalleryRows
from facelab.matching._matcher import Matcher
from facelab.matching._types import DEFAULT_POLICY, Metric, SearchPolicy
from facelab.matching._vectors import CACHE_LINE, DTYPES
from facelab.matching.kernels._isa import choose
from facelab.matching.kernels._scan import ScanRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = "facelab.matcher/1"


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a matcher computed from its gallery, as a header of plain JSON and named arrays.

    Attributes
    ----------
    header : dict
        Schema, metric, shape and the instruction set that the int8 codes are laid out for.
    arrays : dict of str to array
        "vectors" (m, d), "squares" (m,) float64; with codes also "codes" (m, width) int8, "params" (4, m + lanes)
        float32, "corrections" (m + lanes,) int32 and "mean" (d,) float32.

    Examples
    --------
    >>> rows = np.eye(3, dtype=np.float32)
    >>> saved = Prepared.of(Matcher(rows, "cosine"))
    >>> saved.matcher().search(rows[1:2], 1).ids.tolist()
    [[1]]
    """

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, matcher: Matcher) -> Prepared:
        """Return what a matcher holds, without copying it."""
        gallery, codes = matcher.encoded()
        rows, dimension = gallery.vectors.shape
        header = {
            "schema": SCHEMA,
            "metric": str(gallery.metric),
            "dtype": gallery.vectors.dtype.name,
            "rows": rows,
            "dimension": dimension,
            "screenable": gallery.screenable,
            "isa": gallery.isa.name if codes is not None else None,
        }
        arrays = {"vectors": gallery.vectors, "squares": gallery.squares}
        if codes is not None:
            scanned = codes.scanned
            arrays |= {"codes": codes.owner, "mean": codes.mean}
            arrays |= {"params": scanned.params, "corrections": scanned.corrections}
        return cls(header, arrays)

    def matcher(
        self, threads: int | None = None, *, policy: SearchPolicy = DEFAULT_POLICY
    ) -> Matcher:
        """Return the matcher again. It encodes the gallery only where this processor needs other codes.

        Parameters
        ----------
        threads : int, optional
            As for `Matcher`.
        policy : SearchPolicy
            As for `Matcher`.

        Raises
        ------
        IntegrityError
            The header or the shape of an array is not that of a prepared matcher. Values are not checked: store a
            hash with the arrays and compare it.
        """
        head = self.header
        if head.get("schema") != SCHEMA:
            _refuse("the schema", SCHEMA, head.get("schema"))
        isa, metric = choose(), Metric.of(head["metric"])
        dtype = np.dtype(head["dtype"])
        shape = (int(head["rows"]), int(head["dimension"]))
        if dtype not in DTYPES:
            _refuse("the number type", ", ".join(map(str, DTYPES)), dtype)
        vectors = _take(self.arrays, "vectors", shape, dtype)
        squares = _take(self.arrays, "squares", shape[:1], np.float64)
        gallery = Gallery(vectors, metric, isa, policy, None, squares, bool(head["screenable"]))
        codes = self._codes(shape, isa.width) if head.get("isa") == isa.name else None
        return Matcher.restored(gallery, codes, threads)

    def _codes(self, shape: tuple[int, int], lanes: int) -> GalleryRows:
        rows, dimension = shape
        width = -(-dimension // (4 * lanes)) * 4 * lanes
        codes = _take(self.arrays, "codes", (rows, width), np.int8)
        if codes.ctypes.data % CACHE_LINE:
            aligned = np.zeros(codes.size + CACHE_LINE, np.int8)
            first = -aligned.ctypes.data % CACHE_LINE
            aligned = aligned[first : first + codes.size].reshape(codes.shape)
            aligned[:] = codes
            codes = aligned
        params = _take(self.arrays, "params", (4, rows + lanes), np.float32)
        corrections = _take(self.arrays, "corrections", (rows + lanes,), np.int32)
        mean = _take(self.arrays, "mean", (dimension,), np.float32)
        exact = self.header["dtype"] == "int8"
        scanned = ScanRows(codes.ctypes.data, width, params, corrections)
        return GalleryRows(True, scanned, mean, exact, codes)


def _take(
    arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], dtype: Any
) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None:
        _refuse(f"the array {name!r}", "an array", "nothing")
    right = array.shape == shape and array.dtype == np.dtype(dtype)
    if not (right and array.flags.c_contiguous and array.flags.aligned):
        _refuse(f"the array {name!r}", f"{shape} {np.dtype(dtype)}", f"{array.shape} {array.dtype}")
    # kernels are compiled for arrays that may be written
    return array if array.flags.writeable else array.copy()


def _refuse(what: str, expected: object, got: object) -> NoReturn:
    raise IntegrityError(
        f"{what} is not that of a prepared matcher",
        expected=expected,
        got=got,
        fix="build the index again from its vectors",
    )

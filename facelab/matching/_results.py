"""What a search returns: the k nearest of each query, or all rows within a threshold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import atomic_path
from facelab.core.templates import render
from facelab.matching._types import Metric

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, init=False, eq=False)
class Matches:
    """The k nearest gallery rows of each query, best first.

    Attributes
    ----------
    distances : (n, k) float32
        Squared L2, L2, cosine distance (1 - cosine), or the inner product (largest first).
    ids : (n, k) int64
        Row numbers in the gallery; equal distances are in the order of their ids.
    method : str
        The path taken: "exhaustive", "screened", "direct", "screened, then exhaustive".
    screened_in : float
        Share of pairs that passed the screening.
    rescored : float
        Share of pairs whose exact distance was computed.
    metric : str
        The metric's name.

    Examples
    --------
    >>> found = Matches(np.zeros((1, 2), np.float32), np.array([[4, 7]]), metric="cosine")
    >>> found.similarities.tolist(), found.to_dict()["ids"]
    ([[1.0, 1.0]], [[4, 7]])
    """

    distances: NDArray[np.float32]
    ids: NDArray[np.int64]
    method: str = ""
    screened_in: float = 0.0
    rescored: float = 0.0
    metric: str = "sqeuclidean"

    def __init__(
        self,
        distances: NDArray[np.float32],
        ids: NDArray[np.int64],
        method: str = "",
        screened_in: float = 0.0,
        rescored: float = 0.0,
        metric: str = "sqeuclidean",
    ) -> None:
        # written here and not by dataclasses: its frozen classes take half a microsecond, a tenth of a small search
        values = self.__dict__
        values["distances"] = distances
        values["ids"] = ids
        values["method"] = method
        values["screened_in"] = screened_in
        values["rescored"] = rescored
        values["metric"] = metric

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def similarities(self) -> NDArray[np.float32]:
        """Cosine similarities (1 - distance), or the inner products; (n, k) float32.

        Raises BadInputError for L2 distances, which need vectors of length 1: see `Metric.to_cosine`.
        """
        return similarities_of(self.distances, self.metric)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "metric": str(self.metric),
            "method": self.method,
            "screened_in": self.screened_in,
            "rescored": self.rescored,
            "ids": self.ids.tolist(),
            "distances": self.distances.tolist(),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per result: query, rank (from 1), id, distance; for the metric cosine also the cosine."""
        n, k = self.ids.shape
        counts = np.full(n, k)
        return _frame(counts, self.ids.ravel(), self.distances.ravel(), self.metric)

    def _repr_html_(self) -> str:
        title = f"top {self.ids.shape[1]} of {len(self)} queries by {self.metric}, {self.method}"
        return _html(title, self.to_frame())

    def save(self, path: str | Path, *, queries: NDArray[np.int64] | None = None) -> Path:
        """Write the result to a file, atomically; the suffix chooses the format.

        Parameters
        ----------
        path : str or Path
            `.npz`: ids, distances, metric. `.csv`: one row per result. `.json`: `to_dict()`.
        queries : (n,) int64, optional
            The row number of each query, where not all rows of a file were searched; it is written too.

        Returns
        -------
        Path
            The file that was written.

        Raises
        ------
        BadInputError
            The suffix names none of these formats.
        """
        arrays = {
            "ids": self.ids,
            "distances": self.distances,
            "metric": np.array(str(self.metric)),
        }
        return _save(self, path, arrays, queries)


@dataclass(frozen=True, eq=False)
class RangeMatches:
    """All gallery rows within a threshold of each query, best first.

    Attributes
    ----------
    distances : (t,) float32
        Of all queries' rows, one query after the other; the unit is that of `Matches.distances`.
    ids : (t,) int64
        Row numbers in the gallery; equal distances are in the order of their ids.
    starts : (n + 1,) int64
        Query q's rows are `ids[starts[q]:starts[q + 1]]`.
    threshold : float
        A cosine similarity or inner product (at least), or an L2 or squared L2 distance (at most).
    metric : str
        The metric's name.

    Examples
    --------
    >>> found = RangeMatches(np.zeros(3, np.float32), np.arange(3), np.array([0, 2, 3]), 0.5, "cosine")
    >>> [ids.tolist() for ids, _ in found]
    [[0, 1], [2]]
    """

    distances: NDArray[np.float32]
    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    threshold: float
    metric: str

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for q in range(len(self)):
            yield self[q]

    def __getitem__(self, q: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return (ids, distances) of query q."""
        if not 0 <= q < len(self):
            raise IndexError(q)
        part = slice(self.starts[q], self.starts[q + 1])
        return self.ids[part], self.distances[part]

    @property
    def similarities(self) -> NDArray[np.float32]:
        """Cosine similarities (1 - distance), or the inner products; (t,) float32."""
        return similarities_of(self.distances, self.metric)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "metric": str(self.metric),
            "threshold": self.threshold,
            "starts": self.starts.tolist(),
            "ids": self.ids.tolist(),
            "distances": self.distances.tolist(),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per result: query, rank (from 1), id, distance; for the metric cosine also the cosine."""
        return _frame(np.diff(self.starts), self.ids, self.distances, self.metric)

    def _repr_html_(self) -> str:
        sign = ">=" if Metric(self.metric).is_similarity else "<="
        title = (
            f"{len(self.ids)} rows for {len(self)} queries, {self.metric} {sign} {self.threshold:g}"
        )
        return _html(title, self.to_frame())

    def save(self, path: str | Path, *, queries: NDArray[np.int64] | None = None) -> Path:
        """Write the result to a file, atomically; the suffix chooses the format (see `Matches.save`).

        Parameters
        ----------
        path : str or Path
            `.npz`: ids, distances, starts, threshold, metric. `.csv` and `.json` as for `Matches`.
        queries : (n,) int64, optional
            As for `Matches.save`.

        Returns
        -------
        Path
            The file that was written.
        """
        arrays = {
            "ids": self.ids,
            "distances": self.distances,
            "starts": self.starts,
            "threshold": np.array(self.threshold),
            "metric": np.array(str(self.metric)),
        }
        return _save(self, path, arrays, queries)


def similarities_of(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return reported distances as similarities. Raises BadInputError for a metric that has none."""
    if metric == Metric.IP:
        return distances
    if metric != Metric.COSINE:
        raise BadInputError(
            f"{metric} has no similarity",
            expected="cosine or ip",
            got=str(metric),
            fix="search unit vectors by metric='cosine', or convert: Metric.to_cosine",
        )
    return np.float32(1) - distances


SUFFIXES = (".npz", ".csv", ".json")
"""Formats of a saved result."""


def check_suffix(path: str | Path) -> Path:
    """Return the path as `Path`. Raises BadInputError if its suffix names no format of a result."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadInputError(
            "the suffix of the result's file names no format",
            where=path,
            expected=", ".join(SUFFIXES),
            got=path.suffix or "no suffix",
            fix=f"name it {path.stem}.npz",
        )
    return path


def _save(
    result: Matches | RangeMatches,
    path: str | Path,
    arrays: dict[str, Any],
    queries: NDArray[np.int64] | None,
) -> Path:
    path = check_suffix(path)
    suffix = path.suffix.lower()
    document = result.to_dict()
    if queries is not None:
        arrays["queries"] = queries
        document["queries"] = queries.tolist()
    with atomic_path(path) as tmp:
        if suffix == ".npz":
            with tmp.open("wb") as f:
                np.savez(f, **arrays)
        elif suffix == ".csv":
            frame = result.to_frame()
            if queries is not None:
                frame["query"] = queries[frame["query"]]
            frame.to_csv(tmp, index=False)
        else:
            tmp.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return path


def _frame(
    counts: NDArray[Any], ids: NDArray[Any], distances: NDArray[Any], metric: str
) -> pd.DataFrame:
    import pandas as pd

    ends = np.cumsum(counts)
    ranks = np.arange(len(ids)) - np.repeat(ends - counts, counts) + 1
    queries = np.repeat(np.arange(len(counts)), counts)
    rows = {"query": queries, "rank": ranks, "id": ids, "distance": distances}
    if Metric(metric) is Metric.COSINE:  # the unit of its thresholds
        rows["cosine"] = 1 - distances
    return pd.DataFrame(rows)


def _html(title: str, frame: pd.DataFrame) -> str:
    rows = frame.head(20).to_html(index=False)
    values = {"title": title, "rows": rows, "more": len(frame) - 20}
    return render("matching/templates/matches.html.j2", **values)

"""What callers of the matchers choose: the metric and the policy of a search."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.narrow import is_text

_ALIASES = {"squared_l2": "sqeuclidean", "euclidean": "l2", "inner": "ip", "dot": "ip"}
_ALIASES["cos"] = "cosine"


class Metric(StrEnum):
    """How two vectors are compared.

    Each member is the string that names it, so that `"l2"` and `Metric.L2` are the same argument.

    Attributes
    ----------
    SQEUCLIDEAN
        Squared L2 distance, Σ(q-g)².
    L2
        L2 distance, the root of the squared one.
    IP
        Inner product Σqg, largest first.
    COSINE
        Reported as distance 1 - cosine, 1 where a vector is zero; thresholds are cosine similarities.

    Examples
    --------
    >>> Metric.of("euclidean"), Metric.of("cosine").is_similarity
    (<Metric.L2: 'l2'>, True)
    """

    SQEUCLIDEAN = "sqeuclidean"
    """Squared L2 distance, Σ(q-g)²."""
    L2 = "l2"
    """L2 distance, the root of the squared one."""
    IP = "ip"
    """Inner product Σqg, largest first."""
    COSINE = "cosine"
    """Reported as distance 1 - cosine, 1 where a vector is zero; thresholds are cosine similarities."""

    @classmethod
    def of(cls, name: str) -> Metric:
        """Return the metric with this name.

        Parameters
        ----------
        name : str
            A member, its value, or one of "squared_l2", "euclidean", "inner", "dot", "cos".

        Returns
        -------
        Metric

        Raises
        ------
        BadInputError
            There is no metric of that name.

        Examples
        --------
        >>> Metric.of("dot")
        <Metric.IP: 'ip'>
        """
        known = [str(m) for m in cls]
        if not is_text(name) or _ALIASES.get(name, name) not in known:
            raise BadInputError(
                f"there is no metric {name!r}{did_you_mean(name, known)}",
                expected=", ".join(known),
                got=repr(name),
                fix='use one of these names, for example metric="cosine"',
            )
        return cls(_ALIASES.get(name, name))

    @property
    def is_similarity(self) -> bool:
        """Whether a larger threshold is stricter: inner product and cosine."""
        return self in (Metric.IP, Metric.COSINE)

    def from_cosine(self, similarity: float) -> float:
        """Convert a cosine similarity into a threshold of this metric, for vectors of length 1.

        Parameters
        ----------
        similarity : float
            Cosine similarity, -1 to 1.

        Returns
        -------
        float
            2 - 2s for squared L2, its root for L2, s itself for cosine and inner product.

        Raises
        ------
        BadInputError
            `similarity` is not between -1 and 1.

        Examples
        --------
        >>> Metric.SQEUCLIDEAN.from_cosine(0.25), Metric.L2.from_cosine(-1), Metric.COSINE.from_cosine(0.25)
        (1.5, 2.0, 0.25)
        """
        if not -1 <= similarity <= 1:
            raise BadInputError(
                "a cosine similarity must be between -1 and 1",
                got=similarity,
                fix="convert a squared L2 distance d² of unit vectors: 1 - d²/2",
            )
        if self.is_similarity:
            return float(similarity)
        square = 2 - 2 * float(similarity)
        return math.sqrt(square) if self is Metric.L2 else square

    def to_cosine(self, threshold: float) -> float:
        """Convert a threshold of this metric into a cosine similarity, for vectors of length 1.

        Parameters
        ----------
        threshold : float
            In the unit of this metric.

        Returns
        -------
        float
            1 - d²/2 for L2 distances d, the threshold itself for cosine and inner product. Below -1 where the
            threshold is larger than any distance of unit vectors.

        Examples
        --------
        >>> Metric.SQEUCLIDEAN.to_cosine(1.5), Metric.L2.to_cosine(2.0)
        (0.25, -1.0)
        """
        if self.is_similarity:
            return float(threshold)
        return 1 - (threshold**2 if self is Metric.L2 else threshold) / 2


@dataclass(frozen=True)
class SearchPolicy:
    """The constants of a search: when to use threads, codes, batches. None of them changes a result.

    Parameters
    ----------
    query_batch : int
        Queries that pass over the gallery together; a multiple of every panel width.
    chunk_bytes : int
        Bytes of float32 rows that a memory-mapped or converted search holds at a time.
    one_call_work : float
        Multiply-adds per thread up to which a search runs as one compiled call, which Ctrl-C cannot interrupt
        (0.1 s on a Zen 5 server core).
    many_queries, small_gallery : int
        From this many queries, on galleries up to this many rows, "auto" uses float32 sums: there, the candidates
        that int8 codes leave cost more than the codes save.
    least_busy : float
        Threads split by queries if they would be busy for at least this share of the time; otherwise by rows.
    few_queries : int
        Up to this many queries, rows are read as vectors (bound by memory); above, as panels (bound by arithmetic).
    thread_pays_s : float
        Seconds of one thread below which a second one costs more than it saves.
    hopeless_share : float
        Share of pairs that pass the int8 screening above which "auto" goes on with float32 sums.
    block_work, smallest_block : int
        Multiply-adds of a block that a thread takes at a time (1 to 3 ms), and its fewest rows.
    plans : int
        Shapes (queries, k) whose plan a matcher keeps; the oldest is dropped first.
    range_k : int
        Neighbours per query that a search by threshold looks for first.

    Examples
    --------
    >>> SearchPolicy(thread_pays_s=0).threads_pay(1, 1000)
    True
    """

    query_batch: int = 2016
    chunk_bytes: int = 32 << 20
    one_call_work: float = 4e9
    many_queries: int = 32
    small_gallery: int = 4096
    least_busy: float = 0.8
    few_queries: int = 4
    thread_pays_s: float = 3e-4
    hopeless_share: float = 0.02
    block_work: int = 500_000_000
    smallest_block: int = 256
    plans: int = 128
    range_k: int = 64

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 1 if field.type == "int" else 0
            if field.name in ("few_queries", "many_queries", "small_gallery"):
                least = 0
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
                raise BadInputError(
                    f"{field.name} of a SearchPolicy must be a number from {least}",
                    got=repr(value),
                    fix="leave it out: the default was measured",
                )

    def threads_pay(self, queries: int, size: int, *, int8: bool = False) -> bool:
        """Return whether a search is long enough for a second thread to be faster.

        Parameters
        ----------
        queries : int
        size : int
            Numbers in the gallery: rows × dimension.
        int8 : bool
            Whether it scans int8 codes.

        Returns
        -------
        bool
        """
        rate = _RATE[int8, queries <= self.few_queries]
        return queries * size > self.thread_pays_s * rate


_RATE = {(False, False): 80e9, (False, True): 22e9, (True, False): 165e9, (True, True): 65e9}
"""Multiply-adds per second of one thread by (int8, few queries), measured once: off by two, they decide as well."""
DEFAULT_POLICY = SearchPolicy()

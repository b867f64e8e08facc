"""`ShardSet`: a search over several shards that goes on without those that are away, and says so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.lifetime import Closing
from facelab.core.result import Result
from facelab.index import Collection
from facelab.index.internals import Hits
from facelab.serving.degradation._matrix import Degradation


@dataclass(frozen=True, eq=False)
class ShardHits(Result):
    """The nearest vectors over all shards that answered.

    Attributes
    ----------
    hits : Hits
        Best first.
    searched, missing : tuple of str
        Shards that were searched, and those that were not.
    degraded : tuple of str
        The fallbacks that were active.
    """

    hits: Hits
    searched: tuple[str, ...]
    missing: tuple[str, ...]
    degraded: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every shard was searched."""
        return not self.missing

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per hit."""
        return self.hits.rows()


class ShardSet(Closing):
    """Collections with one metric and dimension, read together.

    Parameters
    ----------
    paths : sequence of path-like
        The shards' folders.
    metadata : facelab.index.Metadata or None
        As the collections were created with.
    degradation : Degradation or None
        Where fallbacks are noted; None makes one.
    clock : callable
        Seconds; for tests.

    Raises
    ------
    BadInputError
        No shard is named, or two shards have a different metric or dimension.
    FacelabError
        Not one shard can be opened: the last one's error.
    """

    ROWS = ("index_shard_away", "index_metadata_away")

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        metadata: Any = None,
        degradation: Degradation | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.paths = tuple(Path(p) for p in paths)
        if not self.paths:
            raise BadInputError("no shard is named", fix="give the folder of at least one")
        self.degradation, self._clock = degradation or Degradation(), clock
        self._metadata, self._looked = metadata, float("-inf")
        self._open: dict[Path, Collection] = {}
        self.why: dict[str, str] = {}
        """Shard → why it is away."""
        self._look()
        if not self._open:
            self.close()
            raise self._last

    def _look(self) -> None:
        """Open what is away, and let what is open see what was written since."""
        self._looked = self._clock()
        stale = ""
        for path in self.paths:
            try:
                if path in self._open:
                    stale = self._refreshed(path) or stale
                else:
                    self._open[path] = self._opened(path)
                    self.why.pop(str(path), None)
            except (FacelabError, OSError) as e:
                self._away(path, e)
        self._say("index_metadata_away", stale)
        self._say("index_shard_away", "; ".join(self.why.values()))

    def _opened(self, path: Path) -> Collection:
        made = Collection.open(path, metadata=self._metadata, write=False)
        facts = [(c.status().metric, c.status().dimension) for c in (*self._open.values(), made)]
        if len(set(facts)) > 1:
            made.close()
            self.close()
            raise BadInputError(
                "the shards do not belong together",
                where=path,
                expected="{} of dimension {}".format(*facts[0]),
                got="{} of dimension {}".format(*facts[-1]),
                fix="search each of them by itself",
            )
        return made

    def _refreshed(self, path: Path) -> str:
        """Let a shard see what was written since; return why that is not possible now."""
        if not path.is_dir():
            raise OSError(f"the folder {path} is away")
        try:
            self._open[path].refresh()
        except FacelabError as e:  # the generation that is open stays
            return e.what
        return ""

    def _away(self, path: Path, e: Exception) -> None:
        if isinstance(e, BadInputError) and "belong together" in e.what:
            raise e
        self.why[str(path)] = (str(e).splitlines() or [type(e).__name__])[0]
        self._last = (
            e
            if isinstance(e, FacelabError)
            else FacelabError(
                "no shard can be opened",
                where=path,
                got=e,
                fix="check the disk that the shards are on",
            )
        )
        if (gone := self._open.pop(path, None)) is not None:
            gone.close()

    def _say(self, row: str, why: str) -> None:
        if why:
            self.degradation.trip(row, why)
        else:
            self.degradation.end(row)

    def search(self, queries: Any, k: int, **options: Any) -> ShardHits:
        """Return the k nearest vectors of each query over the shards that are there.

        Parameters
        ----------
        queries : (n, d) array
            Vectors.
        k : int
            How many hits.
        **options
            As for `Collection.search`, such as `source`.

        Raises
        ------
        BadInputError
            The queries do not fit.
        """
        patience = min(self.degradation.matrix.named(r).back_s for r in self.ROWS)
        if self._clock() - self._looked >= patience:
            self._look()
        found = []
        for path, shard in list(self._open.items()):
            try:
                found.append((path, shard.search(queries, k, **options)))
            except OSError as e:
                self._away(path, e)
                self._say("index_shard_away", "; ".join(self.why.values()))
        if not found:
            raise FacelabError(
                "no shard answers",
                expected=f"{len(self.paths)} shards",
                got="; ".join(self.why.values()),
                fix="check the disk that the shards are on",
            )
        searched = tuple(str(path) for path, _ in found)
        missing = tuple(str(p) for p in self.paths if str(p) not in searched)
        active = tuple(row for row in self.degradation.active() if row in self.ROWS)
        return ShardHits(_merged([hits for _, hits in found], k), searched, missing, active)

    def __len__(self) -> int:
        return sum(len(shard) for shard in self._open.values())

    def close(self) -> None:
        """Close every shard, and take the fallbacks back."""
        for shard in self._open.values():
            shard.close()
        self._open.clear()
        for row in self.ROWS:
            self.degradation.end(row)


def _merged(parts: Sequence[Hits], k: int) -> Hits:
    """Return the k best of several shards' hits, equal distances in the order of the shards."""
    metric, largest = parts[0].metric, parts[0].metric == "ip"
    ids, labels, distances = [], [], []
    for q in range(len(parts[0])):
        rows = [
            (float(d), name, label)
            for part in parts
            for d, name, label in zip(part.distances[q], part.ids[q], part.labels[q])
        ]
        rows.sort(key=lambda row: -row[0] if largest else row[0])
        ids.append([name for _, name, _ in rows[:k]])
        labels.append([label for _, _, label in rows[:k]])
        distances.append(np.array([d for d, _, _ in rows[:k]], np.float32))
    return Hits(ids, distances, labels, metric)

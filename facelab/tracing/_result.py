"""What the results of this room share: plain JSON, one table, one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.core.files import write_json
from facelab.core.html_table import table

if TYPE_CHECKING:
    import pandas


class TableResult:
    """A result that is one table: subclasses give `_head`, `_rows`, `_caption` and `to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        raise NotImplementedError

    def _head(self) -> Sequence[str]:
        raise NotImplementedError

    def _rows(self) -> list[list[Any]]:
        raise NotImplementedError

    def _caption(self) -> str:
        return ""

    def to_frame(self) -> pandas.DataFrame:
        """Return the table as a pandas DataFrame, one row per row shown."""
        import pandas

        return pandas.DataFrame(self._rows(), columns=list(self._head()))

    def _repr_html_(self) -> str:
        return table(self._head(), self._rows(), caption=self._caption())

    def text(self) -> str:
        """Return the table for a terminal."""
        rows = [list(self._head()), *([_shown(v) for v in row] for row in self._rows())]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, self._caption()])

    def save(self, path: str | os.PathLike) -> Path:
        """Write `to_dict()` as JSON, atomically, and return the path."""
        return write_json(path, self.to_dict())


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

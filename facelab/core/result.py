"""What every result of facelab offers: plain values, a table, HTML for a notebook, and a file."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from facelab.core.errors import BadInputError
from facelab.core.files import write_json, write_text
from facelab.core.html_table import table
from facelab.core.narrow import is_collection, is_mapping, is_numbers, is_path

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """The `Result` protocol for frozen dataclasses.

    A subclass that holds a table overrides `rows`; one whose document differs from its fields overrides `to_dict`.

    Examples
    --------
    >>> import dataclasses, numpy as np
    >>> @dataclasses.dataclass(frozen=True)
    ... class Score(Result):
    ...     accuracy: float
    ...     per_class: np.ndarray
    >>> Score(0.5, np.array([0.25, 0.75])).to_dict()
    {'accuracy': 0.5, 'per_class': [0.25, 0.75]}
    >>> Score(0.5, np.array([0.25, 0.75])).rows()
    [{'accuracy': 0.5}]
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values: arrays become lists, nested results their own documents.

        Returns
        -------
        dict[str, Any]
            One entry per field, in the order of the fields.
        """
        fields = dataclasses.fields(self)
        return {f.name: plain(getattr(self, f.name)) for f in fields}

    def rows(self) -> list[dict[str, Any]]:
        """Return the result as rows of a table; by default one row with the fields that are single values."""
        flat = {k: v for k, v in self.to_dict().items() if not isinstance(v, (list, dict))}
        return [flat]

    def to_frame(self) -> pd.DataFrame:
        """Return `rows` as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row per entry of `rows`.
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        rows = self.rows()
        if len(rows) == 1:
            return table(["field", "value"], list(rows[0].items()), caption=type(self).__name__)
        head = list(dict.fromkeys(name for row in rows for name in row))
        body = [[row.get(name) for name in head] for row in rows]
        return table(head, body, caption=type(self).__name__)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file, atomically.

        Parameters
        ----------
        path : path-like
            Ends in `.json` (the whole document) or `.csv` (the rows).

        Returns
        -------
        pathlib.Path
            The path that was written.

        Raises
        ------
        BadInputError
            The suffix is neither `.json` nor `.csv`.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".json":
            return write_json(path, self.to_dict())
        if suffix == ".csv":
            return write_text(path, _csv(self.rows()))
        raise BadInputError(
            "a result cannot be saved in this format",
            where=os.fspath(path),
            expected="a file name that ends in .json or .csv",
            got=suffix or "no suffix",
            fix="choose another file name",
        )


def plain(value: Any) -> Any:
    """Return a value as plain JSON: results, dataclasses, arrays, paths and mappings are converted.

    >>> import numpy as np
    >>> plain({"a": np.float32(0.5), 1: (Path("x"), np.arange(2))})
    {'a': 0.5, '1': ['x', [0, 1]]}
    """
    if isinstance(value, Result):
        return value.to_dict()
    if is_numbers(value):
        return value.tolist()
    if is_mapping(value):
        return {str(k): plain(v) for k, v in value.items()}
    if is_collection(value):
        return [plain(v) for v in value]
    if is_path(value):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _csv(rows: list[dict[str, Any]]) -> str:
    head = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

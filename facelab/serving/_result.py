"""What every result of this room offers: plain JSON, a table, HTML, a file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.files import write_json
from facelab.core.html_table import table

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """The `Result` protocol for frozen dataclasses: arrays become lists, nested results their own documents."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        names = [f.name for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        return {name: _plain(getattr(self, name)) for name in names}

    def to_frame(self) -> pd.DataFrame:
        """Return one row with the fields that are single values."""
        import pandas as pd

        flat = {k: v for k, v in self.to_dict().items() if not isinstance(v, (list, dict))}
        return pd.DataFrame([flat])

    def _repr_html_(self) -> str:
        rows = [[k, v] for k, v in self.to_dict().items() if not isinstance(v, (list, dict))]
        return table(["field", "value"], rows, caption=type(self).__name__)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the result as JSON, atomically, and return the path."""
        return write_json(path, self.to_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return str(value) if isinstance(value, Path) else value

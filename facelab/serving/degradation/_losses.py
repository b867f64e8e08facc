"""What each row of the matrix was measured to cost: accuracy and milliseconds, as it should be and while it lasts."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import read_json
from facelab.core.project import package_file
from facelab.core.result import Result

SCHEMA = "facelab.degradation-losses/1"


@dataclass(frozen=True)
class Loss(Result):
    """What one fallback costs.

    Parameters
    ----------
    name : str
        The row of the matrix.
    metric : str
        What was measured, of which higher is better unless it says otherwise.
    usual, fallen : float
        Its value as it should be, and while the fallback is active.
    n : int
        Samples behind each of the two.
    ms, fallen_ms : float or None
        Median milliseconds of one call; None where there is no such time.
    method : str
        `measured`, or `model` where a modelled device stands for a real one.
    record, answer : bool
        Whether records and answers named the fallback while it was active.
    back : bool
        Whether it ended by itself once its cause was gone, and the usual value came back.
    note : str
        On which data, and what else was seen.
    """

    name: str
    metric: str
    usual: float
    fallen: float
    n: int
    ms: float | None
    fallen_ms: float | None
    record: bool
    answer: bool
    back: bool
    method: str = "measured"
    note: str = ""

    @property
    def shown(self) -> bool:
        """Whether it was said in records and answers, and went away again."""
        return self.record and self.answer and self.back


@dataclass(frozen=True)
class Losses(Result):
    """The losses of many rows, with the machine that they were measured on.

    Parameters
    ----------
    entries : tuple of Loss
        In the matrix's order.
    unmeasured : dict of str to str
        Row → why it could not be measured here.
    machine : dict
        As in a timing record.
    at : str
        When.
    """

    entries: tuple[Loss, ...]
    unmeasured: dict[str, str]
    machine: dict[str, Any]
    at: str

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per fallback; `lost` is the metric's loss and `ms_more` the time that is added."""
        out = []
        for e in self.entries:
            more = None if e.ms is None or e.fallen_ms is None else e.fallen_ms - e.ms
            out.append({**asdict(e), "lost": e.usual - e.fallen, "ms_more": more})
        return out

    def named(self, name: str) -> Loss | None:
        """Return the loss of a row, or None where it was not measured."""
        return next((e for e in self.entries if e.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `load_losses` reads."""
        return {
            "schema": SCHEMA,
            "at": self.at,
            "machine": self.machine,
            "entries": [asdict(e) for e in self.entries],
            "unmeasured": self.unmeasured,
        }


def load_losses(path: str | os.PathLike[str] | None = None) -> Losses:
    """Read measured losses (`facelab.degradation-losses/1`), by default those that come with the package.

    Parameters
    ----------
    path : str or path or None
        A file of `facelab recovery measure --out`.

    Returns
    -------
    Losses
        The measured losses.

    Raises
    ------
    BadInputError
        The file is missing or is not such a document.
    """
    where = Path(path) if path is not None else package_file("serving/degradation/losses.json")
    raw = read_json(where)
    try:
        if raw["schema"] != SCHEMA:
            raise ValueError(f"schema {raw['schema']!r}")
        names = {f.name for f in fields(Loss)}
        entries = tuple(Loss(**{k: v for k, v in e.items() if k in names}) for e in raw["entries"])
        return Losses(entries, dict(raw["unmeasured"]), dict(raw["machine"]), str(raw["at"]))
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise BadInputError(
            "the file does not hold measured losses",
            where=where,
            expected=SCHEMA,
            got=f"{type(e).__name__}: {e}"[:200],
            fix="write it again: facelab recovery measure --out FILE",
        ) from None

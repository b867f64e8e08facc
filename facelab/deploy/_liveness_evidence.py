"""Evidence from `facelab eval liveness --json`: error rates of presentation attack detection by ISO/IEC 30107-3."""

from __future__ import annotations

import math
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.records import Record

ONE, MANY = "facelab.eval.liveness/1", "facelab.eval.liveness.models/1"
SCHEMAS = (ONE, MANY)


def records_of(value: dict[str, Any], path: object) -> list[Record]:
    """Return APCER per attack kind, BPCER and ACER of each model as records, lower is better.

    Raises BadInputError for a document that cannot be read, and for rates that were reported on the very split that
    their threshold was chosen on: such rates are too good.
    """
    models = value.get("models") if value.get("schema") == MANY else [value]
    out: list[Record] = []
    try:
        for one in models or []:
            name, rates = str(one["model"]["name"]), one["rates"]
            if one["chosen_on"] == one["reported_on"]:
                raise BadInputError(
                    f"the rates of {name} were reported on the split that their threshold was chosen on",
                    where=path,
                    expected="two splits",
                    got=one["reported_on"],
                    fix="evaluate again with: facelab eval liveness",
                )
            named = {f"APCER {kind}": rate for kind, rate in rates["apcer"].items()}
            named |= {"BPCER": rates["bpcer"], "ACER": rates["acer"]}
            n = sum(int(k) for k in rates["counts"].values())
            out += [_record(name, metric, rate, n, one) for metric, rate in named.items()]
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise _unreadable(path, f"{type(e).__name__}: {e}") from None
    if not out:
        raise _unreadable(path, "no models")
    return out


def _record(name: str, metric: str, rate: dict[str, float], n: int, one: dict[str, Any]) -> Record:
    value, low, high = (float(rate[k]) for k in ("value", "lo", "hi"))
    if not all(math.isfinite(v) and 0 <= v <= 1 for v in (value, low, high)):
        raise ValueError(f"{metric} {value}")
    return Record(
        run="evidence",
        step="liveness",
        case=name,
        metric=metric,
        value=value,
        lo=low,
        hi=high,
        better="lower",
        n=n,
        note=f"threshold by {one['rule']} on {one['chosen_on']}, reported on {one['reported_on']}",
    )


def _unreadable(path: object, got: str) -> BadInputError:
    return BadInputError(
        "the file is not an evaluation of liveness",
        where=path,
        expected="what facelab eval liveness --json wrote",
        got=got[:160],
        fix="write it with: facelab eval liveness MODEL --json FILE",
    )

"""What a caller passed, as an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from facelab.core.errors import BadInputError


def as_array(values: Any, name: str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return `values` as an array. Raises BadInputError for rows of different lengths and for no numbers."""
    try:
        return np.asarray(values, dtype)
    except (ValueError, TypeError, OverflowError) as e:
        raise BadInputError(
            f"{name} cannot be made an array",
            expected="a 2-D numpy array",
            got=str(e)[:120],
            fix="give rows of one length: np.stack(vectors)",
        ) from None

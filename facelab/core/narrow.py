"""Whether a value from outside is a container: `isinstance` in a form that type checkers know the contents of.

After `isinstance(value, dict)` a checker calls keys and values unknown. Here they are `Any`: they are still to be
looked at, and each look is checked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Return whether a value is a dict.

    >>> is_dict({"a": 1}), is_dict([])
    (True, False)
    """
    return isinstance(value, dict)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Return whether a value is a tuple.

    >>> is_tuple((1,)), is_tuple([1])
    (True, False)
    """
    return isinstance(value, tuple)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Return whether a value is a list or a tuple.

    >>> is_sequence((1,)), is_sequence([1]), is_sequence("a")
    (True, True, False)
    """
    return isinstance(value, (list, tuple))


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a mapping.

    >>> is_mapping({"a": 1}), is_mapping([("a", 1)])
    (True, False)
    """
    return isinstance(value, Mapping)


def is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Return whether a value is a list, a tuple or a set.

    >>> is_collection({1}), is_collection("a")
    (True, False)
    """
    return isinstance(value, (list, tuple, set, frozenset))


def is_array(value: object) -> TypeGuard[np.ndarray]:
    """Return whether a value is an array of numpy.

    >>> import numpy as np
    >>> is_array(np.arange(2)), is_array([0, 1])
    (True, False)
    """
    import numpy as np  # not above: every command imports this module, and numpy is half of its start

    return isinstance(value, np.ndarray)


def is_numbers(value: object) -> TypeGuard[np.ndarray]:
    """Return whether a value is an array of numpy, or a number of it, which is an array without axes.

    >>> import numpy as np
    >>> is_numbers(np.float32(1)), is_numbers(np.arange(2)), is_numbers(1.0)
    (True, True, False)
    """
    import numpy as np

    return isinstance(value, (np.ndarray, np.generic))


def is_path(value: object) -> TypeGuard[os.PathLike[str]]:
    """Return whether a value is a path object.

    >>> import pathlib
    >>> is_path(pathlib.Path("a")), is_path("a")
    (True, False)
    """
    return isinstance(value, os.PathLike)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a string, also where its declared type promises one.

    >>> is_text("a"), is_text(b"a")
    (True, False)
    """
    return isinstance(value, str)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list.

    >>> is_list([1]), is_list((1,))
    (True, False)
    """
    return isinstance(value, list)


def is_series(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether a value is a sequence of things, not of characters or bytes.

    >>> is_series([1]), is_series((1,)), is_series("a"), is_series({"a": 1})
    (True, True, False, False)
    """
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number of Python or numpy; truth values are not.

    >>> import numpy as np
    >>> is_whole(3), is_whole(np.int8(3)), is_whole(True), is_whole(3.0)
    (True, True, False, False)
    """
    import numpy as np

    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_real(value: object) -> TypeGuard[float]:
    """Return whether a value is a number of Python or numpy, whole or not; truth values are not.

    >>> import numpy as np
    >>> is_real(3), is_real(np.float32(0.5)), is_real(True), is_real("3")
    (True, True, False, False)
    """
    import numpy as np

    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)

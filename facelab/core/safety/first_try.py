"""What nobody verified is opened first in its own process: a crash of a native library ends only that one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, cast

from facelab.core import fresh
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.hashing import refuse_giant, sha256_file
from facelab.core.project import installation_root
from facelab.core.safety.scratch import ScratchFolder

SECONDS = 60.0
"""What opening a file once may take."""
TOO_MUCH_MEMORY = 77
"""The exit code by which a function says that memory did not suffice: without a bound, it would take all of it."""
DIRECTLY = "FACELAB_OPEN_DIRECTLY"
"""Set by who has put this process where a crash does no harm."""


class EndsProcessError(BadInputError):
    """The file ends the process that opens it, or keeps it for ever. Exit code 2."""


def first_try(
    path: Path,
    function: str,
    *arguments: Any,
    reader: str,
    sha: str | None = None,
    error: type[FacelabError] = EndsProcessError,
) -> None:
    """Call `module:function` on a file in a confined process, once for each content; `reader` names what opens it.

    An error that the function raises there is left to the next caller. One that it returns (`FacelabError.as_dict()`)
    is raised here, and the file is not opened again: what is garbage to one process may be a crash of the next.
    Raises `error`, naming the file, where the process dies or does not end.
    """
    if os.environ.get(DIRECTLY):
        return
    path = Path(path)
    refuse_giant(path)
    # two readers of one content are two trials
    mark = (
        installation_root()
        / ".cache"
        / "opened"
        / f"{sha or sha256_file(path)}-{reader.replace(' ', '-')}"
    )
    if mark.exists():
        return
    with ScratchFolder(prefix="facelab-trial-") as folder:
        confined = fresh.Confined(folder, (path.parent, path))
        try:
            value = fresh.call(
                function, str(path.resolve()), *arguments, timeout=SECONDS, confined=confined
            ).value
        except fresh.FreshProcessError as e:
            greedy = e.where == f"exit code {TOO_MUCH_MEMORY}"
            if e.where is not None and e.where.startswith("exit code") and not greedy:
                return  # an error of Python's; opening it here says it better
            raise error(
                f"the model ends the process that opens it with {reader}",
                where=path,
                expected="a model, or an error",
                got="more memory than it may take"
                if greedy
                else e.where or f"no end within {SECONDS:g} s",
                fix="the file is damaged, or made to crash its reader: do not use it",
            ) from None
    if isinstance(value, dict) and "error" in value:
        raise _error_again(cast("dict[str, Any]", value), path)
    with contextlib.suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _error_again(told: dict[str, Any], path: Path) -> FacelabError:
    """Return an error of another process, of the class that it has there where this process knows it."""
    kinds: dict[str, type[FacelabError]] = {}
    found: list[type[FacelabError]] = [FacelabError]
    while found:
        kind = found.pop()
        kinds[kind.__name__] = kind
        found += kind.__subclasses__()
    kind = kinds.get(str(told["error"]), BadInputError)
    return kind(
        str(told["what"]),
        where=path,
        expected=told["expected"],
        got=told["got"],
        fix=told["fix"],
    )

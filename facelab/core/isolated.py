"""Start helper interpreters that never import what is in the working folder.

`python -m` and `python -c` put the working folder first on `sys.path`: a `numpy.py` in a downloaded folder would run
as soon as a command starts a helper there. Every helper of facelab is started through this module.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SAFE_PATH = "PYTHONSAFEPATH"
"""The variable that keeps every Python from 3.11 on from putting the working folder on `sys.path`."""
_RUN = (
    "import sys, runpy; sys.path.append(sys.argv.pop(1)); "
    "from facelab.core.process.garbage import end_at_once; end_at_once(); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def package_parent() -> str:
    """Return the folder that this facelab was imported from, for a helper that would not find it otherwise."""
    return str(Path(__file__).resolve().parents[2])


def module_command(module: str, *arguments: object) -> list[str]:
    """Return the command line that runs a module of facelab as a program, wherever the working folder is.

    >>> module_command("facelab.core.fresh", "math:sqrt")[-2:]
    ['facelab.core.fresh', 'math:sqrt']
    """
    return [
        sys.executable,
        "-P",
        "-c",
        _RUN,
        package_parent(),
        module,
        *map(str, arguments),
    ]


def protect_children() -> None:
    """Let no interpreter that this process starts from now on import from the working folder.

    For libraries that build the command line themselves (joblib's worker processes and their resource tracker).
    """
    os.environ[SAFE_PATH] = "1"

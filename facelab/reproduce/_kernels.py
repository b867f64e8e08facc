"""Kernels of this project: where they are, whether they answer, and the environment their processes get."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.core import lifetime
from facelab.core.files import write_json, write_text
from facelab.core.isolated import SAFE_PATH
from facelab.core.modules import distributions
from facelab.core.safety.scratch import ScratchFolder

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager

LONGEST_RUNTIME_FOLDER = 100
"""A unix socket's path holds 107 bytes; ours are called `s-1` … `s-5`."""

_FOREIGN = (
    "MPLBACKEND",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "COLUMNS",
    "LINES",
)
"""What would change a kernel from outside; MPLBACKEND=Agg, for one, silently removes every figure from the notebook."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "FACELAB_THREADS",
)

OWN_PATH = "FACELAB_OWN_PATH"
"""The variable that names a project's folders of own modules to a kernel; without it, the working folder."""

_STARTUP = f'''"""Names that annotations of a parameters cell use, and the project's own modules, after all others."""
from pathlib import Path
from typing import Literal

def _add_own_modules():
    import os, sys
    from importlib import machinery, util
    given = os.environ.get("{OWN_PATH}")
    folders = given.split(os.pathsep) if given else [os.getcwd()]
    found = util.find_spec("facelab")
    if found and found.origin and machinery.PathFinder.find_spec("facelab") is None:
        # an editable install is found after sys.path: a facelab.py beside the notebooks must not come first
        folders.insert(0, os.path.dirname(os.path.dirname(found.origin)))
    for folder in folders:
        if folder not in sys.path:
            sys.path.append(folder)

_add_own_modules()
del _add_own_modules
'''

_SETTINGS = '{"InteractiveShellApp": {"ignore_cwd": true}}\n'
"""IPython puts the working folder before the installed packages: a notebook's folder could replace numpy."""


def environment(
    root: Path, *, threads: int | None, extra: dict[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a step's processes: caches inside the project, no foreign settings, threads pinned."""
    cache = root / ".cache"
    env = {k: v for k, v in os.environ.items() if k not in _FOREIGN}
    folders = {
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "jupyter/config",
        "JUPYTER_DATA_DIR": "jupyter/data",
        "MPLCONFIGDIR": "matplotlib",
        "NUMBA_CACHE_DIR": "numba",
        "KERAS_HOME": "keras",
    }
    for name, folder in folders.items():
        env[name] = str(cache / folder)
        Path(env[name]).mkdir(parents=True, exist_ok=True)
    startup = cache / "ipython" / "profile_default" / "startup" / "00-facelab-names.py"
    if not startup.is_file() or startup.read_text(encoding="utf-8") != _STARTUP:
        write_text(startup, _STARTUP)
    settings = startup.parents[1] / "ipython_kernel_config.json"
    if not settings.is_file() or settings.read_text(encoding="utf-8") != _SETTINGS:
        write_text(settings, _SETTINGS)
    if threads is not None:
        env.update(dict.fromkeys(_THREADS, str(threads)))
    env.update(
        {
            "PYTHONHASHSEED": "0",
            SAFE_PATH: "1",
            "PYTHONFAULTHANDLER": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "NO_COLOR": "1",
            **(extra or {}),
        }
    )
    return env


def runtime_folder(root: Path) -> ScratchFolder:
    """Create a private folder for one kernel's sockets, with a path as short as can be had."""
    base = root / ".cache" / "run"
    if len(str(base)) + len("/k12345678.fltmp") > LONGEST_RUNTIME_FOLDER:
        return ScratchFolder(prefix="k")
    base.mkdir(parents=True, exist_ok=True)
    return ScratchFolder(prefix="k", dir=base)


def transport(folder: Path) -> str:
    """Return "ipc" where a socket's path in `folder` is short enough, else "tcp"."""
    return "ipc" if os.name == "posix" and len(str(folder)) <= LONGEST_RUNTIME_FOLDER else "tcp"


def specs(root: Path) -> KernelSpecManager:
    """Return the kernels that are registered for a project."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_path

    # named here, or the manager would import IPython and look into the user's home for one more folder
    folders = [*jupyter_path("kernels"), str(root / ".cache" / "jupyter" / "data" / "kernels")]
    return KernelSpecManager(kernel_dirs=folders)


def executable(root: Path, name: str) -> Path | None:
    """Return the interpreter of a registered kernel, or None if the kernel is not registered or its Python is gone."""
    from jupyter_client.kernelspec import NoSuchKernel

    try:
        argv = specs(root).get_kernel_spec(name).argv
    except NoSuchKernel:
        return None
    found = shutil.which(argv[0]) if argv else None
    return Path(found) if found else None


def ensure_main(root: Path) -> None:
    """Register the kernel `facelab` for this interpreter in the project's cache where no usable one is registered.

    That is so for those who made the environment with conda or pip instead of the Makefile.
    """
    if executable(root, "facelab") is None:
        write_json(
            root / ".cache" / "jupyter" / "data" / "kernels" / "facelab" / "kernel.json",
            {
                "argv": [
                    sys.executable,
                    "-P",
                    "-m",
                    "ipykernel_launcher",
                    "-f",
                    "{connection_file}",
                ],
                "display_name": "facelab",
                "language": "python",
            },
        )


def why_not(root: Path, name: str) -> str | None:
    """Return why a kernel does not answer, or None if it does."""
    python = executable(root, name)
    if python is None:
        skipped = root / ".cache" / f"{name.removeprefix('facelab-')}-skipped.txt"
        reason = skipped.read_text(encoding="utf-8").strip() if skipped.is_file() else ""
        return reason or f"the kernel {name!r} is not registered"
    try:
        done = lifetime.run(
            [python, "-I", "-c", "import ipykernel"],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(root, threads=None),
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"the Python of kernel {name!r} does not start: {e}"
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return f"the kernel {name!r} cannot import ipykernel: {last}"
    return None


def installed(root: Path, name: str) -> dict[str, str]:
    """Return {distribution: version} of a kernel's environment, from its folder names alone."""
    python = executable(root, name)
    if python is None:
        return {}
    prefix = python.parent.parent
    found = {}
    for site in sorted(prefix.glob("lib/python*/site-packages")):
        for dist, version, _ in distributions.installed(site):
            found[dist.lower().replace("_", "-")] = version
    return found

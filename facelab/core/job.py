"""The frame of a job: `python job.py SCRIPT FOLDER`, its own process, maybe of another environment.

Run by path, it needs nothing but the standard library of Python 3.9. SCRIPT has `work(job, folder)`, which gets the
content of FOLDER/job.json and returns what goes into FOLDER/done.json, written last. Files beside SCRIPT can be
imported by their bare names. Start it through `facelab.core.lifetime`, so that it ends with its caller.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

LEFT_OUT = ("IPython", "matplotlib", "pandas", "sklearn")
"""What Keras 3 imports where it is installed, for plots and wrappers that no job uses: a third of its start."""


def command(python: Any, module: Any, folder: Path) -> list[str]:
    """Return the command line that runs the job in `folder` by a module of facelab (`facelab.emotion._keras_job`).

    >>> [Path(word).name for word in command("python3", "facelab.emotion._keras_job", "work")]
    ['python3', 'job.py', '_keras_job.py', 'work']
    """
    package = Path(__file__).resolve().parents[1]
    script = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return [str(python), str(package / "core" / "job.py"), str(script), str(folder)]


def leave_out() -> None:
    """Let Keras find nothing of what this process will not use: to import it is an ImportError from now on."""
    modules: dict[str, Any] = sys.modules
    for name in LEFT_OUT:
        modules.setdefault(name, None)


def _garbage() -> Any:
    """Return `facelab.core.process.garbage`, by its place: facelab is not installed where jobs run."""
    place = Path(__file__).resolve().with_name("process") / "garbage.py"
    spec: Any = importlib.util.spec_from_file_location("garbage", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(script: Any, folder: Any) -> int:
    """Run one job and return the exit code; an exception becomes {"ok": false, "error", "message"} in done.json."""
    script, folder = Path(script).resolve(), Path(folder).resolve()
    garbage = _garbage()
    garbage.collect_rarely()
    garbage.end_at_once()
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(script.parent), *(p for p in sys.path if p != here)]
    # TensorFlow's AutoGraph leaves a file there when it is killed; this folder goes with the job's
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="temporary-", dir=folder)
    job = json.loads((folder / "job.json").read_text())
    started = time.time()
    try:
        module = importlib.import_module(script.stem)
        if not getattr(module, "NEEDS_ALL", False):
            leave_out()
        result = {
            "ok": True,
            **module.work(job, folder),
            "seconds": time.time() - started,
        }
    except Exception as e:  # the caller turns this into a named error
        traceback.print_exc()
        result = {"ok": False, "error": type(e).__name__, "message": str(e)[:2000]}
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    (folder / "done.json").write_text(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

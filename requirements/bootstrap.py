#!/usr/bin/env python3
"""Create facelab's environments from the lock files: `.venv` (main) and `.venv-modelmaker` (isolated kernel).

Runs on any Python 3.8 or later with the standard library alone, as a user without root, and does nothing in the
user's home except fill uv's download cache. Safe to call again: what is up to date is left alone.

    python3 requirements/bootstrap.py main           # the main environment and its kernelspec
    python3 requirements/bootstrap.py modelmaker     # the isolated kernel; a platform it cannot run on is not an error
    python3 requirements/bootstrap.py lock           # resolve the lock files again from the .in files
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
TOOLS = ROOT / ".tools"
MAIN = ROOT / ".venv"
MODELMAKER = ROOT / ".venv-modelmaker"
CACHE = ROOT / ".cache"
SKIPPED = CACHE / "modelmaker-skipped.txt"
STAMP = ".facelab-stamp.json"
MAIN_PYTHONS = ("3.11", "3.12", "3.13")
MODELMAKER_PYTHONS = ("3.11", "3.10", "3.9")


class SetupError(Exception):
    """What went wrong and what to do about it, in plain words."""


def say(message):
    print("[setup] " + message, file=sys.stderr, flush=True)


def environment():
    """Return the environment for child processes: no foreign Python settings, pip's index handed on to uv."""
    env = {
        k: v
        for k, v in os.environ.items()
        if k
        not in (
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONDONTWRITEBYTECODE",
            "VIRTUAL_ENV",
            "CONDA_PREFIX",
        )
    }
    for pip_name, uv_name in (
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ):
        if env.get(pip_name) and not env.get(uv_name):
            env[uv_name] = env[pip_name]
    return env


def run(command, **options):
    """Run a command; return (exit code, combined output)."""
    done = subprocess.run(
        [str(c) for c in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=options.pop("env", environment()),
        **options,
    )
    return done.returncode, done.stdout


def file_hash(*paths):
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def pip_index():
    """Return the index that pip's own configuration names, or None; uv does not read pip's files."""
    code, out = run([sys.executable, "-m", "pip", "config", "get", "global.index-url"])
    return out.strip() if code == 0 and out.strip().startswith("http") else None


def uv():
    """Return the path of a pinned uv inside the project, installing it first where needed."""
    lock = REQUIREMENTS / "tools.lock"
    stamp = TOOLS / STAMP
    for place in (TOOLS / "bin" / "uv", TOOLS / "target" / "bin" / "uv"):
        if place.is_file() and stamp.is_file() and stamp.read_text() == file_hash(lock):
            return place
    say("installing uv (pinned) into .tools")
    shutil.rmtree(TOOLS, ignore_errors=True)
    code, out = run([sys.executable, "-m", "venv", TOOLS])
    if code == 0:
        code, out = run(
            [
                TOOLS / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "-r",
                lock,
            ]
        )
        place = TOOLS / "bin" / "uv"
    if code != 0:
        # Debian without python3-venv, or an externally managed Python: pip can still fill a folder.
        shutil.rmtree(TOOLS, ignore_errors=True)
        code, again = run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "--target",
                TOOLS / "target",
                "-r",
                lock,
            ]
        )
        place = TOOLS / "target" / "bin" / "uv"
        if code != 0:
            raise SetupError(
                "uv cannot be installed with {}\n{}\n{}\n  fix: install pip and venv for this Python "
                "(Debian: python3-pip python3-venv), or check the package index".format(
                    sys.executable, out.strip(), again.strip()
                )
            )
    stamp.write_text(file_hash(lock))
    return place


def uv_run(arguments, what):
    """Run uv; on a TLS failure once more with the system's certificates. Raises SetupError with uv's words."""
    env = environment()
    if not env.get("UV_DEFAULT_INDEX"):
        index = pip_index()
        if index:
            env["UV_DEFAULT_INDEX"] = index
    code, out = run([uv()] + arguments, env=env)
    if code != 0 and "certificate" in out.lower() and not env.get("UV_SYSTEM_CERTS"):
        env["UV_SYSTEM_CERTS"] = "1"
        code, out = run([uv()] + arguments, env=env)
    if code != 0:
        raise SetupError(
            "{} failed:\n{}\n  fix: check the network and the package index (PIP_INDEX_URL or pip's "
            "configuration), then call make again".format(what, out.strip())
        )
    return out


def answers(python, versions):
    """Return whether this interpreter starts and is one of `versions`; pyenv's shims may exist and not start."""
    try:
        code, out = run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return code == 0 and out.strip() in versions


def interpreter(versions, download=True):
    """Return a Python of one of `versions` (first wins): the running one, the system's, pyenv's, or a download."""
    if answers(sys.executable, versions[:1]):
        return sys.executable
    for version in versions:
        code, out = run(
            [uv(), "python", "find", "--system", "--no-project", "--no-python-downloads", version]
        )
        if code == 0 and answers(out.strip().splitlines()[-1], versions):
            return out.strip().splitlines()[-1]
        pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
        for candidate in sorted(pyenv.glob(version + ".*/bin/python"), reverse=True):
            if answers(candidate, versions):
                return str(candidate)
    if download:
        say("no Python {} here; asking uv for one".format(" or ".join(versions)))
        code, out = run(
            [uv(), "python", "install", "--no-bin", "--install-dir", TOOLS / "python", versions[0]]
        )
        found = sorted((TOOLS / "python").glob("*/bin/python" + versions[0]))
        if code == 0 and found and answers(found[0], versions):
            return str(found[0])
    return None


def environment_is_current(folder, wanted):
    try:
        return (
            json.loads((folder / STAMP).read_text()) == wanted
            and (folder / "bin" / "python").exists()
        )
    except (OSError, ValueError):
        return False


def install(folder, lock, python, extra):
    """Create one environment from its lock; the stamp is written last, so a broken attempt is repeated."""
    wanted = {
        "lock": file_hash(lock, REQUIREMENTS / "build-constraints.txt"),
        "root": str(ROOT),
        "extra": extra,
    }
    if environment_is_current(folder, wanted):
        return False
    started = time.time()
    if python is None:
        python = interpreter(MAIN_PYTHONS)
    if python is None:
        raise SetupError(
            "no Python 3.11, 3.12 or 3.13 was found, and none could be downloaded\n"
            "  fix: install one (Debian: python3.11, conda: environment.yml) and call make again"
        )
    say("creating {} with {}".format(folder.name, python))
    uv_run(
        ["venv", "--quiet", "--no-project", "--clear", "--python", python, folder],
        "creating " + folder.name,
    )
    uv_run(
        [
            "pip",
            "sync",
            "--quiet",
            "--python",
            folder / "bin" / "python",
            "--require-hashes",
            "--build-constraints",
            REQUIREMENTS / "build-constraints.txt",
            lock,
        ],
        "installing " + lock.name,
    )
    if folder == MAIN:
        uv_run(
            [
                "pip",
                "install",
                "--quiet",
                "--python",
                folder / "bin" / "python",
                "--no-deps",
                "-e",
                ROOT,
            ],
            "installing facelab itself",
        )
    (folder / STAMP).write_text(json.dumps(wanted))
    say("{} is ready after {:.0f} s".format(folder.name, time.time() - started))
    return True


def kernelspec(name, title, python):
    """Register a kernel inside the main environment: found by its Jupyter, unknown to the user's home."""
    folder = MAIN / "share" / "jupyter" / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": title,
        "language": "python",
        "metadata": {"debugger": True},
        # a notebook's folder must not replace installed packages
        "env": {"PYTHONSAFEPATH": "1"},
    }
    write_where_changed(folder / "kernel.json", spec)


def jupyterlab_settings():
    """Keep JupyterLab from asking each newcomer whether it may fetch news: nothing is fetched here."""
    folder = MAIN / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    write_where_changed(
        folder / "overrides.json",
        {
            "@jupyterlab/apputils-extension:notification": {
                "fetchNews": "false",
                "checkForUpdates": False,
            }
        },
    )


def write_where_changed(target, content):
    """Write a JSON file unless it already holds just this."""
    text = json.dumps(content, indent=1)
    if not target.is_file() or target.read_text() != text:
        target.write_text(text)


def main_environment():
    """Create or refresh the main environment, its kernelspec and JupyterLab's settings in it."""
    install(MAIN, REQUIREMENTS / "main.lock", None, "editable, no relative path")
    jupyterlab_settings()
    kernelspec("facelab", "facelab", MAIN / "bin" / "python")
    # ipykernel ships a spec named python3; one name for one environment is enough.
    shutil.rmtree(str(MAIN / "share" / "jupyter" / "kernels" / "python3"), ignore_errors=True)


def modelmaker_environment():
    """Create or refresh the isolated kernel; where nothing fits it, say so and let everything else go on."""
    reason = None
    python = None
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        reason = "tflite-model-maker runs on Linux x86-64 only; this is {} {}".format(
            platform.system(), platform.machine()
        )
    elif os.environ.get("FACELAB_NO_MODELMAKER"):
        reason = "FACELAB_NO_MODELMAKER is set"
    else:
        lock = REQUIREMENTS / "modelmaker.lock"
        wanted = {
            "lock": file_hash(lock, REQUIREMENTS / "build-constraints.txt"),
            "root": str(ROOT),
            "extra": "libusb",
        }
        if not environment_is_current(MODELMAKER, wanted):
            main_python = MAIN / "bin" / "python"
            if answers(main_python, MODELMAKER_PYTHONS):
                python = str(main_python.resolve())
            else:
                python = interpreter(MODELMAKER_PYTHONS)
            if python is None:
                reason = "no Python 3.9, 3.10 or 3.11 was found for tflite-model-maker, and none could be downloaded"
    if reason is None:
        install(MODELMAKER, REQUIREMENTS / "modelmaker.lock", python, "libusb")
        preload_libusb()
        kernelspec("facelab-modelmaker", "facelab · Model Maker", MODELMAKER / "bin" / "python")
        with contextlib.suppress(FileNotFoundError):
            SKIPPED.unlink()
        return
    say(reason + "; fine-tuning will use the Keras back end")
    shutil.rmtree(
        str(MAIN / "share" / "jupyter" / "kernels" / "facelab-modelmaker"), ignore_errors=True
    )
    SKIPPED.write_text(reason + "\n")


def preload_libusb():
    """Let tflite-support find libusb without root: load the wheel's copy at interpreter start."""
    line = (
        "import ctypes, libusb_package; "
        "ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)\n"
    )
    for site in (MODELMAKER / "lib").glob("python3*/site-packages"):
        target = site / "facelab_libusb.pth"
        if not target.is_file() or target.read_text() != line:
            target.write_text(line)


def lock():
    """Resolve the .in files into lock files with hashes and without any index host."""
    common = [
        "pip",
        "compile",
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--quiet",
        "--upgrade",
        "--build-constraints",
        REQUIREMENTS / "build-constraints.txt",
    ]
    uv_run(
        common
        + ["--python-version", "3.11", REQUIREMENTS / "main.in", "-o", REQUIREMENTS / "main.lock"],
        "resolving main.in",
    )
    uv_run(
        common
        + [
            "--python-version",
            "3.9",
            REQUIREMENTS / "modelmaker.in",
            "--overrides",
            REQUIREMENTS / "modelmaker.overrides",
            "--excludes",
            REQUIREMENTS / "modelmaker.excludes",
            "-o",
            REQUIREMENTS / "modelmaker.lock",
        ],
        "resolving modelmaker.in",
    )
    say("locked; look at the difference before you commit it")


def main(arguments):
    actions = {"main": main_environment, "modelmaker": modelmaker_environment, "lock": lock}
    if not arguments or any(a not in actions for a in arguments):
        print(__doc__)
        return 2
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "bootstrap.lock").open("w") as guard:
        fcntl.flock(
            guard, fcntl.LOCK_EX
        )  # two makes at once: the second waits and finds everything done
        try:
            for name in arguments:
                actions[name]()
        except SetupError as e:
            say("error: " + str(e))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

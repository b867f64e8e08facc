"""`make bench`: this checkout against an earlier build, in alternation, as ratios with intervals.

The earlier build is a commit (BASELINE, or `--base`), checked out under .cache/bench with its own environment.
Both builds take turns in a fresh random order each round, so that whatever else the machine does hits both alike.
The workloads share `--minutes`; each gets as many rounds as fit, at least three and at most `--rounds`. One that fails
in a build is named, and the others go on. Samples and records are stored under reports/bench/. Exit code 1: a ratio's
interval says "slower than allowed", and the workload takes longer than the seconds that it may take in any case. Exit
code 2: a workload could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from workloads import CALLS, COMMANDS, Command

from facelab.core import machine, records, timing
from facelab.core.records import Record

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
PATIENCE_S = 300.0
"""Longest wait for one command, or for the first answer of a process that compiles."""
PAIRS = 5
"""Fresh processes of each build in which a call is timed."""
SLOWER = 0.9
"""A build whose speed is surely (95 %) below this share of the earlier one's has become slower."""


class WorkloadError(Exception):
    """A workload could not be run in one of the builds."""


@dataclass
class Build:
    """One checkout with its environment, and the folder its commands run in."""

    name: str
    repo: Path
    folder: Path
    processes: list[subprocess.Popen] = field(default_factory=list)

    @property
    def python(self) -> Path:
        return self.repo / ".venv" / "bin" / "python"

    def environment(self) -> dict[str, str]:
        """Return this process's environment with the build's own cache of compiled code."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            "NUMBA_CACHE_DIR": str(self.repo / ".cache" / "numba"),
            "OMP_NUM_THREADS": "1",
        }

    def words(self, words: tuple[str, ...], mirror: Path | None) -> list[str]:
        """Return a command line of facelab with its places filled in."""
        filled = [w.format(repo=self.repo, mirror=mirror) for w in words]
        return [str(self.python), "-m", "facelab.cli", *filled]

    def run(self, words: tuple[str, ...], codes: tuple[int, ...], mirror: Path | None) -> None:
        """Run a command of facelab to its end. Raises WorkloadError where it fails or does not end."""
        said = f"{self.name}: facelab {' '.join(words)}"
        try:
            done = subprocess.run(
                self.words(words, mirror),
                cwd=self.folder,
                env=self.environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            raise WorkloadError(f"{said} did not end within {PATIENCE_S:.0f} s") from None
        if done.returncode not in codes:
            raise WorkloadError(f"{said} ended with {done.returncode}: {done.stderr[-600:]}")


def checked_out(base: str) -> Path:
    """Return the folder of a commit with its environment; made on first use."""
    commit = git("rev-parse", "--verify", f"{base}^{{commit}}")
    folder = REPO / ".cache" / "bench" / commit[:12]
    if not (folder / "Makefile").is_file():
        git("worktree", "prune")
        git("worktree", "add", "--detach", str(folder), commit)
    subprocess.run([sys.executable, "requirements/bootstrap.py", "main"], cwd=folder, check=True)
    return folder


def git(*words: str) -> str:
    """Run git in this checkout. Raises SystemExit where it fails."""
    done = subprocess.run(["git", *words], cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def served(build: Build, name: str) -> tuple[Callable[[], object], tuple[str, str, int]]:
    """Start a process of the build that makes one call per line; return a contender that reads its own clock."""
    process = subprocess.Popen(
        [str(build.python), str(HERE / "workloads.py"), name],
        cwd=build.repo,
        env=build.environment() | {"PYTHONPATH": str(build.repo)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    build.processes.append(process)
    answer, question = process.stdout, process.stdin
    assert answer is not None
    assert question is not None

    def line() -> str:
        if not select.select([answer], [], [], PATIENCE_S)[0]:
            raise WorkloadError(f"{build.name}: {name} did not answer within {PATIENCE_S:.0f} s")
        text = answer.readline()
        if not text:
            raise WorkloadError(f"{build.name}: {name} ended with {process.wait()}")
        return text

    label, unit, per_call = line().rstrip("\n").split("\t")

    class Call:
        def seconds(self, times: int) -> float:
            total = 0.0
            for _ in range(times):
                question.write("\n")
                question.flush()
                total += float(line())
            return total / times

        def __call__(self) -> None:
            self.seconds(1)

    return Call(), (label, unit, int(per_call))


def predictions(folder: Path, mirror: Path) -> None:
    """Write standard prediction files made from WIDER's own boxes: moved a little, with seeded scores, some missed."""
    rng = np.random.default_rng(3)
    image, rows = "", []

    def write() -> None:
        if image:
            file = folder / "predictions" / Path(image).with_suffix(".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{x:.1f} {y:.1f} {w:.1f} {h:.1f} {s:.4f}" for x, y, w, h, s in rows]
            file.write_text("\n".join([Path(image).stem, str(len(rows)), *lines]) + "\n")

    for line in (mirror / "annotations" / "wider_val_labelv2.txt").read_text().splitlines():
        if line.startswith("#"):
            write()
            image, rows = line[1:].split()[0], []
            continue
        x1, y1, x2, y2 = map(float, line.split()[:4])
        w, h = x2 - x1, y2 - y1
        if w > 0 and h > 0 and rng.random() > 0.1:
            shift = rng.normal(0, 0.06, 2) * (w, h)
            rows.append((x1 + shift[0], y1 + shift[1], w, h, rng.random()))
    write()


def compare(
    base: Build, here: Build, mirror: Path | None, rounds: int, seconds: float
) -> tuple[list[tuple], list[str]]:
    """Time every workload on both builds.

    Returns (label, unit, per call, samples of base, samples of here) of each, and why others could not be run.
    """
    rows, failed = [], []
    budget = {"repeats": rounds, "budget_s": seconds / (len(CALLS) + len(COMMANDS))}
    for workload in (*CALLS, *COMMANDS):
        try:
            if isinstance(workload, str):
                row = timed_call(base, here, workload, budget)
            elif workload.needs_mirror and mirror is None:
                print(f"{workload.name}: left out, FACELAB_MIRROR has no WIDER annotations")
                continue
            else:
                row = timed_command(base, here, workload, mirror, budget)
        except WorkloadError as e:
            print(f"could not be run: {e}", flush=True)
            failed.append(str(e))
            continue
        rows.append(row)
        show(*row)
    return rows, failed


def timed_call(base: Build, here: Build, name: str, budget: dict) -> tuple:
    """Time a call inside a process that stays, of each build, in `PAIRS` fresh pairs of processes one after the other.

    Where memory happens to be makes one process up to 8 % faster than the next, which no number of rounds shows.
    """
    share = {"repeats": max(3, -(-budget["repeats"] // PAIRS))}
    share["budget_s"] = budget.get("budget_s", 60.0) / PAIRS
    pairs = [_timed_pair(base, here, name, share) for _ in range(PAIRS)]
    before, now = (np.concatenate([pair[side] for pair in pairs]) for side in (1, 2))
    return (*pairs[0][0], before, now)


def _timed_pair(
    base: Build, here: Build, name: str, budget: dict
) -> tuple[tuple[str, str, int], np.ndarray, np.ndarray]:
    try:
        served_by = {build.name: served(build, name) for build in (base, here)}
        contenders = {build: call for build, (call, _) in served_by.items()}
        samples = timing.interleave(contenders, least_s=0.05, **budget)
    finally:
        for build in (base, here):
            while build.processes:
                ended(build.processes.pop())
    return served_by[here.name][1], samples[base.name], samples[here.name]


def ended(process: subprocess.Popen) -> None:
    """End a process and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def timed_command(
    base: Build, here: Build, command: Command, mirror: Path | None, budget: dict
) -> tuple:
    """Time a whole process of each build."""
    contenders = {build.name: prepared(build, command, mirror) for build in (base, here)}
    samples = timing.interleave(contenders, **budget)
    return command.name, "s", 1, samples[base.name], samples[here.name]


def prepared(build: Build, command: Command, mirror: Path | None) -> Callable[[], None]:
    """Make what a command reads, and return the call that runs it."""
    for words in command.before:
        if not (build.folder / words[-1]).exists():
            build.run(words, (0,), mirror)
    if command.needs_mirror and mirror and not (build.folder / "predictions").exists():
        predictions(build.folder, mirror)
    return lambda: build.run(command.words, command.codes, mirror)


def figure(unit: str, per_call: int, samples: np.ndarray) -> float:
    """Return the median in the workload's unit: seconds, or work per second."""
    median = float(np.median(samples))
    return median if unit == "s" else per_call / median


def show(label: str, unit: str, per_call: int, base: np.ndarray, here: np.ndarray) -> None:
    """Print one line: both figures and how many times faster this checkout is."""
    faster, lo, hi = timing.ratio(base, here)
    before, now = (figure(unit, per_call, samples) for samples in (base, here))
    print(
        f"{label:32} {before:10.3f} → {now:10.3f} {unit:10} {faster:6.2f} times as fast [{lo:.2f}, {hi:.2f}]",
        flush=True,
    )


def as_records(rows: list[tuple], base: str, folder: Path) -> list[Record]:
    """Return the ratio and this checkout's own figure of each workload; raw samples go beside them."""
    run, facts = time.strftime("bench-%Y%m%dT%H%M%S", time.gmtime()), machine.facts()
    out = []
    for label, unit, per_call, before, now in rows:
        file = folder / f"{run}-{''.join(c if c.isalnum() else '-' for c in label)}.npz"
        np.savez(file, base=before, here=now)
        faster, lo, hi = timing.ratio(before, now)
        common = {"n": len(now), "samples": file.name, "machine": facts}
        common["warning"] = timing.summarise(now).warning
        method = "median of the ratios of rounds; order statistics"
        out.append(
            Record(
                run,
                "bench",
                label,
                "times as fast",
                faster,
                "×",
                "higher",
                lo,
                hi,
                method=method,
                note=f"against {base}",
                **common,
            )
        )
        out.append(
            Record(
                run, "bench", label, "this checkout", figure(unit, per_call, now), unit, **common
            )
        )
    return out


def is_slower(record: Record, made: list[Record]) -> bool:
    """Return whether a ratio is surely below `SLOWER`, of a workload that is not within its own allowed seconds."""
    if record.metric != "times as fast" or record.hi is None or record.hi >= SLOWER:
        return False
    allowed = next((c.allowed_s for c in COMMANDS if c.name == record.case), None)
    took = next(r.value for r in made if (r.case, r.metric) == (record.case, "this checkout"))
    return allowed is None or took > allowed


def main() -> int:
    """Compare, print, store; return 1 where a workload has surely become slower than `SLOWER` allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=(HERE / "BASELINE").read_text().split()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="for timing; set-up comes on top"
    )
    options = parser.parse_args()
    found = os.environ.get("FACELAB_MIRROR", "")
    annotations = Path(found).expanduser() / "annotations" / "wider_val_labelv2.txt"
    mirror = Path(found).expanduser() if found and annotations.is_file() else None
    builds = []
    for name, repo in ((options.base, checked_out(options.base)), ("here", REPO)):
        # inside the build's own checkout: facelab takes the project that its working folder is in
        folder = repo / ".cache" / "bench-files"
        folder.mkdir(parents=True, exist_ok=True)
        builds.append(Build(name, repo, folder))
    print(f"{options.base} → this checkout, load {os.getloadavg()[0]:.1f}")
    rows, failed = compare(builds[0], builds[1], mirror, options.rounds, options.minutes * 60)
    if not rows:
        return 2
    folder = REPO / "reports" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    made = as_records(rows, options.base, folder)
    records.write(folder / f"{made[0].run}.jsonl", made)
    print(f"records and samples: {folder.relative_to(REPO)}/{made[0].run}*")
    slower = [r for r in made if is_slower(r, made)]
    for record in slower:
        print(f"slower: {record.line()}")
    return 2 if failed else 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())

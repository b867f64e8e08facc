"""Latency and memory of model files: a fresh process per variant, bursts interleaved, so that ratios stay honest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core import lifetime
from facelab.core.errors import BadInputError
from facelab.core.files import write_npy
from facelab.core.fresh import THREAD_VARIABLES, FreshProcessError
from facelab.core.isolated import module_command
from facelab.core.machine import peak_rss_bytes, rss_bytes
from facelab.core.safety.scratch import ScratchFolder

WARMUP, RUNS, BURST = 5, 50, 5


@dataclass(frozen=True)
class Timing:
    """Seconds a run, float64 (rounds, burst); resident bytes before the model was opened and at the peak."""

    samples: np.ndarray
    base_rss: int
    peak_rss: int

    @property
    def rounds(self) -> np.ndarray:
        """The median of each burst: what is compared between variants, round by round."""
        return np.median(self.samples, axis=1)


def compare(
    models: Mapping[str, Path],
    inputs: Mapping[str, np.ndarray],
    *,
    threads: int,
    warmup: int = WARMUP,
    runs: int = RUNS,
    seed: int = 0,
) -> dict[str, Timing]:
    """Time models against each other: each in its own process, in rounds of BURST runs, each round in a new order.

    `inputs` holds each model's ready input (with its batch axis). Raises FreshProcessError where a process fails,
    BadInputError for fewer than 5 warm-up or 50 timed runs: such figures are not worth printing.
    """
    if warmup < WARMUP or runs < RUNS:
        raise BadInputError(
            "too few runs to say anything about latency",
            expected="warmup ≥ 5, runs ≥ 50",
            got=f"{warmup} and {runs}",
            fix="run it more often",
        )
    rng, names = np.random.default_rng(seed), list(models)
    with ScratchFolder(prefix="facelab-bench-") as folder:
        workers: dict[str, _Worker] = {}
        try:
            for i, name in enumerate(names):
                array = write_npy(Path(folder) / f"{i}.npy", inputs[name])
                workers[name] = _Worker(models[name], array, threads, warmup)
            samples: dict[str, list] = {n: [] for n in names}
            for _ in range(-(-runs // BURST)):
                for k in rng.permutation(len(names)):
                    samples[names[k]].append(workers[names[k]].burst(BURST))
            memory = {n: w.end() for n, w in workers.items()}
        finally:
            for w in workers.values():
                w.kill()
    return {n: Timing(np.array(samples[n]), *memory[n]) for n in names}


class _Worker:
    """A process that has one model open and runs it when told to."""

    def __init__(self, model: Path, array: Path, threads: int, warmup: int):
        self.model = model
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        self.process = lifetime.Popen(
            module_command("facelab.quantization._bench", model, array, threads, warmup),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.base = self._answer()["base"]

    def _answer(self) -> dict:
        for line in self.answers:
            if line.startswith("{"):
                return json.loads(line)
        raise FreshProcessError(
            "the model does not run in its own process",
            where=self.model,
            got=f"exit code {self.process.wait()}",
            fix="open it once with facelab.zoo.runtimes.open_model, which says why",
        )

    def _ask(self, text: str) -> dict:
        self.requests.write(text + "\n")
        self.requests.flush()
        return self._answer()

    def burst(self, n: int) -> list[float]:
        return self._ask(str(n))["seconds"]

    def end(self) -> tuple[int, int]:
        return self.base, self._ask("0")["peak"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.requests.close()
        self.answers.close()


def serve(model: str, array: str, threads: int, warmup: int) -> None:
    """Open a model, warm it up, and answer requests for timed runs until 0 is asked for."""
    path, x = Path(model), np.load(array)
    if path.suffix.lower() == ".onnx":
        import onnxruntime  # noqa: F401 - imported before the base is read

        from facelab.zoo.runtimes import open_onnx as opener
    else:
        import ai_edge_litert.interpreter  # noqa: F401 - imported before the base is read

        from facelab.zoo.runtimes import open_litert as opener
    base = rss_bytes()
    opened = opener(path, threads=threads)
    feed = {opened.inputs[0].name: x}
    for _ in range(warmup):
        opened._compute(feed)
    print(json.dumps({"base": base}), flush=True)
    for line in sys.stdin:
        n = int(line)
        if not n:
            print(json.dumps({"peak": peak_rss_bytes()}), flush=True)
            return
        seconds = []
        for _ in range(n):
            started = time.perf_counter()
            opened._compute(feed)
            seconds.append(time.perf_counter() - started)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

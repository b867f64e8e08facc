"""What `make bench` times: whole commands, and calls inside a process that stays. Both builds must know the names."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command line of facelab, timed as a whole process; `before` are commands whose files it reads."""

    name: str
    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    needs_mirror: bool = False
    codes: tuple[int, ...] = (0,)
    """Exit codes of a run that worked: a comparison that finds a difference ends with 1."""
    allowed_s: float | None = None
    """Seconds that it may take whatever the earlier build took: where it does much more than that one."""


CAPTURES = (
    (
        "fingerprint",
        "capture",
        "--spec",
        "{repo}/examples/python/train.preprocess.json",
        "--out",
        "train.json",
    ),
    (
        "fingerprint",
        "capture",
        "--pipeline",
        "{repo}/examples/python/device.py:preprocess",
        "--out",
        "infer.json",
    ),
)
BUNDLE = (
    "bundle",
    "mtcnn-onet",
    "--spec",
    "{repo}/examples/python/train.preprocess.json",
    "--out",
    "bundle",
)
COMPARE = ("fingerprint", "compare", "train.json", "infer.json")
WIDER = (
    "eval",
    "wider",
    "--predictions",
    "predictions",
    "--ground-truth",
    "{mirror}/annotations",
)
COMMANDS = (
    Command("facelab --help", ("--help",)),
    Command("facelab doctor --quick", ("doctor", "--quick"), codes=(0, 1)),
    Command(
        "facelab fingerprint compare",
        ("fingerprint", "compare", "train.json", "infer.json"),
        CAPTURES,
        codes=(0, 1),
    ),
    Command(
        "facelab gate",
        ("gate", "bundle", "--inference", "infer.json"),
        (BUNDLE, CAPTURES[1]),
        codes=(0, 1),
        allowed_s=1.0,
    ),
    Command("facelab eval wider", WIDER, needs_mirror=True),
)


class Faces:
    """Rendered pictures of single faces at 160 pixels: new ones each time, as many for each build."""

    unit = "faces/s"

    def __init__(self, set: str, each: int) -> None:
        self.name, self.per_call = f"rendered faces, 160 px, {set}", each
        self._set, self._start = set, 0

    def __call__(self) -> None:
        from facelab.datasets.synthetic import generate

        generate(self._set, self.per_call, seed=7, size=160, start=self._start)
        self._start += self.per_call


class Scenes:
    """Rendered scenes of 0 to 30 people: new ones each time, as many for each build."""

    name, unit, per_call = "rendered scenes, 640 × 480", "scenes/s", 2

    def __init__(self) -> None:
        self._start = 0

    def __call__(self) -> None:
        from facelab.datasets.synthetic import scene

        for index in range(self._start, self._start + self.per_call):
            scene(7, index, (640, 480))
        self._start += self.per_call


class Search:
    """Nearest neighbours of float32 queries among 100 000 × 512, exact, one thread."""

    unit = "queries/s"

    def __init__(self, queries: int):
        import numpy as np

        from facelab.matching import Matcher

        rng = np.random.default_rng(5)
        rows = rng.standard_normal((100_000, 512), dtype=np.float32)
        self.name, self.per_call = f"search, {queries} of 100 000 × 512", queries
        self._queries = rng.standard_normal((queries, 512), dtype=np.float32)
        self._matcher = Matcher(rows, "cosine", threads=1)

    def __call__(self) -> None:
        self._matcher.search(self._queries, 10)


CALLS = {
    "faces": lambda: Faces("emotion", 16),
    "liveness": lambda: Faces("liveness", 8),
    "scenes": Scenes,
    "search-1": lambda: Search(1),
    "search-64": lambda: Search(64),
}


def serve(name: str) -> None:
    """Run in the interpreter of one build: one warm call, then one timed call for each line of standard input."""
    call = CALLS[name]()
    call()
    print(call.name, call.unit, call.per_call, sep="\t", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        call()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])

"""A program that is killed at each step of a write, and another that looks at what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.index import Collection

DIMENSION = 8
Call = tuple[str, list[str], int]
"""What is called, the ids, and the seed of the vectors."""
Model = dict[str, tuple[bytes, str | None, dict[str, Any] | None]]
"""Id → vector, label and payload, in the order of the last put."""
CALLS: list[Call] = [
    ("add", ["a", "b", "c"], 1),
    ("upsert", ["b", "d"], 2),
    ("delete", ["a"], 0),
    ("flush", [], 0),
    ("add", ["e"], 3),
    ("delete", ["b", "e"], 0),
    ("upsert", [f"bulk {i}" for i in range(20)], 4),
    ("delete", ["bulk 3", "c"], 0),
    ("upsert", ["bulk 4", "f"], 5),
    ("compact", [], 0),
    ("add", ["g"], 6),
]


def vectors(seed: int, count: int) -> np.ndarray:
    """Return the vectors of a call."""
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def apply(collection: Collection, call: Call) -> None:
    """Make one call on a collection."""
    kind, ids, seed = call
    if kind == "add":
        collection.add(vectors(seed, len(ids)), ids, labels=[f"label {name}" for name in ids])
    elif kind == "upsert":
        collection.upsert(vectors(seed, len(ids)), ids, payloads=[{"seed": seed}] * len(ids))
    elif kind == "delete":
        collection.delete(ids, missing_ok=True)
    elif kind == "flush":
        collection.flush()
    else:
        collection.compact()


def effect(model: Model, call: Call) -> Model:
    """Return what a collection holds after the same call."""
    kind, ids, seed = call
    after = dict(model)
    rows = vectors(seed, len(ids))
    for i, name in enumerate(ids):
        if kind in ("upsert", "delete"):
            after.pop(name, None)
        if kind == "add":
            after[name] = rows[i].tobytes(), f"label {name}", None
        elif kind == "upsert":
            after[name] = rows[i].tobytes(), None, {"seed": seed}
    return after


def models() -> list[Model]:
    """Return what a collection holds before the first call and after each."""
    found: list[Model] = [{}]
    for call in CALLS:
        found.append(effect(found[-1], call))
    return found


def same(collection: Collection, model: Model) -> bool:
    """Return whether contents and their order agree."""
    held = [(e.id, (e.vector.tobytes(), e.label, e.payload)) for e in collection.items()]
    return held == list(model.items())


def run_until(folder: Path, wanted: int) -> tuple[int, str | None]:
    """Make all calls in a child that kills itself at step number `wanted`; return (calls done, the step's name)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(folder, wanted, writing)
    os.close(writing)
    with os.fdopen(reading) as f:
        lines = f.read().splitlines()
    _, status = os.waitpid(child, 0)
    steps = [line[5:] for line in lines if line.startswith("step ")]
    if not steps and status != 0:
        raise SystemExit(f"the child failed at {wanted}: {status}")
    return lines.count("done"), steps[0] if steps else None


def _child(folder: Path, wanted: int, writing: int) -> None:
    seen = 0

    def on_step(name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == wanted:
            os.write(writing, f"step {name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        collection = Collection.open(folder, on_step=on_step)
        collection.flush_rows = 16
        for call in CALLS:
            apply(collection, call)
            os.write(writing, b"done\n")
        os._exit(0)
    finally:
        os._exit(9)


def look(place: Path, done: int, step: str | None) -> dict[str, Any]:
    """Open what a killed program left, compare, make the other calls, and compare again."""
    allowed = models()[done : done + 2] if step else models()[-1:]
    with Collection.open(place) as again:
        good = any(same(again, m) for m in allowed)
        rest = CALLS[done:] if same(again, models()[done]) else CALLS[done + 1 :]
        for call in rest:
            apply(again, call)
        good = good and same(again, models()[-1])
        segments = again.status().segments
    counts = {f: len(list((place / f).iterdir())) for f in ("segments", "logs", "generations")}
    litter = counts["segments"] - segments + counts["logs"] - 1 + counts["generations"] - 1
    return {"step": step, "done": done, "good": good, "litter": litter}


def main(words: Sequence[str]) -> None:
    """Kill at every step, look, and print one JSON line per step."""
    folder = Path(words[0])
    start = folder / "start"
    Collection.create(start, dimension=DIMENSION).close()
    wanted, step = 0, ""
    while step is not None:
        wanted += 1
        place = folder / f"run{wanted}"
        shutil.copytree(start, place)
        done, step = run_until(place, wanted)
        print(json.dumps(look(place, done, step)), flush=True)
        shutil.rmtree(place)


if __name__ == "__main__":
    main(sys.argv[1:])

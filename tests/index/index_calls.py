"""A collection's calls as plain data, their effect on a dict, and a script that is killed at each step of a write."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from facelab.index import Collection

DIMENSION = 8


def vectors(seed, count):
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def apply(collection, call):
    """Make one call on a collection."""
    kind, ids, seed = call
    if kind == "add":
        labels = [f"label {name}" for name in ids]
        collection.add(vectors(seed, len(ids)), ids, labels=labels)
    elif kind == "upsert":
        collection.upsert(vectors(seed, len(ids)), ids, payloads=[{"seed": seed}] * len(ids))
    elif kind == "delete":
        collection.delete(ids, missing_ok=True)
    elif kind == "flush":
        collection.flush()
    else:
        collection.compact()


def effect(model, call):
    """Make the same call on a dict id → (vector bytes, label, payload), ordered by the last put."""
    kind, ids, seed = call
    after = dict(model)
    if kind == "add":
        rows = vectors(seed, len(ids))
        after |= {name: (rows[i].tobytes(), f"label {name}", None) for i, name in enumerate(ids)}
    elif kind == "upsert":
        rows = vectors(seed, len(ids))
        for i, name in enumerate(ids):
            after.pop(name, None)
            after[name] = (rows[i].tobytes(), None, {"seed": seed})
    elif kind == "delete":
        for name in ids:
            after.pop(name, None)
    return after


def content(collection):
    """Return what a collection holds, as `effect` has it."""
    return {e.id: (e.vector.tobytes(), e.label, e.payload) for e in collection.items()}


def same(collection, model):
    """Return whether contents and their order agree."""
    return list(content(collection).items()) == list(model.items())


CALLS = [
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


def run_until(folder, wanted):
    """Make all calls in a child that kills itself with SIGKILL at step number `wanted`; return (done, step's name)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def on_step(name):
            nonlocal seen
            seen += 1
            if seen == wanted:
                os.write(writing, f"step {name}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

        collection = Collection.open(folder, on_step=on_step)
        collection.flush_rows = 16
        for call in CALLS:
            apply(collection, call)
            os.write(writing, b"done\n")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as f:
        lines = f.read().splitlines()
    _, status = os.waitpid(child, 0)
    steps = [line[5:] for line in lines if line.startswith("step ")]
    if not steps and status != 0:
        raise SystemExit(f"the child failed at {wanted}: {status}")
    return lines.count("done"), steps[0] if steps else None


def main(folder):
    """Kill at every step, open again, and print one JSON line per step."""
    start = Path(folder) / "start"
    Collection.create(start, dimension=DIMENSION).close()
    wanted = 0
    while True:
        wanted += 1
        place = Path(folder) / f"run{wanted}"
        shutil.copytree(start, place)
        done, step = run_until(place, wanted)
        models = [{}]
        for call in CALLS:
            models.append(effect(models[-1], call))
        with Collection.open(place) as again:
            allowed = models[done : done + 2] if step else models[-1:]
            good = any(same(again, m) for m in allowed)
            rest = CALLS[done:] if same(again, models[done]) else CALLS[done + 1 :]
            for call in rest:
                apply(again, call)
            good = good and same(again, models[-1])
        files = {f: len(list((place / f).iterdir())) for f in ("segments", "logs", "generations")}
        print(json.dumps({"step": step, "done": done, "good": good, "files": files}), flush=True)
        if step is None:
            return


if __name__ == "__main__":
    main(sys.argv[1])

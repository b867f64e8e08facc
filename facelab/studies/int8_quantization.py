"""What notebook 04 calls: splitting the faces, recording the table, the embedder where it can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError, MissingAssetError, UnsupportedError
from facelab.emotion.internals import FaceSet, find_model, split
from facelab.quantization import Budgets, Session, load
from facelab.quantization import calibration as cal
from facelab.quantization.calibration import Samples
from facelab.quantization.internals import (
    FLOAT,
    Subject,
    check_integer,
    images,
    measure,
    source_of,
    statement,
)
from facelab.quantization.recipes import RECIPES, Recipe
from facelab.session import Run

UPSTREAM = "03_emotion_finetune"
EMBEDDER, DETECTOR, PORTRAITS, PHOTOGRAPHS = (
    "mobilefacenet",
    "yunet-n",
    "labelled/identity",
    "labelled/detection",
)


def upstream_model(run: Run) -> Path:
    """Return the model that notebook 03 left; for a person also the one of an earlier training.

    Raises MissingAssetError where there is none.
    """
    try:
        return find_model(run.upstream(UPSTREAM) / "model")
    except MissingAssetError:
        if run.headless:
            raise
        return find_model()


def pool_and_evaluation(
    model: Subject, drawn: FaceSet, calibrate: int, *, seed: int
) -> tuple[Samples, Samples]:
    """Split faces into calibration and evaluation samples that share no person and no image."""
    share = min(0.5, calibrate / len(drawn))
    parts = split(drawn, {"calibration": share, "evaluation": 1 - share}, seed=seed)
    source = f"synthetic faces, seed {seed}"
    pool = images.from_faces(model, parts["calibration"], source=source)
    return cal.stratified(pool, len(pool), seed=seed), images.from_faces(
        model, parts["evaluation"], source=source
    )


def add_modelmaker(session: Session) -> bool:
    """Enter Model Maker's own INT8 export into the table, where the training left one; return whether it did."""
    found = session.base.with_name("emotion_int8_modelmaker.tflite")
    if not found.is_file():
        print(
            "Model Maker left no INT8 export beside the model: train with int8=True and its kernel to have one."
        )
        return False
    check_integer(found)
    session.add("modelmaker-int8", found)
    return True


def record_rows(run: Run, session: Session, threads: Iterable[int], *, prefix: str) -> None:
    """Store every figure of the table, latencies with their raw samples and the machine."""
    n = len(session.evaluation)
    for variant, row in session.rows.items():
        case = f"{prefix} {variant}"
        run.record(case, "size_ratio", row["size_ratio"], better="lower")
        run.record(case, "bytes", row["bytes"], unit="B", better="lower")
        run.record(case, "cosine", row["cosine"]["mean"], better="higher", n=n)
        for key in ("accuracy", "agreement"):
            if row[key]:
                run.record(
                    case,
                    key,
                    row[key]["value"],
                    lo=row[key]["lo"],
                    hi=row[key]["hi"],
                    n=n,
                    better="higher",
                    method="bootstrap",
                )
        if row["ece"] is not None:
            run.record(case, "ece", row["ece"], better="lower", n=n)
        for t in threads:
            timed = row["latency"][str(t)]
            run.record(
                case,
                f"latency, {t} threads" if t > 1 else "latency, 1 thread",
                timed["p50_ms"],
                unit="ms",
                lo=timed["lo_ms"],
                hi=timed["hi_ms"],
                n=timed["n"],
                better="lower",
                warning=timed["warning"],
                machine=measure.machine([t]),
                samples=row["samples_s"][str(t)].ravel(),
                error=row["largest_difference"],
            )
        run.record(case, "peak_rss", row["peak_rss"], unit="B", better="lower")


def statements(session: Session) -> None:
    """Print where integers are slower than float on this machine, and where they are faster."""
    print("\n".join(statement(session)))


def fixed(session: Session, recipe: Recipe) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the recipe's row if it meets the budgets, else that of the smallest set of float layers, and the set."""
    row = session.rows[recipe.name]
    if row["verdict"]["passed"]:
        return row, ()
    found = session.keep_float_auto(recipe)
    if not found.met:
        return row, ()
    name = f"{recipe.name}-keep{len(found.layers)}"
    path = session.make(recipe, name=name, keep_float=found.layers)
    return session.add(name, path, keep_float=found.layers, recipe=recipe.name), found.layers


def aware(session: Session, recipe: Recipe) -> bool:
    """Enter quantisation-aware training into the table where `recipe` misses a budget; say why where it is left out."""
    if session.rows[recipe.name]["verdict"]["passed"]:
        print("Quantisation-aware training is left out: INT8 after training meets every budget.")
        return False
    try:
        source_of(session.subject)
    except UnsupportedError as e:
        print(f"Quantisation-aware training is left out: it needs {e.expected} ({e.fix}).")
        return False
    session.add("qat-int8", session.make(RECIPES["qat-int8"]))
    return True


def against_numpy(session: Session) -> dict[str, int]:
    """Return for each integer variant on how many images facelab's outputs differ from a plain LiteRT loop's."""
    return {v: differing(session, v) for v, row in session.rows.items() if row["input"]}


def differing(session: Session, variant: str) -> int:
    """Return on how many evaluation images facelab's outputs differ from a plain LiteRT loop written with numpy.

    The loop shares no code with `measure`: it rounds half to even, saturates, and dequantises by itself.
    """
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(session.files[variant]), num_threads=1)
    run.allocate_tensors()
    i, o = run.get_input_details()[0], run.get_output_details()[0]
    limits, differ = np.iinfo(i["dtype"]), 0
    ours = measure.outputs(session.files[variant], session.subject.spec, session.evaluation.tensors)
    for x, mine in zip(session.evaluation.tensors, ours):
        q = np.rint(x / np.float32(i["quantization"][0])) + i["quantization"][1]
        run.set_tensor(i["index"], np.clip(q, limits.min, limits.max).astype(i["dtype"])[None])
        run.invoke()
        raw = run.get_tensor(o["index"])[0].astype(np.float32)
        differ += bool(
            ((raw - o["quantization"][1]) * np.float32(o["quantization"][0]) != mine).any()
        )
    return differ


def embedder_session(photographs: int, *, seed: int, budgets: Budgets) -> Session | None:
    """Open MobileFaceNet and real portraits, half for calibration; None where the mirror does not have them."""
    found = _mirrored(EMBEDDER, PORTRAITS)
    if found is None:
        return None
    it, folder = found
    everyone = images.read(it, str(folder), most=photographs)
    places = {h: i for i, h in enumerate(everyone.hashes)}  # some photographs are there twice
    once = cal.stratified(everyone.take(sorted(places.values())), len(places), seed=seed)
    half = len(once) // 2
    return Session(
        it,
        once.take(np.arange(half)),
        once.take(np.arange(half, len(once))),
        budgets=budgets,
        seed=seed,
    )


def detector_session(portraits: int, *, seed: int, budgets: Budgets) -> Session | None:
    """Open YuNet, portraits to calibrate on and photographs of groups to compare; None where they are not here."""
    found, evaluated = _mirrored(DETECTOR, PORTRAITS), _mirrored(DETECTOR, PHOTOGRAPHS)
    if found is None or evaluated is None:
        return None
    it, folder = found
    return Session(
        it,
        images.read(it, str(folder), most=portraits),
        images.read(it, str(evaluated[1])),
        budgets=budgets,
        seed=seed,
    )


def _mirrored(name: str, below: str) -> tuple[Subject, Path] | None:
    from facelab.zoo.mirror import is_address, mirror

    root = mirror()
    folder = None if root is None or is_address(root) else Path(root) / below
    try:
        return None if folder is None or not folder.is_dir() else (load(name), folder)
    except FacelabError:
        return None


def onnx_table(session: Session | None, show: Callable) -> Any:
    """Return the table of an ONNX network, say where integers are slower, and close its session; or say why none."""
    if session is None:
        print("Not here: set FACELAB_MIRROR to a folder with the network and photographs of faces.")
        return None
    rows = session.rows
    statements(session)
    session.close()
    return show(rows)


__all__ = [
    "DETECTOR",
    "EMBEDDER",
    "FLOAT",
    "add_modelmaker",
    "against_numpy",
    "aware",
    "detector_session",
    "embedder_session",
    "fixed",
    "onnx_table",
    "pool_and_evaluation",
    "record_rows",
    "statements",
    "upstream_model",
]

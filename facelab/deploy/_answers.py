"""What a bundle's model really is and answers, found out in its own process: it may crash, hang or lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import fresh
from facelab.core.array_files import read_npy
from facelab.core.errors import FacelabError
from facelab.core.fresh import Confined, FreshProcessError
from facelab.core.safety.scratch import ScratchFolder
from facelab.deploy.manifest import Manifest, Tensor
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model

PATIENCE = 60.0
"""Seconds for opening a model, and for one probe however slow; an endless graph ends here."""
MAX_ANSWER = 256 << 20


class ModelCrashedError(FacelabError):
    """The bundle's model ended the process that ran it, or did not end in time. Exit code 1."""


@dataclass(frozen=True)
class Seen:
    """What the opened model says of itself, and what it answered: probe → one array for each output."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    quantized: bool
    answers: dict[str, list[np.ndarray]]


def ask(folder: str | os.PathLike, manifest: Manifest, *, seconds: float) -> Seen:
    """Open a bundle's model in a fresh process and run it on the golden tensors, for about `seconds`.

    Raises ModelCrashedError where the process dies or hangs, FacelabError with the model's own error otherwise.
    """
    folder = Path(folder).resolve()
    with ScratchFolder(prefix="facelab-gate-") as out:
        try:
            told = fresh.call(
                "facelab.deploy._answers:_child",
                str(folder),
                manifest.model,
                manifest.golden,
                seconds,
                out,
                timeout=PATIENCE + 10 * seconds,
                confined=Confined(out, (folder,)),
            ).value
        except FreshProcessError as e:
            raise ModelCrashedError(
                "the model could not be run to its end in its own process",
                where=folder / manifest.model,
                expected="answers to the golden tensors",
                got=f"{e.where or e.what}: {(e.got or '')[-200:]}".strip(": "),
                fix="the file is faulty, or crashes this runtime: export the model again",
            ) from None
        if "error" in told:
            error = FacelabError(told["error"], fix=told["fix"])
            error.where, error.expected, error.got = told["where"], told["expected"], told["got"]
            raise error
        return Seen(
            [Tensor.model_validate(t) for t in told["inputs"]],
            [Tensor.model_validate(t) for t in told["outputs"]],
            told["quantized"],
            {
                probe: [
                    read_npy(Path(out) / f"{i}.{k}.npy", "model's answer", max_bytes=MAX_ANSWER)
                    for k in range(len(told["outputs"]))
                ]
                for i, probe in enumerate(told["probes"])
            },
        )


def _child(folder: str, model: str, probes: list[str], seconds: float, out: str) -> dict:
    """Answer with facts about the model; its outputs are written as `PROBE.OUTPUT.npy`, by number."""
    from facelab.deploy import golden
    from facelab.zoo.runtimes import open_here

    try:
        opened = open_here(Path(folder) / model)
        tensors = Path(folder) / "golden" / "tensors"
        answers = golden.rerun(opened, tensors, probes, seconds=seconds)
        spec = PreprocessSpec.load(Path(folder) / "preprocess.json")
    except FacelabError as e:
        fields = ("where", "expected", "got", "fix")
        return {"error": e.what, **{name: getattr(e, name) for name in fields}}
    for i, arrays in enumerate(answers.values()):
        for k, array in enumerate(arrays):
            np.save(Path(out) / f"{i}.{k}.npy", array, allow_pickle=False)
    return {
        "inputs": [tensor(opened, t).model_dump() for t in opened.inputs],
        "outputs": [tensor(opened, t).model_dump() for t in opened.outputs],
        "quantized": is_quantized(opened, spec),
        "probes": list(answers),
    }


def tensor(model: Model, info: Any) -> Tensor:
    """Return what a manifest says of one input or output."""
    scale, zero = getattr(model, "quantization", {}).get(info.name, (0.0, 0))
    return Tensor(
        name=info.name,
        shape=list(info.shape),
        dtype=info.dtype,
        scale=scale or None,
        zero_point=zero if scale else None,
    )


def is_quantized(model: Model, spec: PreprocessSpec) -> bool:
    """Return whether the weights or tensors are integers: integer input, or quantisation inside the graph."""
    if any(t.dtype in ("int8", "uint8") for t in (*model.inputs, *model.outputs)) and spec.find(
        "quantize"
    ):
        return True
    if model.runtime == "litert":
        details = model.handle.get_tensor_details()
        return any(
            len(d["quantization_parameters"]["scales"]) and d["dtype"].__name__ in ("int8", "uint8")
            for d in details
        )
    if model.runtime == "onnx":
        data = model.path.read_bytes()
        return b"QuantizeLinear" in data or b"ConvInteger" in data or b"QLinear" in data
    return False


def contradictions(manifest: Manifest, seen: Seen) -> list[str]:
    """Return what a manifest says of its model that is not so, one sentence each."""
    wrong = []
    for what, said, is_ in (
        ("inputs", manifest.inputs, seen.inputs),
        ("outputs", manifest.outputs, seen.outputs),
    ):
        if [_plain(t) for t in said] != [_plain(t) for t in is_]:
            named = ", ".join(f"{t.name} {t.shape} {t.dtype}" for t in is_)
            wrong.append(f"the manifest's {what} are not the model's, which are {named}")
    if manifest.quantized != seen.quantized:
        words = ("quantised", "not quantised")
        said, found = words if manifest.quantized else words[::-1]
        wrong.append(f"the manifest says that the model is {said}; it is {found}")
    return wrong


def _plain(t: Tensor) -> tuple:
    scale = None if t.scale is None else float(np.float32(t.scale))
    return t.name, tuple(t.shape), t.dtype, scale, t.zero_point

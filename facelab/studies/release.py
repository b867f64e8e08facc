"""Notebook 16: a model replaced under load, bad bundles refused, and memory that comes back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import allocator, fresh
from facelab.core.hashing import sha256_file
from facelab.core.machine import rss_bytes
from facelab.core.safety.scratch import ScratchFolder
from facelab.deploy import make_bundle
from facelab.deploy.manifest import canonical_hash
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.ops import DECODE_RGB, RESIZE_PLAIN, UPRIGHT
from facelab.serving import ModelSlot, ReleaseStore
from facelab.serving.internals import Trust

SIZE = 64
CLASSES = ("anger", "joy", "neutral")


def network(path: Path, *, seed: int, megabytes: float) -> Path:
    """Write a small convolutional classifier with random weights; swaps are measured here, not accuracy."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    wide = max(8, int(megabytes * 2**20 / 4 / (16 * 16 * 16)))
    shapes = {"c1": (8, 3, 3, 3), "c2": (16, 8, 3, 3), "w": (16 * 16 * 16, wide), "v": (wide, 3)}
    weights = {
        name: rng.normal(0, 1 / np.sqrt(np.prod(shape[1:]) if len(shape) > 2 else shape[0]), shape)
        for name, shape in shapes.items()
    }
    constants = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    conv: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "c1"], ["a"], **conv),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "c2"], ["c"], **conv),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "v"], ["h"]),
        helper.make_node("Softmax", ["h"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, SIZE, SIZE, 3])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])]
    graph = helper.make_graph(nodes, "classifier", inputs, outputs, constants)
    path.parent.mkdir(parents=True, exist_ok=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def preprocessing(mean: float) -> PreprocessSpec:
    """Return the versions' preprocessing: they differ in the normalisation, as a retrained model may."""
    stages = [
        DECODE_RGB,
        UPRIGHT,
        {**RESIZE_PLAIN, "size": [SIZE, SIZE]},
        {"op": "normalize", "mean": [mean], "scale": [127.5], "units": "0-255"},
        {"op": "layout", "to": "nhwc"},
        {"op": "cast", "dtype": "float32"},
    ]
    return PreprocessSpec(f"mean-{mean:g}", stages)


def version(folder: Path, name: str, *, seed: int, megabytes: float, pair: Any = None) -> Path:
    """Make the bundle of one version, signed with the key `pair` where one is given."""
    model = network(folder / f"{name}-source" / "model.onnx", seed=seed, megabytes=megabytes)
    labels = model.with_name("labels.txt")
    labels.write_text("".join(f"{name}-{c}\n" for c in CLASSES))
    preprocessing(127.5 if seed % 2 else 0.0).save(model.with_name("model.preprocess.json"))
    made = make_bundle(model, folder / name, name=name, labels=labels, licence="Apache-2.0").folder
    if pair is not None:
        sign(made, pair)
    return made


def versions(folder: Path, *, megabytes: float, count: int = 3) -> tuple[list[Path], Trust]:
    """Make up to three signed versions and the trust in their key; the third one has the first one's weights."""
    import minisign

    pair = minisign.KeyPair.generate()
    folder = Path(folder) / "versions"
    shutil.rmtree(folder, ignore_errors=True)
    made = [
        version(folder, f"v{k}", seed=seed, megabytes=megabytes, pair=pair)
        for k, seed in ((1, 1), (2, 2), (3, 1))[:count]
    ]
    key = pair.public_key.to_base64().decode()
    return made, Trust([key], unsigned="refuse")


def sign(bundle: Path, pair: Any) -> None:
    """Sign a bundle's manifest in minisign's format."""
    data = (bundle / "manifest.json").read_bytes()
    (bundle / "manifest.json.minisig").write_bytes(bytes(pair.secret_key.sign(data)))


def pictures(n: int = 8) -> list[np.ndarray]:
    """Return rendered scenes, uint8 RGB."""
    from facelab.datasets import synthetic

    return [np.ascontiguousarray(synthetic.scene(11, k, (96, 96)).image) for k in range(n)]


def memory_after_swaps(bundles: list[Path], *, swaps: int = 8) -> dict[str, np.ndarray]:
    """Return resident MiB above the start after each swap, in fresh processes, by what is done about the allocator."""
    paths = [str(b) for b in bundles]
    cases = {
        "both, as facelab does": (True, True),
        "pinned threshold only": (True, False),
        "trimmed after each close only": (False, True),
        "neither: glibc's default": (False, False),
    }
    return {
        name: np.array(
            fresh.call("facelab.studies.release:_memory", paths, swaps, *case, threads=1).value
        )
        for name, case in cases.items()
    }


def _memory(bundles: list[str], swaps: int, pin: bool, trim: bool) -> list[float]:
    """Swap in this process, which is a fresh one: leaving the trim out holds for the rest of its life."""
    if not trim:
        allocator.trim = lambda: False
    with ModelSlot(pin_malloc=pin) as slot:
        slot.offer(bundles[0])
        start, out = rss_bytes(), []
        for k in range(swaps):
            slot.offer(bundles[(k + 1) % len(bundles)])
            out.append((rss_bytes() - start) / 2**20)
    return out


def held_session(bundles: list[Path]) -> dict[str, bool | None]:
    """Return what `old_gone` says for a clean swap, and for one while somebody holds a NodeArg of the old session."""
    with ModelSlot() as slot:
        slot.offer(bundles[0])
        clean = slot.offer(bundles[1]).old_gone
        handle: Any = slot.release.model.handle if slot.release else None
        held = handle.get_inputs()[0]
        kept = slot.offer(bundles[0]).old_gone
        del held, handle
    return {"clean swap": clean, "a NodeArg is held": kept}


def bad_bundles(good: Path, serving: Path, trust: Trust, pair_folder: Path) -> dict[str, str]:
    """Offer one bundle for each kind of damage to a slot that serves; return the kind and the reason it gave.

    Raises AssertionError where a bad bundle was taken, or the release that serves changed.
    """
    reasons = {}
    with (
        ScratchFolder() as store,
        ModelSlot(ReleaseStore(store, trust=trust)) as slot,
    ):
        assert slot.offer(serving).accepted
        before = slot.release
        for name, damage in DAMAGE.items():
            copy = Path(shutil.copytree(good, Path(pair_folder) / name.replace(" ", "-")))
            damage(copy)
            swap = slot.offer(copy)
            assert not swap.accepted and slot.release is before, name
            reasons[name] = swap.why.partition("\n")[0]
            shutil.rmtree(copy)
    return reasons


def _truncated(folder: Path) -> None:
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1000])


def _one_bit(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def _unsigned(folder: Path) -> None:
    (folder / "manifest.json.minisig").unlink()


def _resigned(folder: Path) -> None:
    import minisign

    _replaced(folder)
    sign(folder, minisign.KeyPair.generate())


def _replaced(folder: Path) -> None:
    """Put other weights in the bundle and make its manifest fit them; the signature does not."""
    network(folder / "model.onnx", seed=99, megabytes=0.5)
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    for entry in value["files"]:
        if entry["path"] == "model.onnx":
            size = (folder / "model.onnx").stat().st_size
            entry |= {"bytes": size, "sha256": sha256_file(folder / "model.onnx")}
    value["hash"] = canonical_hash(value)
    path.write_text(json.dumps(value))


def _linked(folder: Path) -> None:
    (folder / "labels.txt").unlink()
    (folder / "labels.txt").symlink_to("/etc/hostname")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "truncated model": _truncated,
    "one bit flipped": _one_bit,
    "signature removed": _unsigned,
    "weights replaced": _replaced,
    "signed by a stranger": _resigned,
    "a link to another file": _linked,
}

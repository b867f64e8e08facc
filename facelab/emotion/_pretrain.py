"""The offline backbone: pre-trained on synthetic faces of seven emotions, by a seed, in about a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.core.files import atomic_path, write_json
from facelab.core.hashing import sha256_file, sha256_json
from facelab.core.safety.scratch import ScratchFolder
from facelab.emotion._augment import Augmentation, augment
from facelab.emotion._backbone import WIDTHS
from facelab.emotion._data import FaceSet, check_disjoint, split
from facelab.emotion._jobs import run_job, save_part
from facelab.emotion._spec import normalized_by
from facelab.preprocess import PreprocessSpec


def _job(faces: FaceSet, spec: PreprocessSpec) -> dict[str, Any]:
    """Return what of a pre-training nobody chooses."""
    mean, scale = normalized_by(spec)
    return {
        "kind": "pretrain",
        "name": "backbone",
        "labels": list(faces.classes),
        "size": spec.resized_to()[0],
        "mean": mean,
        "std": scale,
        "batch": 32,
        "dropout": 0.3,
        "strategy": "whole",
        "patience": 0,
        "backbone": {"kind": "weights", "trainable_blocks": len(WIDTHS)},
    }


def pretrain(
    faces: FaceSet,
    spec: PreprocessSpec,
    folder: Path,
    *,
    epochs: int = 8,
    seed: int = 1007,
    copies: int = 1,
    learning_rate: float = 1e-3,
    timeout: float = 1800,
    on_line: Callable[[str], None] | None = None,
) -> Path:
    """Return the backbone's weights trained on `faces` (`backbone-<key>.npz` in `folder`), training them if needed.

    Nine tenths of the identities train, one tenth validates. The key is made of the faces, the spec and the settings,
    so the same call finds the same file. Keep `faces` apart from the data to be fine-tuned on: other seed, other
    identities.
    """
    settings = {"epochs": epochs, "seed": seed, "copies": copies, "learning_rate": learning_rate}
    source = sha256_file(Path(__file__).with_name("_backbone.py"))
    key = sha256_json({"faces": faces.hash(), "spec": spec.hash, "backbone": source, **settings})[
        :16
    ]
    target = folder / f"backbone-{key}.npz"
    if target.is_file():
        return target
    parts = split(faces, {"train": 0.9, "validation": 0.1}, seed=seed)
    check_disjoint(parts)
    parts["train"] = augment(parts["train"], Augmentation(copies=copies), seed=seed)
    job = _job(faces, spec) | {"epochs": epochs, "seed": seed, "learning_rate": learning_rate}
    with ScratchFolder(prefix="facelab-backbone-") as name:
        work = Path(name)
        for part, images in parts.items():
            save_part(work, part, images)
        result = run_job("keras", work, job, timeout=timeout, on_line=on_line)
        with atomic_path(target) as tmp:
            tmp.write_bytes((work / "backbone.npz").read_bytes())
    write_json(
        target.with_suffix(".json"),
        {
            "settings": settings,
            "faces": len(faces),
            "history": result["history"],
            "seconds": round(result["seconds"], 1),
            "versions": result["versions"],
        },
    )
    return target

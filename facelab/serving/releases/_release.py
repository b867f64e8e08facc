"""A release that is ready to serve: model, preprocessing, labels and thresholds of one bundle, never of two."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import allocator
from facelab.core.errors import BadInputError, CheckFailedError
from facelab.core.machine import rss_bytes
from facelab.core.result import Result
from facelab.deploy.internals import golden, thresholds
from facelab.deploy.manifest import Manifest
from facelab.deploy.policy import Policy
from facelab.detection.internals import in_order, prepared
from facelab.preprocess import PreprocessSpec, read_image
from facelab.zoo.runtimes import Model, check_spec, open_model

LOAD_PEAK = 3.3
"""Peak memory of opening a model over its file's size, measured with ONNX Runtime's default options (3.2)."""
TELLS_FROM = 4 << 20
"""Models below this size are lost in the noise of other allocations, so their memory proves nothing."""
Adapter = Callable[[Path, Manifest], Any]


@dataclass(frozen=True)
class Outputs(Result):
    """What one release answered: its hash, the raw outputs, and the best label where the release has labels."""

    release: str
    arrays: list[np.ndarray]
    label: str | None
    score: float | None


@dataclass(eq=False)
class Release:
    """A loaded bundle. `task` is what an adapter made of it (a detector, an embedder, a classifier) or None."""

    folder: Path
    manifest: Manifest
    model: Model
    spec: PreprocessSpec
    thresholds: dict[str, float]
    signer: str = "not signed"
    task: Any = None
    _handle: Callable[[], Any] = field(default=lambda: None, repr=False)

    @property
    def hash(self) -> str:
        """Return the bundle's hash, which names the release."""
        return self.manifest.hash

    @property
    def labels(self) -> list[str]:
        """Return the bundle's labels, in the order of the model's output."""
        return self.manifest.labels

    def run(self, image: np.ndarray | bytes, *, face: Any = None) -> Outputs:
        """Preprocess an image as this bundle says, run its model, and name the best label.

        Parameters
        ----------
        image : ndarray of uint8 (height, width, 3) RGB, or bytes of an image file
            What the bundle's spec takes.
        face : optional
            Box or landmarks, where the spec needs them.

        Returns
        -------
        Outputs
            With this release's own hash, labels and thresholds.
        """
        rgb = image if isinstance(image, np.ndarray) else read_image(image)
        tensor = prepared(self.spec, in_order(rgb, self.spec.input_order), face=face)
        arrays = self.model.run(np.ascontiguousarray(tensor))
        first = np.asarray(arrays[0]).ravel()
        if len(self.labels) != len(first):
            return Outputs(self.hash, arrays, None, None)
        best = int(first.argmax())
        return Outputs(self.hash, arrays, self.labels[best], float(first[best]))

    def close(self) -> int | None:
        """Let the model go. Return how many native bytes came back, or None where that cannot be determined."""
        before = allocator.in_use_bytes()
        self.task = None
        self.model.close()
        after = allocator.in_use_bytes()
        return None if before is None or after is None else before - after

    def gone(self, freed: int | None) -> bool | None:
        """Return whether the runtime's session is really gone, after `close` returned `freed` bytes.

        A Python object that was collected proves nothing: a held NodeArg keeps the weights alive behind it. None where
        the model is too small to be seen among other allocations.
        """
        if self._handle() is not None:
            return False
        size = self.manifest_bytes
        if freed is None or size < TELLS_FROM:
            return None
        return freed > size // 2

    @property
    def manifest_bytes(self) -> int:
        """Return the size of the model's file in bytes."""
        return next(f.bytes for f in self.manifest.files if f.role == "model")


def load(
    folder: Path,
    manifest: Manifest,
    *,
    policy: Policy,
    threads: int,
    adapter: Adapter | None,
    signer: str,
    tested: bool = False,
) -> Release:
    """Open a verified snapshot and run its golden self-test; of one that was `tested` in another process, one probe.

    That probe warms the model: a runtime plans its memory in the first run, and a request would pay for it.
    Raises CheckFailedError for a model over the policy's budgets or off its golden outputs, BadInputError for one
    whose tensors are not those that the manifest and the spec promise.
    """
    size = next(f.bytes for f in manifest.files if f.role == "model")
    _check_budget(folder, size, policy)
    spec = PreprocessSpec.load(folder / "preprocess.json")
    task, model = _opened(folder, manifest, threads, adapter)
    try:
        _check_tensors(model, manifest)
        check_spec(model, spec)
        _check_golden(folder, manifest, model, policy, most=1 if tested else None)
    except BaseException:
        model.close()
        raise
    known = thresholds.load(folder / "thresholds.json").thresholds
    return Release(
        folder,
        manifest,
        model,
        spec,
        {t.name: t.value for t in known},
        signer,
        task,
        _weak(model.handle),
    )


def _opened(
    folder: Path, manifest: Manifest, threads: int, adapter: Adapter | None
) -> tuple[Any, Model]:
    task = adapter(folder, manifest) if adapter else None
    model = getattr(task, "model", None)
    return task, model or open_model(folder / manifest.model, threads=threads)


def _weak(handle: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(handle)
    except TypeError:
        return lambda: None


def _check_budget(folder: Path, size: int, policy: Policy) -> None:
    device = policy.device
    if device.model_mb is not None and size > device.model_mb * 2**20:
        raise CheckFailedError(
            "the model is too large for the device",
            where=folder,
            expected=f"at most {device.model_mb:g} MiB",
            got=f"{size / 2**20:.3g} MiB",
            fix="quantise it, or raise device.model_mb in the policy",
        )
    if device.memory_mb is None:
        return
    predicted = rss_bytes() + LOAD_PEAK * size
    if predicted > device.memory_mb * 2**20:
        raise CheckFailedError(
            "loading the model beside the one that serves would exceed the memory budget",
            where=folder,
            expected=f"at most {device.memory_mb:g} MiB",
            got=f"{predicted / 2**20:.4g} MiB predicted ({rss_bytes() / 2**20:.4g} MiB now)",
            fix="use a smaller model, or raise device.memory_mb in the policy",
        )


def _check_tensors(model: Model, manifest: Manifest) -> None:
    for what in ("inputs", "outputs"):
        found = [(t.name, list(t.shape), t.dtype) for t in getattr(model, what)]
        promised = [(t.name, t.shape, t.dtype) for t in getattr(manifest, what)]
        if found != promised:
            raise BadInputError(
                f"the model's {what} are not those that the manifest promises",
                where=model.path,
                expected=promised,
                got=found,
                fix="make the bundle again from this model",
            )


def _check_golden(
    folder: Path, manifest: Manifest, model: Model, policy: Policy, most: int | None
) -> None:
    rules = policy.golden_outputs
    tensors, outputs = folder / "golden" / "tensors", folder / "golden" / "outputs"
    if not manifest.golden:
        raise CheckFailedError(
            "the bundle has no golden outputs, so the model cannot be tested",
            where=folder,
            fix="make the bundle again",
        )
    seconds = min(rules.seconds, 0.5)
    got = golden.rerun(model, tensors, manifest.golden, seconds=seconds, most=most)
    wanted = golden.read(outputs, list(got), len(model.outputs))
    distance = golden.compare(wanted, got)
    worst = distance.worst or 0.0
    steps = distance.steps or 0
    if distance.misfits or worst > rules.tolerance or steps > rules.steps:
        found = distance.misfits or [f"{worst:.3g} of the range, {steps} steps ({distance.probe})"]
        raise CheckFailedError(
            "the model fails its golden self-test",
            where=folder,
            expected=f"at most {rules.tolerance:g} of the outputs' range, {rules.steps} steps",
            got="; ".join(found[:3]),
            fix="the runtime computes otherwise than where the bundle was made; do not deploy it",
        )

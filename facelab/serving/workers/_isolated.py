"""The service's tasks with their models in supervised processes, and what answers when these are down."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.core.errors import MissingAssetError
from facelab.core.lifetime import Closing
from facelab.detection import Detections, load
from facelab.serving.canary._canary import Canary
from facelab.serving.degradation._matrix import Degradation
from facelab.serving.releases._slot import ModelSlot
from facelab.serving.service._gate import image_header
from facelab.serving.service._limits import Limits, checked_image
from facelab.serving.service._tasks import FaceTasks
from facelab.serving.workers._faces import last_resort
from facelab.serving.workers._ledger import Ledger, WorkerReport
from facelab.serving.workers._process import Recipe
from facelab.serving.workers._restarts import Quarantine, RestartGate, Restarts
from facelab.serving.workers._supervisor import (
    InputLostError,
    SupervisedWorker,
    WorkersDownError,
)


class Isolation(Closing):
    """What the workers of one service share: the recipe, the budget of restarts, the quarantine and the count.

    Parameters
    ----------
    detectors, embedders : sequence of str
        Names; the first one is the default.
    emotion : ModelSlot or Canary, optional
        Classifies in the service's own process: releases are swapped there.
    limits : Limits
        The service's.
    degradation : Degradation or None
        Receives what fails; None makes one.
    restarts : Restarts or None
        Back-off and budget of all workers together.
    deadline_s : float
        Longest time for one answer of a worker.
    spare : bool
        Whether each worker has a second one that waits.
    memory : int or None
        Bytes that a request may add to a worker.
    """

    def __init__(
        self,
        detectors: Sequence[str],
        embedders: Sequence[str] = (),
        emotion: ModelSlot | Canary | None = None,
        *,
        limits: Limits | None = None,
        degradation: Degradation | None = None,
        restarts: Restarts | None = None,
        deadline_s: float = 10.0,
        spare: bool = True,
        memory: int | None = 1 << 30,
    ) -> None:
        self.limits, self.emotion = limits or Limits(), emotion
        self.degradation = degradation or Degradation()
        arguments = {
            "detectors": list(detectors),
            "embedders": list(embedders),
            "pixels": self.limits.pixels,
        }
        self.recipe = Recipe("facelab.serving.workers._faces:Faces", arguments, memory)
        self.gate, self.quarantine = RestartGate(restarts or Restarts()), Quarantine()
        self.ledger, self.deadline_s, self.spare = Ledger(), deadline_s, spare
        self.degradation.workers = self.ledger.report
        self._made: list[SupervisedWorker] = []
        self._lock = threading.Lock()
        self._last: FaceTasks | None = None

    def make(self) -> IsolatedTasks:
        """Return the tasks of one worker of the service's pool, with its process started."""
        worker = SupervisedWorker(
            self.recipe,
            deadline_s=self.deadline_s,
            spare=self.spare,
            quarantine=self.quarantine,
            ledger=self.ledger,
            gate=self.gate,
            on_state=self._state,
        )
        with self._lock:
            self._made.append(worker)
        return IsolatedTasks(self, worker)

    def _state(self, state: str) -> None:
        if state == "restarting":
            self.degradation.trip("worker_restarting", "a worker ended and no spare was ready")
        elif state == "down":
            self.degradation.trip("workers_down", "the budget of restarts is used up")
            self.degradation.calm("worker_restarting")
        else:
            self.degradation.calm("worker_restarting")
            self.degradation.calm("workers_down")

    def last_resort(self) -> FaceTasks:
        """Return the tasks that need no worker: the Haar cascade in this process."""
        with self._lock:
            if self._last is None:
                self._last = FaceTasks({"haar": load("haar")}, {})
            return self._last

    def report(self) -> WorkerReport:
        """Return what happened to every input of all workers."""
        return self.ledger.report()

    def close(self) -> None:
        """End all workers."""
        for worker in self._made:
            worker.close()
        self.degradation.close()


class IsolatedTasks:
    """The tasks of `FaceTasks`, answered by a supervised worker."""

    def __init__(self, shared: Isolation, worker: SupervisedWorker) -> None:
        self.shared, self.worker = shared, worker

    def answer(
        self, task: str, files: Sequence[bytes], limits: Limits, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Answer a task for image files: headers are checked here, pixels are decoded in the worker."""
        for data in files:
            image_header(data, pixels=limits.pixels)
        if task == "emotion":
            return self._emotion(files[0], limits, options)
        return self._called(task, files, options)

    def _called(self, task: str, files: Sequence[bytes], options: dict[str, Any]) -> dict[str, Any]:
        state = self.shared.degradation
        shrink = task == "detect" and "overload" in state.active()
        sizes, began = [len(d) for d in files], time.monotonic()
        try:
            made = self.worker.call(task, b"".join(files), sizes=sizes, shrink=shrink, **options)
        except InputLostError:
            state.trip("input_quarantined", "an input ended its workers")
            state.calm("input_quarantined")
            raise
        except WorkersDownError:
            state.trip("workers_down", "no worker can be started")
            if task != "detect":
                raise
            image = checked_image(files[0], self.shared.limits)
            made = last_resort(self.shared.last_resort(), image)
            return {**made, "detector": "haar", "degraded": ["workers_down"]}
        state.calm("workers_down")
        # what began and ended while this input waited belongs to its answer
        return {**made, "degraded": [*made.get("degraded", ()), *state.since(began)]}

    def _emotion(self, data: bytes, limits: Limits, options: dict[str, Any]) -> dict[str, Any]:
        if self.shared.emotion is None:
            raise MissingAssetError(
                "this service has no emotion classifier", fix="start it with --emotion BUNDLE"
            )
        found = self._called("detect", [data], {})
        # a worker has decoded the very same bytes and lives
        image = checked_image(data, limits)
        tasks = FaceTasks({}, {}, self.shared.emotion)
        made = tasks.emotions_of(
            image, detections_of(found), found["seconds"], options.get("unit", "")
        )
        return {**made, "degraded": found.get("degraded", [])}


def detections_of(answer: dict[str, Any]) -> Detections:
    """Return the detections of an answer's faces."""
    faces = answer["faces"]
    boxes = np.array([f["box"] for f in faces], np.float32).reshape(-1, 4)
    scores = np.array([f["score"] for f in faces], np.float32)
    landmarks, keypoints = (
        np.array([f[name] for f in faces], np.float32) if faces and name in faces[0] else None
        for name in ("landmarks", "keypoints")
    )
    return Detections(boxes, scores, landmarks, keypoints)

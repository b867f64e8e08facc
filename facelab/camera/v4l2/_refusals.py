"""What a camera's refusals mean, in words that say what to do."""

from __future__ import annotations

import errno
import os
from typing import Any

from facelab.camera._errors import CameraError, SourceGoneError
from facelab.camera.v4l2._describe import Control
from facelab.core.errors import BadInputError

_OPEN_FIXES = {
    errno.EACCES: "add yourself to the group `video`, and log in again",
    errno.EBUSY: "close the program that uses the camera",
    errno.ENOTTY: "name a video device, such as /dev/video0",
}


def unopened(path: str, e: OSError, others: list[str]) -> BadInputError:
    return BadInputError(
        "the camera cannot be opened",
        where=path,
        expected=", ".join(others) or "a video device (this machine has none)",
        got=e.strerror or os.strerror(e.errno or 0),
        fix=_OPEN_FIXES.get(e.errno or 0, "facelab camera list shows the cameras"),
    )


def busy(path: str) -> CameraError:
    return CameraError(
        "the camera is in use",
        where=path,
        got="EBUSY",
        fix="close the program that uses it (fuser -v shows which)",
    )


def failed(path: str, what: str, e: OSError) -> CameraError:
    return CameraError(
        f"the camera failed to {what}" if what.islower() else f"the camera refused {what}",
        where=path,
        got=e.strerror or str(e),
        fix="unplug it and plug it in again; look at dmesg",
    )


def changed(path: str, got: str) -> SourceGoneError:
    return SourceGoneError(
        "the camera came back, and no longer keeps its contract",
        where=path,
        got=got,
        fix="open it again",
    )


def control_refused(path: str, control: Control, value: Any, got: str | None) -> BadInputError:
    return BadInputError(
        f"the control {control.name!r} does not take this value",
        where=path,
        expected=f"{control.minimum} to {control.maximum} in steps of {control.step}",
        got=f"{value}: {got}",
        fix="choose a value in range; some controls depend on others (auto exposure)",
    )

"""Open any frame source by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from facelab.camera._clock import Clock
from facelab.camera._contract import check_allowed
from facelab.camera._pool import FramePool
from facelab.camera._source import Source
from facelab.core import plugins
from facelab.core.errors import BadInputError, did_you_mean

SCHEMES = ("rendered", "fake")


def open_source(
    name: str | int | os.PathLike,
    *,
    format: str | None = None,
    size: tuple[int, int] | None = None,
    rate: float | None = None,
    allow: Collection[str] = (),
    pool: FramePool | None = None,
    decode: str | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> Source:
    """Open a source and negotiate what it delivers.

    Parameters
    ----------
    name
        - a number or `/dev/videoN`: a camera (V4L2);
        - a file: a video; a folder: its images, or a recording made by `facelab camera record`;
        - `rendered:` with options such as `rendered:size=160,kind=live,format=MJPG,paced=1`: the RGB-D sensor;
        - `fake:vivid` or `fake:loopback`: a camera on a fake kernel, for tests and examples;
        - `NAME:` of an entry point of the group `facelab.sources`: a camera of another package.
    format, size, rate
        What is asked for; None leaves the choice to the source.
    allow
        What may differ from that: any of `format`, `size`, `rate`.
    pool
        Where frames get their memory.
    decode
        `RGB`, `BGR` or `GRAY`: decode when a frame is read, and count those that cannot be decoded.
    clock
        The system clock of a rendered or faked source, such as a `VirtualClock`.
    **options
        Further arguments of the source, such as `paced` or `reconnect_s`.

    Returns
    -------
    Source
        Not started yet: use `with`, `read` or iterate over it.

    Raises
    ------
    NegotiationError
        If the source would deliver something else than asked.
    BadInputError
        If there is no such source.

    Examples
    --------
    >>> camera = open_source("rendered:size=64", rate=60, allow=["rate"])
    >>> camera.contract.rate, [d.name for d in camera.contract.differences]
    (30.0, ['rate'])
    """
    check_allowed(allow)
    if decode is not None and decode not in ("RGB", "BGR", "GRAY"):
        raise BadInputError(
            "frames cannot be decoded to that",
            expected="RGB, BGR or GRAY",
            got=decode,
            fix="choose one of these",
        )
    source = _make(name, pool=pool, decode=decode, clock=clock, **options)
    try:
        source.configure(format, size, rate, allow=allow)
    except BaseException:
        source.close()
        raise
    return source


def _make(name: str | int | os.PathLike, **options: Any) -> Source:
    if isinstance(name, int):
        name = f"/dev/video{name}"
    text = os.fspath(name)
    scheme, colon, rest = text.partition(":")
    if colon and scheme in SCHEMES:
        return _rendered(rest, **options) if scheme == "rendered" else _fake(rest, **options)
    if colon and scheme in plugins.installed("facelab.sources"):
        # another package's camera (entry points `facelab.sources`)
        plugins.refuse_twins("facelab.sources", list(SCHEMES))
        return plugins.load("facelab.sources", scheme)(rest, **options)
    if colon and re.fullmatch(r"[a-z]{2,}", scheme) and not Path(text).exists():
        raise BadInputError(
            f"there is no kind of source {scheme!r}{did_you_mean(scheme, SCHEMES)}",
            where=text,
            expected="/dev/videoN, a file, a folder, rendered: or fake:",
            got=text,
            fix="facelab camera list shows the cameras",
        )
    return _local(Path(text), **options)


def _local(path: Path, **options: Any) -> Source:
    from facelab.camera.sources._files import ImageFolder, VideoFile

    if is_device(path):
        from facelab.camera.v4l2._camera import V4L2Camera

        return V4L2Camera(os.fspath(path), **options)
    if (path / "recording.json").is_file():
        from facelab.camera.sources._recording import Recording

        return Recording(path, **options)
    if path.is_dir():
        return ImageFolder(path, **options)
    if path.is_file():
        return VideoFile(path, **options)
    raise BadInputError(
        "there is no such source",
        where=path,
        expected="/dev/videoN, a file, a folder, rendered: or fake:",
        got="nothing of that name",
        fix="facelab camera list shows the cameras; check the path",
    )


def is_device(path: Path) -> bool:
    """Return whether a path names a device, or would if it were plugged in."""
    return path.is_char_device() or re.fullmatch(r"/dev/video\d+", os.fspath(path)) is not None


def _fake(text: str, *, clock: Clock | None = None, **options: Any) -> Source:
    from facelab.camera.v4l2._camera import V4L2Camera
    from facelab.camera.v4l2._fake import FakeKernel

    paths = {"vivid": "/dev/video0", "loopback": "/dev/video10"}
    if text not in paths:
        raise BadInputError(
            f"there is no fake camera {text!r}{did_you_mean(text, paths)}",
            where=f"fake:{text}",
            expected=", ".join(paths),
            got=text,
            fix="choose one of these",
        )
    return V4L2Camera(paths[text], kernel=FakeKernel(clock=clock), **options)


def _rendered(text: str, **options: Any) -> Source:
    from facelab.camera.sources._scene import FaceScene
    from facelab.camera.sources._sensor import RenderedSensor, StreamModel

    given = _options(text, {**_SCENE, **_SENSOR, **_STREAM})
    scene: dict[str, Any] = {_SCENE_NAMES.get(k, k): given[k] for k in _SCENE if k in given}
    stream: dict[str, Any] = {k: given[k] for k in _STREAM if k in given}
    sensor: dict[str, Any] = {k: given[k] for k in _SENSOR if k in given and k != "depth"}
    seconds = sensor.pop("seconds", None)
    later: dict[str, Any] = {"latency_s": 0.06, **stream}
    depth = StreamModel(**later) if given.get("depth", True) else None
    return RenderedSensor(
        FaceScene(**scene) if given.get("pixels", True) else None,
        colour=StreamModel(**stream),
        depth=depth,
        duration_s=seconds,
        name=f"rendered:{text}",
        **{**sensor, **options},
    )


def _flag(text: str) -> bool:
    return {"1": True, "0": False, "yes": True, "no": False}[text.lower()]


_SCENE: dict[str, Callable[[str], Any]] = {
    "size": int,
    "person": int,
    "index": int,
    "kind": str,
    "sway_px": int,
}
_SCENE_NAMES = {"kind": "kinds", "person": "seed"}
_SENSOR: dict[str, Callable[[str], Any]] = {
    "format": str,
    "seed": int,
    "paced": _flag,
    "seconds": float,
    "buffers": int,
    "depth": _flag,
    "pixels": _flag,
}
_STREAM: dict[str, Callable[[str], Any]] = {
    "rate": float,
    "jitter_s": float,
    "drop_share": float,
    "latency_s": float,
    "latency_jitter_s": float,
}


def _options(text: str, known: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Return the options in `a=1,b=2` as values; an unknown name or a bad value is refused."""
    out: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise BadInputError(
                f"a rendered sensor has no option {name!r}{did_you_mean(name, known)}",
                where=f"rendered:{text}",
                expected=", ".join(known),
                got=part,
                fix="write name=value, with commas between",
            )
        try:
            out[name] = known[name](value)
        except (ValueError, KeyError):
            raise BadInputError(
                f"the option {name!r} cannot have this value",
                where=f"rendered:{text}",
                got=part,
                fix="give a number, or 1 or 0 for a switch",
            ) from None
    return out

"""Frames from cameras, files and a rendered RGB-D sensor: nothing downgraded in silence, nothing lost without a count.

- `open_source(name, format, size, rate, allow=...)`: a camera (`/dev/video0`), a video, a folder, a recording, or
  `rendered:`; it negotiates a `Contract`, and reads in order or the newest frame.
- `Pairer`, `pair_frames`: colour and depth frames by device time stamps, with a ledger.
- `FramePool`: frame memory that is used again, with generation numbers.
- `CaptureProcess(name, ...)`: the same source in its own process, with shared memory.

>>> from facelab.camera import open_source
>>> with open_source("rendered:size=64", format="YUYV") as camera:
...     frame = camera.read()
>>> frame.format, frame.data.shape, camera.contract.rate
('YUYV', (64, 64, 2), 30.0)
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_bench": ["BUSES", "Choice", "DecodeCost", "choices", "decode_costs", "wire_seconds"],
        "_clock": ["VirtualClock"],
        "_contract": ["Contract", "Mode", "Request"],
        "_errors": [
            "CameraError",
            "CorruptFrameError",
            "NegotiationError",
            "NoFrameError",
            "PoolExhaustedError",
            "SourceEndedError",
            "SourceGoneError",
            "StaleFrameError",
        ],
        "_frame": ["Frame", "FramePair"],
        "_ledger": ["Ledger"],
        "_open": ["open_source"],
        "_pool": ["FramePool"],
        "_probe": ["list_cameras", "probe"],
        "_source": ["Source"],
        "process._capture": ["CaptureProcess"],
        "v4l2._camera": ["V4L2Camera"],
        "pairs._pairer": ["Pairer", "pair_frames"],
        "pairs._policies": ["POLICIES"],
        "pixels._formats": ["FORMATS"],
        "sources._recording": ["record"],
        "sources._scene": ["FaceScene"],
        "sources._sensor": ["RenderedSensor", "StreamModel"],
    },
)

__all__ = [
    "BUSES",
    "FORMATS",
    "POLICIES",
    "CameraError",
    "CaptureProcess",
    "Choice",
    "Contract",
    "CorruptFrameError",
    "DecodeCost",
    "FaceScene",
    "Frame",
    "FramePair",
    "FramePool",
    "Ledger",
    "Mode",
    "NegotiationError",
    "NoFrameError",
    "Pairer",
    "PoolExhaustedError",
    "RenderedSensor",
    "Request",
    "Source",
    "SourceEndedError",
    "SourceGoneError",
    "StaleFrameError",
    "StreamModel",
    "V4L2Camera",
    "VirtualClock",
    "choices",
    "decode_costs",
    "list_cameras",
    "open_source",
    "pair_frames",
    "probe",
    "record",
    "wire_seconds",
]

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

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The probes as an emitted program reads them: frames without a header."""

from __future__ import annotations

from collections.abc import Iterator

from facelab.fingerprint.probes._set import probes_for
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.emit import Frame
from facelab.preprocess.image import decode


def frames_for(spec: PreprocessSpec) -> Iterator[Frame]:
    """Yield the probes that a spec can read, decoded as its first stage says, with their faces.

    Parameters
    ----------
    spec : PreprocessSpec
        Its decode stage says the format and the channel order.

    Yields
    ------
    Frame
        uint8 pixels as stored, height × width × channel, or a raw frame; EXIF orientation and face beside it.
    """
    stage = spec.decoding
    for probe in probes_for(spec):
        if stage.format != "encoded":
            yield Frame(probe.name, probe.data, probe.size, 1, probe.face)
            continue
        gray = stage.order == "gray"
        pixels, orientation = decode(
            probe.data, where=probe.file, alpha=stage.alpha or "drop", gray=gray
        )
        pixels = pixels[..., ::-1] if stage.order == "bgr" else pixels
        yield Frame.of(probe.name, pixels, orientation=orientation, face=probe.face)

from ._cache import remember
from ._codecs import encode_png
from ._frames import frames_for
from ._pictures import nominal_face
from ._set import Probe, image_probes, probe_set, set_hash, write_probes

__all__ = [
    "Probe",
    "encode_png",
    "frames_for",
    "image_probes",
    "nominal_face",
    "probe_set",
    "remember",
    "set_hash",
    "write_probes",
]

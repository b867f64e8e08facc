"""The probes: pictures and camera frames whose every pixel is known."""

import lazy_loader as _lazy

__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "_set": ["Probe", "image_probes", "probe_set", "set_hash", "write_probes"],
        "_cache": ["remember"],
        "_frames": ["frames_for"],
        "_codecs": ["encode_png"],
        "_pictures": ["nominal_face"],
    },
)
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

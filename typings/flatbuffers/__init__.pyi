"""What facelab uses of flatbuffers, which states no types. Offsets are ints."""

from .builder import Builder as Builder

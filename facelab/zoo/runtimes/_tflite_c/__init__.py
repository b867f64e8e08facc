"""TFLite models on the C library that phones and boards use: `libtensorflowlite_c`, called through ctypes."""

from facelab.zoo.runtimes._tflite_c.library import Library, tflite_c_library
from facelab.zoo.runtimes._tflite_c.model import TfliteCModel, open_tflite_c

__all__ = ["Library", "TfliteCModel", "open_tflite_c", "tflite_c_library"]

"""The schema of a `.tflite` file, as flatc generates it: tables (`Model`) and objects (`ModelT`), without types."""

from typing import Any

def __getattr__(name: str) -> Any: ...

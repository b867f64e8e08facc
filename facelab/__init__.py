"""facelab: measure, explain and gate what a face or emotion model loses on its way to an edge device.

Only light names live here, so that `import facelab` costs milliseconds; rooms are imported by name
(`facelab.matching`, `facelab.preprocess`, ...).
"""

import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime reports its use to its maker over the network unless this is set before it is imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from facelab.core.errors import FacelabError
from facelab.core.safety.folder_settings import ignore_for

if TYPE_CHECKING:
    from facelab.session import Run, start

ignore_for("numba.core.config")

__version__ = "0.2.0"
__all__ = ["FacelabError", "Run", "__version__", "start"]


def __getattr__(name: str) -> Any:
    """Import `Run` and `start` when they are asked for: with numpy behind them they took half of `facelab --help`."""
    if name in ("Run", "start"):
        from facelab import session

        return getattr(session, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

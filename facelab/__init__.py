"""facelab: measure, explain and gate what a face or emotion model loses on its way to an edge device.

Only light names live here, so that `import facelab` costs milliseconds; rooms are imported by name
(`facelab.matching`, `facelab.preprocess`, ...).
"""

import os

# ONNX Runtime reports its use to its maker over the network unless this is set before it is imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from facelab.core.errors import FacelabError
from facelab.session import Run, start

__version__ = "0.2.0"
__all__ = ["FacelabError", "Run", "__version__", "start"]

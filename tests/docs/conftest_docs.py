"""What the tests of documentation share."""

import json
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def show(done) -> str:
    """Return what a failed command said."""
    return json.dumps(
        {"code": done.returncode, "stdout": done.stdout[-800:], "stderr": done.stderr[-1200:]},
        indent=1,
    )

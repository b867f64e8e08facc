"""Write `docs/reference/preprocessing-stages.md` from the rules that bundles carry: run this file."""

from __future__ import annotations

from pathlib import Path

import facelab.deploy._stage_rules as rules

PAGE = Path(__file__).resolve().parents[1] / "reference" / "preprocessing-stages.md"
HEAD = """\
# What does each stage compute?

This page is for those who write the preprocessing in another language. `preprocess.json` holds the parameters; this
page says what is done with them. A bundle's README repeats the part that its model needs. The golden tensors beside
it decide in doubt."""


def text() -> str:
    """Return the page."""
    texts = (f"\n## {op}\n{rule}" for op, rule in rules.RULES.items())
    return "\n".join([HEAD, "", rules.CONVENTIONS, *texts]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")

"""Weights in another form become an ONNX file in the store's folder, built once and checked on every use."""

from __future__ import annotations

from pathlib import Path

from facelab.core.errors import UnsupportedError
from facelab.zoo.assets import Asset


def converted(asset: Asset, source: Path) -> Path:
    """Return the ONNX file made from `source`, building it where it is not there or does not fit `source`."""
    raise UnsupportedError(f"no converter is named {asset.convert!r}")

"""Weights in another form become an ONNX file in the store's folder, built once and checked on every use.

The file's name carries the source's and its own SHA-256: `models/converted/<name>.<source>.<version>.<content>.onnx`.
A file whose content does not match its name is removed and built again.
"""

from __future__ import annotations

from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.files import write_bytes
from facelab.core.hashing import sha256_bytes
from facelab.zoo.assets import Asset
from facelab.zoo.integrity import file_hash

VERSION = "v1"
"""Changes when a converter's result changes, so that old files are not used."""


def converted(asset: Asset, source: Path) -> Path:
    """Return the ONNX file made from a verified `source`, building it (milliseconds) where it is not there.

    Raises UnsupportedError where a package or a layer is missing, BadInputError for a file that is no such model or a
    folder that cannot be written to.
    """
    folder = asset.folder / "converted"
    stem = f"{asset.name}.{file_hash(source)[:16]}.{VERSION}"
    for path in sorted(folder.glob(f"{stem}.*.onnx")):
        if file_hash(path)[:16] == path.name.split(".")[-2]:
            return path
        path.unlink(missing_ok=True)
    content = _convert(asset, source)
    try:
        return write_bytes(folder / f"{stem}.{sha256_bytes(content)[:16]}.onnx", content)
    except OSError as e:
        raise BadInputError(
            f"{asset.name}: the converted model cannot be written",
            where=folder,
            got=e.strerror or str(e),
            fix="set FACELAB_MODELS to a folder that you can write to",
        ) from None


def _convert(asset: Asset, source: Path) -> bytes:
    if asset.convert == "mtcnn":
        from facelab.zoo.convert_mtcnn import convert

        return convert(source, asset.options["network"])
    from facelab.zoo.convert_keras import convert

    return convert(source)

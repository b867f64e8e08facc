"""Weights in another form become an ONNX file in the store's folder, built once and checked on every use.

The file is `models/converted/<name>.<source>.<version>.<content>.onnx`. Its name proves nothing: the record of trust
(`facelab.zoo.trust`), which is stored elsewhere, says which content was made from which source. A file that the record
does not name is removed and built again.
"""

from __future__ import annotations

from pathlib import Path

from facelab.core.errors import BadInputError, IntegrityError
from facelab.core.files import write_bytes
from facelab.core.hashing import sha256_bytes
from facelab.zoo import trust
from facelab.zoo._assets import ModelEntry
from facelab.zoo._integrity import file_hash

VERSION = "v1"
"""Changes when a converter's result changes, so that old files are not used."""


def converted(asset: ModelEntry, source: Path) -> Path:
    """Return the ONNX file made from a verified `source`, building it (milliseconds) where it is not there.

    The bytes that are converted are the bytes that are hashed. Raises IntegrityError where they are not the promised
    ones, UnsupportedError where a package or a layer is missing, BadInputError for a file that is no such model or a
    folder that cannot be written to.
    """
    data = _verified(asset, source)
    origin = f"{sha256_bytes(data)}:{VERSION}"
    folder = asset.folder / "converted"
    stem = f"{asset.name}.{origin[:16]}.{VERSION}"
    known = trust.conversion(asset.name, origin)
    for path in sorted(folder.glob(f"{stem}.*.onnx")):
        if known is not None and file_hash(path) == known:
            return path
        path.unlink(missing_ok=True)
    content = _convert(asset, data, source)
    sha = sha256_bytes(content)
    try:
        made = write_bytes(folder / f"{stem}.{sha[:16]}.onnx", content)
    except OSError as e:
        raise BadInputError(
            f"{asset.name}: the converted model cannot be written",
            where=folder,
            got=e.strerror or str(e),
            fix="set FACELAB_MODELS to a folder that you can write to",
        ) from None
    if sha != known:
        trust.remember(asset.name, sha, len(content), origin, "converted")
    return made


def _verified(asset: ModelEntry, source: Path) -> bytes:
    data = source.read_bytes()
    if asset.sha256 and sha256_bytes(data) != asset.sha256:
        raise IntegrityError(
            f"{asset.name}: the file changed after it was checked",
            where=source,
            expected=f"sha256 {asset.sha256}",
            got=f"sha256 {sha256_bytes(data)}",
            fix=asset.fetch_command,
        )
    return data


def _convert(asset: ModelEntry, data: bytes, source: Path) -> bytes:
    if asset.convert == "mtcnn":
        from facelab.zoo._convert_mtcnn import convert

        return convert(data, asset.options["network"], where=source)
    from facelab.zoo._convert_keras import convert

    return convert(source, data)

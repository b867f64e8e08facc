"""An optional signature of a bundle's manifest in minisign's format: who made it, beyond what a hash says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import read_input
from facelab.deploy.manifest import MANIFEST, MAX_MANIFEST

SIGNATURE = f"{MANIFEST}.minisig"
"""What `minisign -Sm manifest.json` writes; it is not listed in the manifest that it signs."""


def problem(folder: str | os.PathLike, public_key: str | os.PathLike) -> str | None:
    """Return why a bundle's signature is not by the owner of `public_key`, in a sentence, or None where it is.

    `public_key` is the line of a minisign key (RW…) or its file. The signature covers the manifest's bytes, and so
    every file that the manifest lists. Raises BadInputError for a key that cannot be read.
    """
    import minisign

    key = _key(public_key)
    path = Path(folder) / SIGNATURE
    if path.is_symlink() or not path.is_file():
        return f"has no signature ({SIGNATURE}), and one is demanded"
    try:
        signature = minisign.Signature.from_bytes(read_input(path, max_bytes=4096))
        data = read_input(Path(folder) / MANIFEST, max_bytes=MAX_MANIFEST)
        key.verify(data, signature)
    except minisign.VerifyError:
        return "is not signed by the owner of the given key"
    except (minisign.Error, BadInputError, OSError, ValueError) as e:
        return f"has a signature that cannot be read ({type(e).__name__})"
    return None


def _key(given: str | os.PathLike) -> Any:
    import minisign

    try:
        if os.path.exists(given):  # noqa: PTH110 - the text of a key need not be a path
            return minisign.PublicKey.from_bytes(read_input(given, max_bytes=4096))
        return minisign.PublicKey.from_base64(os.fspath(given).strip())
    except (minisign.Error, OSError, ValueError) as e:
        raise BadInputError(
            "the public key cannot be read",
            where=os.fspath(given)[:100],
            expected="a line such as RWQ…, or the file that minisign -G wrote",
            got=str(e)[:120] or type(e).__name__,
            fix="ask the signer of the bundles for minisign.pub",
        ) from None

"""An optional signature of a bundle's manifest in minisign's format: who made it, beyond what a hash says."""

from __future__ import annotations

import os
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.files import read_input
from facelab.deploy.manifest import MANIFEST, MAX_MANIFEST
from facelab.deploy.manifest import public_key as as_key

SIGNATURE = f"{MANIFEST}.minisig"
"""What `minisign -Sm manifest.json` writes; it is not listed in the manifest that it signs."""


def problem(folder: str | os.PathLike, public_key: str | os.PathLike) -> str | None:
    """Return why a bundle's signature is not by the owner of `public_key`, in a sentence, or None where it is.

    `public_key` is the line of a minisign key (RW…) or its file. The signature covers the manifest's bytes, and so
    every file that the manifest lists. Raises BadInputError for a key that cannot be read.
    """
    import minisign

    key = as_key(public_key)
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

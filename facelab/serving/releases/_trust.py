"""Signatures of bundles in minisign's format, and who may sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facelab.core.errors import IntegrityError
from facelab.deploy.manifest import public_key

SIGNATURE = "manifest.json.minisig"
"""Inside the bundle's folder, so that both are replaced in one move; or `<folder>.minisig` beside it."""
MAX_SIGNATURE = 16 << 10


@dataclass(frozen=True)
class Trust:
    """Which bundles may be loaded.

    Parameters
    ----------
    keys : sequence of str
        Public keys: the base64 line of a minisign `.pub` file, or the path of one.
    unsigned : {"refuse", "allow"}
        What happens to a bundle without a signature. A wrong signature is always refused.

    Examples
    --------
    >>> Trust(unsigned="refuse").check(b"{}", None, "bundle")
    Traceback (most recent call last):
    facelab.core.errors.IntegrityError: the bundle is not signed
      where:    bundle
      expected: a signature of manifest.json by a trusted key
      fix:      sign it: minisign -Sm manifest.json, or allow unsigned bundles
    """

    keys: Sequence[str] = ()
    unsigned: Literal["refuse", "allow"] = "allow"

    def __post_init__(self) -> None:
        for key in self.keys:
            public_key(key)

    def check(self, manifest: bytes, signature: bytes | None, where: object) -> str:
        """Return who signed, in words (the trusted comment). Raises IntegrityError where nobody trusted did."""
        if signature is None:
            return self._without(where)
        if not self.keys:
            if self.unsigned == "allow":
                return "signed, not checked: no trusted key is configured"
            raise IntegrityError(
                "no trusted key is configured, so the signature cannot be checked",
                where=where,
                fix="name the public key of the signer of your bundles",
            )
        return self._signed(manifest, signature, where)

    def _without(self, where: object) -> str:
        if self.unsigned == "allow":
            return "not signed"
        raise IntegrityError(
            "the bundle is not signed",
            where=where,
            expected="a signature of manifest.json by a trusted key",
            fix="sign it: minisign -Sm manifest.json, or allow unsigned bundles",
        )

    def _signed(self, manifest: bytes, signature: bytes, where: object) -> str:
        import minisign

        wrong = "no trusted key made it"
        try:
            parsed = minisign.Signature.from_bytes(signature)
        except ValueError as e:
            raise _refused(where, f"the signature file cannot be read: {e}") from None
        for text in self.keys:
            try:
                public_key(text).verify(manifest, parsed)
            except minisign.VerifyError as e:
                wrong = str(e)
            else:
                return f"signed: {parsed.trusted_comment}"
        raise _refused(where, wrong)


def _refused(where: object, got: str) -> IntegrityError:
    return IntegrityError(
        "the bundle's signature does not hold",
        where=where,
        expected="a signature of this manifest.json by a trusted key",
        got=got,
        fix="sign the bundle again with a trusted key; do not load it",
    )

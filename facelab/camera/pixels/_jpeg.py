"""JPEG frames: is the stream whole, how large is the picture, and the tables that cameras leave out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facelab.camera._errors import CorruptFrameError

_SOI, _SOS, _DHT = 0xD8, 0xDA, 0xC4
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


@dataclass(frozen=True)
class JpegFacts:
    """What the headers of one JPEG say: size in pixels, whether tables are there, where the scan begins and ends."""

    width: int
    height: int
    has_huffman: bool
    progressive: bool
    scan_at: int
    end: int | None


def _bits(counts: str, values: str) -> bytes:
    return bytes.fromhex(counts) + bytes.fromhex(values)


_STANDARD = (
    # ITU-T T.81, tables K.3 to K.6: what an AVI1 stream means when it carries no tables
    (0x00, _bits("00010501010101010100000000000000", "000102030405060708090a0b")),
    (
        0x10,
        _bits(
            "0002010303020403050504040000017d",
            "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a"
            "25262728292a3435363738393a434445464748494a535455565758595a636465666768696a73747576777879"
            "7a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9"
            "cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
        ),
    ),
    (0x01, _bits("00030101010101010101010000000000", "000102030405060708090a0b")),
    (
        0x11,
        _bits(
            "00020102040403040705040400010277",
            "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f117"
            "18191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778"
            "797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7"
            "c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
        ),
    ),
)


def _segment() -> bytes:
    body = b"".join(bytes([kind]) + table for kind, table in _STANDARD)
    return b"\xff\xc4" + (len(body) + 2).to_bytes(2, "big") + body


HUFFMAN_SEGMENT = _segment()
"""The DHT segment with the four standard tables."""


def read_headers(data: np.ndarray | bytes) -> JpegFacts:
    """Read a JPEG's markers up to its scan, without decoding.

    Parameters
    ----------
    data
        (n,) uint8 or bytes.

    Raises
    ------
    CorruptFrameError
        If the markers do not follow each other as a JPEG's do.
    """
    raw = data if isinstance(data, bytes) else data.tobytes()
    n = len(raw)
    if n < 4 or raw[0] != 0xFF or raw[1] != _SOI:
        raise _broken("no JPEG start marker", bytes(raw[:4]).hex() or "nothing")
    at, size, huffman, progressive = 2, None, False, False
    while at + 4 <= n:
        if raw[at] != 0xFF:
            raise _broken("a marker of the JPEG", f"byte 0x{raw[at]:02x} at {at}")
        marker = raw[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        length = (raw[at + 2] << 8) | raw[at + 3]
        if length < 2 or at + 2 + length > n:
            raise _broken(
                "a whole segment", f"segment 0x{marker:02x} of {length} bytes at {at} of {n}"
            )
        if marker in _FRAME_HEADERS:
            if length < 8:
                raise _broken("a frame header", f"{length} bytes")
            size = ((raw[at + 7] << 8) | raw[at + 8], (raw[at + 5] << 8) | raw[at + 6])
            progressive = marker == 0xC2
        huffman |= marker == _DHT
        if marker == _SOS:
            if size is None:
                raise _broken("a frame header before the scan", "none")
            return JpegFacts(*size, huffman, progressive, at, _end(raw, n))
        at += 2 + length
    raise _broken("a scan", f"none in {n} bytes")


def _end(raw: bytes, n: int) -> int | None:
    """Return the index after the end marker, which padding may follow, or None."""
    tail = bytes(raw[max(0, n - 4096) : n]).rstrip(b"\x00")
    at = tail.rfind(b"\xff\xd9")
    return None if at < 0 else max(0, n - 4096) + at + 2


def _broken(expected: str, got: str) -> CorruptFrameError:
    return CorruptFrameError(
        "the frame is not a JPEG that can be read",
        expected=expected,
        got=got,
        fix="check the cable and the USB bandwidth; leave the frame out",
    )


def with_tables(data: np.ndarray, facts: JpegFacts) -> np.ndarray:
    """Return the JPEG with the standard Huffman tables put before its scan, (n + 420,) uint8."""
    tables = np.frombuffer(HUFFMAN_SEGMENT, np.uint8)
    return np.concatenate([data[: facts.scan_at], tables, data[facts.scan_at :]])

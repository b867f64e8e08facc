"""Write PNG and JPEG files whose bytes depend on nothing but their pixels: no zlib or libjpeg version has a say."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable

import numpy as np


def encode_png(pixels: np.ndarray, *, orientation: int | None = None) -> bytes:
    """Return a PNG of uint8 or uint16 height × width (gray) or height × width × 3 or 4, in stored zlib blocks."""
    h, w = pixels.shape[:2]
    colour = {2: 0, 3: 2, 4: 6}[pixels.ndim if pixels.ndim == 2 else pixels.shape[2]]
    depth = pixels.dtype.itemsize * 8
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(h, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)
    exif = _png_chunk(b"eXIf", _tiff(orientation)) if orientation else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", head)
        + exif
        + _png_chunk(b"IDAT", _stored(raw))
        + _png_chunk(b"IEND", b"")
    )


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _stored(raw: bytes) -> bytes:
    """Return a zlib stream of stored blocks (RFC 1950 and 1951)."""
    out = [b"\x78\x01"]
    for start in range(0, len(raw), 65535):
        block = raw[start : start + 65535]
        last = start + 65535 >= len(raw)
        out.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(out) + struct.pack(">I", zlib.adler32(raw))


def _tiff(orientation: int) -> bytes:
    return (
        b"MM\0\x2a\0\0\0\x08\0\x01"
        + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
        + b"\0\0\0\0"
    )


# ITU-T T.81, tables K.1 to K.6
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_DC_BITS = ((0, 1, 5, 1, 1, 1, 1, 1, 1), (0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1))
_AC_BITS = (
    (0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125),
    (0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119),
)
_AC_VALUES = (
    "0102030004110512213141061351610722711432 8191A1082342B1C11552D1F02433627282090A161718191A25262728292A3435363738"
    "393A434445464748494A535455565758595A636465666768696A737475767778797A838485868788898A92939495969798999AA2A3A4A5A6"
    "A7A8A9AAB2B3B4B5B6B7B8B9BAC2C3C4C5C6C7C8C9CAD2D3D4D5D6D7D8D9DAE1E2E3E4E5E6E7E8E9EAF1F2F3F4F5F6F7F8F9FA",
    "0001020311040521310612415107617113223281081442 91A1B1C109233352F0156272D10A162434E125F11718191A262728292A35363738"
    "393A434445464748494A535455565758595A636465666768696A737475767778797A82838485868788898A92939495969798999AA2A3A4A5"
    "A6A7A8A9AAB2B3B4B5B6B7B8B9BAC2C3C4C5C6C7C8C9CAD2D3D4D5D6D7D8D9DAE2E3E4E5E6E7E8E9EAF2F3F4F5F6F7F8F9FA",
)


def _zigzag() -> list[int]:
    order = sorted(
        ((r, c) for r in range(8) for c in range(8)),
        key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]),
    )
    return [8 * r + c for r, c in order]


@functools.cache
def _huffman(kind: str, chroma: int) -> tuple[bytes, bytes, dict[int, tuple[int, int]]]:
    """Return (counts per length, values, value → (code, length)) of a standard table."""
    bits = (_DC_BITS if kind == "dc" else _AC_BITS)[chroma]
    counts = bytes(bits) + bytes(16 - len(bits))
    values = (
        bytes(range(12)) if kind == "dc" else bytes.fromhex(_AC_VALUES[chroma].replace(" ", ""))
    )
    codes: dict[int, tuple[int, int]] = {}
    code, at = 0, 0
    for length, n in enumerate(counts, 1):
        for value in values[at : at + n]:
            codes[value] = (code, length)
            code += 1
        at += n
        code <<= 1
    return counts, values, codes


def _cosines() -> np.ndarray:
    """Return the 8×8 DCT matrix, rounded to 12 decimals: libm's last bit must not matter."""
    import math

    return np.array(
        [
            [
                round(
                    math.cos((2 * x + 1) * u * math.pi / 16)
                    / 2
                    * (math.sqrt(0.5) if u == 0 else 1),
                    12,
                )
                for x in range(8)
            ]
            for u in range(8)
        ]
    )


def _blocks(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the quantised DCT of each 8×8 block, (rows, columns, 64) in zigzag order, without BLAS."""
    h, w = plane.shape
    b = plane.reshape(h // 8, 8, w // 8, 8).transpose(0, 2, 1, 3) - 128.0
    m = _cosines()
    rows = sum(m[:, y][:, None] * b[:, :, y, None, :] for y in range(8))
    both = sum(m[:, x] * np.asarray(rows)[..., x, None] for x in range(8))
    # rounded to 1e-6 first, so that a tie is a tie on every machine
    whole = np.floor(np.round(both / table, 6) + 0.5).astype(int)
    return whole.reshape(h // 8, w // 8, 64)[..., _zigzag()]


class _Bits:
    def __init__(self):
        self.parts: list[str] = []

    def put(self, code: int, length: int) -> None:
        if length:
            self.parts.append(format(code, f"0{length}b"))

    def bytes(self) -> bytes:
        text = "".join(self.parts)
        text += "1" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _put_block(bits: _Bits, block: list[int], before: int, chroma: int) -> None:
    dc, ac = _huffman("dc", chroma)[2], _huffman("ac", chroma)[2]

    def amplitude(value: int) -> tuple[int, int]:
        size = abs(value).bit_length()
        return (value if value > 0 else value + (1 << size) - 1), size

    code, size = amplitude(block[0] - before)
    bits.put(*dc[size])
    bits.put(code, size)
    last = max((i for i in range(1, 64) if block[i]), default=0)
    run = 0
    for value in block[1 : last + 1]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits.put(*ac[0xF0])
            run -= 16
        code, size = amplitude(value)
        bits.put(*ac[run << 4 | size])
        bits.put(code, size)
        run = 0
    if last < 63:
        bits.put(*ac[0])


def encode_jpeg(
    pixels: np.ndarray,
    *,
    subsampling: str = "4:2:0",
    quality: int = 90,
    orientation: int | None = None,
) -> bytes:
    """Return a baseline JFIF JPEG (ITU-T T.81) of uint8 height × width × 3 RGB.

    `subsampling` is `4:4:4` or `4:2:0` (chroma averaged over 2×2); `quality` scales the standard tables as libjpeg
    does; `orientation` writes an EXIF segment.
    """
    h, w = pixels.shape[:2]
    step = 2 if subsampling == "4:2:0" else 1
    padded = np.pad(
        pixels, ((0, -h % (8 * step)), (0, -w % (8 * step)), (0, 0)), mode="edge"
    ).astype(np.int64)
    r, g, b = (padded[..., i] for i in range(3))
    # JFIF's conversion in 16 fraction bits, half up
    planes = [
        (19595 * r + 38470 * g + 7471 * b + 32768) >> 16,
        ((-11059 * r - 21709 * g + 32768 * b + 32767) >> 16) + 128,
        ((32768 * r - 27439 * g - 5329 * b + 32767) >> 16) + 128,
    ]
    if step == 2:
        planes[1:] = [
            (p[::2, ::2] + p[::2, 1::2] + p[1::2, ::2] + p[1::2, 1::2] + 2) // 4 for p in planes[1:]
        ]
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = [np.clip((t * percent + 50) // 100, 1, 255) for t in (_LUMA, _CHROMA)]
    coefficients = [_blocks(p, tables[min(i, 1)]) for i, p in enumerate(planes)]
    return _file_head((w, h), tables, step, orientation) + _scan(coefficients, step) + b"\xff\xd9"


def _scan(coefficients: list[np.ndarray], step: int) -> bytes:
    bits, before = _Bits(), [0, 0, 0]
    luma, *chroma = (c.tolist() for c in coefficients)
    for row in range(len(chroma[0])):
        for column in range(len(chroma[0][0])):
            for dy in range(step):
                for dx in range(step):
                    block = luma[row * step + dy][column * step + dx]
                    _put_block(bits, block, before[0], 0)
                    before[0] = block[0]
            for i, plane in enumerate(chroma, 1):
                block = plane[row][column]
                _put_block(bits, block, before[i], 1)
                before[i] = block[0]
    return bits.bytes()


def _file_head(
    size: tuple[int, int], tables: Iterable[np.ndarray], step: int, orientation: int | None
) -> bytes:
    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    out = [b"\xff\xd8", segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")]
    if orientation:
        out.append(segment(0xE1, b"Exif\0\0" + _tiff(orientation)))
    out += [
        segment(0xDB, bytes([i]) + bytes(t.reshape(64)[_zigzag()].tolist()))
        for i, t in enumerate(tables)
    ]
    parts = b"".join(
        bytes([i, sampling, min(i - 1, 1)]) for i, sampling in ((1, 17 * step), (2, 17), (3, 17))
    )
    out.append(segment(0xC0, struct.pack(">BHHB", 8, size[1], size[0], 3) + parts))
    for chroma in (0, 1):
        for kind, cls in (("dc", 0), ("ac", 16)):
            counts, values, _ = _huffman(kind, chroma)
            out.append(segment(0xC4, bytes([cls | chroma]) + counts + values))
    out.append(segment(0xDA, b"\x03\x01\0\x02\x11\x03\x11\0\x3f\0"))
    return b"".join(out)

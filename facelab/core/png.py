"""PNG files whose bytes depend on the pixels alone.

zlib, zlib-ng and libdeflate compress the same pixels to different bytes, and so do their versions. This encoder
filters rows with PNG's Paeth predictor and codes the residues with one dynamic Huffman block (RFC 1951, without
matches, which noisy pictures hardly have): about as small as zlib on photographs, and the same everywhere.
"""

from __future__ import annotations

import heapq
import struct
import zlib

import numpy as np

from facelab.core.errors import BadInputError

_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
PAETH = 4


def encode_png(image: np.ndarray) -> bytes:
    """Return a PNG of an image: (h, w, 3) uint8 RGB, (h, w) uint8 gray or (h, w) uint16 gray.

    Raises BadInputError for another shape or dtype.
    """
    kinds = {(3, "uint8"): (8, 2), (2, "uint8"): (8, 0), (2, "uint16"): (16, 0)}
    kind = kinds.get((image.ndim, image.dtype.name))
    if kind is None or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise BadInputError(
            "the picture cannot be written as PNG",
            expected="(h, w, 3) uint8, (h, w) uint8 or uint16",
            got=f"{image.shape} {image.dtype}",
            fix="convert the array to one of these kinds first",
        )
    h, w = image.shape[:2]
    header = struct.pack(">IIBBBBB", w, h, *kind, 0, 0, 0)
    rows = (
        np.ascontiguousarray(image, ">u2" if kind[0] == 16 else np.uint8)
        .view(np.uint8)
        .reshape(h, -1)
    )
    residues = _paeth(rows, rows.shape[1] // w)
    data = b"\x78\x01" + _deflate(residues) + struct.pack(">I", zlib.adler32(residues.tobytes()))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _paeth(rows: np.ndarray, step: int) -> np.ndarray:
    """Return flat uint8: for each row the filter's number and its Paeth residues; `step` bytes per pixel."""
    h, n = rows.shape
    x = np.zeros((h + 1, n + step), np.int16)
    x[1:, step:] = rows
    left, up, corner = x[1:, :-step], x[:-1, step:], x[:-1, :-step]
    pa, pb, pc = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    guess = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
    out = np.empty((h, n + 1), np.uint8)
    out[:, 0] = PAETH
    out[:, 1:] = (x[1:, step:] - guess).astype(np.uint8)
    return out.ravel()


def _code_lengths(counts: list[int], longest: int) -> list[int]:
    """Return Huffman code lengths of at most `longest` bits (0 for a symbol that does not occur)."""
    used = [k for k, c in enumerate(counts) if c]
    while True:
        lengths = [0] * len(counts)
        heap: list[tuple[int, int, tuple[int, ...]]] = [(counts[k], k, (k,)) for k in used]
        heapq.heapify(heap)
        while len(heap) > 1:
            a, b = heapq.heappop(heap), heapq.heappop(heap)
            for k in a[2] + b[2]:
                lengths[k] += 1
            heapq.heappush(heap, (a[0] + b[0], min(a[1], b[1]), a[2] + b[2]))
        if max(lengths) <= longest:
            return lengths
        # flatter counts give a flatter tree
        counts = [c // 2 + 1 if c else 0 for c in counts]


def _codes(lengths: list[int]) -> list[int]:
    """Return the canonical codes of RFC 1951 §3.2.2, bits reversed, for the order in which deflate stores them."""
    out, code = [0] * len(lengths), 0
    for bits in range(1, max(lengths) + 1):
        code <<= 1
        for k, n in enumerate(lengths):
            if n == bits:
                out[k] = int(f"{code:0{bits}b}"[::-1], 2)
                code += 1
    return out


def _deflate(data: np.ndarray) -> bytes:
    counts = np.bincount(data, minlength=257).tolist()
    counts[256] = 1
    lengths = _code_lengths(counts, 15)
    # one distance code of one bit that is never used
    described = [*lengths, 1]
    meta = _code_lengths(np.bincount(described, minlength=19).tolist(), 7)
    used = max(k for k in range(19) if meta[_ORDER[k]]) + 1
    head = [(1, 1), (2, 2), (0, 5), (0, 5), (used - 4, 4)] + [(meta[k], 3) for k in _ORDER[:used]]
    meta_codes = _codes(meta)
    head += [(meta_codes[n], meta[n]) for n in described]
    codes = _codes(lengths)
    values = np.concatenate(
        [[v for v, _ in head], np.array(codes, np.int64)[data], [codes[256]]]
    ).astype(np.uint32)
    widths = np.concatenate(
        [[n for _, n in head], np.array(lengths, np.int64)[data], [lengths[256]]]
    )
    ends = np.cumsum(widths)
    place: np.ndarray = np.arange(int(ends[-1])) - np.repeat(ends - widths, widths)
    bits: np.ndarray = (np.repeat(values, widths) >> place.astype(np.uint32)) & 1
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()

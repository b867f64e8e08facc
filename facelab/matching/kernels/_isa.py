"""Which vector instructions a kernel is built for: found at run time, forced by a parameter.

The register blocking (rows × vectors held in registers) was measured on a Zen 5 server core; see
docs/explanation/matching.md.
"""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean
from facelab.core.machine import cpu_features


@dataclass(frozen=True)
class Isa:
    """One set of instructions and the register blocking that suits it.

    `width` is the number of float32 lanes; `dot` names the int8 multiply-accumulate; the query's codes are in
    [-levels, levels] and are stored with `offset` added (the first operand of vpdpbusd and pmaddubsw is unsigned).
    `tiles` and `tiles_i8` map vectors per panel to gallery rows per tile.
    """

    name: str
    width: int
    dot: str
    offset: int
    levels: int
    tiles: tuple[tuple[int, int], ...]
    tiles_i8: tuple[tuple[int, int], ...]

    def rows(self, vectors: int, *, int8: bool) -> int:
        """Return the gallery rows of a tile that is `vectors` vectors wide."""
        return dict(self.tiles_i8 if int8 else self.tiles)[vectors]


_TILES_512 = ((1, 8), (2, 10), (3, 8))
_TILES_256 = ((1, 8), (2, 5), (3, 4))
_TILES_NEON = ((1, 8), (2, 8), (3, 6))
_TILES_128 = ((1, 6), (2, 4), (3, 3))

# pmaddubsw adds two products in 16 bits and saturates; codes of at most 63 keep 127·127·2 = 32258 below 32767.
# 127, not 128, levels for the rest: both signs alike.
ISAS = {
    "avx512vnni": Isa("avx512vnni", 16, "vnni512", 128, 127, _TILES_512, _TILES_512),
    "avx512": Isa("avx512", 16, "maddubs", 64, 63, _TILES_512, _TILES_256),
    "avxvnni": Isa("avxvnni", 8, "vnni256", 128, 127, _TILES_256, _TILES_256),
    "avx2": Isa("avx2", 8, "maddubs", 64, 63, _TILES_256, _TILES_256),
    "neon-dotprod": Isa("neon-dotprod", 4, "sdot", 0, 127, _TILES_NEON, _TILES_NEON),
    "neon": Isa("neon", 4, "generic", 0, 127, _TILES_NEON, _TILES_NEON),
    "generic": Isa("generic", 4, "generic", 0, 127, _TILES_128, _TILES_128),
}
"""Fastest first within a family; `generic` is plain LLVM vector code that any processor runs."""

_NEEDS: dict[str, set[str]] = {
    "avx512vnni": {"avx512f", "avx512bw", "avx512vl", "avx512_vnni"},
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx2", "fma"},
    "avxvnni": {"avx2", "fma", "avx_vnni"},
    "avx2": {"avx2", "fma"},
    "neon-dotprod": {"asimd", "asimddp"},
    "neon": {"asimd"},
    "generic": set(),
}


@functools.cache
def _host_features() -> frozenset[str]:
    """Return /proc/cpuinfo's feature names; where there is no such file (macOS, Windows), LLVM's, renamed."""
    if found := cpu_features():
        return found
    import llvmlite.binding as llvm

    names = {
        "avx512vnni": "avx512_vnni",
        "avxvnni": "avx_vnni",
        "neon": "asimd",
        "dotprod": "asimddp",
    }
    features: Mapping[str, bool] = {}
    with contextlib.suppress(RuntimeError):
        features = llvm.get_host_cpu_features()
    found = {str(names.get(name, name)) for name, on in features.items() if on}
    if platform.machine().lower() in ("arm64", "aarch64"):
        found.add("asimd")
    return frozenset(found)


@functools.cache
def available() -> tuple[str, ...]:
    """Return the names this processor can run, fastest first; "generic" is always among them."""
    return tuple(name for name in ISAS if _NEEDS[name] <= _host_features())


@functools.cache
def choose(name: str | None = None) -> Isa:
    """Return the instruction set `name`, or this processor's best for None or "auto".

    Raises BadInputError for an unknown name and UnsupportedError for one that this processor lacks.

    >>> choose("generic").width
    4
    """
    if name is None or name == "auto":
        return ISAS[available()[0]]
    if name not in ISAS:
        raise BadInputError(
            f"there is no instruction set {name!r}{did_you_mean(name, ISAS)}",
            expected=", ".join(ISAS),
            fix="leave `isa` out: the best available one is taken",
        )
    if name not in available():
        raise UnsupportedError(
            f"this processor has no {name}",
            expected=", ".join(available()),
            got=name,
            fix="leave `isa` out: the best available one is taken",
        )
    return ISAS[name]

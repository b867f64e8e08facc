"""The compiled kernels: instruction sets, LLVM IR, bounds, heaps and scans. The studies of them enter here."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facelab.matching.kernels._compile_cache import kernel
    from facelab.matching.kernels._intrinsics import pair_block, tile_f32
    from facelab.matching.kernels._isa import Isa, available, choose
    from facelab.matching.kernels._loops import (
        autovec_l2,
        blocked,
        blocked_i8,
        explicit,
        scalar4_l2,
        scalar_l2,
        strict_l2,
    )

__all__ = [
    "Isa",
    "autovec_l2",
    "available",
    "blocked",
    "blocked_i8",
    "choose",
    "explicit",
    "kernel",
    "pair_block",
    "scalar4_l2",
    "scalar_l2",
    "strict_l2",
    "tile_f32",
]
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_compile_cache": ["kernel"],
        "_intrinsics": ["pair_block", "tile_f32"],
        "_isa": ["Isa", "available", "choose"],
        "_loops": [
            "autovec_l2",
            "blocked",
            "blocked_i8",
            "explicit",
            "scalar4_l2",
            "scalar_l2",
            "strict_l2",
        ],
    },
)

"""LLVM's intermediate representation. Values and what a builder returns are `Any`: their classes follow the operand."""

from collections.abc import Iterable, Sequence
from typing import Any

class Type:
    def as_pointer(self, addrspace: int = ...) -> PointerType: ...

class PointerType(Type):
    pointee: Type

class VoidType(Type): ...
class HalfType(Type): ...
class FloatType(Type): ...
class DoubleType(Type): ...

class IntType(Type):
    width: int
    def __init__(self, bits: int) -> None: ...

class VectorType(Type):
    element: Type
    count: int
    def __init__(self, element: Type, count: int) -> None: ...

class ArrayType(Type):
    def __init__(self, element: Type, count: int) -> None: ...

class LiteralStructType(Type):
    def __init__(self, elems: Iterable[Type], packed: bool = ...) -> None: ...

class FunctionType(Type):
    def __init__(self, return_type: Type, args: Iterable[Type], var_arg: bool = ...) -> None: ...

Undefined: Any

class Constant:
    type: Any
    constant: Any
    def __init__(self, typ: Type, constant: Any) -> None: ...

class Module:
    globals: dict[str, Any]
    triple: str
    data_layout: str
    def __init__(self, name: str = ..., context: Any = ...) -> None: ...

class Block:
    def __getattr__(self, name: str) -> Any: ...

class Function:
    args: Sequence[Any]
    attributes: Any
    linkage: str
    def __init__(self, module: Module, ftype: FunctionType, name: str) -> None: ...
    def append_basic_block(self, name: str = ...) -> Block: ...

class InlineAsm:
    def __init__(
        self, ftype: FunctionType, asm: str, constraint: str, side_effect: bool = ...
    ) -> None: ...

class IRBuilder:
    block: Block
    module: Module
    function: Function
    def __init__(self, block: Block | None = ...) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

"""What facelab uses of lazy_loader, which states no types."""

from collections.abc import Callable
from typing import Any

def attach_stub(
    package_name: str, filename: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]: ...
def attach(
    package_name: str,
    submodules: set[str] | None = ...,
    submod_attrs: dict[str, list[str]] | None = ...,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]: ...

"""Make the project fixture known to this folder's tests."""

from conftest_reproduce import project

__all__ = ["project"]

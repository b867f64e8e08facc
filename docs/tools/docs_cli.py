"""The command line as mkdocs-click needs it: one click group in its own module."""

from facelab.cli import cli

__all__ = ["cli"]

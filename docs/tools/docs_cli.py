"""The command line as mkdocs-click needs it: one click group in a module of its own."""

from facelab.cli import cli

__all__ = ["cli"]

"""The live heart in a notebook."""

from facelab.feedback.widget._open import live_heart

__all__ = ["live_heart"]

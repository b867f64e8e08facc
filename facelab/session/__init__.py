"""A notebook's handle on its run: records, checks, kept results, figures.

>>> from facelab import session
>>> session.is_headless()
False
"""

from facelab.session._run import Run, is_headless, start

__all__ = ["Run", "is_headless", "start"]

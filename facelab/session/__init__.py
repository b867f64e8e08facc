"""A notebook's handle on its run: records, checks, kept results, figures.

>>> from facelab import session
>>> session.is_headless()
False
"""

from facelab.session._run import END_MARKER, Run, Verdict, is_headless, start

__all__ = ["END_MARKER", "Run", "Verdict", "is_headless", "start"]

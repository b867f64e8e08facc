"""From emotion to feedback: smoothing, the beating heart, a schedule of light, vibration and tones, the adaptive beat.

>>> from facelab import feedback
>>> steady = feedback.smoother(["anger", "joy"])
>>> steady.update(0.0, [0.2, 0.8]).label
'joy'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

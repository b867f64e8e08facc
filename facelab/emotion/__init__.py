"""Emotion classifiers: data, training by Model Maker or Keras, evaluation of the exported file, prediction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

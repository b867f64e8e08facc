"""Emotion classifiers: data, training by Model Maker or Keras, evaluation of the exported file, prediction."""

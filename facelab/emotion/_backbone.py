"""facelab's own small backbone, built alike by Keras 3 (main environment) and Keras 2 (Model Maker's kernel).

This file is also loaded by path inside the isolated kernel (Python 3.9, TensorFlow 2.13), so it uses nothing newer
and imports nothing of facelab.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

WIDTHS = (16, 32, 64, 64)
FEATURES = 96
# 0.999 leaves the moving averages far from the data after a few short epochs, and accuracy at chance.
BATCH_NORM_MOMENTUM = 0.9
DROPOUT = 0.4  # before the dense layer: a thousand faces are learnt by heart without it
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def build_backbone(keras: Any, size: int = 64, trainable_blocks: int = len(WIDTHS)) -> Any:
    """Return an uncompiled model: (n, size, size, 3) float32 in [-1, 1] → (n, 96) features.

    `keras` is the Keras to build with. A fixed first layer takes the luma: colour tells of skin, hair and light, not of
    expression, and would have to be learnt away from few faces. Then four blocks of 3×3 convolution, batch
    normalisation, ReLU and 2×2 maximum, then one dense layer, normalised too (without it, some trainings spend their
    first epochs on a plateau): brows and mouth are a few pixels at a known place, so the
    first block keeps full resolution and the place is not averaged away. The last `trainable_blocks` blocks and the
    dense layer can be trained (all but the dense layer are frozen at 0).
    """
    inputs = keras.Input(shape=(size, size, 3), name="image")
    luma = keras.layers.Conv2D(1, 1, use_bias=False, name="luma", trainable=False)
    x = luma(inputs)
    luma.set_weights([np.array(LUMA, np.float32).reshape(1, 1, 3, 1)])
    for k, width in enumerate(WIDTHS):
        trainable = k >= len(WIDTHS) - trainable_blocks
        x = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, name=f"conv{k}", trainable=trainable
        )(x)
        x = keras.layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, name=f"bn{k}", trainable=trainable
        )(x)
        x = keras.layers.ReLU(name=f"relu{k}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool{k}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(DROPOUT, name="dropout")(x)
    x = keras.layers.Dense(FEATURES, use_bias=False, name="features")(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="bn_features")(x)
    x = keras.layers.ReLU(name="relu_features")(x)
    return keras.Model(inputs, x, name="facelab_backbone")


def build_application(keras: Any, name: str, size: int, weights: list[np.ndarray]) -> Any:
    """Return one of Keras' applications without its head, averaged to one feature vector, with weights of a file."""
    body = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg"
    )
    body.load_weights(str(weights))
    return body


def cosine(start: float, epochs: int) -> Callable[[int], float]:
    """Return the learning rate's schedule, epoch → rate: from `start` to a tenth of it along half a cosine.

    At a constant rate the last epochs of a short training only jump about the minimum.

    >>> rate = cosine(1.0, 5)
    >>> [round(rate(epoch), 2) for epoch in range(5)]
    [1.0, 0.87, 0.55, 0.23, 0.1]
    """

    def rate(epoch: int, _=None) -> float:
        return start * (0.1 + 0.45 * (1 + math.cos(math.pi * epoch / max(epochs - 1, 1))))

    return rate


def weights_of(model: Any) -> dict:
    """Return the backbone's weights as `layer/index` → array, a form that both Keras versions read."""
    return {
        f"{layer.name}/{k}": w for layer in model.layers for k, w in enumerate(layer.get_weights())
    }


def set_weights(model: Any, weights: Any) -> None:
    """Set the weights that `weights_of` returned. Raises KeyError or ValueError where they do not fit."""
    for layer in model.layers:
        n = len(layer.get_weights())
        if n:
            layer.set_weights([weights[f"{layer.name}/{k}"] for k in range(n)])

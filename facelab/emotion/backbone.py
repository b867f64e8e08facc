"""facelab's own small backbone, built alike by Keras 3 (main environment) and Keras 2 (Model Maker's kernel).

This file is also loaded by path inside the isolated kernel (Python 3.9, TensorFlow 2.13), so it uses nothing newer
and imports nothing of facelab.
"""

from __future__ import annotations

WIDTHS = (16, 32, 64, 64)
FEATURES = 96
# 0.999 leaves the moving averages far from the data after a few short epochs, and accuracy at chance.
BATCH_NORM_MOMENTUM = 0.9


def build_backbone(keras, size: int = 64, trainable_blocks: int = len(WIDTHS)):
    """Return an uncompiled model: (n, size, size, 3) float32 in [-1, 1] → (n, 96) features.

    `keras` is the Keras to build with. Four blocks of 3×3 convolution, batch normalisation, ReLU and 2×2 maximum, then
    one dense layer: brows and mouth are a few pixels at a known place, so the first block keeps full resolution and
    the place is not averaged away. The last `trainable_blocks` blocks and the dense layer can be trained (all but the
    dense layer are frozen at 0).
    """
    x = inputs = keras.Input(shape=(size, size, 3), name="image")
    for k, width in enumerate(WIDTHS):
        trainable = k >= len(WIDTHS) - trainable_blocks
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{k}", trainable=trainable)(x)
        x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"bn{k}", trainable=trainable)(x)
        x = keras.layers.ReLU(name=f"relu{k}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool{k}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(FEATURES, activation="relu", name="features")(x)
    return keras.Model(inputs, x, name="facelab_backbone")


def weights_of(model) -> dict:
    """Return the backbone's weights as `layer/index` → array, a form that both Keras versions read."""
    return {f"{layer.name}/{k}": w for layer in model.layers for k, w in enumerate(layer.get_weights())}


def set_weights(model, weights) -> None:
    """Set the weights that `weights_of` returned. Raises KeyError or ValueError where they do not fit."""
    for layer in model.layers:
        n = len(layer.get_weights())
        if n:
            layer.set_weights([weights[f"{layer.name}/{k}"] for k in range(n)])

"""Fine-tuning under simulated INT8 rounding (quantisation-aware training), run by `facelab/core/job.py`.

The job is {"source": a Keras file, "epochs", "batch", "learning_rate", "seed", "classifier"}; the folder holds
`calibration.npy`, float32 inputs. Writes `tuned.keras`, the same float model with other weights, to be quantised after
training as ever; `float.npy`, what the model answered before; `twin.npy`, what the tuned one's rounded twin answers.

The rounding is TensorFlow's `tf.quantization.fake_quant_with_min_max_vars`: 8 bits, gradients passed straight through
inside the range (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018). Kernels are rounded symmetrically with a scale for each output channel, activations within one range
for each tensor, taken again from the images before every epoch. Batch normalisation stays in inference mode; since it
scales channel by channel, a kernel rounds the same before and after it is folded in. The target is the float model's
own output (distillation), so no labels are needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["KERAS_BACKEND"] = "tensorflow"

FUSED = ("BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "Softmax")
"""Layers that a converter joins to the one before: no tensor stands between them."""
SAME_RANGE = ("InputLayer", "Flatten", "Reshape", "Dropout", "MaxPooling2D", "Permute")


def rounded(variable: Any) -> Any:
    """Return a kernel rounded to 8 bits, symmetric, a scale for each output channel; other variables as they are."""
    import tensorflow as tf

    value, path = variable.value, variable.path.rsplit("/", 1)[-1]
    if "kernel" not in path:
        return value
    # a depthwise kernel's output channels are its last two axes
    width = value.shape[-2] * value.shape[-1] if "depthwise" in variable.path else value.shape[-1]
    flat = tf.reshape(value, (-1, width))
    ends = tf.maximum(tf.reduce_max(tf.abs(tf.stop_gradient(flat)), axis=0), 1e-8)
    whole = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -ends, ends, num_bits=8, narrow_range=True
    )
    return tf.reshape(whole, value.shape)


def rounding_layer() -> type:
    """Return the class of a layer that rounds its input to 8 bits within a range, or, while `watching`, widens it."""
    import keras
    import tensorflow as tf

    class Rounding(keras.layers.Layer):
        def build(self, _):
            self.low = self.add_weight(name="low", shape=(), initializer="zeros", trainable=False)
            self.high = self.add_weight(name="high", shape=(), initializer="zeros", trainable=False)
            self.watching = False

        def call(self, x):
            if not self.watching:
                return tf.quantization.fake_quant_with_min_max_vars(
                    x, self.low.value, self.high.value, num_bits=8
                )
            self.low.assign(keras.ops.minimum(self.low, keras.ops.min(x)))
            self.high.assign(keras.ops.maximum(self.high, keras.ops.max(x)))
            return x

    return Rounding


def simulated(model: Any) -> tuple[Any, list[Any]]:
    """Return a model that shares the layers of `model` and rounds every tensor that INT8 has, and its roundings."""
    import keras

    make, steps = rounding_layer(), []
    if isinstance(model, keras.Sequential):  # its layers are not called where the model is cloned
        model = keras.Model(model.inputs, model.outputs)

    def step(x):
        steps.append(make(name=f"rounding{len(steps)}"))
        return steps[-1](x)

    def layers(inside):
        return [
            f
            for layer in inside.layers
            for f in ([layer] if not isinstance(layer, keras.Model) else [layer, *layers(layer)])
        ]

    linear = (None, keras.activations.linear)
    joined = {
        id(layer)
        for layer in layers(model)
        if getattr(layer, "activation", None) in linear
        and [type(node.operation).__name__ in FUSED for node in layer._outbound_nodes] == [True]
    }

    def call(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        quiet = (
            isinstance(layer, keras.Model)
            or type(layer).__name__ in SAME_RANGE
            or id(layer) in joined
        )
        return out if quiet else step(out)

    copy = keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call, recursive=True
    )
    inputs = keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype)
    return keras.Model(inputs, copy(step(inputs))), steps


def watch(student: Any, steps: Any, images: np.ndarray, batch: Any) -> None:
    """Take each tensor's range from all images."""
    for step in steps:
        step.low.assign(0.0)
        step.high.assign(1e-6)
        step.watching = True
    for k in range(0, len(images), batch):
        student(images[k : k + batch], training=False)
    for step in steps:
        step.watching = False


def train(model: Any, images: Any, targets: Any, job: Any) -> tuple[list[Any], Any]:
    """Fine-tune `model` so that its rounded twin answers as the float model did.

    A fifth of the images is held out: the weights of the epoch whose rounded twin does best there are kept, those of
    the start included. Returns that loss by epoch, the start first, and the twin's answers to all images at the end.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    student, steps = simulated(model)
    taught, fixed = student.trainable_variables, student.non_trainable_variables
    loss_of: Any = (
        keras.losses.KLDivergence() if job["classifier"] else keras.losses.MeanSquaredError()
    )
    rng = np.random.default_rng(job["seed"])
    order = rng.permutation(len(images))
    held, learnt = order[: len(order) // 5], order[len(order) // 5 :]
    total = job["epochs"] * -(-len(learnt) // job["batch"])
    rate: Any = keras.optimizers.schedules.CosineDecay(job["learning_rate"], total)
    optimizer = keras.optimizers.Adam(rate)

    def answer(x):
        return student.stateless_call(
            [rounded(v) for v in taught], [rounded(v) for v in fixed], x, training=False
        )[0]

    @tf.function
    def learn(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, answer(x))
        optimizer.apply(tape.gradient(loss, [v.value for v in taught]), taught)

    @tf.function
    def loss_on(x, y):
        return loss_of(y, answer(x))

    losses: list[float] = []
    best: list[np.ndarray] = []
    for epoch in range(job["epochs"] + 1):
        watch(student, steps, images, job["batch"])
        losses.append(float(loss_on(tf.constant(images[held]), tf.constant(targets[held]))))
        if losses[-1] <= min(losses):
            best = [v.numpy() for v in taught]
        if epoch < job["epochs"]:
            order = rng.permutation(learnt)
            for k in range(0, len(order), job["batch"]):
                part = order[k : k + job["batch"]]
                learn(tf.constant(images[part]), tf.constant(targets[part]))
    for variable, value in zip(taught, best):
        variable.assign(value)
    watch(student, steps, images, job["batch"])
    return losses, answer(tf.constant(images)).numpy()


def work(job: Any, folder: Any) -> dict[str, list[Any]]:
    """Carry the job out; return the losses."""
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(job["seed"] % 2**32)
    tf.config.experimental.enable_op_determinism()
    model: Any = keras.models.load_model(Path(job["source"]), compile=False)
    images = np.load(folder / "calibration.npy")
    targets = model.predict(images, batch_size=job["batch"], verbose=0)
    np.save(folder / "float.npy", targets)
    losses, twin = train(model, images, targets, job)
    np.save(folder / "twin.npy", twin)
    model.save(folder / "tuned.keras")
    return {"losses": losses}

"""A saved Keras model as a backbone: where its head begins, and which of its layers are trained.

Used by `_keras_job.py` in its own process, so it imports nothing of facelab.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FEW_OUTPUTS = 16
"""A last dense layer without an activation is a head up to this many outputs, else it gives features."""


class UnusableError(Exception):
    """The model cannot be a backbone; the arguments are what, expected, got and fix."""


def open_file(keras: Any, path: Path) -> Any:
    """Return the model without its training configuration. Raises UnusableError where Keras refuses it."""
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as e:  # whatever a file makes Keras raise is the file's fault
        got = (str(e).splitlines() or [type(e).__name__])[0][:300]
        raise UnusableError(
            "Keras refuses the backbone's file",
            "a whole model (model.save), of Keras' own layers",
            got,
            "save it again with this Keras; lambda and own layers cannot be loaded",
        ) from e


def without_head(keras: Any, model: Any, layer: str | None) -> tuple[Any, dict[str, Any]]:
    """Return (image → features as a model, what was decided): `features`, `width`, `head` and `input`.

    `layer` names the layer whose output the features are. Without it, the features are what goes into the last layer
    with weights where that layer is a head: the model ends in a softmax or sigmoid, or it is a dense layer of a few
    plain outputs. A model without a head is taken whole. Features that are maps are averaged over the picture.
    """
    if len(model.inputs) != 1:
        raise UnusableError(
            "the backbone has several inputs",
            "one image",
            f"{len(model.inputs)} inputs",
            "save a model that takes the image alone",
        )
    if layer is not None:
        features, head = _output_of(model, layer).output, []
        name = layer
    elif len(model.outputs) != 1:
        raise UnusableError(
            "the backbone has several outputs",
            "one output, or the layer whose output the features are",
            ", ".join(_names(model))[-300:],
            "name the layer with --backbone-layer",
        )
    else:
        features, name, head = _cut(model)
    if isinstance(features, (list, tuple)) or len(features.shape) not in (2, 4):
        raise UnusableError(
            "the layer does not give features",
            "one array (n, features) or maps (n, height, width, features)",
            "several" if isinstance(features, (list, tuple)) else str(tuple(features.shape)),
            "name another layer with --backbone-layer",
        )
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="features_averaged")(features)
    body = keras.Model(model.inputs[0], features, name="own_backbone")
    told = {
        "features": name,
        "width": int(features.shape[-1]),
        "head": head,
        "input": [None if n is None else int(n) for n in model.inputs[0].shape],
        "layers": len(_weighted(body)),
    }
    return body, told


def own_answer(keras: Any, model: Any) -> Any:
    """Return (image → logits of the model's own classes), or None where the model does not end in a softmax.

    A dense layer of a few plain outputs counts as logits. A softmax inside the last layer is taken out of it.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        return None
    last = model.layers[-1]
    kind, ends = type(last).__name__, _activation(last)
    if kind == "Softmax" or (kind == "Activation" and ends == "softmax"):
        return keras.Model(model.inputs[0], last.input, name="own_answer")
    if kind != "Dense" or ends not in ("softmax", "linear"):
        return None
    if ends == "softmax":
        last.activation = keras.activations.linear
    elif last.output.shape[-1] > FEW_OUTPUTS:
        return None
    return keras.Model(model.inputs[0], model.outputs[0], name="own_answer")


def freeze(body: Any, strategy: str) -> None:
    """Make trainable what the strategy says: nothing, the last third of the layers with weights, or everything."""
    body.trainable = strategy != "frozen"
    if strategy == "partial":
        layers = _weighted(body)
        for kept in layers[: len(layers) - -(-len(layers) // 3)]:
            kept.trainable = False


def _weighted(model: Any) -> list[Any]:
    """Return the layers with weights, those of models inside the model too."""
    found = []
    for layer in model.layers:
        if getattr(layer, "layers", None):
            found += _weighted(layer)
        elif layer.weights:
            found.append(layer)
    return found


def _names(model: Any) -> list[str]:
    return [layer.name for layer in model.layers]


def _output_of(model: Any, name: str) -> Any:
    if name not in _names(model):
        raise UnusableError(
            f"the backbone has no layer {name!r}",
            ", ".join(_names(model))[-300:],
            name,
            "name one of its layers",
        )
    return model.get_layer(name)


def _cut(model: Any) -> tuple[Any, str, list[str]]:
    """Return the features, the name of what gives them, and the layers of the head that were left out."""
    behind: list[Any] = []
    for layer in reversed(model.layers):
        behind.append(layer)
        if layer.weights:
            break
    last = behind[-1]
    kind = type(last).__name__
    ends = {_activation(layer) for layer in behind} | {type(layer).__name__ for layer in behind}
    chosen = bool(ends & {"softmax", "sigmoid", "Softmax"})
    plain = kind == "Dense" and last.output.shape[-1] <= FEW_OUTPUTS
    if kind in ("Dense", "Conv2D") and (chosen or plain):
        return last.input, f"input of {last.name}", [layer.name for layer in reversed(behind)]
    return model.outputs[0], model.layers[-1].name, []


def _activation(layer: Any) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "")

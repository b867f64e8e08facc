"""The recipes: every way of quantising that facelab offers, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean

Route = Literal["edge", "tf", "qat", "modelmaker", "onnx"]
METHODS = ("minmax", "entropy", "percentile")
LITERT_KINDS = ("float16", "dynamic-range", "weight-only", "int8", "uint8")


@dataclass(frozen=True)
class Recipe:
    """One way of quantising.

    `route`: ai-edge-quantizer (edge), the TensorFlow converter (tf), the converter after fine-tuning under simulated
    rounding (qat), Model Maker's own export, ONNX Runtime (onnx).
    `kind`: what becomes an integer. The last three fields are those of ONNX's static QDQ. `full_integer` promises
    that no operator computes in floating point, which is read back from the file.
    """

    name: str
    route: Route
    kind: str
    activation: str = "int8"
    per_channel: bool = True
    method: str = "minmax"

    @property
    def full_integer(self) -> bool:
        """Whether inputs, outputs and every operator are integers (LiteRT)."""
        return self.route != "onnx" and self.kind in ("int8", "uint8")

    @property
    def keeps_float(self) -> bool:
        """Whether single operators can be left in float."""
        return self.route in ("edge", "onnx")

    def check_float_operators(self) -> None:
        """Raise UnsupportedError if this recipe cannot leave single operators in float."""
        if not self.keeps_float:
            raise UnsupportedError(
                f"the recipe {self.name!r} cannot leave single operators in float",
                expected="an edge recipe or an ONNX one",
                got=self.name,
                fix="use edge-int8",
            )


def _all() -> dict[str, Recipe]:
    found = [Recipe(f"edge-{k}", "edge", k) for k in LITERT_KINDS if k != "uint8"]
    found += [Recipe(f"tf-{k}", "tf", k) for k in LITERT_KINDS if k != "weight-only"]
    found += [Recipe("qat-int8", "qat", "int8"), Recipe("modelmaker-int8", "modelmaker", "int8")]
    for letters, activation in (("u8s8", "uint8"), ("s8s8", "int8")):
        for per in ("channel", "tensor"):
            found += [
                Recipe(
                    f"{letters}-per-{per}-{m}", "onnx", "static", activation, per == "channel", m
                )
                for m in METHODS
            ]
    found.append(Recipe("dynamic", "onnx", "dynamic"))
    return {r.name: r for r in found}


RECIPES = _all()
NAMES = ("all", *LITERT_KINDS, "u8s8", "s8s8", *RECIPES)


def choose(
    name: str, model: Path, *, converter: bool, keep_float: bool = False, alone: bool = True
) -> list[Recipe]:
    """Return the recipes that `name` means for a model file: one, or with `all` every one that fits its format.

    Short names take the route that the format allows: for a `.tflite`, float16, dynamic-range, weight-only and int8
    mean ai-edge-quantizer (uint8 the converter); for `.keras` and SavedModel the TensorFlow converter (weight-only
    ai-edge-quantizer, since the converter has none; int8 too with `keep_float`, since the converter cannot leave
    operators in float behind integer inputs and outputs). u8s8 and s8s8 mean per-channel and MinMax, which are also
    what is left out of the end of an ONNX name. `converter`: whether there is a Keras model or SavedModel to convert.
    `alone`: with `keep_float`, the recipe must be able to leave operators in float; beside one that can, it need not.
    Raises BadInputError for an unknown name, UnsupportedError for a recipe of another format.
    """
    onnx = model.suffix.lower() == ".onnx"
    if name == "all":
        routes = ("onnx",) if onnx else ("edge", "tf") if converter else ("edge",)
        return [r for r in RECIPES.values() if r.route in routes]
    recipe = RECIPES.get(_full_name(name, model, onnx, keep_float))
    if recipe is None:
        raise BadInputError(
            f"no recipe is named {name!r}{did_you_mean(name, NAMES)}",
            expected=", ".join(NAMES),
            got=name,
            fix="choose one of the recipes",
        )
    if (recipe.route == "onnx") != onnx:
        fits = [r.name for r in RECIPES.values() if (r.route == "onnx") == onnx]
        raise UnsupportedError(
            f"the recipe {name!r} is for another model format",
            where=model,
            expected=", ".join(fits),
            got=name,
            fix="choose a recipe of this format, or give the model in the other format",
        )
    if recipe.route in ("tf", "qat") and not converter:
        raise UnsupportedError(
            f"the recipe {recipe.name!r} needs the TensorFlow converter, which takes no .tflite",
            where=model,
            expected="a .keras file or SavedModel, or one beside the .tflite",
            got=model.name,
            fix="name the .keras file or SavedModel, or use "
            + ", ".join(r.name for r in RECIPES.values() if r.route == "edge"),
        )
    if keep_float and alone:
        recipe.check_float_operators()
    return [recipe]


def _full_name(name: str, model: Path, onnx: bool, keep_float: bool) -> str:
    name = name.lower().replace("_", "-")
    if onnx and name in ("float16", "weight-only", "uint8"):
        return f"edge-{name}" if name != "uint8" else "tf-uint8"
    if onnx:
        name = {"int8": "u8s8", "qdq": "u8s8", "static": "u8s8", "dynamic-range": "dynamic"}.get(
            name, name
        )
        if name in ("u8s8", "s8s8"):
            name += "-per-channel"
        return f"{name}-minmax" if name.endswith(("-per-channel", "-per-tensor")) else name
    if name.startswith(
        ("u8s8", "s8s8")
    ):  # known, and refused with the recipes that fit this format
        return next((r for r in RECIPES if r.startswith(name)), name)
    if name in LITERT_KINDS:
        edge = (model.suffix.lower() == ".tflite" or keep_float) and name != "uint8"
        return f"{'edge' if edge or name == 'weight-only' else 'tf'}-{name}"
    return name

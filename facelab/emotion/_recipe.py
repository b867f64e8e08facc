"""How a classifier is trained: the settings, what they can be combined with, and the job that a back end is given."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facelab.core.errors import BadInputError
from facelab.emotion._augment import Augmentation
from facelab.emotion._backbone import WIDTHS
from facelab.emotion._network import KerasNetwork, feeding
from facelab.emotion._spec import face_size, normalized_by
from facelab.preprocess import PreprocessSpec

Backbone = Path | str | KerasNetwork | None
"""Weights of facelab's backbone or of an application of Keras, an address, a Keras file, or random weights."""
Strategy = Literal["frozen", "partial", "whole"]
TRAINABLE_BLOCKS = {"frozen": 0, "partial": 2, "whole": len(WIDTHS)}


@dataclass(frozen=True)
class Settings:
    """How to fine-tune.

    Parameters
    ----------
    backend : str
        `modelmaker` or `keras`.
    strategy : str
        What is trained: `frozen` the head alone, `partial` the last two blocks too (of a Keras file its last third),
        `whole` everything.
    epochs, batch : int
        Passes over the faces, and faces per step.
    learning_rate, dropout : float
        Where the learning rate starts; the share of inputs of the head that are dropped.
    class_weights : str
        `balanced` repeats faces of rarer classes; `none` does not.
    augmentation : Augmentation
        How augmented copies are made.
    patience : int
        Epochs without a lower validation loss before training stops and the best weights return; 0 never stops.
    seed : int
        Of every random choice.
    int8 : bool
        Whether Model Maker also exports INT8, calibrated on the calibration part.

    Examples
    --------
    >>> Settings(backend="keras", epochs=2).epochs
    2
    """

    backend: Literal["modelmaker", "keras"] = "modelmaker"
    strategy: Strategy = "whole"
    epochs: int = 8
    batch: int = 32
    learning_rate: float = 0.02
    dropout: float = 0.2
    class_weights: Literal["none", "balanced"] = "balanced"
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(copies=2))
    patience: int = 3
    seed: int = 7
    int8: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in TRAINABLE_BLOCKS:
            raise BadInputError(
                "no such fine-tuning strategy",
                expected=", ".join(TRAINABLE_BLOCKS),
                got=self.strategy,
                fix="choose one of the strategies",
            )
        if self.class_weights not in ("none", "balanced"):
            raise BadInputError(
                "no such class weights",
                expected="none or balanced",
                got=self.class_weights,
                fix="choose none or balanced",
            )
        if self.int8 and self.backend != "modelmaker":
            raise BadInputError(
                "the INT8 export belongs to Model Maker",
                got=f"int8 with the {self.backend} back end",
                fix="leave it out, and quantise the result: facelab quantize MODEL",
            )
        for name in ("epochs", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise BadInputError(
                    f"`{name}` must be positive",
                    got=getattr(self, name),
                    fix="choose a number above 0",
                )


FEW = 1000
"""Real faces below which the settings for few faces are taken."""
USUAL = {"strategy": "whole", "epochs": 8, "learning_rate": 0.02, "patience": 3}
FEW_FACES = {"strategy": "partial", "epochs": 30, "learning_rate": 0.005, "patience": 0}
FEW_ON_OWN_HEAD = {"strategy": "frozen", "epochs": 8, "learning_rate": 0.01, "patience": 0}
FEW_ON_OWN_FEATURES = {"strategy": "frozen", "epochs": 15, "learning_rate": 0.02, "patience": 0}


def usual_settings(
    faces: int, backbone: Backbone, *, facelabs: bool, classes: Sequence[str]
) -> dict[str, Any]:
    """Return the usual settings for a number of real faces (0: synthetic ones), chosen by cross-validation.

    `facelabs` says that the backbone is facelab's own. Few faces change a good network little: one that knows the
    classes keeps its head, of another one the head alone is trained.

    Parameters
    ----------
    faces : int
        How many real faces there are.
    backbone : path or str or KerasNetwork or None
        The backbone to start from.
    facelabs : bool
        Whether that is facelab's own.
    classes : Sequence[str]
        The classes that are trained.

    Returns
    -------
    dict[str, Any]
        The strategy, the epochs, the learning rate and the patience.
    """
    if not 0 < faces < FEW:
        return USUAL
    if isinstance(backbone, KerasNetwork):
        return FEW_ON_OWN_FEATURES if backbone.columns(classes) is None else FEW_ON_OWN_HEAD
    return FEW_FACES if facelabs else USUAL


def check_backbone(backbone: Backbone, settings: Settings) -> None:
    """Refuse a backbone that the back end or the strategy cannot train, before any picture is read.

    Parameters
    ----------
    backbone : path or str or KerasNetwork or None
        The backbone to start from; None for random weights.
    settings : Settings
        How the training runs.

    Raises
    ------
    BadInputError
        The back end or the strategy cannot train this backbone.
    """
    if isinstance(backbone, KerasNetwork) and settings.backend != "keras":
        raise BadInputError(
            "a backbone from a Keras file is trained by the keras back end",
            where=backbone.path,
            expected="keras",
            got=settings.backend,
            fix="say --backend keras",
        )
    keras_weights = isinstance(backbone, Path) and backbone.suffix == ".h5"
    if keras_weights and settings.strategy == "partial":
        raise BadInputError(
            "`partial` works with facelab's own backbone", got=backbone, fix="frozen or whole"
        )
    if isinstance(backbone, str) and (
        settings.backend != "modelmaker" or settings.strategy == "partial"
    ):
        raise BadInputError(
            "a backbone by address or SavedModel works with Model Maker, frozen or whole",
            got=backbone,
            fix="use --backend modelmaker, or facelab's own backbone",
        )


def job_for(
    classes: Sequence[str],
    spec: PreprocessSpec,
    settings: Settings,
    backbone: Backbone,
    folder: Path,
) -> dict[str, Any]:
    """Return the job of a training, with the backbone's file in the job's folder."""
    chosen: dict[str, Any] = {
        "kind": "weights",
        "trainable_blocks": TRAINABLE_BLOCKS[settings.strategy],
    }
    check_backbone(backbone, settings)
    if isinstance(backbone, KerasNetwork):
        chosen = backbone.in_job(folder, classes)
    elif isinstance(backbone, Path) and backbone.suffix == ".h5":
        shutil.copy(backbone, folder / "weights.h5")
        chosen = {"kind": "application", "name": "MobileNetV2", "weights": "weights.h5"}
    elif isinstance(backbone, Path):
        shutil.copy(backbone, folder / "weights.npz")
        chosen["weights"] = "weights.npz"
    elif backbone is not None:
        chosen = {"kind": "uri", "uri": str(backbone)}
    return {
        "kind": "image",
        "name": "emotion",
        "labels": list(classes),
        **_fed(spec, own=isinstance(backbone, KerasNetwork)),
        "backbone": chosen,
        "strategy": settings.strategy,
        "epochs": settings.epochs,
        "batch": settings.batch,
        "seed": settings.seed,
        "learning_rate": settings.learning_rate,
        "dropout": settings.dropout,
        "patience": settings.patience,
        "int8": settings.int8,
    }


def _fed(spec: PreprocessSpec, *, own: bool) -> dict[str, Any]:
    """Return what the job must know of the input; a network of the user's own has any shape and channels."""
    if not own:
        mean, scale = normalized_by(spec)
        return {"size": spec.resized_to()[0], "mean": mean, "std": scale}
    width, height = face_size(spec)
    fed = feeding(spec)
    return {"shape": [height, width, len(fed["mean"])], **fed}

from . import backbones
from ._augment import Augmentation
from ._classifier import EmotionClassifier
from ._evaluate import evaluate
from ._predict import predict
from ._prepare import collect
from ._recipe import Settings
from ._registry import available, load
from ._spec import emotion_spec
from ._train import train_and_evaluate

__all__ = [
    "Augmentation",
    "EmotionClassifier",
    "Settings",
    "available",
    "backbones",
    "collect",
    "emotion_spec",
    "evaluate",
    "load",
    "predict",
    "train_and_evaluate",
]

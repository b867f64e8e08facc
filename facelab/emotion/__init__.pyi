from . import backbones, sources, text
from ._augment import Augmentation
from ._classifier import EmotionClassifier
from ._data import FaceSet
from ._evaluate import evaluate
from ._network import KerasNetwork
from ._predict import predict
from ._prepare import collect
from ._recipe import Settings
from ._registry import available, load
from ._spec import emotion_spec
from ._train import train, train_and_evaluate

__all__ = [
    "Augmentation",
    "EmotionClassifier",
    "FaceSet",
    "KerasNetwork",
    "Settings",
    "available",
    "backbones",
    "collect",
    "emotion_spec",
    "evaluate",
    "load",
    "predict",
    "sources",
    "text",
    "train",
    "train_and_evaluate",
]

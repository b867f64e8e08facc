from . import backbones, sources, text
from ._augment import Augmentation
from ._classifier import EmotionClassifier
from ._data import PARTS, FaceSet, check_disjoint, split
from ._evaluate import Answers, Evaluation, evaluate, in_classes
from ._jobs import interpreter, modelmaker_interpreter
from ._predict import annotate, default_folder, find_model, predict, predict_files, remember
from ._prepare import Collected, check_crop, classes_of, collect, detector_name, is_fer, prepare
from ._registry import available, load
from ._spec import emotion_spec, quantized, to_tensor
from ._split_file import SPLIT, TrainedOn, as_trained, trained_on, unseen, write_split
from ._train import MODEL, Settings, check, check_backbone, train, train_and_evaluate

__all__ = [
    "MODEL",
    "PARTS",
    "SPLIT",
    "Answers",
    "Augmentation",
    "Collected",
    "EmotionClassifier",
    "Evaluation",
    "FaceSet",
    "Settings",
    "TrainedOn",
    "annotate",
    "as_trained",
    "available",
    "backbones",
    "check",
    "check_backbone",
    "check_crop",
    "check_disjoint",
    "classes_of",
    "collect",
    "default_folder",
    "detector_name",
    "emotion_spec",
    "evaluate",
    "find_model",
    "in_classes",
    "interpreter",
    "is_fer",
    "load",
    "modelmaker_interpreter",
    "predict",
    "predict_files",
    "prepare",
    "quantized",
    "remember",
    "sources",
    "split",
    "text",
    "to_tensor",
    "train",
    "train_and_evaluate",
    "trained_on",
    "unseen",
    "write_split",
]

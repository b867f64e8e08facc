from . import sources, text
from ._data import CROPPED_BELOW, FaceSet, Seen, check_disjoint, detector_name, face_finder, split
from ._evaluate import Answers, Evaluation, in_classes
from ._jobs import interpreter, modelmaker_interpreter
from ._labels import are_logits, labels_inside, output_of_classes
from ._network import KerasNetwork
from ._predict import annotate, default_folder, find_model, predict_files, remember
from ._prepare import Collected, check_crop, classes_of, is_fer, prepare
from ._recipe import check_backbone, usual_settings
from ._registry import renamed
from ._spec import quantized, to_tensor
from ._split_file import SPLIT, as_trained, trained_on, unseen
from ._train import MODEL, check, train

__all__ = [
    "CROPPED_BELOW",
    "MODEL",
    "SPLIT",
    "Answers",
    "Collected",
    "Evaluation",
    "FaceSet",
    "KerasNetwork",
    "Seen",
    "annotate",
    "are_logits",
    "as_trained",
    "check",
    "check_backbone",
    "check_crop",
    "check_disjoint",
    "classes_of",
    "default_folder",
    "detector_name",
    "face_finder",
    "find_model",
    "in_classes",
    "interpreter",
    "is_fer",
    "labels_inside",
    "modelmaker_interpreter",
    "output_of_classes",
    "predict_files",
    "prepare",
    "quantized",
    "remember",
    "renamed",
    "sources",
    "split",
    "text",
    "to_tensor",
    "train",
    "trained_on",
    "unseen",
    "usual_settings",
]

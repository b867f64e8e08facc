"""`facelab emotion evaluate`: figures of an exported file on labelled faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import (
    emit,
    json_option,
    note,
    say_model,
    strict_option,
    trust_model_option,
    warn_first,
)
from facelab.commands.emotion._options import DATA_HELP, face_options, label_map_option, spec_option
from facelab.commands.emotion._summary import summary
from facelab.commands.emotion._text import evaluate_text, is_text
from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    from facelab.emotion.internals import FaceSet


@click.command(
    name="evaluate",
    epilog="Example: facelab emotion evaluate models/emotion --data synthetic --n 300 --seed 11",
)
@click.argument("model", required=False)
@click.option(
    "--data",
    required=True,
    metavar="WHAT",
    help=DATA_HELP + " For a text model a CSV with text and label.",
)
@face_options(n=300, least=2, seed=11, seed_help="Of synthetic faces.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also count faces and identities that the model was trained on (left out by default).",
)
@spec_option
@label_map_option
@trust_model_option
@strict_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: Any,
    data: Any,
    classes: Any,
    n: Any,
    seed: int,
    everything: Any,
    workers: Any,
    crop: Any,
    ferplus: Any,
    spec: str | None,
    label_map: Any,
    strict: bool,
    as_json: bool,
) -> None:
    """Evaluate a classifier: a name of the catalogue, a .tflite, .onnx or Keras file, or the folder of a training.

    By default that is the last one trained. A file of your own needs its preprocessing (.preprocess.json) and its
    labels (inside it, or labels.txt) beside it. Labels in a different order than the outputs are found and reported.

    Prints accuracy with a bootstrap interval, precision, recall and F1 a class, the confusion table and the expected
    calibration error. The file is run as a device runs it, with the preprocessing that is beside it.
    """
    from facelab import emotion
    from facelab.emotion.internals import classes_of, renamed

    if model is not None and is_text(Path(model)):
        evaluate_text(Path(model), data, as_json)
        return
    classifier = emotion.load(model, spec=spec)
    of_data = renamed(classifier, label_map, data)
    said = f"{len(classifier.classes)} classes, preprocessing {classifier.spec.name}"
    say_model(model or classifier.path, said)
    wanted = classes_of(classes, data) if classes else _classes_in(classifier, data, of_data)
    collected = emotion.collect(
        data,
        classifier.spec,
        classes=wanted,
        n=n,
        seed=seed,
        workers=workers,
        crop=crop,
        votes=ferplus,
        to_train=False,
        progress=True,
        label_map=of_data,
    )
    for remark in collected.notes:
        note(remark)
    faces, left, trained = _untrained(collected.faces, classifier, everything, data)
    result = emotion.evaluate(classifier, faces)
    if classifier.logits:
        note("the model's outputs are not probabilities: a softmax is applied")
    suspicion = result.question(classifier)
    value = {"suspicion": suspicion and suspicion.to_dict()}
    emit(
        result.to_dict()
        | {"data": collected.source, "left_out": left, "trained_on": trained}
        | value,
        as_json=as_json,
        text=warn_first(summary(result), suspicion),
    )
    ctx.exit(1 if strict and suspicion else 0)


def _classes_in(classifier: Any, data: str, of_data: dict[str, str]) -> tuple[str, ...]:
    """Return the classes to evaluate: the model's emotions, or its own classes where the data have such labels.

    `of_data` says what labels of the data mean.
    """
    from facelab.datasets.labels import DROP, NAMES, SEVEN, plain
    from facelab.emotion.internals import sources

    if data != "synthetic":
        few = sum(c in SEVEN for c in classifier.classes) < 2
        # beside emotions, contempt and the like stay left out, as in FER+; calm is not neutral where both are classes
        own = {
            plain(c)
            for c in classifier.classes
            if few or (c not in SEVEN and NAMES.get(plain(c)) != DROP)
        }
        there = sources.labels_of(data) if Path(data).exists() else ()
        if own & {plain(of_data.get(label, label)) for label in there}:
            return tuple(sorted(classifier.classes))
        if few and there:
            label, name = sorted(there)[0], classifier.classes[0]
            raise BadInputError(
                "no label of the data is a class of the model",
                where=data,
                expected=", ".join(classifier.classes),
                got=", ".join(sorted(there))[:200],
                fix=f"say what a label of the data means, such as --label-map {label}={name}; where the model's labels "
                f"are emotions by other names, say which, such as --label-map {name}=joy",
            )
    return classifier.emotions


def _untrained(
    faces: FaceSet, classifier: Any, everything: bool, data: str
) -> tuple[FaceSet, int, int]:
    """Return the faces to count, how many are left out, and how many of the counted were trained on."""
    from facelab.emotion.internals import unseen

    fresh = unseen(faces, classifier.path.parent)
    known = len(faces) - len(fresh)
    counted, left, trained = (faces, 0, known) if everything else (fresh, known, 0)
    if left:
        note(
            f"{left} of {len(faces)} faces were in its training (image or identity) and are left out; "
            "--all counts them"
        )
    if trained:
        note(
            f"{trained} of {len(counted)} faces were in its training: the figures are not evidence"
        )
    if not len(counted):
        raise BadInputError(
            "the model was trained on every one of these faces",
            where=data,
            fix="give faces that it has not seen, or count them with --all",
        )
    if again := len(counted) - len(set(counted.hashes())):
        note(
            f"{again} of {len(counted)} faces repeat another picture's pixels: the interval is too narrow"
        )
    return counted, left, trained

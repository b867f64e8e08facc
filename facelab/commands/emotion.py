"""`facelab emotion …`: train a classifier, evaluate its exported file, run it on pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from facelab.commands.common import (
    THREADS,
    FloatRange,
    OutPath,
    emit,
    json_option,
    note,
    say_model,
    strict_option,
    trust_model_option,
    warn_first,
)
from facelab.commands.emotion_predict import predict_
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.emotion import internals as emotion_internals

if TYPE_CHECKING:
    from facelab.emotion import Settings
    from facelab.preprocess import PreprocessSpec

Backend = Literal["modelmaker", "keras"]

BACKENDS = ("modelmaker", "keras", "text")
data_help = (
    "synthetic, an image folder (a sub-folder a label), a CSV (file and emotion; optionally identity, "
    "x1, y1, x2, y2, split), or fer2013.csv."
)
classes_option = click.option(
    "--classes",
    default=None,
    metavar="3|7|labels|NAMES",
    help="3: anger, joy, neutral. 7: also disgust, fear, sadness, surprise. labels: the labels of --data as they are. "
    "Or names separated by commas, of emotions or your own (alert,drowsy).  [default of train: 3]",
)
crop_option = click.option(
    "--crop",
    default="detect",
    show_default=True,
    metavar="detect|whole|NAME",
    help="Where a picture has no box: the largest face that a detector finds, or all of it.",
)
spec_option = click.option(
    "--spec",
    metavar="JSON",
    help="Preprocessing spec instead of the one beside the model.",
)


def _label_map(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict:
    for value in values:
        if value.count("=") != 1:
            raise click.BadParameter(f"{value!r} is not LABEL=EMOTION", ctx, param)
    return dict(value.split("=") for value in values)


label_map_option = click.option(
    "--label-map",
    multiple=True,
    callback=_label_map,
    metavar="LABEL=EMOTION",
    help="The emotion that a label of the model means, or the class that a label of --data means (repeat).",
)
data_map_option = click.option(
    "--label-map",
    multiple=True,
    callback=_label_map,
    metavar="LABEL=CLASS",
    help="The class that a label of --data means (repeat); an empty CLASS drops it.",
)
votes_option = click.option(
    "--ferplus",
    metavar="FILE",
    help="FER+'s fer2013new.csv: its votes replace the labels of fer2013.csv.",
)


@click.group(epilog="Example: facelab emotion train --data synthetic --epochs 8")
def command() -> None:
    """Train, evaluate and run emotion classifiers."""


@command.command(
    epilog="Example: facelab emotion train --backend modelmaker --data synthetic --classes 3 --epochs 8 "
    "--out models/emotion"
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="modelmaker",
    show_default=True,
    help="modelmaker: TFLite Model Maker in its own kernel. keras: the same job in this environment. text: "
    "Model Maker's average-word-vector classifier on a CSV with text and label.",
)
@click.option("--data", default="synthetic", show_default=True, metavar="WHAT", help=data_help)
@classes_option
@click.option(
    "--strategy",
    type=click.Choice(("frozen", "partial", "whole")),
    default=None,
    help="Train the head alone, the last two blocks too, or everything.  [default: whole; few real faces: partial]",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    default=None,
    help="[default: 8; few real faces: 30; text: 80]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=7,
    show_default=True,
    help="Of faces, split, augmentation, order and weights.",
)
@click.option(
    "--out",
    type=OutPath(folder=True),
    metavar="DIR",
    default=None,
    help="Folder to fill.  [default: models/emotion]",
)
@click.option(
    "--n",
    type=click.IntRange(40, 10_000_000),
    default=2800,
    show_default=True,
    help="Number of synthetic faces.",
)
@click.option(
    "--backbone",
    default="facelab",
    show_default=True,
    metavar="NAME",
    help="facelab (pre-trained here on synthetic faces), none, a catalogue entry such as mini-xception-107, "
    "efficientnet-lite0 or mobilenet-v2, a Keras file of your own, the folder of a SavedModel, or a hub address.",
)
@click.option(
    "--backbone-layer",
    default=None,
    metavar="NAME",
    help="Of a Keras file: the layer whose output the new head gets.  [default: what its own head gets]",
)
@click.option(
    "--spec",
    default=None,
    metavar="JSON",
    help="Of a Keras file: its preprocessing.  [default: <file>.preprocess.json beside it, or the catalogue's]",
)
@click.option(
    "--pretrain-n",
    type=click.IntRange(100, 10_000_000),
    default=840,
    show_default=True,
    help="Number of synthetic faces that facelab's backbone is pre-trained on.",
)
@click.option(
    "--pretrain-epochs",
    type=click.IntRange(1, 1000),
    default=14,
    show_default=True,
    help="Passes of that pre-training.",
)
@click.option(
    "--size",
    type=click.IntRange(32, 512),
    default=None,
    metavar="PX",
    help="Side of the input.  [default: the backbone's]",
)
@click.option("--batch", type=click.IntRange(1, 4096), default=32, show_default=True)
@click.option(
    "--learning-rate",
    type=FloatRange(0, 10, min_open=True),
    default=None,
    help="[default: 0.02; few real faces: 0.005]",
)
@click.option("--dropout", type=FloatRange(0, 0.95), default=0.2, show_default=True)
@click.option(
    "--class-weights",
    type=click.Choice(("balanced", "none")),
    default="balanced",
    show_default=True,
    help="balanced: faces of rarer classes are shown more often.",
)
@click.option(
    "--copies",
    type=click.IntRange(0, 20),
    default=2,
    show_default=True,
    help="Augmented copies a face.",
)
@click.option(
    "--patience",
    type=click.IntRange(0, 1000),
    default=None,
    help="Stop after this many epochs without a lower validation loss; 0 never stops.  [default: 3; few real faces: 0]",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Model Maker's own INT8 export too, calibrated on the calibration part.",
)
@click.option(
    "--workers", type=THREADS, default=2, show_default=True, help="Processes that draw faces."
)
@click.option(
    "--folds",
    type=click.IntRange(2, 20),
    default=None,
    metavar="K",
    help="Also train K times, each time on other people, and report on all faces: for sets whose test part is small.",
)
@crop_option
@data_map_option
@votes_option
@trust_model_option
@json_option
def train(
    backend: Literal["modelmaker", "keras", "text"], data: str, as_json: bool, **options: Any
) -> None:
    """Fine-tune a classifier and export it with everything that travels with it.

    The folder receives emotion_fp32.tflite (metadata and labels inside), emotion_fp32.preprocess.json, the SavedModel
    (and a .keras file), training.json, split.json, evaluation.json and model_card.md. The test part has identities
    that training never saw. Everything is checked before training starts. With fewer than 1000 real faces the
    settings are those that did best on 255 of them in cross-validation by person (see docs); your own options stay.
    """
    if backend == "text":
        _train_text(data, options, as_json)
    else:
        _train_faces(backend, data, options, as_json)


def _train_faces(backend: Backend, data: str, o: dict[str, Any], as_json: bool) -> None:
    from facelab import emotion
    from facelab.emotion import backbones, train_and_evaluate
    from facelab.emotion.internals import KerasNetwork, check

    choice = backbones.choose(
        o["backbone"], size=o["size"], spec=o["spec"], layer=o["backbone_layer"]
    )
    own = isinstance(choice.where, KerasNetwork)
    classes = emotion_internals.classes_of(o["classes"] or "3", data)

    def usual(faces: int) -> dict[str, Any]:
        return emotion_internals.usual_settings(
            faces, choice.where, facelabs=choice.name == backbones.OWN, classes=classes
        )

    if own and _by_default("backend"):
        backend = "keras"
    emotion_internals.check_backbone(choice.where, _settings(backend, o, usual(0)))
    if own:
        note(choice.where.described(classes))
    spec = choice.spec
    note(f"reading {data}")
    collected = emotion.collect(
        data,
        spec,
        classes=classes,
        n=o["n"],
        seed=o["seed"],
        workers=o["workers"],
        crop=o["crop"],
        votes=o["ferplus"],
        progress=True,
        label_map=o["label_map"],
    )
    chosen = usual(0 if data == "synthetic" else len(collected.faces))
    settings = _settings(backend, o, chosen)
    if chosen != usual(0):
        said = ", ".join(f"{k.replace('_', ' ')} {getattr(settings, k)}" for k in chosen)
        note(f"few real faces: {said}")
    prepared = emotion_internals.prepare(collected, seed=o["seed"])
    for remark in prepared.notes:
        note(remark)
    check(prepared.parts, spec, settings)
    if choice.name == backbones.OWN:
        note(
            f"pre-training the backbone on {o['pretrain_n']} synthetic faces (kept for the next time)"
        )
    start = backbones.weights(
        choice,
        spec,
        n=o["pretrain_n"],
        epochs=o["pretrain_epochs"],
        workers=o["workers"],
        progress=True,
    )
    out = Path(o["out"]) if o["out"] else emotion_internals.default_folder()
    note(f"training on {len(prepared.parts['train'])} faces by {settings.backend}")
    trained, evaluation = train_and_evaluate(
        prepared.parts, spec, out, settings, backbone=start, source=prepared.source, on_line=_epochs
    )
    emotion_internals.remember(out)
    folds = (
        _cross_checked(collected.faces, spec, settings, start, o["folds"]) if o["folds"] else None
    )
    value = {
        "settings": {k: getattr(settings, k) for k in chosen},
        "folds": folds,
        "out": str(out),
        "model": str(trained.model),
        "backend": settings.backend,
        "seed": settings.seed,
        "seconds": trained.record["seconds"],
        "epochs": len(trained.history.get("loss", [])),
        "history": trained.history,
        "parts": trained.record["parts"],
        "test": evaluation.to_dict(),
    }
    told = [str(trained.model), *_stopped(trained.history, settings), _summary(evaluation)]
    if folds:
        a = folds["accuracy"]
        told.append(
            f"{folds['folds']} folds by person: accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on all "
            f"{folds['n']} faces (always the most frequent class of the others: {folds['majority']:.4f})"
        )
    emit(value, as_json=as_json, text="\n".join(told))


def _by_default(option: str) -> bool:
    """Return whether nobody gave an option of this command."""
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.DEFAULT


def _settings(backend: Backend, o: dict[str, Any], usual: dict[str, Any]) -> Settings:
    from facelab.emotion import Augmentation, Settings

    chosen = {k: v if o[k] is None else o[k] for k, v in usual.items()}
    return Settings(
        backend=_usable(backend),
        **chosen,
        batch=o["batch"],
        dropout=o["dropout"],
        class_weights=o["class_weights"],
        augmentation=Augmentation(copies=o["copies"]),
        seed=o["seed"],
        int8=o["int8"],
    )


def _stopped(history: dict, settings: Any) -> list[str]:
    """Say after which epoch training stopped, and which weights were kept."""
    losses = history.get("val_loss") or []
    made = len(history.get("loss", losses))
    if not losses or not settings.patience or made >= settings.epochs:
        return [f"trained {made} epochs; the last weights are kept"] if made else []
    best = min(range(len(losses)), key=losses.__getitem__) + 1
    return [
        f"stopped after epoch {made} of {settings.epochs}; the weights of epoch {best} are kept"
    ]


def _cross_checked(
    faces: Any, spec: PreprocessSpec, settings: Any, backbone: Any, folds: int
) -> dict:
    """Train once a fold, answer for the people left out, and return the figures on all faces."""
    import numpy as np

    from facelab.metrics.classification import accuracy
    from facelab.studies.emotion_finetune import cross_check

    note(f"training {folds} times, each time on other people")
    found = cross_check(faces, spec, settings, backbone=backbone, folds=folds, on_line=_epochs)
    predicted = found.probabilities.argmax(axis=1)
    return {
        "folds": folds,
        "n": len(faces),
        "accuracy": accuracy(
            faces.labels, predicted, groups=found.people, seed=settings.seed
        ).as_dict(),
        "majority": float(np.mean(found.majority == faces.labels)),
    }


def _usable(backend: Backend) -> Backend:
    """Return the back end, or Keras with a message where Model Maker's kernel is not installed."""
    from facelab.emotion.internals import interpreter

    try:
        interpreter(backend)
    except UnsupportedError as e:
        note(f"{e.what}: training with the keras back end instead, by the same recipe ({e.fix})")
        return "keras"
    return backend


def _epochs(line: str) -> None:
    """Pass on the lines of a training that report an epoch."""
    if "val_loss" in line:
        note(line.strip())


def _summary(evaluation: Any) -> str:
    figures = evaluation.to_dict()
    a = figures["accuracy"]
    lines = [
        f"accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on {figures['n']} faces "
        f"({figures['correct']} right; majority class {figures['majority']:.4f})",
        f"macro F1 {figures['macro_f1']:.4f}, ECE {figures['ece']:.4f}",
        *(
            []
            if figures["better_than_guessing"]
            else [
                f"NO BETTER THAN GUESSING: always naming the most frequent class gives {figures['majority']:.4f}, and "
                "the interval does not lie above that"
            ]
        ),
        "",
        f"{'class':<10} {'precision':>9} {'recall':>9} {'F1':>9} {'n':>6}   predicted as "
        + " ".join(f"{c[:8]:>8}" for c in figures["classes"]),
    ]
    for c, row in zip(figures["classes"], figures["confusion"]):
        p = figures["per_class"][c]
        shares = " ".join(
            f"{'–' if p[k] is None else format(p[k], '.4f'):>9}"
            for k in ("precision", "recall", "f1")
        )
        lines.append(
            f"{c:<10} {shares} {p['support']:>6}                " + " ".join(f"{n:>8}" for n in row)
        )
    return "\n".join(lines)


def _train_text(data: str, o: dict, as_json: bool) -> None:
    from facelab.emotion.internals import interpreter, text

    if data == "synthetic":
        raise BadInputError(
            "the text back end needs sentences",
            expected="--data FILE.csv with text and label",
            got="--data synthetic",
            fix="facelab emotion train --backend text --data FILE.csv",
        )
    sentences = text.read_csv(data)
    interpreter("modelmaker")  # there is no second text back end: say so before anything is split
    out = Path(o["out"]) if o["out"] else emotion_internals.default_folder() / "text"
    record = text.train(
        sentences, out, epochs=o["epochs"] or 80, batch=min(o["batch"], 16), seed=o["seed"]
    )
    emit(
        {"out": str(out), "model": str(out / text.MODEL), "backend": "text", **record},
        as_json=as_json,
        text=f"{out / text.MODEL}\naccuracy {record['test_accuracy']:.4f} on {record['parts']['test']['n']} sentences",
    )


@command.command(
    epilog="Example: facelab emotion evaluate models/emotion --data synthetic --n 300 --seed 11"
)
@click.argument("model", required=False)
@click.option(
    "--data",
    required=True,
    metavar="WHAT",
    help=data_help + " For a text model a CSV with text and label.",
)
@classes_option
@click.option(
    "--n",
    type=click.IntRange(2, 10_000_000),
    default=300,
    show_default=True,
    help="Number of synthetic faces.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=11,
    show_default=True,
    help="Of synthetic faces.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also count faces and identities that the model was trained on (left out by default).",
)
@click.option(
    "--workers", type=THREADS, default=2, show_default=True, help="Processes that draw faces."
)
@crop_option
@votes_option
@spec_option
@label_map_option
@trust_model_option
@strict_option
@json_option
@click.pass_context
def evaluate(
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
    labels (inside it, or labels.txt) beside it. Labels in another order than the outputs are found and reported.

    Prints accuracy with a bootstrap interval, precision, recall and F1 a class, the confusion table and the expected
    calibration error. The file is run as a device runs it, with the preprocessing that is beside it.
    """
    from facelab import emotion
    from facelab.emotion import evaluate as run
    from facelab.emotion.internals import unseen

    if model is not None and _is_text(Path(model)):
        _evaluate_text(Path(model), data, as_json)
        return
    classifier = emotion.load(model, spec=spec)
    of_data = emotion_internals.renamed(classifier, label_map, data)
    said = f"{len(classifier.classes)} classes, preprocessing {classifier.spec.name}"
    say_model(model or classifier.path, said)
    wanted = (
        emotion_internals.classes_of(classes, data) if classes else _classes_in(classifier, data)
    )
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
    fresh = unseen(collected.faces, classifier.path.parent)
    known = len(collected.faces) - len(fresh)
    faces, left, trained = (collected.faces, 0, known) if everything else (fresh, known, 0)
    for remark in collected.notes:
        note(remark)
    if left:
        note(
            f"{left} of {len(collected.faces)} faces were in its training (image or identity) and are left out; "
            "--all counts them"
        )
    if trained:
        note(f"{trained} of {len(faces)} faces were in its training: the figures are not evidence")
    if not len(faces):
        raise BadInputError(
            "the model was trained on every one of these faces",
            where=data,
            fix="give faces that it has not seen, or count them with --all",
        )
    result = run(classifier, faces)
    if classifier.logits:
        note("the model's outputs are not probabilities: a softmax is applied")
    suspicion = result.question(classifier)
    value = {"suspicion": suspicion and suspicion.to_dict()}
    emit(
        result.to_dict()
        | {"data": collected.source, "left_out": left, "trained_on": trained}
        | value,
        as_json=as_json,
        text=warn_first(_summary(result), suspicion),
    )
    ctx.exit(1 if strict and suspicion else 0)


def _classes_in(classifier: Any, data: str) -> tuple[str, ...]:
    """Return the classes to evaluate: the model's emotions, or its own classes where the data have such labels."""
    from facelab.datasets.labels import SEVEN, plain
    from facelab.emotion.internals import sources

    if sum(c in SEVEN for c in classifier.classes) < 2 and data != "synthetic":
        own = {plain(c) for c in classifier.classes}
        if Path(data).exists() and own & {plain(label) for label in sources.labels_of(data)}:
            return tuple(sorted(classifier.classes))
    return classifier.emotions


def _is_text(path: Path) -> bool:
    return (path / "vocab.txt" if path.is_dir() else path.with_name("vocab.txt")).is_file()


def _evaluate_text(path: Path, data: str, as_json: bool) -> None:
    from facelab.emotion.internals import text

    model = _text_model(path)
    figures = text.evaluate(text.TextClassifier(model), text.read_csv(data))
    a = figures["accuracy"]
    emit(
        {"model": str(model), "data": data, **figures},
        as_json=as_json,
        text=f"accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on {figures['n']} sentences",
    )


def _text_model(path: Path) -> Path:
    from facelab.emotion.text import MODEL

    return path / MODEL if path.is_dir() else path


command.add_command(predict_)

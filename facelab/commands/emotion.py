"""`facelab emotion …`: train a classifier, evaluate its exported file, run it on pictures."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import (
    THREADS,
    Float,
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
from facelab.core.errors import BadInputError, UnsupportedError

BACKENDS = ("modelmaker", "keras", "text")
data_help = (
    "synthetic, an image folder (a sub-folder a label), a CSV (file and emotion; optionally identity, "
    "x1, y1, x2, y2, split), or fer2013.csv."
)
classes_option = click.option(
    "--classes",
    default=None,
    metavar="3|7|NAMES",
    help="3: anger, joy, neutral. 7: also disgust, fear, sadness, surprise. Or names "
    "separated by commas.",
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
    help="The emotion that a label of the model means (repeat); common spellings are known.",
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
    default="whole",
    show_default=True,
    help="Train the head alone, the last two blocks too, or everything.",
)
@click.option(
    "--epochs", type=click.IntRange(1, 10_000), default=None, help="[default: 8; text: 80]"
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
    help="facelab (pre-trained here on synthetic faces), none, a catalogue entry such as efficientnet-lite0 "
    "or mobilenet-v2, the folder of a SavedModel, or a hub address.",
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
    "--learning-rate", type=FloatRange(0, 10, min_open=True), default=0.02, show_default=True
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
    default=3,
    show_default=True,
    help="Stop after so many epochs without a lower validation loss; 0 never stops.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Model Maker's own INT8 export too, calibrated on the calibration part.",
)
@click.option(
    "--workers", type=THREADS, default=2, show_default=True, help="Processes that draw faces."
)
@crop_option
@votes_option
@trust_model_option
@json_option
def train(backend: str, data: str, as_json: bool, **options) -> None:
    """Fine-tune a classifier and export it with everything that travels with it.

    The folder receives emotion_fp32.tflite (metadata and labels inside), emotion_fp32.preprocess.json, the SavedModel
    (and a .keras file), training.json, split.json, evaluation.json and model_card.md. The test part has identities
    that training never saw. Everything is checked before training starts.
    """
    if backend == "text":
        _train_text(data, options, as_json)
    else:
        _train_faces(backend, data, options, as_json)


def _train_faces(backend: str, data: str, o: dict, as_json: bool) -> None:
    from facelab import emotion
    from facelab.emotion import (
        Augmentation,
        Settings,
        backbones,
        check,
        emotion_spec,
        train_and_evaluate,
    )

    settings = Settings(
        backend=_usable(backend),
        strategy=o["strategy"],
        epochs=o["epochs"] or 8,
        batch=o["batch"],
        learning_rate=o["learning_rate"],
        dropout=o["dropout"],
        class_weights=o["class_weights"],
        augmentation=Augmentation(copies=o["copies"]),
        patience=o["patience"],
        seed=o["seed"],
        int8=o["int8"],
    )
    choice = backbones.choose(o["backbone"], size=o["size"])
    spec = emotion_spec(choice.size)
    note(f"reading {data}")
    collected = emotion.collect(
        data,
        spec,
        classes=emotion.classes_of(o["classes"] or "3"),
        n=o["n"],
        seed=o["seed"],
        workers=o["workers"],
        crop=o["crop"],
        votes=o["ferplus"],
        progress=True,
    )
    prepared = emotion.prepare(collected, seed=o["seed"])
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
    out = Path(o["out"]) if o["out"] else emotion.default_folder()
    note(f"training on {len(prepared.parts['train'])} faces by {settings.backend}")
    trained, evaluation = train_and_evaluate(
        prepared.parts, spec, out, settings, backbone=start, source=prepared.source, on_line=_epochs
    )
    emotion.remember(out)
    value = {
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
    emit(value, as_json=as_json, text=f"{trained.model}\n{_summary(evaluation)}")


def _usable(backend: str) -> str:
    """Return the back end, or Keras with a message where Model Maker's kernel is not installed."""
    from facelab.emotion import interpreter

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


def _summary(evaluation) -> str:
    figures = evaluation.to_dict()
    a = figures["accuracy"]
    lines = [
        f"accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on {figures['n']} faces "
        f"({figures['correct']} right; majority class {figures['majority']:.4f})",
        f"macro F1 {figures['macro_f1']:.4f}, ECE {figures['ece']:.4f}",
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
    from facelab import emotion
    from facelab.emotion import interpreter, text

    if data == "synthetic":
        raise BadInputError(
            "the text back end needs sentences",
            expected="--data FILE.csv with text and label",
            got="--data synthetic",
            fix="facelab emotion train --backend text --data FILE.csv",
        )
    sentences = text.read_csv(data)
    interpreter("modelmaker")  # there is no second text back end: say so before anything is split
    out = Path(o["out"]) if o["out"] else emotion.default_folder() / "text"
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
    ctx,
    model,
    data,
    classes,
    n,
    seed,
    everything,
    workers,
    crop,
    ferplus,
    spec,
    label_map,
    strict,
    as_json,
) -> None:
    """Evaluate a classifier: a name of the catalogue, a .tflite, .onnx or Keras file, or the folder of a training.

    By default that is the last one trained. A file of your own needs its preprocessing (.preprocess.json) and its
    labels (inside it, or labels.txt) beside it. Labels in another order than the outputs are found and reported.

    Prints accuracy with a bootstrap interval, precision, recall and F1 a class, the confusion table and the expected
    calibration error. The file is run as a device runs it, with the preprocessing that lies beside it.
    """
    from facelab import emotion
    from facelab.emotion import evaluate as run
    from facelab.emotion import unseen

    if model is not None and _is_text(Path(model)):
        _evaluate_text(Path(model), data, as_json)
        return
    classifier = emotion.load(model, spec=spec, label_map=label_map)
    say_model(
        model or classifier.path,
        f"{len(classifier.classes)} classes, preprocessing {classifier.spec.name}",
    )
    wanted = emotion.classes_of(classes) if classes else classifier.emotions
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
        note(f"{trained} of {len(faces)} faces were in its training: the figures are no evidence")
    if not len(faces):
        raise BadInputError(
            "the model was trained on every one of these faces",
            where=data,
            fix="give faces that it has not seen, or count them with --all",
        )
    result = run(classifier, faces)
    if classifier.logits:
        note("the model's outputs are no probabilities: a softmax is applied")
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


def _is_text(path: Path) -> bool:
    return (path / "vocab.txt" if path.is_dir() else path.with_name("vocab.txt")).is_file()


def _evaluate_text(path: Path, data: str, as_json: bool) -> None:
    from facelab.emotion import text

    model = _text_model(path)
    figures = text.evaluate(text.TextClassifier(model), text.read_csv(data))
    a = figures["accuracy"]
    emit(
        {"model": str(model), "data": data, **figures},
        as_json=as_json,
        text=f"accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on {figures['n']} sentences",
    )


@command.command(name="predict", epilog="Example: facelab emotion predict photo.jpg --json")
@click.argument("source", metavar="IMAGE_OR_DIR")
@click.option(
    "--model",
    default=None,
    metavar="FILE|DIR",
    help="A name of the catalogue, a model file, or the folder of a training.  [default: the last one trained]",
)
@click.option(
    "--detector",
    default="detect",
    metavar="NAME",
    help="Finds the faces.  [default: the best one here: the catalogue's default, MTCNN, Haar]",
)
@click.option(
    "--least",
    type=Float(),
    default=None,
    metavar="SCORE",
    help="Drop faces below this score of the detector.",
)
@spec_option
@label_map_option
@trust_model_option
@json_option
def predict_(source, model, detector, least, spec, label_map, as_json) -> None:
    """Find the faces of a picture or of a folder's pictures, crop them by the model's spec, and classify them.

    With a model of the text back end, IMAGE_OR_DIR is a sentence, a file of sentences (one a line), or a CSV with a
    column `text`.
    """
    from facelab import detection, emotion

    if model is not None and _is_text(Path(model)):
        _predict_text(source, Path(model), as_json)
        return
    files = detection.find_images(source)
    classifier = emotion.load(model, spec=spec, label_map=label_map)
    say_model(
        model or classifier.path,
        f"{len(classifier.classes)} classes, preprocessing {classifier.spec.name}",
    )
    options = {} if least is None else {"score_threshold": least}
    finder = detection.load(emotion.detector_name(detector), **options)
    found = emotion.predict_files(files, finder, classifier)
    value = {
        "model": str(classifier.path),
        "detector": finder.name,
        "classes": list(classifier.classes),
        "images": [{"file": str(f), "faces": [p.to_dict() for p in faces]} for f, faces in found],
    }
    emit(value, as_json=as_json, text=_predictions(found, classifier.classes))


def _text_model(path: Path) -> Path:
    from facelab.emotion.text import MODEL

    return path / MODEL if path.is_dir() else path


def _predict_text(source: str, path: Path, as_json: bool) -> None:
    from facelab.emotion import text

    classifier, sentences = text.TextClassifier(_text_model(path)), text.sentences_of(source)
    rows = [
        dict(zip(classifier.classes, map(float, p))) for p in classifier.probabilities(sentences)
    ]
    answers = [max(row, key=row.__getitem__) for row in rows]
    value = {
        "model": str(_text_model(path)),
        "classes": list(classifier.classes),
        "sentences": [
            {"text": t, "label": a, "probability": row[a], "probabilities": row}
            for t, a, row in zip(sentences, answers, rows)
        ],
    }
    emit(
        value,
        as_json=as_json,
        text="\n".join(f"{a:<12} {row[a]:.3f}  {t}" for t, a, row in zip(sentences, answers, rows)),
    )


def _predictions(found, classes) -> str:
    rows = [("file", "face", "box", "score", "emotion", *classes)]
    for file, faces in found:
        for k, p in enumerate(faces):
            rows.append(
                (
                    str(file),
                    str(k),
                    ",".join(f"{v:.0f}" for v in p.box),
                    f"{p.score:.2f}",
                    p.emotion,
                    *(f"{p.probabilities[c]:.3f}" for c in classes),
                )
            )
        if not faces:
            rows.append((str(file), "–", "no face found", "", "", *("" for _ in classes)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows
    )

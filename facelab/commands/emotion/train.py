"""`facelab emotion train`: fine-tune a classifier of faces or sentences and export it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from facelab.commands.common import (
    FloatRange,
    OutPath,
    emit,
    json_option,
    note,
    trust_model_option,
)
from facelab.commands.emotion._epochs import EpochLines
from facelab.commands.emotion._options import DATA_HELP, data_map_option, face_options
from facelab.commands.emotion._summary import summary
from facelab.commands.emotion._text import train_text
from facelab.core.errors import UnsupportedError
from facelab.core.wording import plural
from facelab.emotion import internals as emotion_internals

if TYPE_CHECKING:
    from facelab.emotion import Settings
    from facelab.emotion.backbones import Choice
    from facelab.emotion.internals import Collected, Evaluation
    from facelab.preprocess import PreprocessSpec

Backend = Literal["modelmaker", "keras"]

BACKENDS = ("modelmaker", "keras", "text")


@click.command(
    name="train",
    epilog="Example: facelab emotion train --backend modelmaker --data synthetic --classes 3 --epochs 8 "
    "--out models/emotion",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="modelmaker",
    show_default=True,
    help="modelmaker: TFLite Model Maker in its own kernel. keras: the same job in this environment. text: "
    "Model Maker's average-word-vector classifier on a CSV with text and label.",
)
@click.option("--data", default="synthetic", show_default=True, metavar="WHAT", help=DATA_HELP)
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
@face_options(
    n=2800, least=40, seed=7, seed_help="Of faces, split, augmentation, order and weights."
)
@click.option(
    "--out",
    type=OutPath(folder=True),
    metavar="DIR",
    default=None,
    help="Folder to fill.  [default: models/emotion]",
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
    "--folds",
    type=click.IntRange(2, 20),
    default=None,
    metavar="K",
    help="Also train K times, each time on other people, and report on all faces: for sets whose test part is small.",
)
@data_map_option
@trust_model_option
@json_option
def command(
    backend: Literal["modelmaker", "keras", "text"], data: str, as_json: bool, **options: Any
) -> None:
    """Fine-tune a classifier and export it with everything that travels with it.

    The folder receives emotion_fp32.tflite (metadata and labels inside), emotion_fp32.preprocess.json, the SavedModel
    (and a .keras file), training.json, split.json, evaluation.json and model_card.md. The test part has identities
    that training never saw. Everything is checked before training starts. With fewer than 1000 real faces the
    settings are those that did best on 255 of them in cross-validation by person (see docs); your own options stay.
    """
    if backend == "text":
        train_text(data, options, as_json)
    else:
        if data != "synthetic" and not Path(data).exists():
            emotion_internals.is_fer(
                Path(data)
            )  # says what may be named here, before more is loaded
        _train_faces(backend, data, options, as_json)


def _train_faces(backend: Backend, data: str, o: dict[str, Any], as_json: bool) -> None:
    from facelab.emotion import backbones, train_and_evaluate
    from facelab.emotion.internals import check

    choice = backbones.choose(
        o["backbone"], size=o["size"], spec=o["spec"], layer=o["backbone_layer"]
    )
    classes = emotion_internals.classes_of(o["classes"] or "3", data)
    if isinstance(choice.where, emotion_internals.KerasNetwork) and _by_default("backend"):
        backend = "keras"
    backend = _usable(backend)
    usual = _usual(choice, classes, 0)
    emotion_internals.check_backbone(choice.where, _settings(backend, o, usual))
    if isinstance(choice.where, emotion_internals.KerasNetwork):
        note(choice.where.described(classes))
    collected = _collected(data, choice.spec, classes, o)
    chosen = _usual(choice, classes, 0 if data == "synthetic" else len(collected.faces))
    settings = _settings(backend, o, chosen)
    if chosen != usual:
        said = ", ".join(f"{k.replace('_', ' ')} {getattr(settings, k)}" for k in chosen)
        note(f"few real faces: {said}")
    prepared = emotion_internals.prepare(collected, seed=o["seed"])
    for remark in prepared.notes:
        note(remark)
    check(prepared.parts, choice.spec, settings)
    start = _start_weights(choice, o)
    out = Path(o["out"]) if o["out"] else emotion_internals.default_folder()
    note(f"training on {len(prepared.parts['train'])} faces by {settings.backend}")
    trained, evaluation = train_and_evaluate(
        prepared.parts,
        choice.spec,
        out,
        settings,
        backbone=start,
        source=prepared.source,
        on_line=EpochLines(),
    )
    emotion_internals.remember(out)
    folds = _cross_checked(collected.faces, choice.spec, settings, start, o["folds"])
    value = _document(trained, evaluation, settings, chosen, out, folds)
    emit(value, as_json=as_json, text="\n".join(_lines(trained, evaluation, settings, folds)))


def _usual(choice: Choice, classes: Sequence[str], faces: int) -> dict[str, Any]:
    """Return the settings that usually do best for this backbone and this many real faces (0: synthetic)."""
    from facelab.emotion import backbones

    return emotion_internals.usual_settings(
        faces, choice.where, facelabs=choice.name == backbones.OWN, classes=classes
    )


def _collected(
    data: str, spec: PreprocessSpec, classes: Sequence[str], o: dict[str, Any]
) -> Collected:
    """Read the faces that the options name."""
    from facelab import emotion

    note(f"reading {data}")
    return emotion.collect(
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


def _start_weights(choice: Choice, o: dict[str, Any]) -> Any:
    """Return the weights that training starts from; facelab's own backbone is trained for them where it is new."""
    from facelab.emotion import backbones

    if choice.name == backbones.OWN:
        note(
            f"pre-training the backbone on {o['pretrain_n']} synthetic faces (kept for the next time)"
        )
    return backbones.weights(
        choice,
        choice.spec,
        n=o["pretrain_n"],
        epochs=o["pretrain_epochs"],
        workers=o["workers"],
        progress=True,
    )


def _document(
    trained: Any,
    evaluation: Evaluation,
    settings: Settings,
    chosen: dict[str, Any],
    out: Path,
    folds: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return what `--json` prints of a training."""
    return {
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


def _lines(
    trained: Any, evaluation: Evaluation, settings: Settings, folds: dict[str, Any] | None
) -> list[str]:
    """Return what is printed of a training."""
    told = [str(trained.model), *_stopped(trained.history, settings), summary(evaluation)]
    if folds:
        a = folds["accuracy"]
        told.append(
            f"{folds['folds']} folds by person: accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on all "
            f"{folds['n']} faces (always the most frequent class of the others: {folds['majority']:.4f})"
        )
    return told


def _by_default(option: str) -> bool:
    """Return whether nobody gave an option of this command."""
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.DEFAULT


def _settings(backend: Backend, o: dict[str, Any], usual: dict[str, Any]) -> Settings:
    from facelab.emotion import Augmentation, Settings

    chosen = {k: v if o[k] is None else o[k] for k, v in usual.items()}
    return Settings(
        backend=backend,
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
        return [f"trained {plural(made, 'epoch')}; the last weights are kept"] if made else []
    best = min(range(len(losses)), key=losses.__getitem__) + 1
    return [
        f"stopped after epoch {made} of {settings.epochs}; the weights of epoch {best} are kept"
    ]


def _cross_checked(
    faces: Any, spec: PreprocessSpec, settings: Any, backbone: Any, folds: int | None
) -> dict[str, Any] | None:
    """Train once a fold, answer for the people left out, and return the figures on all faces."""
    if folds is None:
        return None
    import numpy as np

    from facelab.metrics.classification import accuracy
    from facelab.studies.emotion_finetune import cross_check

    note(f"training {folds} times, each time on other people")
    found = cross_check(
        faces, spec, settings, backbone=backbone, folds=folds, on_line=EpochLines(folds)
    )
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

"""Fine-tune an emotion classifier by either back end and put everything that travels with it into one folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import atomic_path, write_bytes, write_json, write_text
from facelab.core.hashing import sha256_file
from facelab.core.machine import facts
from facelab.core.records import now
from facelab.core.safety.scratch import ScratchFolder
from facelab.emotion import _card as card
from facelab.emotion._augment import augment
from facelab.emotion._classifier import EmotionClassifier
from facelab.emotion._data import FaceSet, balance, check_classes, check_disjoint
from facelab.emotion._evaluate import Evaluation, evaluate
from facelab.emotion._jobs import run_job, save_part
from facelab.emotion._network import KerasNetwork
from facelab.emotion._recipe import Backbone, Settings, job_for
from facelab.emotion._spec import quantized
from facelab.emotion._split_file import write_split
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.tflite_metadata import add_signature, write_metadata
from facelab.zoo.internals import trust
from facelab.zoo.runtimes import open_model

MODEL = "emotion_fp32.tflite"


@dataclass(frozen=True)
class Trained:
    """What a training left behind: its folder, curves by name, seconds, and the record written to training.json."""

    folder: Path
    history: dict[str, list[float]]
    seconds: float
    record: dict[str, Any]

    @property
    def model(self) -> Path:
        """The float32 `.tflite` file."""
        return self.folder / MODEL


def train(
    parts: Mapping[str, FaceSet],
    spec: PreprocessSpec,
    out: Path,
    settings: Settings | None = None,
    *,
    backbone: Backbone = None,
    source: str = "",
    timeout: float = 1800,
    on_line: Callable[[str], None] | None = None,
) -> Trained:
    """Train on `parts` (train, validation, calibration, test) and fill the folder `out`.

    `backbone` is a path to weights (`.npz` from `facelab.emotion._pretrain`, `.h5` of Keras' MobileNetV2 without its
    head), the URI of a hub or SavedModel feature extractor (Model Maker only), a `KerasNetwork` of the user's own
    (keras only), or None for random weights. Everything is checked before training starts: classes, disjoint parts,
    sizes. `out` receives `emotion_fp32.tflite`, its `.preprocess.json`, labels, the SavedModel (and `.keras`),
    `split.json`, `training.json` and `model_card.md`; a failed training leaves `out` as it was.
    Raises BadInputError for data that cannot be trained on, TrainingError where the back end fails.

    Parameters
    ----------
    parts : Mapping[str, FaceSet]
        The pictures per part (train, validation, test).
    spec : PreprocessSpec
        The preprocessing to apply.
    out : path
        The folder to write.
    settings : Settings or None
        How the training runs.
    backbone : path or str or KerasNetwork or None
        The backbone to start from; None for random weights.
    source : str
        Where the data are from, for the record.
    timeout : float
        Seconds that the training may take.
    on_line : Callable[[str], None] or None
        Called with each line that the training prints.

    Returns
    -------
    Trained
        What was trained, and where it is.
    """
    settings = settings or Settings()
    check(parts, spec, settings)
    taught = parts["train"]
    if settings.class_weights == "balanced":
        taught = balance(taught, seed=settings.seed)
    taught = augment(taught, settings.augmentation, seed=settings.seed)
    with ScratchFolder(prefix="facelab-train-") as name:
        folder = Path(name)
        for part in ("validation", "calibration"):
            save_part(folder, part, parts[part])
        save_part(folder, "train", taught)
        job = job_for(parts["train"].classes, spec, settings, backbone, folder)
        strange = isinstance(backbone, KerasNetwork) and not trust.may_run_freely(backbone.path)
        result = run_job(
            settings.backend, folder, job, timeout=timeout, on_line=on_line, confined=strange
        )
        # Model Maker writes its own; the form knows one mean and scale, and RGB
        if settings.backend == "keras" and not isinstance(job["mean"], list):
            write_metadata(
                folder / MODEL,
                name="emotion",
                description=f"Emotion of a face: {', '.join(job['labels'])}",
                size=spec.resized_to(),
                mean=job["mean"],
                std=job["std"],
                labels=job["labels"],
            )
        add_signature(
            folder / MODEL
        )  # Model Maker's converter writes none, and quantisers ask for it
        record = _record(parts, spec, settings, backbone, source, taught, result, folder / MODEL)
        _collect(folder, out, result["files"], spec, record, parts, vouched=not strange)
    return Trained(out, result["history"], result["seconds"], record)


def check(parts: Mapping[str, FaceSet], spec: PreprocessSpec, settings: Settings) -> None:
    """Raise BadInputError for parts that cannot be trained on: empty, overlapping, of another size, below a batch.

    Parameters
    ----------
    parts : Mapping[str, FaceSet]
        The pictures per part (train, validation, test).
    spec : PreprocessSpec
        The preprocessing to apply.
    settings : Settings
        How the training runs.

    Raises
    ------
    BadInputError
        A part is empty, overlaps another, has faces of another size, or is smaller than a batch.
    """
    for part in ("train", "validation", "calibration", "test"):
        if part not in parts or not len(parts[part]):
            raise BadInputError(
                f"the part '{part}' has no faces",
                expected="train, validation, calibration, test",
                fix="give more faces, or a larger share to this part",
            )
    check_classes(parts["train"], where="train")
    check_disjoint(parts)
    size = spec.resized_to()
    for part, faces in parts.items():
        if faces.images.shape[1:3] != (size[1], size[0]):
            raise BadInputError(
                f"the faces of '{part}' have a different size than the spec's",
                where=spec.name,
                expected=f"{size[0]}×{size[1]}",
                got=f"{faces.images.shape[2]}×{faces.images.shape[1]}",
                fix="crop them with this spec",
            )
    counts = [n for n in parts["train"].counts().values() if n]
    taught = (
        len(counts) * max(counts) if settings.class_weights == "balanced" else sum(counts)
    )  # as `balance` does
    shown = taught * (1 + max(0, settings.augmentation.copies))
    if shown < settings.batch:
        raise BadInputError(
            "there are fewer training faces than one batch",
            expected=f"at least {settings.batch}",
            got=shown,
            fix="use a smaller batch or more faces",
        )


def _record(
    parts: Any,
    spec: PreprocessSpec,
    settings: Any,
    backbone: Any,
    source: Any,
    taught: Any,
    result: Any,
    model: Path,
) -> dict:
    return {
        "schema": "facelab.training/1",
        "at": now(),
        "source": source,
        "classes": list(parts["train"].classes),
        "settings": asdict(settings),
        "spec": spec.hash,
        "backbone": _named(backbone),
        "parts": {
            name: {
                "n": len(faces),
                "hash": faces.hash(),
                "classes": faces.counts(),
                "identities": len(set(filter(None, faces.identities))),
            }
            for name, faces in parts.items()
        },
        "shown": len(taught),
        "history": result["history"],
        "seconds": round(result["seconds"], 2),
        "versions": result["versions"],
        "machine": facts(),
        "model_sha256": sha256_file(model),
    }


def _named(backbone: Backbone) -> str | None:
    """Return what the record says of the backbone: the hash of its file, or its address."""
    if isinstance(backbone, KerasNetwork):
        return sha256_file(backbone.path)
    return sha256_file(backbone) if isinstance(backbone, Path) else backbone


def _spec_of(model: Path, spec: PreprocessSpec) -> PreprocessSpec:
    opened = open_model(model, made_here=True)
    info = opened.inputs[0]
    if info.dtype == spec.output_dtype:
        return spec
    scale, zero = opened.quantization[info.name]
    return quantized(spec, scale=scale, zero_point=zero, dtype=info.dtype)


def _collect(
    folder: Path,
    out: Path,
    files: list[str],
    spec: PreprocessSpec,
    record: dict,
    parts: Any,
    *,
    vouched: bool,
) -> None:
    """Move the job's outputs into `out`: files atomically, folders by rename.

    `vouched`: no model of somebody else's took part, so that what was made may be run freely.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in files:
        if (folder / name).is_dir():
            shutil.rmtree(out / name, ignore_errors=True)
            with ScratchFolder(dir=out, prefix=".tmp") as near:
                moved = Path(shutil.copytree(folder / name, Path(near) / name))
                moved.replace(out / name)
        elif name == "emotion.keras":
            with atomic_path(out / name) as tmp:
                shutil.copy(folder / name, tmp)
        else:
            write_bytes(out / name, (folder / name).read_bytes())
    for name in files:
        if vouched and (
            name.endswith((".keras", ".tflite")) or (out / name / "saved_model.pb").is_file()
        ):
            trust.vouch(out / name)
    for model in (out / name for name in files if name.endswith(".tflite")):
        _spec_of(model, spec).save(model.with_suffix(".preprocess.json"))
    write_split(out, parts)
    write_json(out / "training.json", record)
    write_text(out / "model_card.md", card.render(record, spec))


def train_and_evaluate(
    parts: Mapping[str, FaceSet],
    spec: PreprocessSpec,
    out: Path,
    settings: Settings | None = None,
    **options: Any,
) -> tuple[Trained, Evaluation]:
    """Train as `train` does, evaluate the exported file on the test part, and put the figures beside the model.

    `out` also receives `evaluation.json`, and the model card gets the table.

    Parameters
    ----------
    parts : Mapping[str, FaceSet]
        The pictures per part (train, validation, test).
    spec : PreprocessSpec
        The preprocessing to apply.
    out : path
        The folder to write.
    settings : Settings or None
        How the training runs.
    **options : Any
        The family's own options.

    Returns
    -------
    tuple[Trained, Evaluation]
        What was trained, with the figures of the test part.

    Examples
    --------
    >>> from facelab.emotion import emotion_spec
    >>> trained, evaluation = train_and_evaluate(parts, emotion_spec(), Path("models/mine"))
    >>> evaluation.accuracy.value > 0.8
    True
    """
    trained = train(parts, spec, out, settings, **options)
    evaluation = evaluate(EmotionClassifier(trained.model), parts["test"])
    figures = evaluation.to_dict()
    write_json(out / "evaluation.json", figures | {"model": MODEL})
    write_text(out / "model_card.md", card.render(trained.record, spec, evaluation=figures))
    return trained, evaluation

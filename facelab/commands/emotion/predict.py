"""`facelab emotion predict`: faces of pictures, folders and videos, in a table, a CSV, JSON and annotated pictures."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import click

from facelab.commands.common import (
    Float,
    OutPath,
    emit,
    json_option,
    note,
    say_model,
    trust_model_option,
)
from facelab.commands.emotion._options import model_map_option, spec_option
from facelab.core import escape
from facelab.core.errors import BadInputError

VIDEO = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mjpeg", ".mjpg")


@click.command(name="predict", epilog="Example: facelab emotion predict photo.jpg --json")
@click.argument("given", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--model",
    default=None,
    metavar="FILE|DIR",
    help="A name of the catalogue, a model file, a training's folder or a bundle.  [default: the last one trained]",
)
@click.option(
    "--detector",
    default="detect",
    metavar="NAME|whole",
    help="Finds the faces; whole: each picture is a cropped face.  [default: the best one here, and as in `emotion "
    "evaluate` a picture with a side below 96 pixels is taken whole]",
)
@click.option(
    "--least",
    type=Float(),
    default=None,
    metavar="SCORE",
    help="Drop faces below this score of the detector.",
)
@spec_option
@model_map_option
@click.option(
    "--csv",
    "table",
    type=OutPath(),
    metavar="FILE",
    help="Write one row per face, or per frame of a video.",
)
@click.option(
    "--annotate",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Write the pictures with boxes and labels; not for videos.",
)
@click.option(
    "--smooth",
    default="ema",
    show_default=True,
    metavar="NAME|none",
    help="How the label of a video is kept from flickering (a smoother of facelab.feedback).",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 10_000_000),
    default=None,
    help="Frames of a video or camera to read at most.",
)
@trust_model_option
@json_option
def command(
    given: Any,
    model: str,
    detector: str,
    least: Any,
    spec: str | None,
    label_map: Any,
    table: Any,
    annotate: Any,
    smooth: Any,
    frames: Any,
    as_json: bool,
) -> None:
    """Find the faces of pictures, folders of pictures, a video or a camera (/dev/video0), and classify them.

    Faces are cropped by the model's spec. A video's or camera's largest face is followed: its label is smoothed over
    time, and the table has one row per label that was shown. With a model of the text back end, SOURCE is a sentence, a
    file of sentences (one per line), or a CSV with a column `text`. A picture that cannot be read is named, counted and
    left out, and the command then ends with exit code 1.
    """
    from facelab import detection, emotion
    from facelab.emotion import internals as emotion_internals

    if model is not None and _is_text(Path(model)):
        _predict_text(given, Path(model), as_json)
        return
    videos, files = _sources(given)
    if videos and (len(given) > 1 or annotate):
        raise BadInputError(
            "a video is followed by itself",
            expected="one video or camera, without --annotate",
            got=", ".join(given),
            fix="call the command once a video",
        )
    classifier = emotion.load(model, spec=spec, label_map=label_map)
    say_model(
        model or classifier.path,
        f"{len(classifier.classes)} classes, preprocessing {classifier.spec.name}",
    )
    options = {} if least is None else {"score_threshold": least}
    if videos and detector == "whole":
        raise BadInputError(
            "the largest face of a video is followed, so it needs a detector",
            got="--detector whole",
            fix="leave --detector out, or name one",
        )
    name = emotion_internals.detector_name("detect" if detector == "whole" else detector)
    finder = detection.load(name, **options)
    below = {"detect": emotion_internals.CROPPED_BELOW, "whole": math.inf}.get(detector, 0)
    if videos:
        _follow(videos[0], finder, classifier, smooth, frames, table, as_json)
        return
    _classify(files, finder, classifier, below, table, annotate, as_json)


def _sources(given: Any) -> tuple[list[str], list[Path]]:
    """Return the videos and the picture files; a source that is not there is said before anything is loaded."""
    from facelab.detection.internals import find_images

    videos = [s for s in given if _is_video(s)]
    for video in videos:
        if Path(video).suffix.lower() in VIDEO and not Path(video).is_file():
            raise BadInputError("the video does not exist", where=video, fix="check the path")
    files = dict.fromkeys(f for s in given if s not in videos for f in find_images(s))
    return videos, list(files)


def _classify(
    files: list[Path],
    finder: Any,
    classifier: Any,
    below: float,
    table: Any,
    annotate: Any,
    as_json: bool,
) -> None:
    """Classify the faces of pictures, and report them; exit code 1 where a picture cannot be read."""
    from facelab.emotion import internals as emotion_internals

    found, errors = emotion_internals.predict_files(files, finder, classifier, crops_below=below)
    for file, error in errors.items():
        note(f"{_short(file)}: {error}")
    whole = sum(p.score is None for _, faces in found for p in faces)
    if whole and below != math.inf:
        note(
            f"{whole} of {len(found)} pictures have a side below {below} pixels: each is taken whole, as a face "
            "(--detector NAME looks for faces in them)"
        )
    if table:
        _write(table, _rows(found, classifier.classes))
    value = {
        "model": str(classifier.path),
        "detector": finder.name,
        "classes": list(classifier.classes),
        "images": [{"file": str(f), "faces": [p.to_dict() for p in faces]} for f, faces in found],
        "errors": {str(f): error for f, error in errors.items()},
    }
    if annotate:
        value["annotated"] = [str(p) for p in emotion_internals.annotate(found, annotate)]
        note(f"{len(value['annotated'])} pictures in {annotate}")
    told = _predictions(found, classifier.classes)
    if errors:
        told += f"\n{len(errors)} of {len(files)} files could not be read and are left out"
    emit(value, as_json=as_json, text=told)
    if errors:
        raise click.exceptions.Exit(1)


def _is_video(source: str) -> bool:
    return (
        source.startswith("/dev/video") or source.isdigit() or Path(source).suffix.lower() in VIDEO
    )


def _follow(
    source: Any, finder: Any, classifier: Any, smooth: str, frames: Any, table: Any, as_json: bool
) -> None:
    """Follow the largest face of a video, smooth its scores, and report the labels that were shown."""
    from facelab import feedback
    from facelab.feedback.internals import score_source

    scores = score_source(source, classifier, finder, most=frames)
    raw = [None if row[0] != row[0] else scores.labels[int(row.argmax())] for row in scores.scores]
    changes = sum(a != b for a, b in itertools.pairwise(raw))
    if smooth == "none":
        shown, smoothed = raw, changes
    else:
        followed = feedback.follow(scores, feedback.smoother(scores.labels, smooth))
        shown, smoothed = list(followed.shown), followed.changes
    spans = _spans(scores.times_s.tolist(), shown)
    if table:
        rows = [
            {"shown": now or "", "frame": one or "", **row}
            for now, one, row in zip(shown, raw, scores.rows())
        ]
        _write(table, rows)
    value = {
        "model": str(classifier.path),
        "detector": finder.name,
        "source": source,
        "frames": len(shown),
        "seconds": scores.seconds,
        "smoother": smooth,
        "changes": smoothed,
        "changes_of_single_frames": changes,
        "shown": spans,
    }
    lines = [
        f"{s['from_s']:8.2f} s  {s['label'] or 'no face':<12} for {s['seconds']:.2f} s"
        for s in spans
    ]
    lines.append(
        f"{len(shown)} frames, {scores.seconds:.1f} s: the label changed {smoothed} times ({changes} frame by frame)"
    )
    emit(value, as_json=as_json, text="\n".join(lines))


def _spans(times: list[float], shown: list) -> list[dict]:
    """Return one entry per label that was shown, with its start and duration."""
    starts = [k for k in range(len(shown)) if k == 0 or shown[k] != shown[k - 1]]
    ends = [*starts[1:], len(times) - 1]
    return [
        {"from_s": times[a], "label": shown[a], "seconds": times[b] - times[a]}
        for a, b in zip(starts, ends)
    ]


FIXED = ("file", "face", "x1", "y1", "x2", "y2", "score", "emotion")
"""Columns of the table beside the classes."""


def _score(prediction: Any, without: str, form: str = "") -> str:
    return without if prediction.score is None else format(prediction.score, form)


def _rows(found: Any, classes: Any) -> list[dict]:
    """Return a row per face, and one without a face for a picture in which none was found."""
    named = {c: f"probability of {c}" if c in FIXED else c for c in classes}
    rows = []
    for file, faces in found:
        rows += [{**dict.fromkeys((*FIXED, *named.values()), ""), "file": str(file)}] * (not faces)
        for k, p in enumerate(faces):
            fixed = dict(zip(FIXED, (str(file), k, *p.box, _score(p, ""), p.emotion), strict=True))
            rows.append(fixed | {named[c]: p.probabilities[c] for c in classes})
    return rows


def _write(path: str, rows: list[dict]) -> None:
    import csv
    import io

    from facelab.core.files import write_text

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["file"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _is_text(path: Path) -> bool:
    return (path / "vocab.txt" if path.is_dir() else path.with_name("vocab.txt")).is_file()


def _text_model(path: Path) -> Path:
    from facelab.emotion.text import MODEL

    return path / MODEL if path.is_dir() else path


def _predict_text(given: tuple[str, ...], path: Path, as_json: bool) -> None:
    from facelab.emotion.internals import text

    classifier, sentences = (
        text.TextClassifier(_text_model(path)),
        [s for source in given for s in text.sentences_of(source)],
    )
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


def _short(file: Path) -> str:
    """Return a path as one line: relative to the working folder where it is below it, else its last two parts."""
    try:
        return escape.line(file.resolve().relative_to(Path.cwd()).as_posix())
    except ValueError:
        return escape.line("/".join(file.parts[-2:]))


def _predictions(found: Any, classes: Any) -> str:
    rows = [("file", "face", "box", "score", "emotion", *classes)]
    for file, faces in found:
        for k, p in enumerate(faces):
            rows.append(
                (
                    _short(file),
                    str(k),
                    ",".join(f"{v:.0f}" for v in p.box),
                    _score(p, "–", ".2f"),
                    p.emotion,
                    *(f"{p.probabilities[c]:.3f}" for c in classes),
                )
            )
        if not faces:
            rows.append((_short(file), "–", "no face found", "", "", *("" for _ in classes)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows
    )

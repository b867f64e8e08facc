"""The sentence-sentiment variant: Model Maker's average-word-vector classifier on a `text,label` CSV."""

from __future__ import annotations

import csv
import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import write_bytes, write_json
from facelab.core.hashing import sha256_file, sha256_json
from facelab.core.records import now
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.text_files import decoded, opened_table
from facelab.emotion._jobs import run_job
from facelab.metrics import classification as metrics
from facelab.zoo.runtimes import open_model

MODEL = "text_fp32.tflite"
PAD, START, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class Sentences:
    """Labelled sentences, in the file's order."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: Sequence[int]) -> Sentences:
        """Return the sentences at `index`, in that order."""
        return Sentences(tuple(self.texts[i] for i in index), tuple(self.labels[i] for i in index))


def _check_row(row: Mapping[Any, Any], columns: Sequence[str], where: str) -> None:
    """Raise BadInputError for a row with too many values, or without a text or a label."""
    if None in row:
        raise BadInputError(
            "a row has more values than the first line names",
            where=where,
            expected=",".join(columns),
            got=f"{len(row) - 1 + len(row[None])} values",
            fix='put a text with commas into quotes: "I came, I saw"',
        )
    if not (row["text"] or "").strip() or not (row["label"] or "").strip():
        raise BadInputError(
            "a row has no text or no label", where=where, fix="complete the row or remove it"
        )


def read_csv(path: str | os.PathLike[str]) -> Sentences:
    """Read a UTF-8 CSV with the columns `text` and `label`.

    Raises BadInputError naming file and line for a missing column, an empty cell, or fewer than two labels.
    """
    path = Path(path)
    texts, labels = [], []
    try:
        with opened_table(path) as rows:
            for column in ("text", "label"):
                if column not in (rows.fieldnames or []):
                    hint = did_you_mean(column, rows.fieldnames or [])
                    raise BadInputError(
                        f"the CSV has no column {column!r}{hint}",
                        where=path,
                        expected="text,label",
                        got=",".join(rows.fieldnames or []) or "an empty file",
                        fix="name the columns `text` and `label` in the first line",
                    )
            for row in rows:
                _check_row(row, rows.fieldnames or [], f"{path}:{rows.line_num}")
                texts.append(row["text"].strip())
                labels.append(row["label"].strip())
    except (OSError, ValueError, csv.Error) as e:
        raise BadInputError(
            "the CSV cannot be read", where=path, got=str(e)[:120], fix="check path and encoding"
        ) from None
    if len(set(labels)) < 2:
        raise BadInputError(
            "the CSV shows fewer than two labels",
            where=path,
            expected="at least two",
            got=", ".join(sorted(set(labels))) or "no rows",
            fix="add sentences of another label",
        )
    return Sentences(tuple(texts), tuple(labels))


def split(sentences: Sentences, fractions: dict[str, float], *, seed: int) -> dict[str, Sentences]:
    """Split by label and in seeded order; the same sentence is never in two parts."""
    rng = np.random.default_rng(seed)
    by_text: dict[str, list[int]] = {}
    for i, text in enumerate(sentences.texts):
        by_text.setdefault(" ".join(tokenize(text)), []).append(i)
    by_label: dict[str, list[list[int]]] = {}
    for group in by_text.values():
        by_label.setdefault(sentences.labels[group[0]], []).append(group)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in sorted(by_label):
        groups = [by_label[label][i] for i in rng.permutation(len(by_label[label]))]
        edges = np.rint(np.cumsum([0.0, *fractions.values()]) * len(groups)).astype(int)
        for name, a, b in zip(fractions, edges, edges[1:]):
            parts[name] += [i for group in groups[a:b] for i in group]
    return {
        name: sentences.take([index[i] for i in rng.permutation(len(index))])
        for name, index in parts.items()
    }


def tokenize(text: str) -> list[str]:
    """Return the words as the model's own spec cuts them: lower case, split at anything but letters, digits and '.

    >>> tokenize("I don't  like it -- at all!")
    ['i', "don't", 'like', 'it', 'at', 'all']
    """
    return [t for t in re.split(r"[^\w']+", text.strip().lower()) if t]


def train(
    sentences: Sentences,
    out: Path,
    *,
    epochs: int = 80,
    batch: int = 16,
    sequence: int = 32,
    words: int = 10000,
    vector: int = 16,
    seed: int = 7,
    timeout: float = 600,
    on_line: Callable[[str], None] | None = None,
) -> dict:
    """Train on 70 %, validate on 15 %, test the exported file on 15 %; fill `out` and return the record.

    Raises BadInputError for a part without sentences, TrainingError where the back end fails.
    """
    parts = split(sentences, {"train": 0.7, "validation": 0.15, "test": 0.15}, seed=seed)
    for name, part in parts.items():
        if not len(part):
            raise BadInputError(
                f"the part '{name}' has no sentences",
                expected="about ten sentences per label",
                got=dict(Counter(sentences.labels)),
                fix="add sentences",
            )
    with ScratchFolder(prefix="facelab-text-") as name:
        folder = Path(name)
        for part in ("train", "validation"):
            _write_csv(folder / f"{part}.csv", parts[part])
        job = {
            "kind": "text",
            "seed": seed,
            "epochs": epochs,
            "batch": min(batch, len(parts["train"])),
            "sequence": sequence,
            "num_words": words,
            "vector": vector,
        }
        result = run_job("modelmaker", folder, job, timeout=timeout, on_line=on_line)
        out.mkdir(parents=True, exist_ok=True)
        for file in result["files"]:
            write_bytes(out / file, (folder / file).read_bytes())
        shutil.rmtree(folder / "cache", ignore_errors=True)
    record = _record(job, parts, result, out / MODEL)
    write_json(out / "training.json", record)
    return record


def _record(
    job: Mapping[str, Any], parts: Mapping[str, Sentences], result: Mapping[str, Any], model: Path
) -> dict[str, Any]:
    """Return how a model was trained on what, and its figures on the test part."""
    figures = evaluate(TextClassifier(model), parts["test"])
    return {
        "schema": "facelab.training/1",
        "at": now(),
        "settings": {k: v for k, v in job.items() if k != "kind"},
        "parts": {
            n: {"n": len(p), "hash": sha256_json([p.texts, p.labels])} for n, p in parts.items()
        },
        "test_accuracy": figures["accuracy"]["value"],
        "test": figures,
        "seconds": round(result["seconds"], 2),
        "versions": result["versions"],
        "model_sha256": sha256_file(model),
    }


def evaluate(classifier: TextClassifier, sentences: Sentences) -> dict:
    """Return accuracy with its bootstrap interval, the confusion table and precision, recall and F1 a class.

    Raises BadInputError for a label that the model does not have.
    """
    unknown = sorted(set(sentences.labels) - set(classifier.classes))
    if unknown:
        raise BadInputError(
            "a label is not one of the model's",
            expected=", ".join(classifier.classes),
            got=", ".join(unknown),
            fix="correct the labels, or train on them",
        )
    truth = np.array([classifier.classes.index(label) for label in sentences.labels])
    predicted = classifier.probabilities(sentences.texts).argmax(axis=1)
    table = metrics.confusion(truth, predicted, len(classifier.classes))
    return {
        "n": len(truth),
        "classes": list(classifier.classes),
        "accuracy": metrics.accuracy(truth, predicted).as_dict(),
        "per_class": metrics.per_class(table, classifier.classes),
        "confusion": table.tolist(),
    }


def _text_column(path: Path) -> list[str]:
    with opened_table(path) as rows:
        if "text" not in (rows.fieldnames or []):
            raise BadInputError(
                f"the CSV has no column 'text'{did_you_mean('text', rows.fieldnames or [])}",
                where=path,
                expected="text",
                got=",".join(rows.fieldnames or []) or "nothing",
                fix="name the column `text` in the first line",
            )
        return [row["text"] or "" for row in rows]


def sentences_of(source: str) -> list[str]:
    """Return what a user names: the rows of a CSV with a column `text`, the lines of another file, or one sentence.

    Raises BadInputError naming a file that cannot be read or holds none.
    """
    path = Path(source)
    try:
        if not path.is_file():
            return [source]
        if path.suffix.lower() == ".csv":
            found = _text_column(path)
        else:
            found = decoded(path, "utf-8-sig").splitlines()
    except (OSError, ValueError, csv.Error) as e:
        # a long sentence is not a path either: OSError, "file name too long"
        if isinstance(e, OSError) and e.errno == errno.ENAMETOOLONG:
            return [source]
        raise BadInputError(
            "the file cannot be read as text",
            where=path,
            got=str(e)[:120],
            fix="give UTF-8 text, a CSV with a column `text`, or one sentence",
        ) from None
    found = [line.strip() for line in found if line.strip()]
    if not found:
        raise BadInputError(
            "the file holds no sentence",
            where=path,
            expected="a sentence a line",
            got="empty lines, or none",
            fix="check that this is the right file",
        )
    return found


class TextClassifier:
    """The exported sentence classifier with the `vocab.txt` and `labels.txt` beside it."""

    def __init__(self, path: str | os.PathLike[str]):
        path = Path(path)
        self.model = open_model(path)
        shape = self.model.inputs[0].shape
        if len(shape) != 2 or shape[1] is None:
            raise BadInputError(
                "the model does not take a fixed number of words",
                where=path,
                expected="an input of shape (1, n)",
                got=self.model.inputs[0],
                fix="export it with facelab emotion train --backend text",
            )
        self.sequence = shape[1]
        try:
            lines = decoded(path.with_name("vocab.txt")).splitlines()
            self.vocabulary = {
                word: int(i) for word, i in (line.rsplit(" ", 1) for line in lines if line)
            }
            self.classes = tuple(decoded(path.with_name("labels.txt")).split("\n"))
        except (OSError, ValueError) as e:
            raise BadInputError(
                "the classifier's vocabulary or labels cannot be read",
                where=path.parent,
                expected="vocab.txt and labels.txt",
                got=str(e)[:120],
                fix="export it again",
            ) from None
        self.classes = tuple(c for c in self.classes if c)

    def ids(self, text: str) -> np.ndarray:
        """Return the model's input for one sentence: int32 (1, sequence), padded or cut."""
        ids = [START, *(self.vocabulary.get(t, UNKNOWN) for t in tokenize(text))][: self.sequence]
        return np.array([ids + [PAD] * (self.sequence - len(ids))], dtype=np.int32)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, classes) float32."""
        return np.concatenate([self.model.run(self.ids(t))[0] for t in texts]).astype(np.float32)


def _write_csv(path: Path, part: Sentences) -> None:
    with path.open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(("text", "label"))
        writer.writerows(zip(part.texts, part.labels))

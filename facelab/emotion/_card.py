"""The model card: what was trained on what, how it does, and what it is not for."""

from __future__ import annotations

from typing import Any

from facelab.preprocess import PreprocessSpec


def render(
    record: dict[str, Any], spec: PreprocessSpec, *, evaluation: dict[str, Any] | None = None
) -> str:
    """Return the card as Markdown from a training record, the spec and, where it was made, an evaluation."""
    return "\n".join(
        [
            *_training(record),
            *_preprocessing(spec),
            *(_evaluation(evaluation) if evaluation else []),
            *_limits(record),
        ]
    )


def _training(record: dict[str, Any]) -> list[str]:
    """Return what was trained on what: one row per part of the data."""
    settings = record["settings"]
    lines = [
        f"# Emotion classifier ({', '.join(record['classes'])})",
        "",
        f"Trained {record['at']} by the `{settings['backend']}` back end, strategy `{settings['strategy']}`, "
        f"{len(record['history'].get('loss', []))} epochs, seed {settings['seed']}, in {record['seconds']:.0f} s.",
        "",
        "## Data",
        "",
        f"Source: {record['source'] or 'given by the caller'}.",
        "",
        "| part | faces | identities | " + " | ".join(record["classes"]) + " | content hash |",
        "|---|---|---|" + "---|" * len(record["classes"]) + "---|",
    ]
    for name, part in record["parts"].items():
        counts = " | ".join(str(part["classes"][c]) for c in record["classes"])
        lines.append(
            f"| {name} | {part['n']} | {part['identities'] or 'unknown'} | {counts} | `{part['hash'][:12]}` |"
        )
    return [
        *lines,
        "",
        "The parts share no identity (where identities are known) and no image.",
        "",
    ]


def _preprocessing(spec: PreprocessSpec) -> list[str]:
    return [
        "## Preprocessing",
        "",
        "```",
        spec.text(),
        "```",
        "",
        "The same file travels beside the model as `emotion_fp32.preprocess.json`; feed nothing else.",
        "",
    ]


def _evaluation(evaluation: dict[str, Any]) -> list[str]:
    accuracy = evaluation["accuracy"]
    return [
        "## Evaluation of the exported file",
        "",
        f"Test accuracy {accuracy['value']:.3f} (95 % interval {accuracy['lo']:.3f} to {accuracy['hi']:.3f}, "
        f"n = {evaluation['n']}), ECE {evaluation['ece']:.3f}.",
        "",
        "| class | precision | recall | F1 | n |",
        "|---|---|---|---|---|",
        *(
            f"| {c} | {_share(r['precision'])} | {_share(r['recall'])} | {_share(r['f1'])} | {r['support']} |"
            for c, r in evaluation["per_class"].items()
        ),
        "",
    ]


def _limits(record: dict[str, Any]) -> list[str]:
    return [
        "## Limits",
        "",
        "A posed expression in one picture is not a feeling: do not use this to judge what a person feels, "
        "intends or deserves. Figures on synthetic faces say that the pipeline works, not how well it does on "
        "people; measure on your own labelled faces before you rely on it.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in record["versions"].items()) + ".",
        "",
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"

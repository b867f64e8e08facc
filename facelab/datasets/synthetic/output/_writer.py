"""Write a set to a folder: pictures, labels, pairs, manifest, contact sheet; interrupted work is resumed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import dumps, write_json, write_text
from facelab.core.hashing import sha256_file
from facelab.datasets.synthetic._workers import parallel
from facelab.datasets.synthetic.output import _rows as rows
from facelab.datasets.synthetic.output import _wider_text as wider
from facelab.datasets.synthetic.output._rows import Request
from facelab.datasets.synthetic.output._sheet import write_sheet
from facelab.datasets.synthetic.tasks import _sets as sets
from facelab.datasets.synthetic.tasks._pairs import FEWEST, base_pairs, hard_pairs
from facelab.datasets.synthetic.tasks._scenes import DEFAULT_SIZE

SCHEMA = "facelab.synthetic/1"
RENDERER = 2  # raise it when the same request no longer gives the same pixels
JOURNAL = ".journal.jsonl"
MANIFEST, LABELS, PAIRS, HARD, SHEET = (
    "manifest.json",
    "labels.csv",
    "pairs.csv",
    "pairs_hard.csv",
    "contact_sheet.png",
)
Progress = Callable[[Iterable, int], Iterable]


@dataclass(frozen=True)
class Written:
    """What `write_set` did: the folder, pictures in the set, pictures drawn now (the rest were there), rows."""

    folder: Path
    pictures: int
    drawn: int
    faces: int
    pairs: int
    files: tuple[str, ...]


def make_request(
    name: str, seed: int, size: int | None, classes: int | tuple[str, ...] = 7, depth: bool = False
) -> Request:
    """Return a checked request; `size` is the side of a face crop, or the width of a scene (height ¾ of it).

    Raises BadInputError for what cannot be drawn.
    """
    sets.check_set(name)
    seed = sets.check_number("seed", seed)
    if name == "detection":
        width = DEFAULT_SIZE[0] if size is None else sets.check_number("size", size, 64)
        shape = (width, width * 3 // 4)
    else:
        side = 160 if size is None else sets.check_number("size", size, 16)
        shape = (side, side)
    if shape[0] > 2048:
        raise BadInputError(
            "the picture's size is out of range",
            expected="at most 2048 pixels",
            got=shape[0],
            fix="choose a size within these limits",
        )
    if depth and name == "detection":
        raise BadInputError(
            "scenes have no depth map", got="--depth with --set detection", fix="leave --depth out"
        )
    return Request(name, seed, shape, sets.classes_of(classes) if name == "emotion" else (), depth)


def write_set(
    request: Request,
    n: int,
    folder: str | Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Written:
    """Write the first n pictures of a set with labels, manifest and contact sheet; return what was done.

    Pictures that an earlier run of the same request left behind are kept when their bytes are the promised ones; a
    larger n continues a smaller one. The files are the same for any number of workers. Raises BadInputError when the
    folder holds something else.
    """
    folder = Path(folder)
    n, workers = (
        sets.check_number("number of pictures", n, 1),
        sets.check_number("number of workers", workers, 1),
    )
    if request.set == "verification" and n < FEWEST:
        raise BadInputError(
            "too few pictures for ten folds of pairs",
            expected=f"at least {FEWEST}",
            got=n,
            fix=f"ask for {FEWEST} or more",
        )
    done = _open_journal(folder, request, n)
    todo = [k for k in range(n) if k not in done]
    jobs = [(request, k, str(folder)) for k in todo]
    results: Iterable = parallel(_produce_and_note, jobs, workers)
    for entry in progress(results, len(jobs)) if progress else results:
        done[entry["index"]] = entry
    return _finish(request, folder, [done[k] for k in range(n)], len(todo))


# ---------------------------------------------------------------- journal
def _header(request: Request) -> dict:
    plain = {
        k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(request).items()
    }
    return {"schema": SCHEMA, "renderer": RENDERER, **plain}


def _open_journal(folder: Path, request: Request, n: int) -> dict[int, dict]:
    """Return entries of pictures that are there and whole; start the journal of a new folder."""
    if folder.exists() and not folder.is_dir():
        raise BadInputError("the output is not a folder", where=folder, fix="name a folder")
    path = folder / JOURNAL
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise BadInputError(
                "the folder is not empty and was not written by this command",
                where=folder,
                fix="name a new folder, or empty this one",
            )
        write_text(path, dumps(_header(request)) + "\n")
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    header = _parse(lines[0]) if lines else None
    if header != _header(request):
        wanted = _header(request)
        changed = [k for k in wanted if not header or header.get(k) != wanted[k]]
        raise BadInputError(
            "the folder holds another set",
            where=folder,
            expected=", ".join(f"{k}={wanted[k]}" for k in changed),
            got=", ".join(f"{k}={(header or {}).get(k)}" for k in changed),
            fix="name another folder, or repeat the options with which this one was begun",
        )
    entries = {e["index"]: e for e in map(_parse, lines[1:]) if e and "index" in e}
    if entries and max(entries) >= n:
        raise BadInputError(
            "the folder holds more pictures than were asked for",
            where=folder,
            expected=f"at most {n}",
            got=max(entries) + 1,
            fix="ask for as many or more, or name another folder",
        )
    return {
        k: e
        for k, e in entries.items()
        if all(_is_whole(folder / f, facts) for f, facts in e["files"].items())
    }


def _parse(line: str) -> dict | None:
    """Return a journal line, or None for one that an interruption cut short."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_whole(path: Path, facts: dict) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == facts["bytes"]
        and sha256_file(path) == facts["sha256"]
    )


def _produce_and_note(job: tuple[Request, int, str]) -> dict:
    """Draw one picture and append its entry to the journal in one write, so that nothing finished is drawn twice."""
    entry = rows.produce(job)
    with (Path(job[2]) / JOURNAL).open("ab", buffering=0) as f:
        f.write(("\n" + dumps(entry)).encode("utf-8"))
    return entry


# ---------------------------------------------------------------- the finished set
def _finish(request: Request, folder: Path, entries: list[dict], drawn: int) -> Written:
    names = [rows.file_name(request, e["index"]) for e in entries]
    table = [row for e in entries for row in e["rows"]]
    # a picture without a face has a row as well, so that false alarms in it can be counted
    listed = [
        row
        for name, e in zip(names, entries, strict=True)
        for row in e["rows"] or [{"file": name, "split": e["split"]}]
    ]
    _write_csv(folder / LABELS, rows.columns(request), listed)
    written, pairs = [LABELS], 0
    if request.set == "verification":
        pairs = _write_pairs(folder, request, names)
        written += [PAIRS, HARD, "pairs.txt"]
    if request.set == "detection":
        written += wider.write_wider(folder, entries, names)
    write_sheet(folder / SHEET, request.set, folder, entries, names)
    written.append(SHEET)
    files = {name: facts for e in entries for name, facts in e["files"].items()}
    files |= {
        name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in written
    }
    splits = {s: sum(e["split"] == s for e in entries) for s in sets.SPLITS}
    write_json(
        folder / MANIFEST,
        {
            **_header(request),
            "n": len(entries),
            "faces": len(table),
            "pairs": pairs,
            "splits": splits,
            "columns": list(rows.columns(request)),
            "files": files,
        },
    )
    # in the order of the indices, whatever the order in which processes finished
    write_text(folder / JOURNAL, "\n".join(map(dumps, [_header(request), *entries])) + "\n")
    return Written(folder, len(entries), drawn, len(table), pairs, (MANIFEST, *written))


def _write_csv(path: Path, header: Iterable[str], table: Iterable[dict]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(header), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(table)
    write_text(path, text.getvalue())


def _write_pairs(folder: Path, request: Request, names: list[str]) -> int:
    """Write pairs.csv, pairs_hard.csv, and pairs.txt in LFW's own layout; return the number of base pairs."""
    base = base_pairs(request.seed, len(names))
    _write_csv(
        folder / PAIRS,
        ("fold", "a", "b", "same"),
        ({"fold": p.fold, "a": names[p.a], "b": names[p.b], "same": p.same} for p in base),
    )
    _write_csv(
        folder / HARD,
        ("fold", "a", "b", "same", "factor"),
        (
            {"fold": p.fold, "a": names[p.a], "b": names[p.b], "same": p.same, "factor": p.factor}
            for p in hard_pairs(len(names))
        ),
    )
    write_text(folder / "pairs.txt", _lfw_text(base, names))
    return len(base)


def _lfw_text(pairs: Any, names: list[str]) -> str:
    """Return LFW's pairs.txt: folds and pairs a fold; `name i j` genuine, `name i name j` impostor.

    LFW gives each fold the same number of pairs; folds are cut to the smallest one here.
    """
    folds = {
        k: (
            [p for p in pairs if p.fold == k and p.same],
            [p for p in pairs if p.fold == k and not p.same],
        )
        for k in range(sets.FOLDS)
    }
    size = min(min(len(genuine), len(impostor)) for genuine, impostor in folds.values())

    def part(index: int) -> tuple[str, int]:
        return Path(names[index]).parent.name, rows.shot_number(index)

    lines = [f"{sets.FOLDS}\t{size}"]
    for genuine, impostor in folds.values():
        lines += [f"{part(p.a)[0]}\t{part(p.a)[1]}\t{part(p.b)[1]}" for p in genuine[:size]]
        lines += ["\t".join(map(str, (*part(p.a), *part(p.b)))) for p in impostor[:size]]
    return "\n".join(lines) + "\n"

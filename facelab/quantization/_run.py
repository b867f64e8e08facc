"""One whole quantisation: read, check, quantise, measure, judge, keep floats where asked, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.machine import cores
from facelab.core.records import now
from facelab.core.wording import plural
from facelab.emotion.internals import trained_on
from facelab.quantization import _qat as qat
from facelab.quantization import _subject as subject
from facelab.quantization import _table as table
from facelab.quantization import _tasks as tasks
from facelab.quantization import calibration as cal
from facelab.quantization import export, images, measure, recipes
from facelab.quantization._boxes import Decoder
from facelab.quantization._budgets import Budgets
from facelab.quantization._layers import Progress
from facelab.quantization._operators import check_integer
from facelab.quantization._session import FLOAT, Session
from facelab.quantization.recipes import Recipe
from facelab.zoo.given import MANIFEST

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What `facelab quantize` is asked for; the fields are its options, those on quality and size as `budgets`."""

    model: str
    recipes: tuple[str, ...]
    calibration: str
    evaluate: str
    keep_float: str | None = None
    out: Path | None = None
    spec: str | None = None
    calibration_n: int = 200
    least: int = cal.LEAST
    evaluate_n: int | None = None
    seed: int = 7
    crop: str = "detect"
    budgets: Budgets = field(default_factory=Budgets)
    runs: int = 50
    latency: bool = True
    layers: bool = False
    labels: str | None = None
    pairs: str | None = None
    pair_images: str | None = None
    unlabelled: bool = False
    label_map: Mapping[str, str] = field(default_factory=dict)
    count_trained: bool = False
    time: float = 180.0

    @property
    def auto(self) -> bool:
        """Whether the set of float layers is searched for."""
        return "auto" in (self.keep_float or "").split(",")

    @property
    def kept(self) -> str:
        """The operators that `keep_float` names, without `auto`."""
        parts = (p.strip() for p in (self.keep_float or "").split(","))
        return ",".join(p for p in parts if p and p != "auto")


def quantize(request: Request, *, say: Say = lambda _: None) -> tuple[dict[str, Any], str]:
    """Carry a request out and return the report (`facelab.quantization/1`) and its text.

    Everything is checked before anything is quantised, and nothing is written into `out` until all is measured.

    Parameters
    ----------
    request : Request
        What is to be done.
    say : Say
        Called with one line per step.

    Returns
    -------
    tuple[dict[str, Any], str]
        The report as plain JSON, and as text.

    Raises
    ------
    BadInputError
        The model, the images or an option cannot be used; naming it.

    Examples
    --------
    >>> folders = "data/calibration", "data/test"
    >>> request = Request("bundle", ("u8s8",), *folders, crop="whole", latency=False)
    >>> report, text = quantize(request)
    >>> report["task"], [row["variant"] for row in report["rows"]]
    ('classifier', ['float32', 'u8s8-per-channel-minmax'])
    >>> report["out"]  # beside the bundle, which must not change
    'bundle-u8s8-per-channel-minmax'
    """
    it = subject.load(request.model, spec=request.spec)
    say(it.recognised)
    chosen = _chosen(request, it)
    _check_task(request, it)
    say(f"reading {request.calibration} and {request.evaluate}")
    offered, evaluation = _read(request, it, say)
    evaluation, split = _unseen(it, evaluation, request.count_trained, say)
    cal.check_disjoint(offered, evaluation)
    calibrate = cal.stratified(offered, request.calibration_n, seed=request.seed)
    with Session(
        it,
        calibrate,
        evaluation,
        budgets=request.budgets,
        seed=request.seed,
        least=request.least,
        at_task=_at_task(request, it),
    ) as session:
        if request.kept:  # a misspelt operator is refused before anything runs
            session.keep_float_named(request.kept)
        searches = _variants(session, chosen, request, say)
        ranking = {r.name: session.blame(r) for r in chosen if request.layers}
        threads = []
        if request.latency:
            say("timing, a fresh process per variant, interleaved")
            threads = session.time(threads=sorted({1, cores()}), runs=request.runs)
        manifest = cal.manifest(calibrate, seed=request.seed, offered=len(offered))
        report = _report(session, request, manifest, searches, ranking, threads, chosen)
        report["evaluation"] |= split
        suspicion = _write(session, request, chosen, report, manifest)
        told = [
            *([str(suspicion)] if suspicion else []),
            table.text(session),
            *(table.layers_text(name, rows) for name, rows in ranking.items()),
            table.verdicts(report),
            f"written to {report['out']}",
        ]
        return report, "\n".join(told)


def _beside(model: Path, what: str) -> Path:
    """Return where variants go if nobody says: beside the model, or beside a bundle, which lists all of its files."""
    if (model.parent / MANIFEST).is_file():
        return model.parent.with_name(f"{model.parent.name}-{what}")
    return model.with_name(f"{model.stem}-{what}")


def _read(request: Request, it: subject.Subject, say: Say) -> tuple[cal.Samples, cal.Samples]:
    """Return the images that are offered for calibration, and those to evaluate on."""
    offered = images.read(
        it,
        request.calibration,
        crop=request.crop,
        seed=request.seed,
        most=None if it.task == "classifier" else 4 * request.calibration_n,
        unlabelled=request.unlabelled,
        label_map=request.label_map,
        say=say,
    )
    evaluation = images.read(
        it,
        request.evaluate,
        crop=request.crop,
        seed=request.seed + 1,
        most=request.evaluate_n,
        unlabelled=request.unlabelled,
        label_map=request.label_map,
        say=say,
    )
    return offered, evaluation


def _write(
    session: Session,
    request: Request,
    chosen: list[Recipe],
    report: dict[str, Any],
    manifest: dict[str, Any],
) -> Any:
    """Write the variants and the report, enter into the report where, and return what should be questioned."""
    file = session.subject.file
    out = request.out or _beside(file, "-".join(r.name for r in chosen[:3]))
    kept = {v: f"{file.stem}-{v}" for v in session.rows if v != FLOAT}
    report |= {
        "out": str(out),
        "files": {v: f"{kept[v]}{session.files[v].suffix}" for v in kept},
    }
    suspicion = session.question() or session.unreached()
    report["suspicion"] = suspicion and suspicion.to_dict()
    report["written"] = export.write(session, kept, out, report, manifest)
    return suspicion


def _unseen(
    it: subject.Subject, evaluation: cal.Samples, everything: bool, say: Say
) -> tuple[cal.Samples, dict[str, Any]]:
    """Leave out what the model was trained on, by the list that its training wrote beside it.

    Returns the samples and what the report says: `split` (whether there is a list), `left_out`, and `trained_on`, the
    number of trained images that are counted nevertheless.
    """
    trained = trained_on(it.file.parent)
    if trained is None:
        return evaluation, {"split": None, "left_out": 0, "trained_on": None}
    seen = trained.seen(evaluation.hashes, evaluation.names, evaluation.groups)
    known = sum(seen)
    told = {"split": trained.path.name, "left_out": 0, "trained_on": 0}
    if everything or not known:
        if known:
            say(f"{known} of {len(seen)} evaluation images were trained on: no evidence")
        return evaluation, told | {"trained_on": known}
    if known == len(seen):
        raise BadInputError(
            "the model was trained on every evaluation image",
            where=evaluation.source,
            expected=f"images that {trained.path.name} does not list, or of other people",
            got=f"{known} of {len(seen)} trained on",
            fix="evaluate on other images, or count these with --count-trained (the gate refuses such figures)",
        )
    say(
        f"{known} of {len(seen)} evaluation images (or their people) were trained on and are left out; "
        "--count-trained counts them"
    )
    return evaluation.take([i for i, s in enumerate(seen) if not s]), told | {"left_out": known}


def _check_task(request: Request, it: subject.Subject) -> None:
    """Refuse labels and pairs for a network that they do not suit, before anything is read."""
    for option, given, task in (
        ("--labels", request.labels, "detector"),
        ("--pairs", request.pairs, "embedder"),
    ):
        if given and it.task != task:
            raise BadInputError(
                f"{option} is for a{'n' * (task[0] == 'e')} {task}",
                where=it.file,
                expected=task,
                got=it.recognised,
                fix=f"leave {option} out"
                + ("; a classifier's labels are its folders" if it.task == "classifier" else ""),
            )


def _at_task(request: Request, it: subject.Subject) -> tasks.Marked | tasks.Paired | None:
    if request.labels:
        return tasks.Marked(Decoder(it, it.file).detector, request.evaluate, request.labels)
    if request.pairs:
        return tasks.paired(it.file, it.spec, request.pairs, request.pair_images, request.crop)
    return None


def _chosen(request: Request, it: subject.Subject) -> list[Recipe]:
    found: dict[str, Recipe] = {}
    for name in request.recipes:
        for r in recipes.choose(
            name,
            it.file,
            converter=it.source is not None,
            keep_float=bool(request.keep_float),
            alone=len(request.recipes) == 1,
        ):
            found[r.name] = r
    if any(r.route == "qat" for r in found.values()):
        qat.source_of(it)  # refused before anything runs
    able = [r for r in found.values() if r.keeps_float]
    if request.keep_float and not able:
        next(iter(found.values())).check_float_operators()
    if request.keep_float and len(found) > 1 and (not request.auto or len(able) > 1):
        raise BadInputError(
            "--keep-float goes with one recipe",
            got=", ".join(found),
            fix="name one recipe (others may come with `auto` where they cannot leave operators in float)",
        )
    return list(found.values())


def _variants(session: Session, chosen: list[Recipe], request: Request, say: Say) -> dict[str, Any]:
    """Make and enter every variant; return what the search for float layers found."""
    named = session.keep_float_named(request.kept) if request.kept else ()
    if named and not request.auto:
        _enter(session, chosen[0], named)
        return {}
    for recipe in (r for r in chosen if r.route == "modelmaker"):
        found = session.base.with_name("emotion_int8_modelmaker.tflite")
        if not found.is_file():
            session.make(recipe)  # says how to get one
        check_integer(found)
        session.add(recipe.name, found)
    searched = next((r for r in chosen if r.keeps_float), None) if request.auto else None
    for name, path in session.make_all(
        r for r in chosen if r.route != "modelmaker" and r is not searched
    ).items():
        say(f"measuring {name}")
        session.add(name, path)
    return {} if searched is None else _searched(session, searched, named, request, say)


def _enter(session: Session, recipe: Recipe, kept: tuple[str, ...]) -> str:
    """Make a variant with `kept` in float, enter it into the table, and return its name there."""
    name = f"{recipe.name}-keep{len(kept)}" if kept else recipe.name
    path = session.make(recipe, name=name, keep_float=kept)
    session.add(name, path, keep_float=kept, recipe=recipe.name)
    return name


def _searched(
    session: Session, recipe: Recipe, named: tuple[str, ...], request: Request, say: Say
) -> dict[str, Any]:
    """Make one recipe's variant with `named` and what it cannot quantise in float; where that misses a budget, look
    for the smallest set of float layers and enter it, or the nearest miss."""
    say(f"measuring {recipe.name}")
    always = tuple(dict.fromkeys((*named, *session.without_kernel(recipe))))
    if len(always) > len(named):
        say(
            f"{len(always) - len(named)} operators that {recipe.name} cannot quantise stay in float"
        )
    plain = _enter(session, recipe, always)
    if session.rows[plain]["verdict"]["passed"]:
        return {}
    say(
        f"looking for the smallest set of float layers that meets the budgets, {request.time:.0f} s at most"
    )
    found = session.keep_float_auto(
        recipe, always=always, seconds=request.time, progress=_progress(say)
    )
    entered = _enter(session, recipe, found.layers) if set(found.layers) != set(always) else plain
    verdict = session.rows[entered]["verdict"]
    return {
        "recipe": plain,
        "variant": entered,
        "layers": list(found.layers),
        "cannot_be_quantised": list(always[len(named) :]),
        "met": found.met and verdict["passed"],
        "tried": found.tried,
        "how": found.how,
    }


def _progress(say: Say) -> Progress:
    """Say how far the search is, at most every ten seconds."""
    last = [0.0]

    def follow(made: int, seconds: float, left: int | None) -> None:
        if seconds - last[0] < 10 and made > 1:
            return
        last[0] = seconds
        more = (
            f", about {left * seconds / made:.0f} s for the {left} left of this round"
            if left
            else ""
        )
        say(f"{plural(made, 'model')} made in {seconds:.0f} s{more}")

    return follow


def _report(
    session: Any,
    request: Any,
    manifest: Any,
    search: Any,
    ranking: Any,
    threads: list[int],
    chosen: Any,
) -> dict[str, Any]:
    judged = {v: r["verdict"] for v, r in session.rows.items() if v != FLOAT}
    # what --keep-float auto was asked to repair counts repaired
    wanted = [v for v in judged if not (search.get("met") and v == search["recipe"])]
    return {
        "schema": table.SCHEMA,
        "at": now(),
        "model": str(request.model),
        "model_sha256": images.file_hash(session.subject.file),
        "task": session.subject.task,
        "recognised": session.subject.recognised,
        "recipes": [r.name for r in chosen],
        "budgets": vars(session.budgets),
        "calibration": {k: v for k, v in manifest.items() if k != "images"},
        "evaluation": {"source": session.evaluation.source, "count": len(session.evaluation)},
        "machine": measure.machine(threads),
        "threads": threads,
        "rows": table.rows(session),
        "keep_float": search or None,
        "layers": ranking or None,
        "slower": table.statement(session),
        "verdicts": judged,
        "passed": all(judged[v]["passed"] for v in wanted),
    }

"""`Session`: one float model, one calibration set, one evaluation set; variants are made and measured on these."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import CheckFailedError, FacelabError, UnsupportedError
from facelab.core.hashing import sha256_file, sha256_json
from facelab.core.machine import cores
from facelab.core.safety.scratch import ScratchFolder
from facelab.detection.internals import Found
from facelab.metrics.plausibility import Suspicion, question_answers, question_inputs
from facelab.quantization import _bench as bench
from facelab.quantization import _boxes as boxes
from facelab.quantization import _converter as converter
from facelab.quantization import _qat as qat
from facelab.quantization import calibration, measure
from facelab.quantization._budgets import Budgets, judge
from facelab.quantization._edge import EdgeQuantizer, QuantizationError
from facelab.quantization._layers import Evaluate, KeepFloat, Progress, named, rank, smallest
from facelab.quantization._onnx_route import OnnxQuantizer
from facelab.quantization._operators import NotIntegerError, Operator, check_integer
from facelab.quantization._rows import tensors_hash
from facelab.quantization._subject import Subject, label_file
from facelab.quantization._tasks import Marked, Paired
from facelab.quantization.calibration import Samples
from facelab.quantization.recipes import Recipe
from facelab.zoo.runtimes import check_spec, open_model

FLOAT = "float32"
CLOSE = 1e-3
"""Largest difference of outputs by which a SavedModel beside a `.tflite` still counts as the same model: both sum in
float32, in different orders."""


class Session:
    """Make and measure variants of one model; use it as a context manager, or call `close`.

    Parameters
    ----------
    subject : Subject
        From `load`.
    calibrate, evaluate : Samples
        Images to calibrate on, and others to measure on.
    budgets : Budgets or None
        What a variant must keep; None for the default ones.
    seed : int
        Of every random choice.
    least : int
        Fewest calibration images.
    at_task : Marked or Paired or None
        Labelled boxes or pairs, for detectors and embedders.

    Raises
    ------
    BadInputError
        Images are too few, in both sets, or do not fit the model. Everything is checked before anything is made.

    Examples
    --------
    >>> import numpy as np
    >>> from facelab.quantization import calibration, load
    >>> subject, rng = load("bundle"), np.random.default_rng(0)
    >>> def noise(name, n):
    ...     tensors = rng.uniform(-1, 1, (n, 24, 24, 3)).astype(np.float32)
    ...     names = tuple(f"{name} {k}" for k in range(n))
    ...     return calibration.Samples(tensors, names, names, subject.spec, name)
    >>> with Session(subject, noise("calibration", 20), noise("evaluation", 10)) as session:
    ...     sorted(session.rows)
    ['float32']
    """

    def __init__(
        self,
        subject: Subject,
        calibrate: Samples,
        evaluate: Samples,
        *,
        budgets: Budgets | None = None,
        seed: int = 0,
        least: int = calibration.LEAST,
        at_task: Marked | Paired | None = None,
    ):
        for samples, what in ((calibrate, "calibration"), (evaluate, "evaluation")):
            measure.check_samples(samples, what)
        calibration.check_enough(calibrate, least=least)
        calibration.check_disjoint(calibrate, evaluate)
        self.subject, self.calibration, self.evaluation = subject, calibrate, evaluate
        self.budgets, self.seed = budgets or Budgets(), seed
        self.at_task = at_task
        self._temporary = ScratchFolder(prefix="facelab-quantize-")
        self.folder = Path(self._temporary.name)
        self._onnx: OnnxQuantizer | None = None
        self._edge: EdgeQuantizer | None = None
        self._sources: dict[str, Path] = {}
        try:
            self.base = self._base()
            self.onnx = self.base.suffix.lower() == ".onnx"
            check_spec(open_model(self.base, threads=1, made_here=True), subject.spec)
            self._decoder = (
                boxes.Decoder(subject, self.base) if subject.task == "detector" else None
            )
            classes = len(subject.classes) if self.classifier else None
            self.answers, self.float_outputs = measure.Answers.of(
                self.base, subject.spec, evaluate.tensors, classes
            )
        except BaseException:
            self.close()
            raise
        self.files: dict[str, Path] = {FLOAT: self.base}
        self.rows: dict[str, dict[str, Any]] = {FLOAT: self.row(self.base)}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was not kept."""
        if self._onnx:
            self._onnx.close()
        self._temporary.cleanup()

    @property
    def hash(self) -> str:
        """What tells this session from others: model, preprocessing, both sample sets, budgets and seed."""
        sets = [
            [_key(s), list(s.hashes), None if s.labels is None else s.labels.tolist()]
            for s in (self.calibration, self.evaluation)
        ]
        return sha256_json(
            [
                sha256_file(self.base),
                self.subject.spec.hash,
                self.subject.task,
                sets,
                dataclasses.asdict(self.budgets),
                self.seed,
            ]
        )

    @property
    def classifier(self) -> bool:
        """Whether answers are classes."""
        return self.subject.task == "classifier"

    def _base(self) -> Path:
        if self.subject.path is not None:
            return self.subject.path
        return converter.convert(
            self.subject.file, self.folder, [{"name": FLOAT, "kind": "float32"}]
        )[FLOAT]

    @property
    def edge(self) -> EdgeQuantizer:
        """ai-edge-quantizer on the float `.tflite`."""
        self._edge = self._edge or EdgeQuantizer(self.base)
        return self._edge

    @property
    def ort(self) -> OnnxQuantizer:
        """ONNX Runtime's quantisers on the float `.onnx`."""
        self._onnx = self._onnx or OnnxQuantizer(self.base)
        return self._onnx

    def layers(self) -> list[Operator]:
        """Return the layers that can be left in float, in order."""
        return self.ort.layers() if self.onnx else self.edge.layers()

    def make(
        self,
        recipe: Recipe,
        *,
        name: str | None = None,
        calibrate: Samples | None = None,
        keep_float: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> Path:
        """Write one variant into `folder` and return its file. A file promised as full integer is read back.

        Raises NotIntegerError naming an operator that computes in float, QuantizationError, UnsupportedError.
        """
        name = name or recipe.name
        samples, kept = calibrate or self.calibration, tuple(keep_float)
        out = self.folder / f"{name}{'.onnx' if self.onnx else '.tflite'}"
        if recipe.route == "onnx":
            self.ort.quantize(recipe, out, calibration=samples.tensors, keep_float=kept, only=only)
        elif recipe.route == "edge":
            self.edge.quantize(
                recipe.kind,
                out,
                calibration=samples.tensors,
                key=_key(samples),
                keep_float=kept,
                only=only,
            )
        elif recipe.route == "tf":
            if kept or only is not None:
                recipe.check_float_operators()
            self._convert([recipe], samples, {recipe.name: out})
        elif recipe.route == "qat":
            self._tune(recipe, samples).replace(out)
        else:
            raise UnsupportedError(
                "Model Maker writes its INT8 file while it trains, from its own graph",
                expected="a file made by facelab emotion train --int8",
                got=self.subject.file,
                fix="train with --backend modelmaker --int8; its file is measured with add()",
            )
        if recipe.full_integer and only is None:
            check_integer(out, keep_float=kept, where=self.subject.file)
        self._check_runs(out, recipe)
        return out

    def _check_runs(self, path: Path, recipe: Recipe) -> None:
        try:
            open_model(path, threads=1, made_here=True)
        except FacelabError as e:  # quantisers write files that their own runtime refuses
            raise QuantizationError(
                f"what {recipe.name} makes of the model does not run",
                where=self.subject.file,
                got=f"{e.what}: {e.got}"[:400],
                fix="use another recipe, or leave the operator it names in float with --keep-float",
            ) from e

    def make_all(self, recipes: Iterable[Recipe]) -> dict[str, Path]:
        """Write several variants; those of the TensorFlow converter in one process, which saves its start-up."""
        recipes = list(recipes)
        converted = [r for r in recipes if r.route == "tf"]
        outs = {r.name: self.folder / f"{r.name}.tflite" for r in converted}
        if converted:
            self._convert(converted, self.calibration, outs)
            for r in converted:
                if r.full_integer:
                    check_integer(outs[r.name], where=self.subject.file)
        return {r.name: outs[r.name] if r.name in outs else self.make(r) for r in recipes}

    def _convert(self, recipes: list[Recipe], samples: Samples, outs: Mapping[str, Path]) -> None:
        variants = [{"name": r.name, "kind": r.kind} for r in recipes]
        check = [] if self.subject.path is None else [{"name": "source-float32", "kind": "float32"}]
        source = self.subject.source
        assert source is not None, "only what has a source is converted"
        files = converter.convert(
            source,
            self.folder / "tf",
            [*variants, *check],
            calibration=samples.tensors,
        )
        if check:
            self._same_model(files["source-float32"])
        for r in recipes:
            files[r.name].replace(outs[r.name])

    def _tune(self, recipe: Recipe, samples: Samples) -> Path:
        source = qat.source_of(self.subject)
        qat.check_outputs(source, self.base)
        by_class = self.classifier and not self.answers.logits
        tuned, before = qat.tune(
            source, self.folder / "qat", samples.tensors, classifier=by_class, seed=self.seed
        )
        few = samples.tensors[:16]
        self._same(before[:16], measure.outputs(self.base, self.subject.spec, few), source)
        return converter.convert(
            tuned,
            self.folder / "tf",
            [{"name": recipe.name, "kind": recipe.kind}],
            calibration=samples.tensors,
        )[recipe.name]

    def _same_model(self, converted: Path) -> None:
        few = self.evaluation.tensors[:16]
        a, b = (
            measure.outputs(p, self.subject.spec, few, every=True) for p in (converted, self.base)
        )
        self._same(a, b, self.subject.source)

    def _same(self, a: np.ndarray, b: np.ndarray, source: Path | None) -> None:
        apart = np.abs(a - b).max() if a.shape == b.shape else np.inf
        if apart > CLOSE and self.subject.path is not None:
            raise CheckFailedError(
                "the source beside the .tflite is a different model",
                where=source,
                expected=f"outputs within {CLOSE} of {self.subject.path.name}",
                got=f"{apart:.3g}",
                fix="name the .keras file or SavedModel itself",
            )

    def row(self, path: Path) -> dict[str, Any]:
        """Return the figures of a variant's file, without latency: quality, size, operators, verdict."""
        row = (
            self._quality(path)
            | self._at_task(path)
            | measure.file_facts(path, self.base, self.answers.output or 0)
        )
        return row | {"verdict": judge(row, self.budgets)}

    def _at_task(self, path: Path) -> dict[str, Any]:
        """Return the figures at the network's task, where labels or pairs were given."""
        if self.at_task is None:
            return {}
        got = self.at_task.figures(None if path == self.base else path, self.seed)
        base = got if path == self.base else self.rows[FLOAT]["at_task"]
        return {"at_task": got} | self.at_task.ratios(got, base)

    def question(self) -> Suspicion | None:
        """Return why the float classifier itself can only be fed or labelled wrongly, tested by trying it."""
        samples, spec = self.evaluation, self.subject.spec
        labels = samples.labels
        if not self.classifier or labels is None:
            return None
        return question_answers(
            labels, self.float_outputs.argmax(axis=1), samples.classes
        ) or question_inputs(
            samples.tensors,
            labels,
            lambda x: self.answers.rows(self.base, spec, x).argmax(axis=1),
            classes=len(samples.classes),
        )

    def unreached(self) -> Suspicion | None:
        """Return why variants lose quality, where the calibration images explain it."""
        lost = [
            v for v in self.rows if v != FLOAT and set(self.rows[v]["verdict"]["failed"]) - {"size"}
        ]
        if not lost:
            return None
        calibrated, needed = (
            measure.output_ranges(self.base, self.subject.spec, s.tensors)
            for s in (self.calibration, self.evaluation)
        )
        return measure.unreached(calibrated, needed)

    def _outputs(self, path: Path, samples: Samples) -> np.ndarray:
        return self.answers.rows(path, self.subject.spec, samples.tensors)

    def _quality(self, path: Path) -> dict[str, Any]:
        got = self.float_outputs if path == self.base else self._outputs(path, self.evaluation)
        row = measure.quality(
            self.evaluation, self.float_outputs, got, classifier=self.classifier, seed=self.seed
        )
        row["unknown_kind"] = unknown = self.subject.task == "network"
        row["judged"] = int(not unknown or self.budgets.cosine_suffices)
        return (
            row
            if self._decoder is None
            else row
            | boxes.agreement(
                self._faces(self._decoder, self.float_outputs),
                self._faces(self._decoder, got),
                seed=self.seed,
            )
        )

    def _faces(self, decoder: boxes.Decoder, outputs: np.ndarray) -> list[Found]:
        return [decoder.faces(x, flat) for x, flat in zip(self.evaluation.tensors, outputs)]

    def add(
        self, variant: str, path: Path, *, keep_float: Iterable[str] = (), recipe: str = ""
    ) -> dict[str, Any]:
        """Measure a file and enter it into the table under `variant`."""
        if path.parent != self.folder:
            path = Path(shutil.copy(path, self.folder / f"{variant}{path.suffix}"))
        if self.classifier and not self.onnx and not self.answers.output:
            label_file(self.subject, path)
        self.files[variant] = path
        self.rows[variant] = self.row(path) | {
            "recipe": recipe or variant,
            "keep_float": list(keep_float),
        }
        return self.rows[variant]

    def _evaluator(self, recipe: Recipe, always: tuple[str, ...] = ()) -> Evaluate:
        """Return `layers.Evaluate`: a row of quality, task and size for a set of float layers (no latency)."""
        recipe.check_float_operators()
        made = [0]

        def evaluate(kept: tuple[str, ...], only: tuple[str, ...] | None) -> dict[str, Any]:
            made[0] += 1
            path = self.make(recipe, name=f"trial{made[0]}", keep_float=(*always, *kept), only=only)
            row = self._quality(path) | self._at_task(path)
            row["size_ratio"] = measure.size_of(path) / measure.size_of(self.base)
            path.unlink()
            return row

        return evaluate

    def rank_layers(self, recipe: Recipe, *, most: int | None = None) -> list[dict[str, Any]]:
        """Rank the layers by the end metric (`layers.rank`); `most` keeps to the first this many heavy ones."""
        return rank(self._searched(most), self._evaluator(recipe), self.budgets)

    def blame(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Rank the layers, each with what a debugger shows of it, which is not to be trusted (`EdgeQuantizer.noise`).

        `snr_db`, `rmse_over_scale` and `snr_db_accumulated` are None where no integer tensor of it is in the file.
        """
        shown = {}
        if not self.onnx and recipe.kind in ("int8", "uint8") and recipe.name in self.files:
            shown = {
                r["index"]: r
                for r in self.edge.noise(self.files[recipe.name], self.evaluation.tensors[:32])
            }
        keys = ("snr_db", "rmse_over_scale", "snr_db_accumulated")
        return [
            row | {k: shown.get(row["index"], {}).get(k) for k in keys}
            for row in self.rank_layers(recipe)
        ]

    def keep_float_auto(
        self,
        recipe: Recipe,
        *,
        most: int | None = None,
        always: tuple[str, ...] = (),
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> KeepFloat:
        """Find the smallest set of float layers that meets the budgets (`layers.smallest`), those of `always` in it."""
        found = smallest(
            [op for op in self._searched(most) if op.name not in always],
            self._evaluator(recipe, always),
            self.budgets,
            seconds=seconds,
            progress=progress,
        )
        return dataclasses.replace(found, layers=(*always, *found.layers))

    def without_kernel(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the operators that the recipe cannot quantise (PReLU, for one): they stay in float in any case.

        Raises NotIntegerError where leaving them in float does not help.
        """
        known, kept = {op.name for op in self.layers()}, ()
        for _ in range(len(known) + 1):
            try:
                self.make(recipe, name="trial0", keep_float=kept).unlink()
                return kept
            except NotIntegerError as e:
                more = tuple(n for n in e.operators if n in known and n not in kept)
                if not more:
                    raise
                kept += more
        return kept

    def _searched(self, most: int | None) -> list[Operator]:
        found = self.layers()
        return found if most is None else found[:most]

    def keep_float_named(self, text: str) -> tuple[str, ...]:
        """Return the layers that `--keep-float` names."""
        return named(text, self.layers())

    def time(
        self,
        variants: Iterable[str] | None = None,
        *,
        threads: Iterable[int] | None = None,
        runs: int = bench.RUNS,
        warmup: int = bench.WARMUP,
    ) -> list[int]:
        """Time variants against the float model (interleaved, a fresh process each) and enter `latency` into rows.

        `threads`: by default one, and all cores. Returns the thread counts.
        """
        counts = sorted(set(threads or (1, cores())))
        names = [FLOAT, *[v for v in (variants or self.files) if v != FLOAT]]
        one = self.evaluation.tensors[:1]
        inputs = {}
        for name in names:
            model = open_model(self.files[name], threads=1, made_here=True)
            inputs[name] = measure.to_input(one, measure.with_quantize(self.subject.spec, model))
        for n in counts:
            timed = bench.compare(
                {v: self.files[v] for v in names},
                inputs,
                threads=n,
                runs=runs,
                warmup=warmup,
                seed=self.seed,
            )
            for name in names:
                figures = measure.latency_row(timed[name], timed[FLOAT], n)
                self.rows[name].setdefault("latency", {})[str(n)] = figures
                self.rows[name].setdefault("samples_s", {})[str(n)] = timed[name].samples
                if n == counts[0]:
                    self.rows[name] |= {k: figures[k] for k in ("peak_rss", "base_rss")}
        return counts


def _key(samples: Samples) -> str:
    return tensors_hash(samples.tensors)

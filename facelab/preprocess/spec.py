"""`PreprocessSpec`: what is done to an image before a model sees it, written down completely."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, overload

from pydantic import ValidationError

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.escape import line
from facelab.core.files import read_json, write_json
from facelab.core.hashing import sha256_json
from facelab.core.narrow import is_mapping, is_sequence, is_series, is_text
from facelab.preprocess import ops
from facelab.preprocess._flow import State, advance, explain
from facelab.preprocess.ops import STAGES, Stage

SCHEMA = "facelab.preprocess/1"
MAX_STAGES = 64


class PreprocessSpec:
    """An ordered, checked list of stages; immutable, compared by what it does (its hash), not by its name.

    Parameters
    ----------
    name : str
        1 to 200 characters.
    stages : sequence of Stage or mapping
        Stage models, or plain dictionaries; `facelab.preprocess.ops` lists the parameters of each op.
    where : str or None
        What errors name as the place, such as a file.

    Raises
    ------
    BadInputError
        An unknown op or parameter, a missing or impossible value, or a stage that cannot follow the one before; the
        error names the stage.

    Examples
    --------
    >>> spec = PreprocessSpec("tiny", [
    ...     {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"},
    ...     {"op": "resize", "size": [8, 6], "mode": "stretch", "kernel": "bilinear", "antialias": False,
    ...      "pixel_centers": "half", "rounding": "half_up"},
    ...     {"op": "normalize", "mean": [127.5], "scale": [128], "units": "0-255"},
    ...     {"op": "layout", "to": "nchw"},
    ...     {"op": "cast", "dtype": "float32"}])
    >>> spec.output_shape(), spec.output_dtype
    ((1, 3, 6, 8), 'float32')
    >>> PreprocessSpec("x", [{"op": "decode", "format": "encoded", "order": "rgb", "idct": "acurate", "alpha": "drop"}])
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: 'idct' has an unknown value; did you mean 'accurate'?
      where:    stage 1 (decode)
      expected: 'accurate' or 'fast'
      got:      'acurate'
      fix:      correct the parameter
    """

    __slots__ = ("_states", "name", "stages")

    name: str
    stages: tuple[Stage, ...]
    _states: tuple[State, ...]

    def __init__(
        self, name: str, stages: Sequence[Stage | Mapping[str, Any]], *, where: str | None = None
    ):
        if not is_text(name) or not name.strip() or len(name) > 200:
            raise BadInputError(
                "a spec needs a name",
                where=where,
                expected="1 to 200 characters",
                got=repr(name)[:80],
                fix="give it one, such as the model's",
            )
        if not is_series(stages) or not stages:
            raise BadInputError(
                "'stages' must be a list with at least one stage",
                where=where,
                got=type(stages).__name__,
                fix="start with a decode stage",
            )
        if len(stages) > MAX_STAGES:
            raise BadInputError(
                "the spec has too many stages",
                where=where,
                expected=f"at most {MAX_STAGES}",
                got=len(stages),
                fix="join stages, or split the pipeline into two specifications",
            )
        models = _models(stages, where)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "stages", models)
        object.__setattr__(self, "_states", _states(models, where))

    def __setattr__(self, key: str, value: Any) -> NoReturn:
        raise AttributeError(
            "a PreprocessSpec is immutable; build another one, e.g. with replace()"
        )

    def __reduce__(self) -> tuple[Callable[..., PreprocessSpec], tuple[dict[Any, Any]]]:
        return PreprocessSpec.from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PreprocessSpec) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return f"PreprocessSpec({self.name!r}, {' → '.join(s.op for s in self.stages)})"

    def __str__(self) -> str:
        return self.text()

    # -- files ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(
        cls, value: Any, *, where: str | os.PathLike[str] | None = None
    ) -> PreprocessSpec:
        """Check a JSON document `{"schema": "facelab.preprocess/1", "name": …, "stages": […]}`."""
        where = None if where is None else str(where)
        if not is_mapping(value):
            raise BadInputError(
                "a preprocessing spec is a JSON object",
                where=where,
                got=type(value).__name__,
                expected="schema, name and stages",
                fix="start from `facelab preprocess preset NAME`",
            )
        for key in value:
            if key not in ("schema", "name", "stages"):
                hint = did_you_mean(str(key), ("schema", "name", "stages"))
                raise BadInputError(
                    f"unknown key {str(key)[:80]!r} in the spec{hint}",
                    where=where,
                    expected="schema, name, stages",
                    fix="remove or correct it",
                )
        if value.get("schema") != SCHEMA:
            raise BadInputError(
                "the preprocessing spec has a different schema",
                where=where,
                expected=repr(SCHEMA),
                got=repr(value.get("schema"))[:80],
                fix="write it with this version of facelab",
            )
        return cls(value.get("name", ""), value.get("stages", ()), where=where)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PreprocessSpec:
        """Read and check a spec file. Raises BadInputError."""
        return cls.from_dict(read_json(path, max_bytes=1 << 20), where=path)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document, every parameter written out."""
        return {"schema": SCHEMA, "name": self.name, "stages": [s.to_dict() for s in self.stages]}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the spec as indented JSON, atomically."""
        return write_json(path, self.to_dict())

    # -- identity ---------------------------------------------------------------------------------------------------

    @property
    def stage_hashes(self) -> tuple[str, ...]:
        """The SHA-256 of each stage's canonical JSON."""
        return tuple(sha256_json(s.to_dict()) for s in self.stages)

    @property
    def hash(self) -> str:
        """The SHA-256 of schema and stages in canonical form; the name does not count."""
        return sha256_json({"schema": SCHEMA, "stages": [s.to_dict() for s in self.stages]})

    # -- what comes out ---------------------------------------------------------------------------------------------

    @property
    def states(self) -> tuple[State, ...]:
        """What the array is after each stage (order, dtype, layout, size where it is known)."""
        return self._states

    @property
    def input_order(self) -> str:
        """The channel order of the decoded image."""
        return self._states[0].order

    @property
    def output_dtype(self) -> str:
        """The result's number type; `float` where no cast fixes it (backend's working precision)."""
        return self._states[-1].dtype

    def output_shape(self, size: tuple[int, int] | None = None) -> tuple[int | None, ...]:
        """Return the result's shape; with the input's `size` (width, height), also the parts that depend on it.

        A part that depends on more than the size (an EXIF rotation, a face box) stays None.
        """
        if size is None:
            return self._states[-1].shape
        state = State(self.input_order, size=(size[0], size[1]))
        for i, stage in enumerate(self.stages[1:], 1):
            state = advance(state, stage, f"stage {i + 1} ({stage.op})")
        return state.shape

    @property
    def decoding(self) -> ops.Decode:
        """The first stage: what the bytes are, and the order of the pixels."""
        first = self.stages[0]
        assert isinstance(first, ops.Decode), "checked when the spec was made"
        return first

    @overload
    def find(self, op: Literal["decode"]) -> ops.Decode | None: ...
    @overload
    def find(self, op: Literal["orient"]) -> ops.Orient | None: ...
    @overload
    def find(self, op: Literal["color"]) -> ops.Color | None: ...
    @overload
    def find(self, op: Literal["crop"]) -> ops.Crop | None: ...
    @overload
    def find(self, op: Literal["align"]) -> ops.Align | None: ...
    @overload
    def find(self, op: Literal["resize"]) -> ops.Resize | None: ...
    @overload
    def find(self, op: Literal["pad"]) -> ops.Pad | None: ...
    @overload
    def find(self, op: Literal["normalize"]) -> ops.Normalize | None: ...
    @overload
    def find(self, op: Literal["layout"]) -> ops.Layout | None: ...
    @overload
    def find(self, op: Literal["cast"]) -> ops.Cast | None: ...
    @overload
    def find(self, op: Literal["quantize"]) -> ops.Quantize | None: ...
    @overload
    def find(self, op: str) -> Stage | None: ...
    def find(self, op: str) -> Stage | None:
        """Return the first stage with this op, or None."""
        return next((s for s in self.stages if s.op == op), None)

    def resized_to(self) -> tuple[int, int]:
        """Return the size (width, height) of the first resize. Raises BadInputError where the spec has none."""
        resize = self.find("resize")
        if resize is None:
            raise BadInputError(
                "the spec has no resize",
                where=self.name,
                fix="add a resize to the model's input size",
            )
        return resize.size

    def replace(self, index: int, *, name: str | None = None, **changes: Any) -> PreprocessSpec:
        """Return a copy in which stage `index` has other parameters (JSON names; `None` removes one)."""
        stages = [s.to_dict() for s in self.stages]
        stages[index] = {k: v for k, v in {**stages[index], **changes}.items() if v is not None}
        return PreprocessSpec(name or self.name, stages)

    def text(self) -> str:
        """Return the spec for a reader: one line per stage, with what the array is after it."""
        lines = [f"{line(self.name)}  ({SCHEMA}, {self.hash[:12]})"]
        for i, (stage, state) in enumerate(zip(self.stages, self._states), 1):
            shape = "×".join("?" if n is None else str(n) for n in state.shape)
            lines.append(
                f"{i:3} {stage.op:<9} {line(_parameters(stage)):<70} → {shape} {state.dtype} {state.order}"
            )
        return "\n".join(lines)


def describe(stage: Stage) -> str:
    """Return a stage in one line of words: its op and every parameter.

    >>> from facelab.preprocess.ops import Layout
    >>> describe(Layout(op="layout", to="nchw"))
    'layout: to nchw'
    """
    return f"{stage.op}: {_parameters(stage)}"


def _parameters(stage: Stage) -> str:
    def show(v: Any) -> str:
        if is_sequence(v):
            return "(" + ", ".join(show(x) for x in v) + ")"
        return (
            f"{v:.9g}"
            if isinstance(v, float)
            else str(v).lower()
            if isinstance(v, bool)
            else str(v)
        )

    return ", ".join(f"{k} {show(v)}" for k, v in stage.to_dict().items() if k != "op")


def _states(stages: Sequence[Stage], where: str | None) -> tuple[State, ...]:
    first = stages[0]
    if first.op != "decode":
        raise BadInputError(
            "the first stage must be decode: it states the channel order of the input",
            where=_place(0, first.op, where),
            expected="decode",
            got=first.op,
            fix='put {"op": "decode", …} in front',
        )
    states = [State(first.order, size=first.size or (None, None))]
    for i, stage in enumerate(stages[1:], 1):
        states.append(advance(states[-1], stage, _place(i, stage.op, where)))
    return tuple(states)


def _place(index: int, op: str, where: str | None) -> str:
    return (f"{where}: " if where else "") + f"stage {index + 1} ({op})"


def _models(stages: Sequence[Any], where: str | None) -> tuple[Stage, ...]:
    """Check every stage; raise one error that names all that is wrong, so that a file is corrected once."""
    models: list[Stage] = []
    errors: list[BadInputError] = []
    for i, stage in enumerate(stages):
        try:
            models.append(_stage(stage, i, where, errors))
        except BadInputError as e:
            errors.append(e)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BadInputError(
            f"the specification has {len(errors)} errors",
            where="\n".join(_in_one_line(e) for e in errors),
            fix="correct them, or start from one that is complete: facelab preprocess new --like PRESET",
        )
    return tuple(models)


def _in_one_line(e: BadInputError) -> str:
    more = [f"expected {e.expected}"] if e.expected else []
    more += [f"got {e.got}"] if e.got else []
    return "; ".join([f"{e.where}: {e.what}", *more])


def _stage(
    value: Any, index: int, where: str | None, errors: list[BadInputError] | None = None
) -> Stage:
    if isinstance(value, Stage):
        return value
    if not is_mapping(value):
        raise BadInputError(
            "a stage is a JSON object",
            where=_place(index, "?", where),
            got=type(value).__name__,
            expected='such as {"op": "decode"}',
            fix="correct the stage",
        )
    op = value.get("op")
    model = STAGES.get(op) if isinstance(op, str) else None
    if model is None:
        hint = did_you_mean(op, STAGES) if isinstance(op, str) else ""
        raise BadInputError(
            f"unknown op {str(op)[:80]!r}{hint}",
            where=_place(index, "?", where),
            expected=", ".join(STAGES),
            fix="correct the op",
        )
    try:
        return model.model_validate(dict(value))
    except ValidationError as e:
        found = explain(e, model, value, _place(index, str(op), where))
        if errors is not None:
            errors += found[:-1]
        raise found[-1] from None

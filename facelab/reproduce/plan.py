"""The plan: which notebooks run, with which parameters, in which order (`notebooks/plan.toml`)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.project import project_root
from facelab.core.toml_files import read_toml
from facelab.reproduce import _parameters as parameters
from facelab.reproduce import canonical
from facelab.reproduce._parameters import Parameter

SCHEMA = "facelab.plan/1"
PROFILES = ("quick", "full")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,80}$")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Fallback(_Strict):
    """What a step does where the kernel `requires` (default: the step's own) does not answer."""

    requires: str | None = None
    kernel: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    reason: str = ""


class Step(_Strict):
    """One notebook of the plan; the fields are explained at the top of `notebooks/plan.toml`."""

    name: str
    notebook: str
    kernel: str = "facelab"
    needs: list[str] = Field(default_factory=list)
    lane: Literal["parallel", "exclusive"] = "parallel"
    limit_s: float = Field(default=600, gt=0)
    threads: int | None = Field(default=None, ge=1)
    output_mb: float = Field(default=20, gt=0)
    inputs: list[str] = Field(default_factory=list)
    outputs: list[str] = Field(default_factory=list)
    environment: list[str] = Field(default_factory=list)
    records: list[str] = Field(default_factory=list)
    figures: list[str] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)
    quick: dict[str, Any] = Field(default_factory=dict)
    full: dict[str, Any] = Field(default_factory=dict)
    fallback: Fallback | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError("letters, digits, '-' and '_' only")
        return name

    @field_validator("limit_s", "output_mb", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Plan(_Strict):
    """The steps in reading order, checked: names unique, needs known, no circles, notebooks there."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    step: list[Step] = Field(default_factory=list)
    path: Path = Path()

    @property
    def root(self) -> Path:
        """Return the project's root: the plan's folder, or the one above if that is called `notebooks`."""
        folder = self.path.parent
        return folder.parent if folder.name == "notebooks" else folder

    @property
    def names(self) -> list[str]:
        """Return the steps' names in reading order."""
        return [s.name for s in self.step]

    def __getitem__(self, name: str) -> Step:
        """Return a step by name. Raises BadInputError with the nearest known name."""
        for step in self.step:
            if step.name == name:
                return step
        raise BadInputError(
            f"no step is named {name!r}{did_you_mean(name, self.names)}",
            where=self.path,
            expected=", ".join(self.names) or "no steps at all",
            got=name,
            fix="use one of the plan's names",
        )

    def notebook(self, step: Step) -> Path:
        """Return the path of a step's notebook."""
        return self.path.parent / step.notebook

    def upstream(self, name: str) -> list[str]:
        """Return everything that a step needs, transitively, in reading order."""
        wanted, stack = set(), list(self[name].needs)
        while stack:
            need = stack.pop()
            if need not in wanted:
                wanted.add(need)
                stack += self[need].needs
        return [n for n in self.names if n in wanted]

    def in_order(self) -> list[Step]:
        """Return the steps so that each comes after what it needs, otherwise in reading order."""
        out: list[Step] = []
        waiting = list(self.step)
        while waiting:
            done = {s.name for s in out}
            ready = next((s for s in waiting if set(s.needs) <= done), None)
            if ready is None:
                raise BadInputError(
                    "steps need each other in a circle",
                    where=self.path,
                    got=" → ".join(s.name for s in waiting),
                    fix="remove one of the `needs`",
                )
            waiting.remove(ready)
            out.append(ready)
        return out


def read(path: str | os.PathLike) -> Plan:
    """Read and check a plan. Raises BadInputError naming the step and the field, with a near-name hint."""
    path = Path(path).resolve()
    raw = read_toml(
        path,
        "plan",
        fix="run inside a project (facelab init DIR starts one) or the checkout, or name the plan with --plan FILE",
    )
    try:
        plan = Plan.model_validate({**raw, "path": path})
    except ValidationError as e:
        raise _explain(e, raw, path) from None
    if plan.schema_ != SCHEMA:
        raise BadInputError(
            "the plan's schema is not known",
            where=path,
            expected=SCHEMA,
            got=plan.schema_,
            fix="take the plan that belongs to this version of facelab",
        )
    if not plan.step:
        raise BadInputError(
            "the plan has no steps",
            where=path,
            expected="at least one [[step]]",
            fix="add a block; the top of facelab's own notebooks/plan.toml shows its form",
        )
    _check_steps(plan, path)
    plan.in_order()
    return plan


def _check_steps(plan: Plan, path: Path) -> None:
    """Refuse two steps of one name, a notebook that is not there, and a need that no step has."""
    seen: set[str] = set()
    for step in plan.step:
        if step.name in seen:
            raise BadInputError(
                f"two steps are named {step.name!r}", where=path, fix="rename one of the two"
            )
        seen.add(step.name)
        if not plan.notebook(step).is_file():
            known = [p.name for p in path.parent.glob("*.ipynb")]
            raise BadInputError(
                f"the notebook of step {step.name!r} is not there{did_you_mean(step.notebook, known)}",
                where=path,
                got=plan.notebook(step),
                fix="correct `notebook`, or add the file",
            )
        for need in step.needs:
            plan[need]


def _explain(e: ValidationError, raw: dict, path: Path) -> BadInputError:
    first = e.errors()[0]
    loc = list(first["loc"])
    model: type[BaseModel] = Plan
    place = ""
    if len(loc) >= 2 and loc[0] == "step" and isinstance(loc[1], int):
        block = raw["step"][loc[1]] if isinstance(raw.get("step"), list) else {}
        name = (
            block.get("name", f"number {loc[1] + 1}")
            if isinstance(block, dict)
            else f"number {loc[1] + 1}"
        )
        place, model, loc = f"step {name}: ", Step, loc[2:]
        if loc[:1] == ["fallback"] and len(loc) > 1:
            model = Fallback
    field = ".".join(str(part) for part in loc)
    if first["type"] == "extra_forbidden":
        known = [f for f in model.model_fields if f not in ("schema_", "path")]
        return BadInputError(
            f"the plan has an unknown field {loc[-1]!r}{did_you_mean(str(loc[-1]), known)}",
            where=f"{path}: {place}{field}",
            expected=", ".join(known),
            fix="correct the name",
        )
    if first["type"] == "missing":
        return BadInputError(
            f"the plan lacks a field {field!r}", where=f"{path}: {place}".rstrip(": "), fix="add it"
        )
    return BadInputError(
        "a field of the plan has a bad value",
        where=f"{path}: {place}{field}",
        expected=first["msg"],
        got=repr(first.get("input"))[:120],
        fix="write a value of the kind that the message names",
    )


def find() -> Path:
    """Return the nearest `notebooks/plan.toml`, seen from the working folder; else that of this checkout."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "notebooks" / "plan.toml").is_file():
            return folder / "notebooks" / "plan.toml"
    return project_root() / "notebooks" / "plan.toml"


def declared(plan: Plan, step: Step) -> dict[str, Parameter]:
    """Return the parameters that a step's notebook declares. Raises BadInputError if it has several such cells."""
    path = plan.notebook(step)
    cells = [c for c in canonical.read(path)["cells"] if canonical.is_parameters(c)]
    if len(cells) > 1:
        raise BadInputError(
            "the notebook has several cells tagged `parameters`",
            where=path,
            got=", ".join(str(c.get("id")) for c in cells),
            fix="keep one",
        )
    if not cells:
        return {}
    return parameters.parse(canonical.source(cells[0]), where=f"{path}: cell {cells[0].get('id')}")


def overrides(plan: Plan, texts: tuple[str, ...] | list[str]) -> dict[str, dict[str, str]]:
    """Return {step: {name: text}} for options such as `-p 08_matcher.dimension=128`.

    Raises BadInputError for another form, an unknown step, or two values of one parameter.
    """
    out: dict[str, dict[str, str]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, parameter = target.partition(".")
        if not (equals and dot and name and parameter):
            raise BadInputError(
                "a parameter cannot be read",
                where=f"-p {text}",
                expected="-p STEP.NAME=VALUE",
                got=text,
                fix=f"name the step, such as -p {(plan.names or ['STEP'])[0]}.{target}=…",
            )
        held = out.setdefault(plan[name].name, {})
        if held.setdefault(parameter, value) != value:
            raise BadInputError(
                "a parameter is given two values",
                where=f"-p {text}",
                expected="one value a parameter",
                got=f"{held[parameter]} and {value}",
                fix=f"give it once, or run once per value: --sweep {target}={held[parameter]},{value}",
            )
    return out


def resolve(
    plan: Plan, step: Step, *, profile: str, texts: dict[str, str], fallback: bool
) -> dict[str, Any]:
    """Return the parameters to inject into a step's notebook, each checked against its declared type.

    Later wins: the step's own, the profile's, the fallback's, the command line's.
    """
    sources = [
        (f"{plan.path.name}, step {step.name}, parameters", step.parameters),
        (f"{plan.path.name}, step {step.name}, {profile}", getattr(step, profile)),
    ]
    if fallback and step.fallback:
        sources.append((f"{plan.path.name}, step {step.name}, fallback", step.fallback.parameters))
    known = declared(plan, step)
    for other in set(PROFILES) - {profile}:
        parameters.resolve(
            known,
            [(f"{plan.path.name}, step {step.name}, {other}", getattr(step, other))],
            {},
            step=step.name,
        )
    return parameters.resolve(known, sources, texts, step=step.name)

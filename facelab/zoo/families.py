"""`Families`: the model families of one kind, found as files of a package, and what their registries share."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from facelab.core import plugins
from facelab.core.errors import BadInputError, FacelabError, did_you_mean
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo._assets import Kind
from facelab.zoo._catalogue import ModelEntry, load_catalogue
from facelab.zoo._store import find


class Families:
    """The families of one `kind` of model: one file for each of `package.NAMES`, with its class as `attribute`.

    Other packages bring more by entry points of the group `facelab.<kind>s` (`facelab.liveness`).
    """

    def __init__(self, kind: Kind, package: ModuleType, attribute: str):
        self.kind: Kind = kind
        self.package, self.attribute = package, attribute
        self.group = f"facelab.{kind}" if kind == "liveness" else f"facelab.{kind}s"

    def names(self) -> list[str]:
        """Return the families' names: the package's files, dashes for underscores, then those of other packages.

        Raises PluginError where another package uses the name of one of facelab's own.
        """
        own = [name.replace("_", "-") for name in self.package.NAMES]
        plugins.refuse_twins(self.group, own)
        return own + sorted(plugins.installed(self.group))

    def named(self, name: str) -> type:
        """Return a family's class; `file.py:Class` names one in a file. Raises BadInputError for an unknown one."""
        if ".py:" in name:
            return self._checked(plugins.from_file(name), name)
        names = self.names()
        if name not in names:
            raise BadInputError(
                f"no {self.kind} family is named {name!r}{did_you_mean(name, names)}",
                expected=", ".join(names),
                got=name,
                fix="choose one of the families, or name a class in a file: file.py:Class",
            )
        if name in plugins.installed(self.group):
            return self._checked(plugins.load(self.group, name), name)
        return getattr(
            importlib.import_module(f"{self.package.__name__}.{name.replace('-', '_')}"),
            self.attribute,
        )

    def _checked(self, found: Any, name: str) -> type:
        if not inspect.isclass(found) or not isinstance(getattr(found, "family", None), str):
            raise BadInputError(
                f"the {self.kind} family is not a class with a `family`",
                where=name,
                expected=plugins.GROUPS[self.group],
                got=repr(found)[:80],
                fix="give the class, and set its `family`",
            )
        return found

    def available(self) -> list[ModelEntry]:
        """Return the catalogue's entries whose files are on this machine, in its order. Downloads nothing."""
        names = self.names()
        return [e for e in load_catalogue().of_kind(self.kind) if e.family in names and is_here(e)]

    def of_entry(
        self, entry: ModelEntry, named: str | None, options: dict[str, Any]
    ) -> tuple[type, dict[str, Any]]:
        """Return an entry's class and its options, the catalogue's with `options` over them.

        Raises BadInputError where `named` is another family or the family does not have an option.
        """
        if named not in (None, entry.family):
            raise BadInputError(
                "the model is of another family",
                where=entry.name,
                expected=entry.family,
                got=named,
                fix="leave the family out, or name the entry's own",
            )
        kind = self.named(entry.family)
        known = option_names(kind)
        return kind, {k: v for k, v in entry.options.items() if k in known} | checked(
            options, known, entry.name
        )


def is_here(entry: ModelEntry) -> bool:
    """Return whether the entry's files are on this machine, whole."""
    try:
        return find(entry) is not None
    except FacelabError:
        return False


def entry_named(text: str, kind: Kind) -> ModelEntry | None:
    """Return the catalogue's entry of this name, or whose file has this stem; None where `text` is a file's path.

    Raises BadInputError for a name that is neither, or of another kind.
    """
    catalogue = load_catalogue()
    by_stem = {Path(e.file).stem: e for e in catalogue.of_kind(kind) if e.file}
    if text in catalogue.names:
        entry = catalogue.model(text)
        if entry.kind != kind:
            article = "an" if kind[0] in "aeiou" else "a"
            raise BadInputError(
                f"{text!r} is not {article} {kind}",
                expected=f"{article} {kind} of the catalogue",
                got=entry.kind,
                fix="choose a model of the right kind; facelab assets list shows them",
            )
        return entry
    if Path(text).exists():
        return None
    if text in by_stem:
        return by_stem[text]
    names = [e.name for e in catalogue.of_kind(kind)]
    raise BadInputError(
        f"no {kind} and no file is named {text!r}{did_you_mean(text, names)}",
        expected="a catalogue name or a model file",
        got=text,
        fix="facelab assets list shows the names",
    )


def given_spec(spec: PreprocessSpec | str | os.PathLike[str] | None) -> PreprocessSpec | None:
    """Return a spec that was given itself, as its file, or not at all."""
    return spec if spec is None or isinstance(spec, PreprocessSpec) else PreprocessSpec.load(spec)


def sidecar(path: Path) -> PreprocessSpec | None:
    """Return the spec that is beside a model file (`<file>.preprocess.json`, with or without its suffix), or None."""
    for beside in (
        path.with_name(path.name + ".preprocess.json"),
        path.with_suffix(".preprocess.json"),
    ):
        if beside.is_file():
            return PreprocessSpec.load(beside)
    return None


def with_spec(
    kind: Callable[..., object], spec: PreprocessSpec | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the options of a family's class, with the spec where the class takes one."""
    return {**options, "spec": spec} if "spec" in inspect.signature(kind).parameters else options


def option_names(kind: type) -> list[str]:
    """Return the names of a family's options: the keyword-only parameters of its class and those above it."""
    signatures = [inspect.signature(c.__init__) for c in kind.__mro__ if "__init__" in vars(c)]
    return list(
        dict.fromkeys(
            p.name for s in signatures for p in s.parameters.values() if p.kind is p.KEYWORD_ONLY
        )
    )


def checked(options: dict[str, Any], known: list[str], where: object) -> dict[str, Any]:
    """Return the options that are set. Raises BadInputError for one the family does not have."""
    for key in options:
        if key not in known:
            raise BadInputError(
                f"the family has no option {key!r}{did_you_mean(key, known)}",
                where=where,
                expected=", ".join(sorted(known)),
                got=key,
                fix="choose one of the options",
            )
    return {k: v for k, v in options.items() if v is not None}

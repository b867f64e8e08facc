"""`facelab.fingerprint/1`: write it, and read it strictly. Nothing in a fingerprint from outside is trusted."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import read_json, write_text
from facelab.core.hashing import canonical_json
from facelab.core.narrow import is_dict
from facelab.fingerprint.document._statistics import DTYPES, unpack

SCHEMA = "facelab.fingerprint/1"
MAX_BYTES = 256 * 1024
OUTPUT = "output"
PARTIAL = "partial"
"""What a fingerprint declares that was made from some of the probes, on purpose."""
FED = ("rgb", "bgr", "pillow")
LAYOUTS = ("flat", "hw", "hwc", "chw", "nhw", "nhwc", "nchw")
_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclasses.dataclass
class Fingerprint:
    """What a pipeline does to the probes.

    Attributes
    ----------
    name : str
        Which pipeline.
    kind : str
        `spec`, `pipeline` or `tensors`: what was captured.
    stages : list
        (name, {probe: entry}) per stage; the last one is named `output`.
    probes : dict
        The probe set's `version` and `hash`.
    made_by : dict
        Versions of the libraries.
    spec : dict or None
        The preprocessing spec as plain JSON; None for a black box.
    declares : list of str
        The holder's statements about the interface, such as `batch`.
    skipped : dict
        A group of probes that the pipeline cannot read → the reason.
    path : str
        The file that it was read from.
    fed : dict or None
        What a function of pixels got; None if it read the files itself.
    unstable : list of str
        Probes that gave another tensor in a second run.

    Examples
    --------
    >>> made = load("train.json")
    >>> made.kind, len(made.output), made.samples("bars").shape
    ('spec', 25, (16, 16, 3))
    """

    name: str
    kind: str
    stages: list[tuple[str, dict[str, dict[str, Any]]]]
    probes: dict[str, Any]
    made_by: dict[str, Any]
    spec: dict[str, Any] | None = None
    declares: list[str] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    path: str = ""
    fed: dict[str, Any] | None = None
    unstable: list[str] = dataclasses.field(default_factory=list)

    @property
    def output(self) -> dict[str, dict[str, Any]]:
        """Probe → entry of the last stage."""
        return self.stages[-1][1]

    def samples(self, probe: str) -> np.ndarray:
        """Return the sampled output of one probe, float64 rows × columns × channel."""
        return unpack(self.output[probe]["samples"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fingerprint as plain JSON; `fed` and `unstable` only where there is something to say."""
        more = {"fed": self.fed, "unstable": self.unstable}
        return {
            **{k: v for k, v in more.items() if v},
            "schema": SCHEMA,
            "name": self.name,
            "kind": self.kind,
            "made_by": self.made_by,
            "probes": self.probes,
            "spec": self.spec,
            "declares": self.declares,
            "skipped": self.skipped,
            "stages": [{"name": n, "entries": e} for n, e in self.stages],
        }

    def dumps(self) -> str:
        """Return the canonical text: the same fingerprint is the same bytes."""
        return canonical_json(self.to_dict()) + "\n"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write atomically. Raises BadInputError if it would be 256 KiB or larger."""
        text = self.dumps()
        if len(text.encode()) >= MAX_BYTES:
            raise BadInputError(
                "the fingerprint would be too large",
                where=path,
                expected=f"under {MAX_BYTES} bytes",
                got=f"{len(text.encode())} bytes",
                fix="record fewer stages",
            )
        return write_text(path, text)


def load(path: str | os.PathLike[str]) -> Fingerprint:
    """Read a fingerprint file.

    Parameters
    ----------
    path : str or path
        The file to read.

    Returns
    -------
    Fingerprint
        The fingerprint.

    Raises
    ------
    BadInputError
        With one clear sentence for anything that is none.

    Examples
    --------
    >>> load("infer.json").name
    'small'
    """
    value = read_json(path, max_bytes=MAX_BYTES, max_depth=24)
    try:
        return parse(value, str(path))
    except FacelabError as e:
        e.where = f"{path}" + (f": {e.where}" if e.where and e.where != str(path) else "")
        raise


def _bad(
    what: str, where: str | None = None, expected: object = None, got: object = None
) -> BadInputError:
    return BadInputError(
        what,
        where=where,
        expected=expected,
        got=None if got is None else repr(got)[:100],
        fix="capture the fingerprint again with this version of facelab",
    )


def _object(
    value: object,
    where: str | None,
    required: dict[str, Any],
    optional: dict[str, Any] | None = None,
) -> dict[str, Any]:
    if not is_dict(value):
        raise _bad("a part of the fingerprint is not a JSON object", where, "an object", value)
    known = {**required, **(optional or {})}
    for key in value:
        if key not in known:
            raise _bad(f"the fingerprint has an unknown key {key[:60]!r}", where, ", ".join(known))
    for key, kinds in known.items():
        if key not in value:
            if key in required:
                raise _bad(f"the fingerprint lacks {key!r}", where)
            continue
        if not isinstance(value[key], kinds) or (
            isinstance(value[key], bool) and kinds is not bool
        ):
            raise _bad(f"{key!r} has the wrong type in the fingerprint", where, got=value[key])
    return value


def parse(value: Any, where: str = "") -> Fingerprint:
    """Check a fingerprint's JSON document and return it. Raises BadInputError."""
    if not is_dict(value):
        raise _bad("the file holds no fingerprint", None, "a JSON object", value)
    if value.get("schema") != SCHEMA:
        raise _bad(
            "the fingerprint has an unknown schema version", None, repr(SCHEMA), value.get("schema")
        )
    _object(
        value,
        None,
        {"schema": str, "name": str, "kind": str, "made_by": dict, "probes": dict, "stages": list},
        {
            "spec": (dict, type(None)),
            "declares": list,
            "skipped": dict,
            "fed": dict,
            "unstable": list,
        },
    )
    _object(value["probes"], "probes", {"version": str, "hash": str})
    if not all(
        isinstance(v, str)
        for v in (
            *value["made_by"].values(),
            *value.get("skipped", {}).values(),
            *value.get("declares", []),
            *value.get("unstable", []),
        )
    ):
        raise _bad("'made_by', 'skipped', 'declares' and 'unstable' hold text only")
    if "fed" in value:
        _fed(value["fed"])
    if value.get("spec") is not None:
        from facelab.preprocess.spec import PreprocessSpec

        PreprocessSpec.from_dict(value["spec"], where="spec")
    stages: list[tuple[str, dict[str, dict[str, Any]]]] = []
    names: set[str] = set()
    for i, stage in enumerate(value["stages"]):
        _object(stage, f"stage {i + 1}", {"name": str, "entries": dict})
        if stage["name"] in names:
            raise _bad(f"two stages are named {stage['name'][:60]!r}")
        names.add(stage["name"])
        entries = {
            p: _entry(e, f"{stage['name']}, probe {p}", stage["name"] == OUTPUT)
            for p, e in stage["entries"].items()
        }
        stages.append((stage["name"], entries))
    if not stages or stages[-1][0] != OUTPUT:
        raise _bad("the fingerprint's last stage is not named 'output'", got=[n for n, _ in stages])
    if not stages[-1][1]:
        raise _bad("the fingerprint holds no probe")
    return Fingerprint(
        value["name"],
        value["kind"],
        stages,
        value["probes"],
        value["made_by"],
        value.get("spec"),
        list(value.get("declares", [])),
        dict(value.get("skipped", {})),
        where,
        value.get("fed"),
        list(value.get("unstable", [])),
    )


def _fed(value: dict[str, Any]) -> None:
    _object(value, "fed", {"form": str, "parameter": str, "why": str, "sure": bool})
    if value["form"] not in FED:
        raise _bad("'fed' has an unknown form", "fed", ", ".join(FED), value["form"])


def _entry(value: object, where: str, output: bool) -> dict[str, Any]:
    if is_dict(value) and set(value) == {"error"} and isinstance(value["error"], str):
        return value
    required = {
        "shape": list,
        "dtype": str,
        "digest": str,
        "layout": str,
        "moments": dict,
        "energy": dict,
        "sketch": dict,
    }
    entry = _object(
        value,
        where,
        {**required, "samples": dict} if output else required,
        {"nonfinite": int, "samples": dict},
    )
    _check_numbers(entry, where)
    return entry


def _check_numbers(value: dict[str, Any], where: str) -> None:
    """Raise BadInputError where an entry's shape, moments or samples are impossible."""
    shape = value["shape"]
    if not 1 <= len(shape) <= 4 or not all(type(n) is int and 1 <= n <= 65536 for n in shape):
        raise _bad("a shape is impossible", where, "1 to 4 positive whole numbers", shape)
    if value["dtype"] not in DTYPES:
        raise _bad("a number type is unknown", where, ", ".join(DTYPES), value["dtype"])
    if value["layout"] not in LAYOUTS or not _HEX.match(value["digest"]):
        raise _bad("a layout or digest is impossible", where, got=value["layout"])
    height, width, channels = hwc(shape, value["layout"], where)
    for group, keys in (
        ("moments", ("mean", "std", "min", "max")),
        ("energy", ("gradient", "laplacian")),
    ):
        _object(value[group], where, dict.fromkeys(keys, list))
        for key in keys:
            if len(value[group][key]) != channels or not all(map(_finite, value[group][key])):
                raise _bad(
                    f"{key!r} is not one number per channel",
                    where,
                    f"{channels} numbers",
                    value[group][key],
                )
    for key, count in (("sketch", 8), ("samples", 16)):
        if key in value:
            _packed(value[key], f"{where}, {key}", (height, width, channels), count)


def hwc(shape: list[int], layout: str, where: str | None = None) -> tuple[int, int, int]:
    """Return (height, width, channels) of a shape in a layout. Raises BadInputError if they do not go together."""
    if layout == "flat" and len(shape) == 1:
        return 1, shape[0], 1
    if len(layout) != len(shape):
        raise _bad("a shape and its layout do not go together", where, layout, shape)
    axes = dict(zip(layout, shape))
    if axes.get("c", 1) > 4:
        raise _bad("a tensor has more than four channels", where, got=shape)
    return axes["h"], axes["w"], axes.get("c", 1)


def _finite(x: object) -> bool:
    return (
        isinstance(x, (int, float))
        and not isinstance(x, bool)
        and abs(x) < 1e300
        and math.isfinite(x)
    )


def _packed(value: object, where: str, size: tuple[int, int, int], count: int) -> None:
    packed = _object(value, where, {"shape": list, "type": str, "data": str})
    shape = packed["shape"]
    if (
        len(shape) != 3
        or not all(type(n) is int and 1 <= n <= 64 for n in shape)
        or shape[2] != size[2]
        or shape[0] > min(size[0], count)
        or shape[1] > min(size[1], count)
    ):
        raise _bad(
            "a sketch has an impossible shape", where, f"at most {count}×{count}×{size[2]}", shape
        )
    if packed["type"] not in ("u1", "f4"):
        raise _bad("a sketch has an unknown number type", where, "u1 or f4", packed["type"])
    try:
        raw = base64.b64decode(packed["data"], validate=True)
    except (binascii.Error, ValueError):
        raise _bad("a sketch is not a base64", where) from None
    if len(raw) != math.prod(shape) * (1 if packed["type"] == "u1" else 4):
        raise _bad("a sketch has the wrong length", where, f"{shape} numbers", len(raw))
    if packed["type"] == "f4" and not np.isfinite(np.frombuffer(raw, "<f4")).all():
        raise _bad("a sketch holds NaN or infinity", where)

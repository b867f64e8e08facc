"""Run a pipeline on the probes and describe what comes out."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import write_npy
from facelab.core.narrow import is_mapping, is_sequence
from facelab.core.safety.scratch import ScratchFolder
from facelab.fingerprint.capture._feed import Feed
from facelab.fingerprint.capture._hooks import recording
from facelab.fingerprint.document._schema import MAX_BYTES, OUTPUT, Fingerprint
from facelab.fingerprint.document._statistics import SMALL_SKETCH, describe
from facelab.fingerprint.probes._set import (
    VERSION,
    Probe,
    image_probes,
    probe_set,
    probes_for,
    raw_probes,
    set_hash,
    write_probes,
)
from facelab.preprocess.internals import stages as run_stages
from facelab.preprocess.spec import PreprocessSpec

Call = Callable[[str, Probe], Any]
Stages = list[tuple[str, np.ndarray]]
"""Name and array of each stage that was shown, the output last."""
Results = dict[str, Stages | str]
"""Probe → its stages, or an error message."""
PATHS = Feed("path")
FAMILIES = ("image", "rgb24", "bgr24", "gray8", "yuyv", "nv12")


def family_probes(family: str) -> tuple[Probe, ...]:
    """Return the probes of a family: `image`, or raw frames of a format."""
    return image_probes() if family == "image" else raw_probes(family)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of facelab and of `packages`."""
    return {name: importlib.metadata.version(name) for name in ("facelab", *packages)}


def assemble(
    name: str,
    kind: str,
    results: Mapping[str, list[tuple[str, np.ndarray]] | str],
    *,
    made_by: dict[str, str],
    spec: dict[str, Any] | None = None,
    declares: Iterable[str] = (),
    skipped: dict[str, str] | None = None,
) -> Fingerprint:
    """Build a fingerprint from probe → [(stage, array)], last one the output, or probe → error message.

    Stages that not every probe reached are left out. Where the file would reach 256 KiB, the sketches of intermediate
    stages become coarser and then those stages are left out; the output is always sampled at the same places, so that
    any two fingerprints can be compared. Raises BadInputError when no probe gave a tensor.
    """
    good = {p: r for p, r in results.items() if not isinstance(r, str)}
    if not good:
        reason = next(iter(results.values()), "there are no probes")
        raise BadInputError(
            "the pipeline gave no tensor for any probe",
            where=name,
            got=str(reason)[:300],
            fix="check that it reads the probes' files (facelab fingerprint probes --out DIR)",
        )
    inner = [n for n, _ in next(iter(good.values()))[:-1]]
    inner = [
        n
        for n in dict.fromkeys(inner)
        if n != OUTPUT and all(n in dict(r[:-1]) for r in good.values())
    ]
    output = {
        p: {"error": r[:300]} if isinstance(r, str) else describe(r[-1][1])
        for p, r in results.items()
    }
    for sketch in (SMALL_SKETCH, 2, 1, None):
        made = [
            (n, {p: describe(dict(r[:-1])[n], sketch=sketch) for p, r in good.items()})
            for n in (inner if sketch else [])
        ]
        fingerprint = Fingerprint(
            name,
            kind,
            [*made, (OUTPUT, output)],
            {"version": VERSION, "hash": set_hash()},
            made_by,
            spec,
            sorted(declares),
            dict(skipped or {}),
        )
        if len(fingerprint.dumps().encode()) < MAX_BYTES - 1024:
            return fingerprint
    raise BadInputError(
        "the fingerprint does not fit into 256 KiB", where=name, fix="name fewer stages"
    )


def capture_spec(
    spec: PreprocessSpec,
    *,
    backend: str = "reference",
    decode_with: str | None = None,
    tensors: str | os.PathLike[str] | None = None,
    declares: Iterable[str] = (),
) -> Fingerprint:
    """Run a spec on the probes its decode stage can read and return the fingerprint, a stage for each stage.

    `tensors` is a folder for the golden tensors.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    backend : str
        The backend.
    decode_with : str or None
        The decoder; None for the one of the backend.
    tensors : str or path or None
        Where the tensors are kept.
    declares : Iterable[str]
        What the side says about its stages.

    Returns
    -------
    Fingerprint
        The fingerprint.

    Raises
    ------
    UnsupportedError
        If the backend refuses a stage.

    Examples
    --------
    >>> spec = PreprocessSpec.load("emotion.preprocess.json")
    >>> made = capture_spec(spec, backend="pillow")
    >>> [name for name, _ in made.stages][:3]
    ['01_decode', '02_orient', '03_resize']
    """
    results: Results = {}
    for probe in probes_for(spec):
        try:
            results[probe.name] = run_stages(
                spec, probe.data, backend=backend, face=probe.face, decode_with=decode_with
            )
        except BadInputError as e:
            results[probe.name] = str(e).splitlines()[0]
    _golden(tensors, results)
    packages = {
        "reference": (),
        "opencv": ("opencv-python-headless",),
        "pillow": ("pillow",),
        "tensorflow": ("tensorflow",),
    }.get(backend, ())
    return assemble(
        spec.name,
        "spec",
        results,
        made_by={"backend": backend, **versions("numpy", "pillow", *packages)},
        spec=spec.to_dict(),
        declares=declares,
    )


def _golden(folder: str | os.PathLike[str] | None, results: Results) -> None:
    if folder is not None:
        for name, result in results.items():
            if not isinstance(result, str):
                write_npy(Path(folder) / f"{name}.npy", result[-1][1])


def capture_pipeline(
    function: Call,
    *,
    name: str,
    families: Iterable[str] | None = None,
    tensors: str | os.PathLike[str] | None = None,
    declares: Iterable[str] = (),
    packages: Iterable[str] = (),
    feed: Feed = PATHS,
    instead: tuple[Call, Feed] | None = None,
) -> Fingerprint:
    """Call `function(path, probe)` twice on each probe file and return the fingerprint.

    Without `families` the images are tried, and the raw formats only if no image can be read. A probe the pipeline
    fails on keeps its error message. A function of pixels (`feed`) gets only the probes that every decoder reads
    alike and upright: it cannot be blamed for decoding. `instead` is tried where the first way fails on every image.
    Probes whose result differs between the two runs are listed in the fingerprint's `unstable`.

    Parameters
    ----------
    function : Call
        The pipeline: takes a picture and returns a tensor.
    name : str
        A name.
    families : Iterable[str] or None
        The families of probes; None for all.
    tensors : str or path or None
        Where the tensors are kept.
    declares : Iterable[str]
        What the side says about its stages.
    packages : Iterable[str]
        Packages whose versions are recorded.
    feed : Feed
        How the pipeline takes its picture.
    instead : tuple[Call, Feed] or None
        The pipeline's twin and its feed, which is captured where the first one fails; None
        without.

    Returns
    -------
    Fingerprint
        The fingerprint.

    Raises
    ------
    BadInputError
        The pipeline reads none of the probes, or a tensor cannot be described.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> def shrunk(path, probe):
    ...     return np.asarray(Image.open(path).convert("RGB").resize((8, 8)), np.float32)
    >>> made = capture_pipeline(shrunk, name="shrunk")
    >>> made.kind, made.samples("bars").shape
    ('pipeline', (8, 8, 3))
    """
    wanted = _families(families)
    if feed.of_pixels and not wanted:
        wanted = ("image",)
    folder = _probe_folder().name
    try:
        results, skipped = _run_all(function, folder, wanted, feed, name)
    except BadInputError:
        if instead is None:
            raise
        function, feed = instead
        wanted = ("image",) if feed.of_pixels else wanted
        results, skipped = _run_all(function, folder, wanted, feed, name)
    _golden(tensors, results)
    made = assemble(
        name,
        "pipeline",
        results,
        made_by=versions("numpy", *packages),
        declares=declares,
        skipped=skipped,
    )
    made.unstable = _unstable(function, folder, results)
    made.fed = feed.to_dict() if feed.of_pixels else None
    return made


def _families(families: Iterable[str] | None) -> tuple[str, ...]:
    wanted = tuple(families or ())
    for f in wanted:
        if f not in FAMILIES:
            raise BadInputError(
                "unknown family of probes",
                expected=", ".join(FAMILIES),
                got=repr(f),
                fix="name one of the families",
            )
    return wanted


def _run_all(
    function: Call, folder: str, wanted: tuple[str, ...], feed: Feed, name: str
) -> tuple[Results, dict[str, str]]:
    """Run every probe once: (probe → stages or error message, family that cannot be read → reason)."""
    results: Results = {}
    skipped: dict[str, str] = {}
    for family in wanted or FAMILIES:
        found = {
            p.name: _run_one(function, str(Path(folder) / p.file), p)
            for p in family_probes(family)
            if not feed.of_pixels or p.plain
        }
        failures = [r for r in found.values() if isinstance(r, str)]
        if len(failures) == len(found) or (family != "image" and failures and not wanted):
            skipped[family] = failures[0][:300]
            continue
        results.update(found)
        if family == "image" and not wanted:
            break
    if not results:
        raise BadInputError(
            "the pipeline failed on every probe",
            where=name,
            got=next(iter(skipped.values())),
            fix="call it on one of the files of `facelab fingerprint probes --out DIR`",
        )
    return results, skipped


NOISE = 1e-5
"""Differences between two runs up to this share of a tensor's range are those of sums in another order."""


def _unstable(function: Call, folder: str, results: Results) -> list[str]:
    """Return the probes whose tensor differs in a second run."""
    known = {p.name: p for p in probe_set()}
    found: list[str] = []
    for n, first in results.items():
        if isinstance(first, str):
            continue
        again = _run_one(function, str(Path(folder) / known[n].file), known[n])
        if isinstance(again, str) or not _alike(first[-1][1], again[-1][1]):
            found.append(n)
    return found


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.tobytes() == b.tobytes():
        return True
    x, y = np.nan_to_num(a.astype(np.float64)), np.nan_to_num(b.astype(np.float64))
    return bool(np.abs(x - y).max() <= NOISE * max(np.ptp(x), 1e-12))


@functools.cache
def _probe_folder() -> ScratchFolder:
    """Write the probes once a process; the folder goes when the process ends."""
    folder = ScratchFolder(prefix="facelab-probes-")
    write_probes(folder.name)
    return folder


def _run_one(function: Call, path: str, probe: Probe) -> Stages | str:
    with recording() as seen:
        try:
            # a copy: a program may answer every call with the same buffer
            output = as_array(function(path, probe)).copy()
        except (KeyboardInterrupt, MemoryError):
            raise
        except Exception as e:
            # a user's pipeline may fail in any way on an odd file; the message goes into the fingerprint
            return f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:300]
    return [*seen, (OUTPUT, output)]


def as_array(value: Any) -> np.ndarray:
    """Return a pipeline's result as a numpy array: arrays, tensors of TensorFlow or PyTorch, Pillow images, the
    `image` (or `pixel_values`, or only entry) of a dictionary, and the first of a tuple that begins with a picture, as
    letterbox functions return it. Raises BadInputError for anything else."""
    if is_mapping(value) and value:
        value = next(
            (value[k] for k in ("image", "pixel_values") if k in value), next(iter(value.values()))
        )
    if is_sequence(value) and value and len(getattr(value[0], "shape", ())) >= 2:
        # a batch as a list, or a picture with facts about it
        shapes = {tuple(getattr(v, "shape", ())) for v in value}
        value = (
            value[0] if len(shapes) > 1 or len(value) == 1 or isinstance(value, tuple) else value
        )
    tensor: Any = value
    for method in ("detach", "cpu"):
        if hasattr(tensor, method):
            tensor = getattr(tensor, method)()
    try:
        array: np.ndarray = np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor)
    except FacelabError:
        raise
    except Exception as e:
        raise BadInputError(
            "the pipeline's result is not an array",
            got=f"{type(value).__name__}: {e}"[:200],
            fix="return the tensor alone, as a numpy array",
        ) from None
    if (
        array.dtype == object
        or (array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16")
        or array.ndim == 0
    ):
        raise BadInputError(
            "the pipeline's result is not a numeric array",
            expected="an array of numbers",
            got=f"{type(value).__name__} of dtype {array.dtype}",
            fix="return what goes into the model",
        )
    return array

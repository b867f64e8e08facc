"""Make a fingerprint of a program facelab cannot call, from the tensors it wrote for the probes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np

from facelab.core.array_files import read_npy
from facelab.core.errors import BadInputError
from facelab.core.files import read_json
from facelab.core.narrow import is_dict, is_list
from facelab.fingerprint.capture._capture import FAMILIES, assemble, family_probes, versions
from facelab.fingerprint.document._schema import OUTPUT, PARTIAL, Fingerprint
from facelab.fingerprint.document._statistics import DTYPES as DESCRIBED

MAX_TENSOR = 64 << 20
DTYPES = tuple(name for name in DESCRIBED if name != "bfloat16")
"""What files hold; numpy's own files know no bfloat16."""
NPY = (".npy", ".npy.gz")
"""How files of numpy end, as they are and packed."""


def _there(folder: Path) -> set[str]:
    """Return the names of the probes whose tensors a folder holds. Raises BadInputError where there is none."""
    if not folder.is_dir():
        raise BadInputError(
            "the folder of tensors does not exist", where=folder, fix="give --tensors a folder"
        )
    return {
        p.name.removesuffix(ending)
        for ending in (*NPY, ".bin")
        for p in folder.iterdir()
        if p.name.endswith(ending)
    }


def import_tensors(
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    family: str | None = None,
    declares: tuple[str, ...] = (),
    partial: bool = False,
) -> Fingerprint:
    """Read `<probe>.npy`, or `<probe>.bin` with `<probe>.json`, for every probe of one kind and fingerprint them.

    A `<probe>.npy.gz`, as bundles have them, is read too.
    The kind of probe (images, or raw frames of a format) is the one with the most files, unless `family` names it.
    With `partial` probes may be missing, for bisecting (PNG only, say); the fingerprint declares that, and the gate
    does not take it.

    Parameters
    ----------
    folder : str or path
        A folder.
    name : str or None
        A name.
    family : str or None
        The model family; None for the one that the catalogue or the file states.
    declares : tuple[str, ...]
        What the program says about its stages.
    partial : bool
        Whether probes may be missing.

    Returns
    -------
    Fingerprint
        The fingerprint.

    Raises
    ------
    BadInputError
        For a missing probe, a file that is not a tensor, and a tensor whose shape, number type
        or values do not fit the others'.

    Examples
    --------
    >>> made = import_tensors("tensors")
    >>> made.kind, len(made.output)
    ('tensors', 25)
    """
    folder = Path(folder)
    there = _there(folder)
    chosen = family or _family(there, folder)
    if chosen not in FAMILIES:
        raise BadInputError(
            "unknown kind of probes",
            expected=", ".join(FAMILIES),
            got=repr(chosen),
            fix="choose one of the kinds",
        )
    probes = family_probes(chosen)
    missing = [p.name for p in probes if p.name not in there]
    if missing and not partial:
        raise BadInputError(
            f"the tensor of the probe {missing[0]!r} is missing",
            where=folder,
            expected=f"{missing[0]}.npy, or {missing[0]}.bin with {missing[0]}.json",
            got=f"{len(probes) - len(missing)} of {len(probes)} {chosen} probes",
            fix="run the program on every probe of its kind (see the probes' README), or import those that are there "
            "with --partial",
        )
    probes = tuple(p for p in probes if p.name in there)
    declares = (*declares, PARTIAL) if missing else declares
    arrays = {p.name: read_tensor(folder, p.name) for p in probes}
    _consistent(arrays, folder)
    results = {n: [(OUTPUT, a)] for n, a in arrays.items()}
    return assemble(
        name or folder.resolve().name,
        "tensors",
        results,
        made_by=versions("numpy"),
        declares=declares,
    )


def _family(there: set[str], folder: Path) -> str:
    found = {f: sum(p.name in there for p in family_probes(f)) for f in FAMILIES}
    best = max(found, key=found.__getitem__)
    if not found[best]:
        raise BadInputError(
            "the folder holds no probe's tensor",
            where=folder,
            expected="files such as marks.npy",
            got=", ".join(sorted(there)[:3]) or "no .npy or .bin file",
            fix="name each tensor after its probe (first column of the probes' README)",
        )
    return best


def read_tensor(folder: Path, name: str) -> np.ndarray:
    """Read one probe's tensor, `.npy` before `.npy.gz` before `.bin`. Raises BadInputError naming the file."""
    path = next((p for e in NPY if (p := folder / f"{name}{e}").exists()), None)
    array = _npy(path) if path else _raw(folder, name)
    where = path or folder / f"{name}.bin"
    if array.dtype.name not in DTYPES:
        raise BadInputError(
            "the tensor's number type is not supported",
            where=where,
            expected=", ".join(DTYPES),
            got=array.dtype.name,
            fix="write float32 or uint8",
        )
    if not 1 <= array.ndim <= 4 or array.size == 0:
        raise BadInputError(
            "the tensor's shape is not an image's",
            where=where,
            expected="1 to 4 axes, none empty",
            got=f"{array.shape}",
            fix="write what goes into the model, one image per file",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInputError(
            "the tensor holds NaN or infinity",
            where=where,
            expected="finite numbers",
            got=f"{np.count_nonzero(~np.isfinite(array))} of {array.size}",
            fix="look for a division by zero in the program",
        )
    return array


def _npy(path: Path) -> np.ndarray:
    return read_npy(
        path, "tensor", max_bytes=MAX_TENSOR, fix="write it with numpy.save, or as .bin with .json"
    )


def _raw(folder: Path, name: str) -> np.ndarray:
    head, data = folder / f"{name}.json", folder / f"{name}.bin"
    if not head.exists():
        raise BadInputError(
            "a raw tensor has no shape",
            where=data,
            expected=f"{name}.json beside it",
            fix='write {"shape": [1, 3, 112, 112], "dtype": "float32"}',
        )
    facts = read_json(head, max_bytes=4096)
    if (
        not is_dict(facts)
        or set(facts) - {"shape", "dtype"}
        or "shape" not in facts
        or "dtype" not in facts
    ):
        raise BadInputError(
            "a tensor's JSON states shape and dtype",
            where=head,
            expected="keys shape, dtype",
            got=repr(facts)[:100],
            fix='write {"shape": [h, w, c], "dtype": "float32"} beside the numbers',
        )
    shape, dtype = facts["shape"], facts["dtype"]
    if (
        not is_list(shape)
        or not 1 <= len(shape) <= 4
        or not all(type(n) is int and 1 <= n <= 65536 for n in shape)
    ):
        raise BadInputError(
            "a tensor's shape is impossible",
            where=head,
            expected="1 to 4 positive whole numbers",
            got=repr(shape)[:100],
            fix="write the tensor's shape as the program has it",
        )
    if dtype not in DTYPES:
        raise BadInputError(
            "a tensor's number type is unknown",
            where=head,
            expected=", ".join(DTYPES),
            got=repr(dtype)[:60],
            fix="write the numbers in one of these types",
        )
    kind = np.dtype(dtype).newbyteorder("<")
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if data.stat().st_size != size or size > MAX_TENSOR:
        raise BadInputError(
            "the raw tensor's size does not go with its shape and dtype",
            where=data,
            expected=f"{size} bytes for {shape} {dtype}",
            got=f"{data.stat().st_size} bytes",
            fix="write all numbers and nothing else; correct the JSON",
        )
    return np.fromfile(data, dtype=kind).reshape(shape).astype(dtype)


def _consistent(arrays: dict[str, np.ndarray], folder: Path) -> None:
    """One program gives one number type and rank, and one shape unless its input size is dynamic."""
    facts: list[tuple[str, Callable[[np.ndarray], Hashable]]] = [
        ("dtype", lambda a: a.dtype.name),
        ("number of axes", lambda a: a.ndim),
    ]
    shapes = Counter(a.shape for a in arrays.values())
    _common, count = shapes.most_common(1)[0]
    if len(shapes) > 1 and count >= 0.8 * len(arrays):
        facts.append(("shape", lambda a: a.shape))
    for what, of in facts:
        usual = Counter(map(of, arrays.values())).most_common(1)[0][0]
        odd = next((n for n, a in arrays.items() if of(a) != usual), None)
        if odd is not None:
            raise BadInputError(
                f"the tensor of the probe {odd!r} has a different {what} than the others",
                where=folder / odd,
                expected=usual,
                got=of(arrays[odd]),
                fix="write the same kind of tensor for every probe",
            )

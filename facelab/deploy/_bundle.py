"""`facelab bundle`: gather everything an inference team needs, and check that a bundle is whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import read_json, write_json, write_text
from facelab.core.hashing import sha256_file
from facelab.core.safety.scratch import ScratchFolder
from facelab.deploy import _code as code
from facelab.deploy import evidence as figures
from facelab.deploy import golden, thresholds
from facelab.deploy._answers import ask, contradictions
from facelab.deploy._bundle_files._contents import (
    Contents,
    Made,
    manifest_of,
    page_of,
    put_evidence,
    put_model,
)
from facelab.deploy._bundle_files._golden import put_golden
from facelab.deploy._opened import Bundle
from facelab.deploy._source import Source, resolve
from facelab.deploy.manifest import MANIFEST, SCHEMA, Manifest, check_name
from facelab.deploy.manifest import load as load_manifest
from facelab.zoo.runtimes import Model, open_model


def load(folder: str | os.PathLike) -> Bundle:
    """Open a bundle without checking its files (see `facelab.deploy._verify`).

    Parameters
    ----------
    folder : str or path
        The folder of a bundle.

    Returns
    -------
    Bundle
        The bundle.

    Raises
    ------
    BadInputError
        If it is none.

    Examples
    --------
    >>> bundle = load("bundle")
    >>> bundle.manifest.task, bundle.manifest.labels
    ('emotion', ['anger', 'joy', 'neutral'])
    """
    return Bundle(Path(folder), load_manifest(Path(folder)))


def make_bundle(
    model: str | os.PathLike,
    out: str | os.PathLike,
    *,
    name: str | None = None,
    spec: str | os.PathLike | None = None,
    labels: str | os.PathLike | None = None,
    licence: str | None = None,
    threshold_file: str | os.PathLike | None = None,
    evidence: Iterable[str | os.PathLike] = (),
    reference: str | os.PathLike | None = None,
    emit: Sequence[str] = (),
    picture_size: tuple[int, int] | None = None,
    every_golden: bool = False,
) -> Bundle:
    """Gather a model with its preprocessing, probes, golden tensors and outputs, thresholds and figures into `out`.

    `model` is a file with its `.preprocess.json` beside it, the folder of a training, or a name of the catalogue.
    `evidence` are files of figures (see `facelab.deploy.evidence.read`), `reference` the float model that a quantised
    one was made from. `emit` names languages in which the preprocessing is written too (`facelab.preprocess.emit`);
    graphs among them are for pictures of `picture_size`, (width, height). An earlier bundle at `out` is replaced in one
    move; any other folder with files in it is refused. A bundle stays below twice the model and 10 MB, code beside it:
    large golden tensors are packed by gzip and kept for as many probes as fit (one at least, whatever it weighs).
    `every_golden` keeps all of them as they are; the fingerprint covers all probes.
    Raises BadInputError, MissingAssetError or UnsupportedError and leaves `out` as it was.

    Parameters
    ----------
    model : str or path
        A model file, or a name of the catalogue.
    out : str or path
        The folder to write; it is replaced whole.
    name : str or None
        A name.
    spec : str or path or None
        The preprocessing to apply.
    labels : str or path or None
        Label names or a file of them; None where there are none.
    licence : str or None
        The licence of the model.
    threshold_file : str or path or None
        A file of thresholds; None for none.
    evidence : Iterable[str or path]
        Files of figures.
    reference : str or path or None
        The float model that a quantised one is compared with; None for none.
    emit : sequence of str
        The languages in which preprocessing is generated.
    picture_size : tuple[int, int] or None
        The size of camera frames, for code that is compiled for one; None for any.
    every_golden : bool
        Whether every golden output is kept, whatever it weighs.

    Returns
    -------
    Bundle
        The bundle.

    Raises
    ------
    BadInputError
        The model, its labels, thresholds or figures cannot be bundled; naming the file.
    UnsupportedError
        The model has several inputs, or no code can be generated in a language.

    Examples
    --------
    >>> bundle = make_bundle("model.onnx", "my-bundle", licence="CC0-1.0")
    >>> bundle.manifest.model, bundle.manifest.licence.licence
    ('model.onnx', 'CC0-1.0')
    """
    out = Path(out)
    _refuse_foreign(out)
    check_name(name)
    source = resolve(model, spec=spec, labels=labels, licence=licence)
    code.check(source.spec, emit, picture_size)
    chosen = (
        thresholds.load(threshold_file)
        if threshold_file
        else thresholds.parse(
            {"schema": thresholds.SCHEMA, "thresholds": source.thresholds}, source.name
        )
    )
    found = [r for path in (list(evidence) or _own_evaluation(source)) for r in figures.read(path)]
    opened = open_model(source.path, spec=source.spec)
    _refuse_many_inputs(opened)
    out.parent.mkdir(parents=True, exist_ok=True)
    with ScratchFolder(prefix=f".{out.name}.", dir=out.parent) as near:
        folder = Path(near) / "bundle"
        contents = Contents(folder)
        fingerprint = put_model(contents, source, chosen)
        every = [p for p, e in fingerprint.output.items() if "error" not in e]
        put_evidence(contents, source, found)
        probes, decoding = put_golden(contents, opened, source, every, every_golden)
        for path in code.write_code(folder, contents.model, source.spec, tuple(emit), picture_size):
            contents.add(path, "code")
        made = Made(contents, source, opened, probes, fingerprint)
        write_text(
            contents.add("README.md", "page"),
            page_of(made, every) + decoding + code.page(tuple(emit)),
        )
        manifest = manifest_of(made, name, reference)
        write_json(folder / MANIFEST, manifest.to_dict())
        _open_again(folder, manifest)
        _swap(folder, out, Path(near) / "old")
    return Bundle(out, manifest)


def _own_evaluation(source: Source) -> list[Path]:
    """Return the evaluation that a training left beside this very model, if any."""
    path = source.folder / "evaluation.json" if source.folder else None
    if path is None or not path.is_file():
        return []
    return [path] if read_json(path).get("model_sha256") == sha256_file(source.path) else []


def _refuse_foreign(out: Path) -> None:
    if out.is_file():
        raise BadInputError(
            "--out is a file", where=out, expected="a folder", fix="choose another --out"
        )
    if out.is_dir() and any(out.iterdir()) and not _is_bundle(out):
        raise BadInputError(
            "the folder holds other files and is not a bundle",
            where=out,
            expected="a new folder, an empty one or an earlier bundle",
            fix="choose another --out",
        )


def _is_bundle(folder: Path) -> bool:
    """Return whether a folder's manifest is a bundle's; the manifests of data sets have the same name."""
    try:
        value = read_json(folder / MANIFEST)
    except BadInputError:
        return False
    return isinstance(value, dict) and value.get("schema") == SCHEMA


def _refuse_many_inputs(model: Model) -> None:
    if len(model.inputs) != 1:
        raise BadInputError(
            "a bundle takes models with one input",
            where=model.path,
            expected="one tensor",
            got=", ".join(map(str, model.inputs)),
            fix="export the network with one input tensor",
        )


def _open_again(folder: Path, manifest: Manifest) -> None:
    """Open the bundled model where only the bundle can be read, and compare its answers, before anybody says done."""
    if manifest.runtime == "keras":
        return
    seen = ask(folder, manifest, seconds=1)
    expected = golden.read(folder / "golden" / "outputs", list(seen.answers), len(manifest.outputs))
    wrong = contradictions(manifest, seen)
    for probe, arrays in seen.answers.items():
        for k, (a, b) in enumerate(zip(expected[probe], arrays, strict=True)):
            # the same runtime on the same machine; sums in threads may differ in their last bits
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True):
                wrong.append(f"output {k} on probe {probe!r} is another one")
    if wrong:
        raise BadInputError(
            "the bundled model is not the model that was given",
            where=manifest.model,
            expected="the same tensors and answers",
            got="; ".join(wrong[:3]),
            fix="export the model into one file, and bundle that",
        )


def _swap(folder: Path, out: Path, old: Path) -> None:
    if out.exists():
        out.replace(old)
    folder.replace(out)
    out.chmod(0o755)

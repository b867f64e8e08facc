"""`facelab preprocess run|show|preset|conformance`: carry a spec out and look at its stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import OutPath, emit, json_option, note
from facelab.core.errors import BadInputError, CheckFailedError

if TYPE_CHECKING:
    import numpy as np

    from facelab.preprocess import PreprocessSpec


@click.group(
    epilog="Example: facelab preprocess run model.preprocess.json photo.jpg --stages stages/"
)
def command() -> None:
    """Run a preprocessing spec (`facelab.preprocess/1`) and look at its stages."""


def _numbers(text: str | None, count: int, option: str) -> list[float] | None:
    if text is None:
        return None
    try:
        values = [float(v) for v in text.replace(";", ",").split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise BadInputError(
            f"{option} takes {count} numbers",
            expected=f"{count} numbers, commas between",
            got=text,
            fix=f"{option} {','.join('1' * count)}",
        )
    return values


def size_option(text: str | None, option: str = "--picture-size") -> tuple[int, int] | None:
    """Return (width, height) of `W,H`."""
    values = _numbers(text, 2, option)
    if values is None:
        return None
    if any(v != int(v) or v < 1 for v in values):
        raise BadInputError(f"{option} takes whole numbers", got=text, fix=f"{option} 640,480")
    return int(values[0]), int(values[1])


def load_spec(text: str) -> PreprocessSpec:
    """Return the spec in a file, in a bundle's folder, beside a model file, or of the catalogue."""
    from facelab.preprocess import PreprocessSpec, presets

    path = Path(text)
    if path.is_dir():
        return PreprocessSpec.load(path / "preprocess.json")
    if path.is_file() and path.suffix in (".onnx", ".tflite", ".keras", ".h5"):
        return _beside(path)
    if text.endswith(".json") or path.exists():
        return PreprocessSpec.load(text)
    return presets.preset(text)


def _beside(path: Path) -> PreprocessSpec:
    """Return the spec that travels with a model file."""
    from facelab.zoo.families import sidecar

    found = sidecar(path)
    if found is None:
        raise BadInputError(
            "no specification is stored beside the model",
            where=path,
            expected=path.with_suffix(".preprocess.json").name,
            fix="name the specification's file, or a model of the catalogue",
        )
    return found


backend_option = click.option(
    "--backend",
    default="reference",
    show_default=True,
    metavar="NAME",
    help="reference, opencv, pillow, tensorflow or onnx.",
)


@command.command(
    epilog="Example: facelab preprocess run emotion.preprocess.json face.png --stages stages/ --out x.npy"
)
@click.argument("spec")
@click.argument("image", type=click.Path())
@backend_option
@click.option(
    "--decode-with", metavar="NAME", help="Decode with another backend (onnx has no decoder)."
)
@click.option("--face", metavar="X1,Y1,X2,Y2", help="The face box, for a spec that crops to it.")
@click.option(
    "--landmarks",
    metavar="X,Y,…",
    help="Five points, for a spec that aligns: eyes, nose, mouth corners.",
)
@click.option(
    "--stages",
    "stages_dir",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Write each stage as .npy and .png, and a contact sheet.",
)
@click.option("--out", type=OutPath(), metavar="F.npy", help="Write the resulting tensor.")
@json_option
def run(
    spec: Any,
    image: np.ndarray,
    backend: Any,
    decode_with: Any,
    face: Any,
    landmarks: Any,
    stages_dir: Any,
    out: Any,
    as_json: bool,
) -> None:
    """Run SPEC (a file, or a model or family of the catalogue) on IMAGE and show every stage.

    Face box and landmarks are in pixels of the upright picture.
    """
    from facelab.core.files import write_npy
    from facelab.preprocess.internals import stages, views

    parsed = load_spec(spec)
    points = _numbers(landmarks, 10, "--landmarks")
    given = {
        "box": _numbers(face, 4, "--face"),
        "landmarks": None if points is None else [points[i : i + 2] for i in range(0, 10, 2)],
    }
    if out and not out.endswith(".npy"):
        raise BadInputError("--out writes a .npy file", got=out, fix=f"--out {Path(out).stem}.npy")
    made = stages(parsed, image, backend=backend, face=given, decode_with=decode_with)
    rows = [views.facts(name, array) for name, array in made]
    if stages_dir:
        _write_stages(Path(stages_dir), made, parsed)
    if out:
        write_npy(out, made[-1][1])
    document = {
        "spec": parsed.name,
        "spec_hash": parsed.hash,
        "image": str(image),
        "backend": backend,
        "decode_with": decode_with or backend,
        "stages": rows,
        "out": out,
        "stages_dir": stages_dir,
    }
    emit(document, as_json=as_json, text=_table(parsed, rows, backend))
    for place in filter(None, (stages_dir, out)):
        note(f"wrote {place}")


def _write_stages(folder: Path, made: Any, spec: Any) -> None:
    import io

    from PIL import Image

    from facelab.core.files import write_bytes, write_npy
    from facelab.preprocess.internals import views

    def png(name, pixels):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        write_bytes(folder / name, buffer.getvalue())

    for (name, array), state in zip(made, spec.states):
        write_npy(folder / f"{name}.npy", array)
        png(f"{name}.png", views.to_pixels(array, state)[0])
    png(
        "contact_sheet.png",
        views.contact_sheet([(n, a, s) for (n, a), s in zip(made, spec.states)]),
    )


def _table(spec: Any, rows: Any, backend: Any) -> str:
    lines = [f"{spec.name} on the {backend} backend"]
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        lines.append(
            f"  {row['name']:<14} {shape:<16} {row['dtype']:<8} {row['min']:>10.4g} … {row['max']:<10.4g} "
            f"mean {row['mean']:<10.4g} {row['sha256'][:12]}"
        )
    return "\n".join(lines)


@command.command(epilog="Example: facelab preprocess show arcface")
@click.argument("spec")
@json_option
def show(spec: Any, as_json: bool) -> None:
    """Check SPEC (a file, or a model or family of the catalogue) and show it."""
    parsed = load_spec(spec)
    emit(
        {
            **parsed.to_dict(),
            "hash": parsed.hash,
            "stage_hashes": list(parsed.stage_hashes),
            "output_shape": list(parsed.output_shape()),
            "output_dtype": parsed.output_dtype,
        },
        as_json=as_json,
        text=parsed.text(),
    )


@command.command(epilog="Example: facelab preprocess preset sface --out sface.preprocess.json")
@click.argument("name", required=False)
@click.option("--out", type=OutPath(), metavar="F.json", help="Write the spec to a file.")
@json_option
def preset(name: str | None, out: Path | None, as_json: bool) -> None:
    """Show or write the preprocessing of a known model or family; without NAME, list what is known."""
    from facelab.preprocess import presets

    if name is None:
        known = presets.catalogue_specs()
        emit(
            {"families": list(presets.FAMILIES), "models": list(known)},
            as_json=as_json,
            text="families: " + ", ".join(presets.FAMILIES) + "\nmodels:   " + ", ".join(known),
        )
        return
    spec = presets.preset(name)
    if out:
        spec.save(out)
        note(f"wrote {out}")
    emit(spec.to_dict(), as_json=as_json, text=spec.text())


@command.command(
    epilog="Example: facelab preprocess conformance --check docs/reference/preprocessing-conformance.md"
)
@click.option("--out", type=OutPath(), metavar="F.md", help="Write the table.")
@click.option(
    "--check",
    type=click.Path(dir_okay=False),
    metavar="F.md",
    help="Fail if the table in this file differs.",
)
@json_option
def conformance(out: Path | None, check: Any, as_json: bool) -> None:
    """Measure each op on each backend against the reference: exact, within one level, or not offered."""
    from facelab.core.files import write_text
    from facelab.preprocess.internals import conformance as table

    committed = _committed(check) if check else None
    rows = table.measure()
    text = table.markdown(rows)
    if out:
        write_text(out, text)
        note(f"wrote {out}")
    emit({"rows": rows}, as_json=as_json, text=text)
    if committed is not None and (stale := table.differences(committed, text)):
        raise CheckFailedError(
            "the conformance table is stale",
            where=check,
            got=stale[0],
            fix=f"facelab preprocess conformance --out {check}",
        )


def _committed(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInputError(
            "the table cannot be read",
            where=path,
            got=getattr(e, "strerror", None) or str(e),
            fix=f"write it: facelab preprocess conformance --out {path}",
        ) from None


@command.command(
    "emit",
    epilog="Example: facelab preprocess emit emotion.preprocess.json --to go --out preprocess-go/",
)
@click.argument("spec")
@click.option(
    "--to",
    "to",
    required=True,
    metavar="LANGUAGE",
    help="c, go, javascript, python, onnx or tflite.",
)
@click.option(
    "--out", required=True, type=OutPath(folder=True), metavar="DIR", help="Folder to write into."
)
@click.option(
    "--name",
    default="preprocess",
    show_default=True,
    metavar="WORD",
    help="Name of files and functions.",
)
@click.option(
    "--golden/--no-golden",
    default=True,
    show_default=True,
    help="Write probes and golden tensors, which the emitted check compares with.",
)
@click.option("--size", metavar="W,H", help="onnx, tflite: the size of the picture that is fed in.")
@click.option("--face", metavar="X1,Y1,X2,Y2", help="onnx, tflite: fix the face box to this one.")
@click.option(
    "--merge",
    type=click.Path(),
    metavar="MODEL",
    help="onnx: put the preprocessing in front of this model.",
)
@json_option
def emit_code(
    spec: Any,
    to: Any,
    out: Any,
    name: Any,
    golden: Any,
    size: Any,
    face: Any,
    merge: Any,
    as_json: bool,
) -> None:
    """Write the preprocessing of SPEC as code or a graph, with golden tensors that prove it.

    SPEC is a file, a bundle, a model file with its specification beside it, or a model of the catalogue. A stage that
    the language cannot do exactly is refused by name.
    """
    from facelab.fingerprint.probes import frames_for
    from facelab.preprocess.emit import write

    parsed = load_spec(spec)
    given = {"size": _numbers(size, 2, "--size"), "face": _numbers(face, 4, "--face")}
    options = {k: v for k, v in (given | {"merge": merge}).items() if v is not None}
    frames = frames_for(parsed) if golden else ()
    paths = write(parsed, to, Path(out), name=name, frames=frames, **options)
    document = {
        "spec": parsed.name,
        "spec_hash": parsed.hash,
        "language": to,
        "out": str(out),
        "files": [str(p.relative_to(out)) for p in paths],
    }
    code = [f for f in document["files"] if not f.startswith("testdata/")]
    emit(
        document,
        as_json=as_json,
        text=f"{out}: {', '.join(code)}; {len(paths) - len(code)} files of golden tensors\n"
        f"{Path(out) / 'README.md'} says how to verify them",
    )


@command.command(
    "infer-spec",
    epilog="Example: facelab preprocess infer-spec --pipeline train.py:preprocess --out found.preprocess.json",
)
@click.option(
    "--pipeline", metavar="FILE.py:F", help="A function from a path or pixels to a tensor."
)
@click.option(
    "--tensors",
    type=click.Path(),
    metavar="DIR",
    help="Tensors that a program wrote for the probes (facelab fingerprint probes).",
)
@click.option("--out", type=OutPath(), metavar="F.json", help="Write the proposed specification.")
@json_option
def infer(pipeline: Any, tensors: Any, out: Path | None, as_json: bool) -> int:
    """Propose the specification that a black box carries out, and check it on every probe.

    What the probes do not determine is listed as open. Exit code 1 where the proposal does not give the same tensors.
    """
    from facelab.fingerprint import capture_target, import_tensors
    from facelab.fingerprint.internals import infer_spec
    from facelab.preprocess import PreprocessSpec

    if (pipeline is None) == (tensors is None):
        expected, fix = "--pipeline or --tensors", "give one of them"
        raise BadInputError("infer-spec takes one black box", expected=expected, fix=fix)
    box = capture_target(pipeline) if pipeline else import_tensors(tensors)
    found = infer_spec(box)
    spec = PreprocessSpec.from_dict(found.spec)
    if out:
        spec.save(out)
        note(f"wrote {out}")
    lines = [spec.text(), f"on the probes: {found.verdict}", *(f"open: {w}" for w in found.open)]
    emit(found.to_dict(), as_json=as_json, text="\n".join(lines))
    return 0 if found.proven else 1


@command.command(epilog="Example: facelab preprocess new --like arcface --out own.preprocess.json")
@click.option(
    "--like", required=True, metavar="PRESET", help="A model or family of the catalogue, or a file."
)
@click.option("--name", metavar="TEXT", help="Its name.  [default: own]", default="own")
@click.option("--out", required=True, type=OutPath(), metavar="F.json", help="File to write.")
@json_option
def new(like: Any, name: Any, out: Path, as_json: bool) -> None:
    """Start a specification from one that is complete: every parameter is there to be changed."""
    from facelab.preprocess import PreprocessSpec

    spec = PreprocessSpec(name, load_spec(like).stages)
    spec.save(out)
    note(f"wrote {out}")
    emit(spec.to_dict(), as_json=as_json, text=spec.text())

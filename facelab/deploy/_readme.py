"""The page in a bundle for the people who write the inference side."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from facelab.deploy import _stage_rules as stage_rules
from facelab.deploy._source import Source
from facelab.deploy.golden import PACKED
from facelab.emotion.internals import SPLIT, output_of_classes
from facelab.preprocess.spec import PreprocessSpec

PAGE = """# {name}: how to check an implementation against this bundle

Made by facelab {version}. Task: {task}. Licence of the model: {licence}.{terms}

Run the commands below where facelab is installed; BUNDLE stands for this folder.

## What is here
| file | what it is |
|---|---|
| `{model}` | the model ({runtime}), {bytes} bytes |
| `preprocess.json` | what is done to an image before the model sees it, completely (`facelab.preprocess/1`) |
{labels_row}{split_row}| `thresholds.json` | decision thresholds, and on which data each was chosen |
| `train.json` | fingerprint of the training side's preprocessing on the probes |
{float_row}| `probes/` | {probes} files that show every known preprocessing mistake; its README says how to read them |
| `golden/tensors/NAME{ending}` | the model's input for the probe NAME, by the reference implementation{packed} |
| `golden/outputs/NAME.npy` | what the model answers to that tensor{more} |
| `manifest.json` | size, SHA-256, role and licence of each file |

## The model's tensors
{tensors}

## Preprocessing, in order
```
{spec}
```

### What each stage computes
{rules}

## 1. Check the preprocessing
Let your program read the probes and write the tensor it would feed to the model, one file per probe (`NAME.npy`, or
`NAME.bin` with `NAME.json`; see `probes/README.md`). The fingerprint covers {every_count} of the files (it was trained
on {form}); others need not be read:

{every}
{golden}
Then:

    facelab fingerprint import --tensors DIR --out infer.json
    facelab gate BUNDLE --inference infer.json

Where facelab is not at hand: compare your tensor with `golden/tensors/NAME{ending}` number by number. Shape and number
type must be equal; {close}, and on JPEG files by two, since good decoders differ.
A `.npy` file is a header of 128 bytes (or a multiple of 64; bytes 8 and 9 give its length less 10, little-endian), then
the numbers in C order, little-endian.{unpack}

## 2. Check the model and its runtime
Feed `golden/tensors/NAME{ending}` to the model as your program runs it, write what it answers in the same way, and
compare with `golden/outputs/NAME.npy`: {outputs_close}.

    facelab gate BUNDLE --inference infer.json --outputs DIR

## 3. Check speed and memory on the device
Time single calls on the device (at least 20, after warm-up) and write

    {{"schema": "facelab.device/1", "device": "name", "latency_ms": [4.1, 4.0, …], "peak_rss_mb": 21.5}}

then `facelab gate BUNDLE --inference infer.json --device device.json --policy policy.toml`, with budgets in the policy.

## When the gate says FAIL
It names the cause and the fix in a sentence (channels swapped, another resize kernel, values in another range, …). A
file that does not match `manifest.json` was changed or damaged: get the bundle again, and check it with
`facelab bundle verify BUNDLE`.
"""


UNPACK = """ `gunzip -k NAME.npy.gz` unpacks
one for other programs; Python's `gzip.open`, Go's `compress/gzip` and C's `gzopen` (zlib) read it as it is."""


def _tensors(inputs: Any, outputs: Any) -> str:
    """Return a line per tensor: its name, shape, number type, and how its numbers become real values."""
    return "\n".join(
        f"- {kind} `{t.name}`: {_shape(t.shape)} {t.dtype}"
        + (f", real value = {t.scale:.9g} × (number − {t.zero_point})" if t.scale else "")
        for kind, ts in (("input", inputs), ("output", outputs))
        for t in ts
    )


def page(
    source: Source,
    spec: PreprocessSpec,
    *,
    model: str,
    size: int,
    inputs: Any,
    outputs: Any,
    probes: int,
    golden: list[str],
    packed: bool,
    every: list[str],
    version: str,
) -> str:
    """Return the page as Markdown."""
    integer = inputs[0].dtype in ("int8", "uint8")
    quantized = any(t.dtype in ("int8", "uint8") for t in outputs)
    terms = f" {source.terms}" if source.terms else ""
    before = "| `train_float.json` | the same before quantising, for a program that writes its float tensor |\n"
    return PAGE.format(
        every=_names(every),
        every_count=len(every),
        ending=PACKED if packed else ".npy",
        packed=", packed by gzip" if packed else "",
        unpack=UNPACK if packed else "",
        golden=""
        if golden == every
        else f"\nGolden tensors and outputs are here for {len(golden)} of them, so that the bundle stays "
        f"small\n(`--golden all` makes all):\n\n{_names(golden)}\n",
        form="image files"
        if spec.stages[0].to_dict().get("format") == "encoded"
        else "raw camera frames",
        float_row=before if spec.stages[-1].op == "quantize" else "",
        name=source.name,
        version=version,
        task=source.task,
        licence=source.licence,
        terms=terms,
        model=model,
        runtime=source.runtime,
        bytes=size,
        labels_row=_labels_row(source, outputs),
        split_row="| `split.json` | the images and people that the model was trained on: no figure on them counts |\n"
        if source.folder and (source.folder / SPLIT).is_file()
        else "",
        probes=probes,
        tensors=_tensors(inputs, outputs),
        spec=spec.text(),
        more="; further outputs are `NAME.1.npy`, …" if len(outputs) > 1 else "",
        rules=stage_rules.for_spec(spec),
        close=_close(spec, integer),
        outputs_close="numbers may differ by one step"
        if quantized
        else "numbers may differ by a thousandth of the outputs' range",
    )


def _labels_row(source: Source, outputs: Any) -> str:
    """Say which output the labels are of. Raises BadInputError where none has a number per label, or several have."""
    if not source.labels:
        return ""
    if source.task == "detector":
        return "| `labels.txt` | the classes, in the order of the model's scores |\n"
    k = output_of_classes(outputs, len(source.labels), where=source.path)
    said = "the model's output" if len(outputs) == 1 else f"the output `{outputs[k].name}`"
    return f"| `labels.txt` | the classes, in the order of {said} |\n"


def _names(probes: list[str]) -> str:
    return "\n".join(textwrap.wrap(", ".join(f"`{n}`" for n in probes), 120))


MOST = 0.75
"""The share of a probe's numbers that may be off: a value is left to ties, but all of them off is a different rule."""


def _close(spec: PreprocessSpec, integer: bool) -> str:
    """Say how far a tensor may be from its golden one; the gate allows the same, and single numbers a little more."""
    level = None if integer else stage_rules.one_level(spec)
    share = f"up to {MOST:.0%} of a probe's numbers may differ by one"
    if integer:
        return f"{share} step"
    if level is None:
        return f"{share} level of the 8-bit image"
    return f"{share} level of the 8-bit image, here {', '.join(f'{v:.6g}' for v in level)}" + (
        " (a number for each channel)" if len(level) > 1 else ""
    )


def _shape(shape: Any) -> str:
    return "[" + ", ".join("?" if n is None else str(n) for n in shape) + "]"


def probe_count(folder: Path) -> int:
    """Return how many probe files are in a folder."""
    return sum(1 for p in folder.iterdir() if p.name not in ("README.md", "probes.json"))

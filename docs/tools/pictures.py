"""The pictures of the concept pages: `python docs/tools/pictures.py [DIR]` draws them all into docs/img.

Each function measures or computes what it shows; seeds are fixed. Files stay small enough to be committed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.files import atomic_path
from facelab.core.project import project_root
from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BYTES = 100_000


def contracts() -> Figure:
    """One face, as the model sees it after the right preprocessing and after five mistakes."""
    from facelab.fingerprint.probes import image_probes
    from facelab.preprocess import PreprocessSpec, apply
    from facelab.preprocess.ops import DECODE_RGB, FACE_SQUARE, RESIZE_ANTIALIASED, UPRIGHT

    probe = next(p for p in image_probes() if p.name == "face")
    base = [
        DECODE_RGB,
        UPRIGHT,
        FACE_SQUARE,
        {**RESIZE_ANTIALIASED, "size": [64, 64]},
    ]

    def with_(index: int, **changes):
        return [
            {k: v for k, v in ({**s, **changes} if i == index else s).items() if v is not None}
            for i, s in enumerate(base)
        ]

    cases = {
        "as trained": base,
        "BGR": with_(0, order="bgr"),
        "margin 40 %": with_(2, margin=0.4),
        "nearest": with_(3, kernel="nearest", antialias=False, edge=None),
    }
    pictures = {
        name: apply(PreprocessSpec("picture", stages), probe.data, face=probe.face).astype(float)
        for name, stages in cases.items()
    }
    right = pictures["as trained"]
    pictures["read as x / 255,\nnot (x − 127.5) / 127.5"] = 127.5 + right / 2
    pictures["rows read\nas columns"] = right.transpose(1, 0, 2)
    fig, axes = style.figure(9, 2.1, columns=len(pictures))
    for ax, (name, picture) in zip(axes, pictures.items()):
        ax.imshow(np.clip(picture, 0, 255).astype(np.uint8))
        ax.set_axis_off()
        ax.set_title(name, fontsize=9, fontweight="normal", loc="center")
    return fig


def thresholds(sets: int = 400, impostors: int = 300, target: float = 0.01) -> Figure:
    """What a threshold chosen for FAR 1 % on few pairs gives on the same pairs and on others."""
    from facelab.metrics.operating import threshold_at

    rng = np.random.default_rng(9)
    same = np.r_[np.ones(10, bool), np.zeros(impostors, bool)]
    here, elsewhere = [], []
    for _ in range(sets):
        first, second = (
            np.r_[np.full(10, 0.1), 2 - 2 * rng.normal(0.05, 0.12, impostors)] for _ in range(2)
        )
        t = threshold_at(first, same, target)
        here.append(np.mean(first[~same] < t))
        elsewhere.append(np.mean(second[~same] < t))
    _, ax = style.figure(8, 3.6)
    edges = np.arange(-0.5, 14.5) / impostors * 100
    for x, name, colour, hatch in (
        (here, "on the pairs that chose it", style.PALETTE[4], "//"),
        (elsewhere, "on other pairs", style.PALETTE[0], ""),
    ):
        ax.hist(
            np.array(x) * 100,
            bins=edges,
            color=colour,
            alpha=0.75,
            label=name,
            hatch=hatch,
            edgecolor="white",
        )
    ax.axvline(target * 100, color="black", ls="--", label="target")
    ax.legend()
    return style.label(
        ax,
        f"Thresholds for FAR {target:.0%} from {impostors} impostor pairs, {sets} times",
        "false accept rate that was found [%]",
        "thresholds",
    ).figure


def quantisation() -> Figure:
    """The error of 8 bits against the calibrated range: clipping on the left, coarse steps on the right."""
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, 200_000)
    ranges = np.geomspace(0.3, 60, 60)
    parts: dict[str, list[float]] = {"all": [], "clipped values": [], "rounding": []}
    for r in ranges:
        scale = 2 * r / 255
        q = np.clip(np.rint(x / scale), -128, 127) * scale
        clipped = (x / scale < -128.5) | (x / scale > 127.5)
        power = (x - q) ** 2
        for name, mask in (
            ("all", slice(None)),
            ("clipped values", clipped),
            ("rounding", ~clipped),
        ):
            parts[name].append(np.sqrt(power[mask].sum() / len(x)))
    _, ax = style.figure(8, 3.8)
    for (name, y), line, colour in zip(parts.items(), ("-", "--", ":"), style.PALETTE):
        # nothing is clipped beyond the largest value: no point to draw
        y = np.where(np.array(y) > 0, y, np.nan)
        ax.plot(ranges, y, line, color=colour, lw=2, label=name)
    best = int(np.argmin(parts["all"]))
    ax.plot(
        ranges[best],
        parts["all"][best],
        "o",
        color="black",
        label=f"best: ±{ranges[best]:.1f} σ, error {parts['all'][best]:.3f} σ",
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    style.plain_log(ax.xaxis)
    style.plain_log(ax.yaxis)
    ax.legend(fontsize=9)
    return style.label(
        ax,
        "Quantising normally distributed activations to 8 bits",
        "calibrated range [± σ]",
        "RMS error [σ]",
    ).figure


def roofline() -> Figure:
    """An example machine's roof, and how many operations a byte a matcher does for batches of queries."""
    bandwidth, peak = 20e9, 100e9
    _, ax = style.figure(8, 3.9)
    x = np.geomspace(0.1, 200, 200)
    ax.plot(
        x,
        np.minimum(x * bandwidth, peak) / 1e9,
        color="black",
        lw=2,
        label="roof of an example: 20 GB/s, 100 GFLOP/s",
    )
    for k, batch in enumerate((1, 4, 16, 64, 256)):
        intensity = (
            2 * batch / 4
        )  # multiply and add for each query, for each float32 of the gallery read once
        ax.plot(
            intensity,
            min(intensity * bandwidth, peak) / 1e9,
            style.MARKERS[k],
            ms=9,
            color=style.PALETTE[k],
            label=f"{batch} quer{'y' if batch == 1 else 'ies'} at once: {intensity:g} operations a byte",
            ls="none",
        )
    ax.axvline(peak / bandwidth, color=style.NEUTRAL, ls=":")
    ax.text(
        peak / bandwidth / 1.1,
        2.2,
        "ridge: from here on\ncomputing is the limit",
        fontsize=9,
        ha="right",
        color=style.NEUTRAL,
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    style.plain_log(ax.xaxis)
    style.plain_log(ax.yaxis)
    ax.legend(fontsize=8.5, loc="lower right")
    return style.label(
        ax,
        "Where a search of float32 vectors can be at best",
        "operations per byte read",
        "billion operations per second",
    ).figure


def coordinates() -> Figure:
    """Where the four pixels of a shrunken row are read in the original of eight, by three conventions."""
    wide, narrow = 8, 4
    out = np.arange(narrow)
    rules = {
        "half-pixel centres\n(OpenCV, Pillow, TF 2)": (out + 0.5) * wide / narrow - 0.5,
        "legacy (TF 1)": out * wide / narrow,
        "aligned corners": out * (wide - 1) / (narrow - 1),
    }
    _, ax = style.figure(8, 2.9)
    for y, (name, at) in enumerate(rules.items()):
        for k in range(wide):
            ax.fill_between(
                [k - 0.5, k + 0.5], y - 0.3, y + 0.3, facecolor="#F3F4F6" if k % 2 else "#E5E7EB"
            )
        ax.plot(at, np.full(narrow, y), style.MARKERS[y], color=style.PALETTE[y], ms=9, label=name)
    ax.set_yticks(range(len(rules)), list(rules))
    ax.set_xticks(range(wide))
    ax.set_xlim(-0.9, wide - 0.1)
    ax.set_ylim(len(rules) - 0.5, -0.5)
    ax.grid(False)
    return style.label(
        ax, "Where 4 pixels are read among 8", "pixel of the original (number at its centre)", ""
    ).figure


def _boxes(
    ax, texts: list[tuple[float, float, str]], *, width: float, height: float, colours=None
) -> None:
    from matplotlib.patches import FancyBboxPatch

    for k, (x, y, text) in enumerate(texts):
        face = colours[k] if colours else "#DBEAFE"
        ax.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0.02",
                facecolor=face,
                edgecolor="#1f2937",
                linewidth=0.8,
            )
        )
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5)
    ax.set_axis_off()


def mirrors() -> Figure:
    """Where a file is looked for, in order."""
    from facelab.zoo import find

    assert find.__module__ == "facelab.zoo._store"  # the order drawn here is that module's
    steps = [
        "models/ or data/\n(FACELAB_MODELS,\nFACELAB_DATA)",
        "a pip package\nthat carries\nthe very file",
        "FACELAB_MIRROR\na folder, used in place,\nor an address",
        "the official\naddress\n(only `fetch`)",
    ]
    fig, ax = style.figure(8.6, 2.1)
    _boxes(ax, [(k * 2.4, 0, s) for k, s in enumerate(steps)], width=1.9, height=1.0)
    for k in range(3):
        ax.annotate(
            "", ((k + 1) * 2.4 - 1.0, 0), (k * 2.4 + 1.0, 0), arrowprops={"arrowstyle": "->"}
        )
    ax.text(
        3.6,
        -0.95,
        "every hit: size and SHA-256 must be the catalogue's, or it is refused",
        ha="center",
        fontsize=9,
    )
    ax.set_xlim(-1.1, 8.3)
    ax.set_ylim(-1.2, 0.8)
    return fig


def detectors() -> Figure:
    """The astronaut as two detectors see her whose weights come with pip packages."""
    from facelab.report import model_overview
    from facelab.studies import data_and_models

    image = data_and_models.astronaut()
    return model_overview.gallery(
        image[:256, 96:352], data_and_models.detect_all(image[:256, 96:352], ["haar", "mtcnn"])
    )


def dataset() -> Figure:
    """The first faces of the synthetic set, with their labels and boxes."""
    from facelab.datasets import synthetic

    faces = synthetic.generate(
        "emotion", n=6, seed=7, workers=1, classes=("anger", "joy", "neutral"), progress=False
    )
    fig, axes = style.figure(9, 1.9, columns=6)
    from matplotlib.patches import Rectangle

    for ax, image, box, name in zip(axes, faces.images, faces.boxes, faces.emotion):
        x1, y1, x2, y2 = box
        ax.imshow(image)
        ax.add_patch(
            Rectangle(
                (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=style.PALETTE[6], linewidth=1.2
            )
        )
        ax.set_title(str(name), fontsize=9, fontweight="normal", loc="center")
        ax.set_axis_off()
    return fig


def cluster() -> Figure:
    """The plan's steps: what waits for what, and which run alone."""
    plan = tomllib.loads((project_root() / "notebooks" / "plan.toml").read_text(encoding="utf-8"))[
        "step"
    ]
    needs = {s["name"]: s.get("needs", []) for s in plan}
    alone = {s["name"] for s in plan if s.get("lane") == "exclusive"}

    def depth(name: str) -> int:
        return 1 + max((depth(n) for n in needs[name] if n in needs), default=-1)

    columns: dict[int, list[str]] = {}
    for name in sorted(needs):
        columns.setdefault(depth(name), []).append(name)
    places = {
        name: (x * 4.2, -y * 0.8) for x, names in columns.items() for y, name in enumerate(names)
    }
    rows = max(map(len, columns.values()))
    fig, ax = style.figure(3.4 * len(columns) + 1, 0.5 * rows + 0.7)
    for name, (x, y) in places.items():
        for before in needs[name]:
            ax.annotate(
                "",
                (x - 1.5, y),
                (places[before][0] + 1.5, places[before][1]),
                arrowprops={"arrowstyle": "->", "color": style.NEUTRAL},
            )
    colours = ["#FDE68A" if n in alone else "#DBEAFE" for n in places]
    _boxes(ax, [(x, y, n) for n, (x, y) in places.items()], width=2.9, height=0.5, colours=colours)
    ax.set_xlim(-1.7, max(x for x, _ in places.values()) + 1.7)
    ax.set_ylim(-0.8 * rows - 0.1, 0.5)
    ax.text(
        -1.5,
        -0.8 * rows + 0.15,
        "yellow: runs alone, threads pinned",
        fontsize=9,
        color=style.NEUTRAL,
    )
    return fig


def gate() -> Figure:
    """Four candidates of a catalogue model before the gate: right, BGR, values in another range, one bit flipped."""
    import shutil
    import tempfile

    from facelab.deploy import judge, load, make_bundle
    from facelab.fingerprint import capture_spec
    from facelab.preprocess import PreprocessSpec
    from facelab.report.deploy import grid
    from facelab.studies.deploy_gate import corrupt

    with tempfile.TemporaryDirectory() as name:
        good = make_bundle(
            "mtcnn-onet",
            Path(name) / "good",
            spec=project_root() / "examples" / "python" / "train.preprocess.json",
        ).folder
        made = load(good)
        spec = PreprocessSpec.load(made.folder / made.manifest.of_role("preprocess")[0].path)
        sides = {
            "right": spec,
            "BGR": spec.replace(0, order="bgr"),
            "0…1, not −1…1": spec.replace(3, mean=[0.0], scale=[255.0]),
        }
        verdicts = {
            k: judge(good, inference=capture_spec(s, backend="opencv")) for k, s in sides.items()
        }
        bad = Path(shutil.copytree(good, Path(name) / "bad"))
        corrupt(bad)
        verdicts["one bit flipped"] = judge(bad, inference=capture_spec(spec, backend="opencv"))
    return grid(verdicts)


BANDS = (
    ("what is typed and run", ("commands", "doctor", "studies", "reproduce", "session", "report")),
    (
        "the device, and the gate before it",
        ("feedback", "serving", "deploy", "index", "quantization"),
    ),
    ("tasks", ("doodle", "liveness", "emotion", "embedding", "detection")),
    ("models, frames, limits, data", ("zoo", "camera", "budget", "tracing", "datasets")),
    ("arrays and files", ("matching", "fingerprint", "preprocess", "metrics", "core")),
)


def layers() -> Figure:
    """The rooms by layer, the lowest in the corner at the bottom right; the order is that of the layer test."""
    import ast

    source = (project_root() / "tests" / "test_layers.py").read_text(encoding="utf-8")
    (order,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    rank = {room: k for k, rooms in enumerate(order) for room in rooms}
    drawn = [room for _, rooms in BANDS for room in rooms]
    assert {*drawn, "cli"} == set(rank), set(rank) ^ {*drawn, "cli"}
    assert [rank[r] for r in drawn] == sorted((rank[r] for r in drawn), reverse=True)
    fig, ax = style.figure(9, 3.9)
    colours = ["#FEF3C7", "#FCE7F3", "#DCFCE7", "#DBEAFE", "#E5E7EB"]
    for y, ((name, rooms), colour) in enumerate(zip(BANDS, colours)):
        places = [(k * 1.75 + 3.6, -y, room) for k, room in enumerate(rooms)]
        _boxes(ax, places, width=1.5, height=0.6, colours=[colour] * len(rooms))
        ax.text(2.6, -y, name, ha="right", va="center", fontsize=9, color=style.NEUTRAL)
    ax.annotate("", (13.4, -4.3), (13.4, 0.3), arrowprops={"arrowstyle": "->"})
    ax.text(13.55, -2, "may import", rotation=-90, va="center", fontsize=9)
    ax.annotate("", (12.9, -4.62), (3.0, -4.62), arrowprops={"arrowstyle": "->"})
    ax.text(7.9, -4.72, "may import, within a row", ha="center", va="top", fontsize=9)
    ax.set_xlim(-0.9, 13.95)
    ax.set_ylim(-5.1, 0.5)
    return fig


PICTURES: dict[str, Callable[[], Figure]] = {
    "architecture": layers,
    "preprocessing-contracts": contracts,
    "thresholds-and-far": thresholds,
    "what-int8-costs": quantisation,
    "reading-a-roofline": roofline,
    "coordinate-systems": coordinates,
    "offline-and-mirrors": mirrors,
    "adding-a-detector": detectors,
    "adding-a-dataset": dataset,
    "running-on-a-cluster": cluster,
    "deploy-gate": gate,
}
"""Page → the function that draws its picture."""


def draw(name: str, folder: Path) -> Path:
    """Draw one page's picture as a small PNG (palette colours) and return its path."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    PICTURES[name]().savefig(buffer, format="png", dpi=90, bbox_inches="tight")
    picture = Image.open(buffer).convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT)
    target = folder / f"{name}.png"
    with atomic_path(target) as tmp:
        picture.save(tmp, optimize=True)
    return target


def main(arguments: list[str]) -> None:
    """Draw every picture into the folder named on the command line, or docs/img."""
    folder = Path(arguments[0]) if arguments else project_root() / "docs" / "img"
    for name in PICTURES:
        path = draw(name, folder)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])

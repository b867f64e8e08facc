"""Ways to call a pipeline: a Python function, a Keras or tf.data one, an augmentation library's, an ONNX graph, a
`.tflite` with metadata."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from facelab.core.errors import BadInputError, FacelabError, MissingAssetError, did_you_mean
from facelab.core.files import read_model
from facelab.core.process import garbage
from facelab.core.safety.first_try import first_try
from facelab.fingerprint.capture._capture import as_array, capture_pipeline, capture_spec
from facelab.fingerprint.capture._feed import Feed, fed_value, feed_for, other_form
from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.probes._set import Probe

FACE_NAMES = ("face", "landmarks", "box")
DATASET_NAMES = ("dataset", "ds")
Call = Callable[[str, Probe], Any]


class Adapted(NamedTuple):
    """A pipeline as a function of (path, probe), what it declares about its interface, and what it is fed."""

    call: Call
    declares: tuple[str, ...] = ()
    feed: Feed = Feed("path")
    instead: Adapted | None = None
    """The same pipeline fed the other way, for a first choice that fails on every probe."""


def capture_target(
    target: str,
    *,
    families: Iterable[str] | None = None,
    declares: Iterable[str] = (),
    tensors: str | os.PathLike[str] | None = None,
    tap: str | None = None,
    pixels: str | None = None,
) -> Fingerprint:
    """Fingerprint what `target` names: `FILE.py:function`, a `.onnx` file or a `.tflite` file with metadata.

    `pixels` (`bgr` or `rgb`) says what a function of pixels takes; without it the parameter's name decides.

    Parameters
    ----------
    target : str
        What is to be captured or reached.
    families : Iterable[str] or None
        The families of probes; None for all.
    declares : Iterable[str]
        What the side says about its stages.
    tensors : str or path or None
        Where the tensors are kept.
    tap : str or None
        The stage to look at; None for the result.
    pixels : str or None
        The form in which pixels are given; None for the usual one.

    Returns
    -------
    Fingerprint
        The fingerprint.

    Examples
    --------
    >>> made = capture_target("device.py:preprocess")
    >>> made.kind, made.name
    ('pipeline', 'device.py:preprocess')
    """
    path = Path(target)
    if path.suffix == ".tflite":
        from facelab.fingerprint.capture._tflite import spec_of

        return capture_spec(spec_of(path), tensors=tensors, declares=declares)
    if path.suffix == ".onnx":
        feed = Feed(
            pixels or "rgb", "", "--pixels" if pixels else "the graph's input", bool(pixels)
        )
        return capture_pipeline(
            onnx_pipeline(path, tap, order=feed.form),
            name=path.name,
            families=families,
            declares=declares,
            tensors=tensors,
            packages=("onnxruntime",),
            feed=feed,
        )
    made = load_pipeline(target, pixels=pixels)
    return capture_pipeline(
        made.call,
        name=path.name,
        families=families,
        declares={*declares, *made.declares},
        tensors=tensors,
        feed=made.feed,
        instead=made.instead and (made.instead.call, made.instead.feed),
    )


def load_pipeline(target: str, *, pixels: str | None = None) -> Adapted:
    """Import `FILE.py:name` and return it as a function of (path, probe), with what it declares and is fed.

    Raises BadInputError if the file or name is missing or the import fails.
    """
    text, _, name = target.rpartition(":")
    path = Path(text)
    if not text or not name:
        raise BadInputError(
            "a pipeline is named FILE.py:function",
            got=repr(target)[:120],
            fix="for example preprocess.py:prepare",
        )
    if not path.is_file():
        raise MissingAssetError(
            "the pipeline's file does not exist", where=path, fix="check the path before the colon"
        )
    module = _import(path)
    if not hasattr(module, name):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise BadInputError(
            f"the file defines no {name!r}{did_you_mean(name, names)}",
            where=path,
            expected=", ".join(names[:8]),
            fix="name a function of the file",
        )
    return adapt(getattr(module, name), where=target, pixels=pixels)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"facelab_pipeline_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInputError(
            "the pipeline's file is not a Python file", where=path, fix="name a .py file"
        )
    module = importlib.util.module_from_spec(spec)
    garbage.end_as_usual()
    # a pipeline finds its neighbours, as when it is run from its own folder
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except FacelabError:
        raise
    except Exception as e:
        raise BadInputError(
            "the pipeline's file cannot be imported",
            where=path,
            got=f"{type(e).__name__}: {e}"[:300],
            fix="run it with python to see the whole message",
        ) from None
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def adapt(target: Any, *, where: str = "pipeline", pixels: str | None = None) -> Adapted:
    """Return a callable or Keras object as a function of (path, probe), with what it declares and is fed.

    A function gets the path, unless its first parameter is named or annotated like pixels (`frame`, `bgr` and `img`
    get BGR; `rgb`, `image` and `pixels` get RGB; a Pillow image's annotation gets one) or `pixels` says so. A
    parameter named `dataset` or `ds` gets a `tf.data.Dataset` of paths. Parameters named `face`, `landmarks` or `box`
    get the probe's. Keras layers and models get a batch of one; objects with a keyword `image` (albumentations) and
    other callable objects (torchvision) get pixels or a Pillow image.
    """
    if not callable(target):
        raise BadInputError(
            "the pipeline cannot be called",
            where=where,
            expected="a function of a path",
            got=type(target).__name__,
            fix="name a function, a Keras layer or model, or another callable object",
        )
    root = type(target).__module__.split(".")[0]
    if root in ("keras", "tensorflow", "tf_keras"):
        feed = Feed(pixels or "rgb", "", "--pixels" if pixels else "a Keras object", bool(pixels))
        return _keras(target, feed)
    if not (
        inspect.isfunction(target)
        or inspect.isbuiltin(target)
        or inspect.ismethod(target)
        or inspect.isclass(target)
    ):
        return _object(target, pixels)
    parameters = _parameters(target)
    names = list(parameters)
    first = names[0] if names else "path"
    if first in DATASET_NAMES:
        return Adapted(_dataset(target))
    annotation = parameters[first].annotation if names else None
    feed = feed_for(first, annotation, pixels)
    made = _fed(target, feed, names)
    settled = pixels is not None or feed.why == "its annotation"
    return made if settled else made._replace(instead=_fed(target, other_form(feed), names))


def _keras(target: Callable[..., Any], feed: Feed) -> Adapted:
    def call(path: str, probe: Probe) -> Any:
        return target(fed_value(feed, path)[None].astype(np.float32))

    return Adapted(call, ("batch",), feed)


def _fed(target: Callable[..., Any], feed: Feed, names: list[str]) -> Adapted:
    def call(path: str, probe: Probe) -> Any:
        return target(fed_value(feed, path), **_face(names, probe))

    return Adapted(call, feed=feed)


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def _face(names: list[str], probe: Probe) -> dict[str, Any]:
    given = {
        "face": probe.face,
        "landmarks": probe.face and probe.face.get("landmarks"),
        "box": probe.face and probe.face.get("box"),
    }
    return {n: given[n] for n in names[1:] if n in FACE_NAMES}


def _object(target: Any, pixels: str | None) -> Adapted:
    """albumentations takes `image=` and gives a dictionary; torchvision takes a Pillow image."""
    keywords = [
        n for n, p in _parameters(target).items() if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD)
    ]
    by_keyword = type(target).__module__.startswith("albumentations") or (
        bool(keywords)
        and (
            "image" in keywords
            or not hasattr(target, "transforms")
            or hasattr(target, "processors")
        )
    )
    feed = Feed(pixels, "", "--pixels") if pixels else Feed("pillow", "", "a callable object")
    if by_keyword:
        feed = Feed(pixels or "rgb", "image", "--pixels" if pixels else "as such libraries take it")

    def call(path: str, probe: Probe) -> Any:
        value = fed_value(feed, path)
        return target(image=value) if by_keyword else target(value)

    return Adapted(call, feed=feed)


def _dataset(target: Callable[..., Any]) -> Call:
    def call(path: str, probe: Probe) -> Any:
        import tensorflow as tf

        made = target(tf.data.Dataset.from_tensor_slices([path]))
        element = next(iter(made))
        return as_array(element[0] if isinstance(element, (tuple, list)) else element)

    return call


_ONNX = {
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
}


def onnx_pipeline(
    path: str | os.PathLike[str], tap: str | None = None, *, order: str = "rgb"
) -> Callable[[str, Probe], np.ndarray]:
    """Return a pipeline that feeds pixels in `order` to an ONNX graph with embedded preprocessing.

    The result is the first output, or the inner tensor named `tap` (where preprocessing ends and the model begins).
    Raises BadInputError for a graph that cannot be loaded or does not take a picture.
    """

    if Path(path).is_file():
        first_try(Path(path), f"{__name__}:_onnx_session", reader="onnx for a pipeline")
    data = _tapped(Path(path), tap)
    try:
        session = _session(data)
    except Exception as e:
        raise BadInputError(
            "the ONNX graph cannot be loaded",
            where=path,
            got=str(e).splitlines()[0][:200],
            fix="check the file with onnx.checker, or export it again",
        ) from None
    node = session.get_inputs()[0]
    if len(session.get_inputs()) != 1 or len(node.shape) not in (3, 4) or node.type not in _ONNX:
        raise BadInputError(
            "the ONNX graph does not take one picture",
            where=path,
            expected="one input of 3 or 4 axes, uint8 or float",
            got=f"{len(session.get_inputs())} input(s), {node.type} {node.shape}",
            fix="give the graph that begins with preprocessing, or one picture input",
        )
    dtype = _ONNX[node.type]

    def call(file: str, probe: Probe) -> np.ndarray:
        fed = {node.name: _shaped(fed_value(Feed(order), file), node.shape, dtype)}
        return np.asarray(session.run([tap] if tap else None, fed)[0])

    return call


def _session(data: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _onnx_session(path: str) -> None:  # pyright: ignore[reportUnusedFunction] # `first_try` calls it by its name
    _session(_tapped(Path(path), None))


def _shaped(pixels: np.ndarray, shape: Sequence[Any], dtype: DTypeLike) -> np.ndarray:
    axes = shape[-3:]
    x = pixels.astype(dtype)
    if axes[0] == 3 and axes[2] != 3:
        x = np.moveaxis(x, -1, 0)
    return np.ascontiguousarray(x[None] if len(shape) == 4 else x)


def _tapped(path: Path, tap: str | None) -> bytes:
    try:
        data = read_model(path)
    except OSError as e:
        raise MissingAssetError(
            "the ONNX file cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    if tap is None:
        return data
    import onnx

    try:
        model = onnx.load_from_string(data)
    except Exception as e:
        raise BadInputError(
            "the file is not an ONNX graph",
            where=path,
            got=str(e)[:120],
            fix="name an .onnx file, or export it again",
        ) from None
    names = {o for n in model.graph.node for o in n.output}
    if tap not in names:
        raise BadInputError(
            f"the graph has no tensor named {tap!r}{did_you_mean(tap, names)}",
            where=path,
            expected=", ".join(sorted(names)[:8]),
            fix="name a tensor of the graph",
        )
    if tap not in {o.name for o in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=tap))
    return model.SerializeToString()

"""ONNX Runtime's quantisers: static QDQ and dynamic."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.files import atomic_path
from facelab.core.safety.scratch import ScratchFolder
from facelab.quantization import _histograms as histograms
from facelab.quantization._edge import QuantizationError
from facelab.quantization._operators import Operator, operators
from facelab.quantization._rows import Tensors
from facelab.quantization.recipes import Recipe

PER_CHANNEL_OPSET = 13


class OnnxQuantizer:
    """Quantise one float `.onnx` many times over; the graph is prepared once (opset, shapes, folded batch norms).

    Scales per channel need opset 13, to which older graphs are raised where the onnx package can. The prepared model
    is in a temporary folder, which `close` or the end of a `with` removes.
    """

    def __init__(self, model: Path):
        self.model = Path(model)
        self._folder = ScratchFolder(prefix="facelab-onnx-")
        self.prepared = Path(self._folder.name) / "prepared.onnx"
        from onnxruntime.quantization.shape_inference import quant_pre_process

        try:
            with _quiet():
                source = _raised(self.model, self.prepared.with_name("raised.onnx"))
                quant_pre_process(str(source), str(self.prepared), skip_symbolic_shape=True)
        except Exception as e:  # protobuf, onnx and runtime errors have no common base
            self.close()
            raise BadInputError(
                "ONNX Runtime cannot prepare the model for quantisation",
                where=model,
                got=str(e).strip()[:300],
                fix="export the model again with a current opset",
            ) from e
        self.operators = operators(self.prepared)

    def __enter__(self) -> OnnxQuantizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the prepared model."""
        self._folder.cleanup()

    def layers(self) -> list[Operator]:
        """Return the operators with weights, which can be left in float one by one."""
        return [
            op for op in self.operators if op.kind in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        ]

    def quantize(
        self,
        recipe: Recipe,
        out: Path,
        *,
        calibration: Tensors | None = None,
        keep_float: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> Path:
        """Write the quantised model to `out`. Raises QuantizationError with the quantiser's words.

        Calibration runs sample by sample on float32 `calibration` (n, …). Percentile is ONNX Runtime's 99.999 %.
        Memory does not grow with the number of samples.
        """
        self._check_opset(recipe)
        kept = sorted(keep_float)
        if only is not None:
            kept = sorted({op.name for op in self.operators} - set(only))
        try:
            with atomic_path(out) as tmp, _quiet():
                if recipe.kind == "dynamic":
                    self._write_dynamic(tmp, kept)
                else:
                    self._write_static(tmp, recipe, calibration, kept)
        except Exception as e:  # the quantiser raises ValueError, RuntimeError and onnx's own
            raise QuantizationError(
                "ONNX Runtime cannot quantise the model",
                where=self.model,
                got=str(e)[:300],
                fix="keep the operator it names in float with --keep-float",
            ) from e
        return out

    def _check_opset(self, recipe: Recipe) -> None:
        """Raise UnsupportedError for scales per channel in a graph that is too old for them."""
        if (
            recipe.per_channel
            and recipe.kind == "static"
            and (version := _opset(self.prepared)) < PER_CHANNEL_OPSET
        ):
            raise UnsupportedError(
                "scales per channel need a newer ONNX opset, and the graph cannot be raised to it",
                where=self.model,
                expected=f"opset {PER_CHANNEL_OPSET}",
                got=version,
                fix="export the model again, or take a per-tensor recipe",
            )

    def _write_dynamic(self, out: Path, kept: list[str]) -> None:
        from onnxruntime import quantization as q

        q.quantize_dynamic(
            str(self.prepared),
            str(out),
            nodes_to_exclude=kept,
            # convolutions have only a slow, unsigned dynamic kernel; QUInt8 is what it takes
            weight_type=q.QuantType.QUInt8,
        )

    def _write_static(
        self, out: Path, recipe: Recipe, calibration: Tensors | None, kept: list[str]
    ) -> None:
        from onnxruntime import quantization as q

        kinds = {"uint8": q.QuantType.QUInt8, "int8": q.QuantType.QInt8}
        methods = {
            "minmax": q.CalibrationMethod.MinMax,
            "entropy": q.CalibrationMethod.Entropy,
            "percentile": q.CalibrationMethod.Percentile,
        }
        if calibration is None:
            raise BadInputError(
                "a static recipe needs calibration inputs",
                where=self.model,
                fix="give the images to calibrate on",
            )
        feeds = self._feeds(calibration)
        cache = None
        if recipe.method != "minmax":
            cache = Path(self._folder.name) / "ranges.json"
            histograms.collect(self.prepared, feeds, recipe.method, cache=cache)
        q.quantize_static(
            str(self.prepared),
            str(out),
            _reader(feeds, q) if cache is None else None,
            calibration_cache_path=cache,
            quant_format=q.QuantFormat.QDQ,
            per_channel=recipe.per_channel,
            activation_type=kinds[recipe.activation],
            weight_type=q.QuantType.QInt8,
            calibrate_method=methods[recipe.method],
            nodes_to_exclude=kept,
        )

    def _feeds(self, tensors: Tensors) -> _Feeds:
        import onnxruntime as ort

        session = ort.InferenceSession(str(self.prepared), providers=["CPUExecutionProvider"])
        return _Feeds(session.get_inputs()[0].name, tensors)


@dataclass(frozen=True)
class _Feeds:
    """Each image as a session's feed; every iteration starts again."""

    name: str
    tensors: Tensors

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return ({self.name: row[None]} for row in self.tensors)


def _reader(feeds: _Feeds, q: Any) -> Any:
    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.rows = iter(feeds)

        def get_next(self):
            return next(self.rows, None)

    return Reader()


def _opset(path: Path) -> int:
    import onnx

    return max(
        o.version
        for o in onnx.load(str(path), load_external_data=False).opset_import
        if not o.domain
    )


def _raised(model: Path, out: Path) -> Path:
    """Return a copy of the model in PER_CHANNEL_OPSET, or the model itself where that is not needed or not possible."""
    if _opset(model) >= PER_CHANNEL_OPSET:
        return model
    import onnx
    from onnx import version_converter

    try:
        onnx.save(
            version_converter.convert_version(onnx.load(str(model)), PER_CHANNEL_OPSET), str(out)
        )
    except (
        Exception
    ):  # the converter lacks adapters for some operators and raises RuntimeError and onnx's own
        return model
    return out


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # the calibrators print their progress, where a command's JSON goes
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

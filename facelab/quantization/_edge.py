"""ai-edge-quantizer: a float `.tflite` in, a quantised `.tflite` out, with single operators left in float at will."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.core.files import read_model, write_bytes
from facelab.preprocess.tflite_metadata import signed
from facelab.quantization._operators import Operator, operators

if TYPE_CHECKING:
    from facelab.quantization._rows import Tensors


class QuantizationError(FacelabError):
    """A quantiser refused the model or failed; the message carries its own words. Exit code 2."""

    exit_code = 2


def _rules(kind: str) -> Any:
    from ai_edge_quantizer import qtyping, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    manager, every = recipe_manager.RecipeManager(), qtyping.TFLOperationName.ALL_SUPPORTED
    if kind == "int8":
        manager.add_static_config(
            regex=".*", operation_name=every, activation_num_bits=8, weight_num_bits=8
        )
    elif kind == "dynamic-range":
        manager.add_dynamic_config(regex=".*", operation_name=every, num_bits=8)
    elif kind == "weight-only":
        manager.add_weight_only_config(regex=".*", operation_name=every, num_bits=8)
    elif kind == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        manager.add_quantization_config(
            ".*",
            every,
            qtyping.OpQuantizationConfig(
                weight_tensor_config=half,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            AlgorithmName.FLOAT_CASTING,
        )
    else:
        raise UnsupportedError(
            f"ai-edge-quantizer has no recipe {kind!r}",
            expected="float16, dynamic-range, weight-only, int8",
            got=kind,
            fix="choose one of the recipes",
        )
    return manager


class EdgeQuantizer:
    """Quantise one float `.tflite` many times over: calibration is done once per set of samples and kept.

    ai-edge-quantizer calibrates by signature; a model without one (older converters write none) gets one in memory.
    """

    def __init__(self, model: Path):
        self.model = Path(model)
        self.operators = operators(self.model)
        self._signed = signed(read_model(self.model), where=self.model)
        self._calibrated: dict[str, Any] = {}

    def layers(self) -> list[Operator]:
        """Return the operators that could be left in float: those that compute on numbers, not on shapes."""
        return [op for op in self.operators if op.computes != "index"]

    def _signature(self) -> tuple[str, str]:
        from ai_edge_litert.interpreter import Interpreter

        opened = Interpreter(model_content=self._signed)
        sizes = [int(n) for n in opened.get_input_details()[0]["shape_signature"]]
        if -1 in sizes[1:]:  # it would say "dimension mismatch" and blame no operator
            raise UnsupportedError(
                "ai-edge-quantizer calibrates networks of one input size only",
                where=self.model,
                expected="a fixed height and width",
                got=f"input {sizes} (-1: any)",
                fix="export the network with a fixed input size, or use a tf- recipe on its Keras model",
            )
        signatures = opened.get_signature_list()
        key = next(iter(signatures))
        return key, signatures[key]["inputs"][0]

    def calibrate(self, tensors: Tensors, key: str) -> Any:
        """Return the ranges seen on float32 `tensors` (n, …); `key` names the set, so that it is run once.

        The ranges are the least and largest value over all images. ai-edge-quantizer's own calibration takes a moving
        average over images instead, whose ranges are narrower than what it saw, so that activations saturate.
        """
        if key not in self._calibrated:
            signature, name = self._signature()
            quantizer = self._quantizer(_rules("int8"))
            with _quiet():
                ranges = quantizer.calibrate({signature: [{name: tensors[:1]}]}, num_threads=1)
            for tensor, (low, high) in self._extremes(tensors, set(ranges)).items():
                for bound, value in (("min", low), ("max", high)):
                    ranges[tensor][bound] = np.full_like(np.asarray(ranges[tensor][bound]), value)
            self._calibrated[key] = ranges
        return self._calibrated[key]

    def _extremes(self, tensors: Tensors, names: set[str]) -> dict[str, tuple[float, float]]:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet():
            run = Interpreter(
                model_path=str(self.model), num_threads=1, experimental_preserve_all_tensors=True
            )
            run.allocate_tensors()
        constant = {i[0] for op in self.operators for i in op.inputs if i[3]}
        wanted = {
            d["name"]: d["index"]
            for d in run.get_tensor_details()
            if d["name"] in names - constant and d["dtype"] == np.float32
        }
        seen = dict.fromkeys(wanted, (np.inf, -np.inf))
        for x in tensors:
            run.set_tensor(run.get_input_details()[0]["index"], x[None])
            run.invoke()
            for name, index in wanted.items():
                value = run.get_tensor(index)
                if value.size:
                    seen[name] = (
                        min(seen[name][0], float(value.min())),
                        max(seen[name][1], float(value.max())),
                    )
        return {name: ends for name, ends in seen.items() if ends[0] <= ends[1]}

    def quantize(
        self,
        kind: str,
        out: Path,
        *,
        calibration: Tensors | None = None,
        key: str = "",
        keep_float: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> Path:
        """Write a quantised model to `out`.

        `keep_float` names operators (by output) that stay in float; `only` the ones that alone are quantised.
        Raises QuantizationError with the quantiser's words.
        """
        from ai_edge_quantizer import qtyping
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        manager, every = _rules(kind), qtyping.TFLOperationName.ALL_SUPPORTED
        names = {op.name for op in self.operators}
        spared = set(keep_float) if only is None else names - set(only)
        for name in sorted(spared):
            manager.add_quantization_config(
                f"^{re.escape(name)};?$", every, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        # the graph's ends follow their operators: an input before a float operator would be converted twice
        try:
            quantizer = self._quantizer(manager)
            if kind == "int8" and calibration is None:
                raise BadInputError(
                    "INT8 needs calibration inputs",
                    where=self.model,
                    fix="give the images to calibrate on",
                )
            needed = calibration if kind == "int8" else None
            ranges = None if needed is None else self.calibrate(needed, key)
            with _quiet():
                result = quantizer.quantize(ranges, enable_progress_report=False)
        except FacelabError:
            raise
        except (
            Exception
        ) as e:  # the quantiser raises ValueError, RuntimeError, KeyError and its own
            raise QuantizationError(
                "ai-edge-quantizer cannot quantise the model",
                where=self.model,
                got=str(e).strip().splitlines()[0][:300] if str(e).strip() else type(e).__name__,
                fix="keep the operator it names in float with --keep-float",
            ) from e
        data = bytes(result.quantized_model)
        return write_bytes(out, tidied(data))

    def _quantizer(self, manager: Any) -> Any:
        from ai_edge_quantizer import quantizer

        with _quiet():
            return quantizer.Quantizer(self._signed, manager.get_quantization_recipe())

    def noise(self, quantised: Path, tensors: Tensors) -> list[dict[str, Any]]:
        """Return, per layer, a debugger's figures on `tensors`, to be shown and not trusted.

        `rmse_over_scale` and `snr_db`: the float tensor rounded to the grid it has in the quantised model, alone; a
        healthy layer sits at 1/√12 = 0.289 scales whatever it costs at the end. `snr_db_accumulated`: the quantised
        model's own tensor against the float one, with the noise of all layers before it.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with _quiet():
            runs = [
                Interpreter(
                    model_path=str(path),
                    num_threads=1,
                    experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                )
                for path in (self.model, quantised)
            ]
            for run in runs:
                run.allocate_tensors()
        detail, found = ({d["name"]: d for d in run.get_tensor_details()} for run in runs)
        wanted = [op for op in self.layers() if op.name in found and op.name in detail]
        sums = {op.name: np.zeros(4) for op in wanted}
        for x in tensors:
            for run in runs:
                first = run.get_input_details()[0]
                run.set_tensor(first["index"], _quantised(x[None], first))
                run.invoke()
            for op in wanted:
                a = runs[0].get_tensor(detail[op.name]["index"])
                there = found[op.name]
                alone = _dequantised(_quantised(a, there), there)
                after = _dequantised(runs[1].get_tensor(there["index"]), there)
                exact = a.astype(np.float64)
                errors = (np.sum((exact - b) ** 2) for b in (alone, after))
                sums[op.name] += (np.sum(exact**2), *errors, a.size)
        return [
            _noise_row(op, sums[op.name], float(found[op.name]["quantization"][0])) for op in wanted
        ]


def tidied(data: bytes) -> bytes:
    """Return the quantiser's model in the customary form, computing the same.

    ai-edge-quantizer 0.10 does not know SHAPE, which a flatten layer with a free batch size brings along, and hands it
    a float copy of the whole tensor: SHAPE reads the integer tensor itself here. And it may leave weights behind the
    FlatBuffer, where nothing can be added to the file (its labels): they move inside.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    changed = [
        _inlined(model, data),
        *(_without_detours(model, graph, schema) for graph in model.subgraphs),
    ]
    if not any(changed):
        return data
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _inlined(model: Any, data: bytes) -> bool:
    outside = [b for b in model.buffers if b.offset > 1]
    for b in outside:
        b.data = np.frombuffer(data, np.uint8, count=b.size, offset=b.offset)
        b.offset = b.size = 0
    return bool(outside)


def _without_detours(model: Any, graph: Any, schema: Any) -> bool:
    def kind(op) -> int:
        code = model.operatorCodes[op.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    copies = {
        int(op.outputs[0]): op
        for op in graph.operators
        if kind(op) == schema.BuiltinOperator.DEQUANTIZE
    }
    detours = [
        op
        for op in graph.operators
        if kind(op) == schema.BuiltinOperator.SHAPE and int(op.inputs[0]) in copies
    ]
    for op in detours:
        op.inputs = np.array([copies[int(op.inputs[0])].inputs[0]], np.int32)
    read = {int(i) for op in graph.operators for i in op.inputs} | {int(i) for i in graph.outputs}
    graph.operators = [
        op
        for op in graph.operators
        if int(op.outputs[0]) not in copies or int(op.outputs[0]) in read
    ]
    return bool(detours)


def _quantised(x: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero = detail["quantization"]
    if detail["dtype"] == np.float32:
        return x
    info = np.iinfo(detail["dtype"])
    return np.clip(np.rint(x / np.float32(scale)) + zero, info.min, info.max).astype(
        detail["dtype"]
    )


def _dequantised(x: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero = detail["quantization"]
    return x.astype(np.float64) if x.dtype.kind == "f" else (x.astype(np.float64) - zero) * scale


def _noise_row(op: Operator, sums: np.ndarray, scale: float) -> dict[str, Any]:
    signal, alone, after, n = sums

    def decibel(error: float) -> float | None:
        return float(10 * np.log10(signal / error)) if error > 0 and signal > 0 else None

    return {
        "index": op.index,
        "op": op.kind,
        "name": op.name,
        "snr_db": decibel(alone),
        "rmse_over_scale": float(np.sqrt(alone / n)) / scale if scale > 0 else None,
        "snr_db_accumulated": decibel(after),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and its warning about debugging interpreters off the user's screen."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield

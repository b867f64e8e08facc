"""Entropy and percentile calibration in memory that does not grow with the number of images.

ONNX Runtime's own calibrators keep every inner tensor of every image until the last one has run. The histogram of a
tensor needs its largest absolute value first and then only counts, so two passes hold one image's tensors at a time.
Bins, counts and thresholds are those of ONNX Runtime's calibrator on all images at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def collect(
    model: Path,
    feeds: Iterable[dict[str, np.ndarray]],
    method: str,
    *,
    cache: Path,
) -> Path:
    """Write the ranges of a model's inner tensors to `cache`, as `quantize_static` reads them.

    Parameters
    ----------
    model
        The prepared float `.onnx`.
    feeds
        Inputs, one image at a time; iterated twice, so it must not be an iterator.
    method
        `entropy` or `percentile` (ONNX Runtime's 99.999 %).
    cache
        The JSON file that is written.
    """
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    calibrator: Any = create_calibrator(
        Path(model),
        sorted({*QLinearOpsRegistry, *QDQRegistry}),  # what quantize_static measures by default
        augmented_model_path=str(cache.with_suffix(".augmented.onnx")),
        calibrate_method=CalibrationMethod[method.capitalize()],
    )
    calibrator.collector = _prepared(calibrator, _ranges(calibrator, feeds))
    for feed in feeds:
        calibrator.collect_data(_One(feed))
    save_tensors_data(calibrator.compute_data(), cache)
    return cache


class _One:
    """ONNX Runtime's reader protocol for a single image."""

    def __init__(self, feed: dict[str, np.ndarray]):
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([feed])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _ranges(
    calibrator: Any, feeds: Iterable[dict[str, np.ndarray]]
) -> dict[str, tuple[np.number[Any], ...]]:
    """Return lowest and highest value, and lowest and highest absolute value, of each tensor over all images."""
    names = [o.name for o in calibrator.infer_session.get_outputs()]
    found: dict[str, tuple[np.number[Any], ...]] = {}
    for feed in feeds:
        for name, value in zip(names, calibrator.infer_session.run(None, feed)):
            if name not in calibrator.tensors_to_calibrate:
                continue
            ends = _ends(value)
            was = found.get(name, ends)
            found[name] = tuple(pick(a, b) for pick, a, b in zip((min, max) * 2, was, ends))
    return found


def _ends(value: np.ndarray) -> tuple[np.number[Any], ...]:
    if not value.size:  # as ONNX Runtime counts an empty tensor
        return (value.dtype.type(0),) * 4
    size = np.abs(value)
    return np.nanmin(value), np.nanmax(value), np.nanmin(size), np.nanmax(size)


def _prepared(calibrator: Any, ranges: dict[str, tuple[np.number[Any], ...]]) -> Any:
    """Return ONNX Runtime's collector with an empty histogram of the final width for each tensor."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        method=calibrator.method,
        symmetric=calibrator.symmetric,
        num_bins=calibrator.num_bins,
        num_quantized_bins=calibrator.num_quantized_bins,
        percentile=calibrator.percentile,
        scenario=calibrator.scenario,
    )
    absolute = calibrator.method == "percentile" and calibrator.symmetric
    for name, (low, high, least, most) in ranges.items():
        span: tuple[Any, Any] = (least, most) if absolute else (-most, most)
        counts, edges = np.histogram(np.zeros(0, low.dtype), calibrator.num_bins, range=span)
        edges = edges.astype(low.dtype)
        widest = () if absolute else (np.array(most, dtype=low.dtype),)
        collector.histogram_dict[name] = (counts, edges, low, high, *widest)
    return collector

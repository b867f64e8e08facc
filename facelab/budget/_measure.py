"""Fit a device's rates on this machine: chains of single operators under ONNX Runtime, timed by processor time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.budget._device import DeviceModel, Rate
from facelab.budget._micro import Chain, chains
from facelab.budget.model._cost import cost_of
from facelab.core.machine import cpu_features, cpu_model, facts
from facelab.core.safety.scratch import ScratchFolder

LEAST_SAMPLE_S = 0.003
CACHE = float(1 << 20)
"""Bytes that are taken to stay near a core: the second-level cache of most servers and phones is .5 to 2 MiB."""
FLOOR_S = 2e-7


@dataclass(frozen=True)
class Point:
    """One pair of chains: seconds, MACs and bytes of one operator of the class."""

    work: str
    label: str
    seconds: float
    macs: float
    bytes: float


@dataclass(frozen=True)
class Measured:
    """A device's model, the points that it was fitted on, and seconds (rounds,) of the calls that were timed along."""

    device: DeviceModel
    points: tuple[Point, ...]
    seconds: dict[str, np.ndarray]


def measure_device(
    *, rounds: int = 9, seed: int = 0, along: Mapping[str, Callable[[], object]] | None = None
) -> Measured:
    """Measure this machine's rates with one thread and fit a model of it.

    The time is the thread's processor time, which other processes lengthen less than the wall's. No catalogue model
    takes part.

    Parameters
    ----------
    rounds : int
        Interleaved rounds over all chains; the median counts.
    seed : int
        Of the order within a round.
    along : mapping, optional
        Further calls that are timed in the same rounds, so that both meet the same load. They are not fitted on.

    Returns
    -------
    Measured
        `device` has float32 rates per class of work; its `spread` comes from leaving each point out of the fit of its
        class.
    """
    points, call_s, seconds = _points(rounds, seed, along or {})
    rates, residuals = [], []
    for work in dict.fromkeys(p.work for p in points):
        mine = [p for p in points if p.work == work]
        rates.append(fit_rate(work, mine))
        residuals += _left_out(work, mine)
    low, high = np.quantile(residuals, (0.05, 0.95))
    device = DeviceModel(
        name=f"{cpu_model()}, 1 thread, ONNX Runtime",
        source="measured",
        note=f"processor time; load {facts()['load']} while measuring",
        rate=tuple(rates),
        spread=(min(1.0, float(np.exp(low))), max(1.0, float(np.exp(high)))),
        call_overhead_s=call_s,
        channel_block=channel_block(),
    )
    return Measured(device, tuple(points), seconds)


def channel_block() -> int | None:
    """Return what channels must be a multiple of for ONNX Runtime's blocked convolutions here; None: it has none."""
    return 4 if "avx" in cpu_features() else None


def fit_rate(work: str, points: Sequence[Point]) -> Rate:
    """Fit seconds = overhead + MACs / rate + bytes / bandwidth, no term negative, by the error of logarithms."""
    from scipy.optimize import least_squares, nnls

    seconds = np.array([p.seconds for p in points])
    terms = np.array([[1.0, p.macs, p.bytes, max(0.0, p.bytes - CACHE)] for p in points])
    scale = np.maximum(np.abs(terms).max(axis=0), 1.0)
    rows = terms / scale / seconds[:, None]
    start, _ = nnls(rows, np.ones(len(points)))

    def error(parts: np.ndarray) -> np.ndarray:
        # the small pull to zero decides where points do not: two terms that grow alike
        return np.append(np.log(rows @ parts + 1e-9), 1e-3 * parts / (start.max() + 1e-30))

    start = np.maximum(start, 1e-6 * start.max())
    found = least_squares(error, start, bounds=(0, np.inf), loss="soft_l1", f_scale=0.3).x
    overhead, per_mac, per_byte, per_spilled = found / scale
    return Rate(
        work=work,
        dtype="float32" if any(p.macs for p in points) else "*",
        cache_bytes=CACHE,
        spilled_bytes_per_s=1 / max(per_spilled, 1e-15),
        macs_per_s=1 / max(per_mac, 1e-15),
        bytes_per_s=1 / max(per_byte, 1e-15),
        overhead_s=min(1.0, float(overhead)),
    )


def _left_out(work: str, points: Sequence[Point]) -> list[float]:
    """Return log(measured / predicted) for each point, predicted by the fit of the others."""
    if len(points) < 4:
        return []
    out = []
    for k, p in enumerate(points):
        rate = fit_rate(work, [q for j, q in enumerate(points) if j != k])
        out.append(
            float(np.log(p.seconds / max(FLOOR_S, rate.seconds(round(p.macs), round(p.bytes)))))
        )
    return out


def _points(
    rounds: int, seed: int, along: Mapping[str, Callable[[], object]]
) -> tuple[list[Point], float, dict[str, np.ndarray]]:
    found = chains()
    costs = [_cost(c) for c in found]
    calls = {str(k): _call(c) for k, c in enumerate(found)}
    empty = Chain("view", "empty", 0, (1, 8), _empty())
    calls["empty"] = _call(empty)
    calls |= {f"along {name}": call for name, call in along.items()}
    samples = processor_times(calls, rounds=rounds, seed=seed)
    median = {name: float(np.median(v)) for name, v in samples.items()}
    points = []
    for k in range(0, len(found), 2):
        short, long = found[k], found[k + 1]
        n = long.length - short.length
        (m0, b0), (m1, b1) = costs[k], costs[k + 1]
        seconds = max(FLOOR_S, (median[str(k + 1)] - median[str(k)]) / n)
        points.append(Point(long.work, long.label, seconds, (m1 - m0) / n, (b1 - b0) / n))
    return points, median["empty"], {name: samples[f"along {name}"] for name in along}


def _empty() -> bytes:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 8))
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 8))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "empty", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def _cost(chain: Chain) -> tuple[int, int]:
    """Return MACs and unfused bytes of a chain, by the very rules that a prediction uses."""
    with ScratchFolder() as folder:
        path = Path(folder) / "chain.onnx"
        path.write_bytes(chain.content)
        cost = cost_of(path)
    operators = [op for op in cost.operators if op.work == chain.work and not op.fused]
    return sum(op.macs or 0 for op in operators), sum(op.bytes or 0 for op in operators)


def _call(chain: Chain) -> Callable[[], object]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(chain.content, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feed = {"x": rng.standard_normal(chain.shape).astype(np.float32)}
    return lambda: session.run(None, feed)


def processor_times(
    calls: dict[str, Callable[[], object]], *, rounds: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return seconds of processor time of this thread per call, (rounds,) each, in interleaved rounds.

    A call that is shorter than a few milliseconds is repeated within its sample, so that the clock's steps and cold
    caches do not count. The work must run in the calling thread.

    Parameters
    ----------
    calls : dict[str, Callable[[], object]]
        What is timed, by name.
    rounds : int
        Rounds; in each, everything is timed once.
    seed : int
        Seeds every random choice.

    Returns
    -------
    dict[str, ndarray]
        Seconds of processor time of this thread per call, (rounds,) each, in interleaved
        rounds.
    """
    rng, times = np.random.default_rng(seed), {}
    for name, call in calls.items():
        call()
        started = time.perf_counter()
        call()
        seconds = max(1e-7, time.perf_counter() - started)
        times[name] = max(1, int(np.ceil(LEAST_SAMPLE_S / seconds)))
    names, out = list(calls), {name: [] for name in calls}
    for _ in range(rounds):
        for k in rng.permutation(len(names)):
            call, n = calls[names[k]], times[names[k]]
            started = time.thread_time()
            for _ in range(n):
                call()
            out[names[k]].append((time.thread_time() - started) / n)
    return {name: np.array(v) for name, v in out.items()}

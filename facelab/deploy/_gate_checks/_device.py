"""The checks of what a model costs on the device: its size, latency and memory."""

from __future__ import annotations

from facelab.deploy._gate_checks._check import Check, skipped
from facelab.deploy._opened import Bundle
from facelab.deploy.evidence import Measurement
from facelab.deploy.policy import Policy


def model_size(bundle: Bundle, policy: Policy) -> Check:
    """Whether the model's file fits the device."""
    budget = policy.device.model_mb
    if budget is None:
        return skipped("model_size", "the policy states no size", "model_mb in [device]")
    size = next(f.bytes for f in bundle.manifest.files if f.path == bundle.manifest.model) / 1e6
    return _within(
        "model_size",
        size,
        budget,
        "MB",
        "the model's file",
        "quantise it, or choose a smaller model",
    )


def latency(m: Measurement | None, policy: Policy) -> Check:
    """Whether a call is fast enough on the device, by percentiles of single calls."""
    import numpy as np

    d = policy.device
    budgets = {
        q: b
        for q, b in ((50, d.latency_p50_ms), (90, d.latency_p90_ms), (99, d.latency_p99_ms))
        if b
    }
    if not budgets:
        return skipped("latency", "the policy states no latency", "latency_p90_ms in [device]")
    if m is None or m.seconds is None:
        return skipped(
            "latency",
            f"nothing was measured on the {d.name}",
            "--device FILE, or measure = true in [device]",
        )
    got = {q: float(np.percentile(m.seconds, q)) * 1e3 for q in budgets}
    missed = [q for q in budgets if got[q] > budgets[q]]
    words = "; ".join(f"P{q} {got[q]:.3g} ms (budget {budgets[q]:g} ms)" for q in missed or budgets)
    figures = {**{f"p{q}_ms": v for q, v in got.items()}, "n": len(m.seconds), "device": m.device}
    return Check(
        "latency",
        "fail" if missed else "pass",
        f"{words}, {len(m.seconds)} calls on {m.device}",
        "quantise the model, use more threads, or a smaller input" if missed else "",
        tuple(f"p{q}" for q in missed),
        figures,
    )


def memory(m: Measurement | None, policy: Policy) -> Check:
    """Whether the process's peak memory fits the device, a watched run leaked, a budgeted run broke its budget."""
    budget = policy.device.memory_mb
    limited = m.budget if m is not None else None
    if m is not None and limited is not None and (limited.reasons or budget is None):
        good = not limited.reasons
        return Check(
            "memory",
            "pass" if good else "fail",
            f"under budget {limited.name!r} on {m.device}, memory held by {limited.held_by}: {limited.end}"
            + ("" if good else f" ({'; '.join(limited.reasons)[:300]})"),
            "" if good else "make the program smaller, or agree on a larger budget",
            () if good else (limited.end,),
            {"end": limited.end, "peak_mb": None if m.memory is None else m.memory / 1e6},
        )
    verdict = m.verdict if m is not None else None
    if m is not None and verdict is not None and (verdict.leak or budget is None):
        return Check(
            "memory",
            "fail" if verdict.leak else "pass",
            f"{verdict.name} over {verdict.frames} frames on {m.device}: {verdict.what}",
            verdict.fix if verdict.leak else "",
            (verdict.name,) if verdict.leak else (),
            {"verdict": verdict.name, "frames": verdict.frames},
        )
    if budget is None:
        return skipped("memory", "the policy states no memory", "memory_mb in [device]")
    if m is None or m.memory is None:
        return skipped(
            "memory",
            f"nothing was measured on the {policy.device.name}",
            "--device FILE, or measure = true in [device]",
        )
    return _within(
        "memory",
        m.memory / 1e6,
        budget,
        "MB",
        f"peak memory on {m.device}",
        "quantise the model, or use a runtime with fewer kernels",
    )


def _within(name: str, got: float, budget: float, unit: str, what: str, fix: str) -> Check:
    good = got <= budget
    return Check(
        name,
        "pass" if good else "fail",
        f"{what}: {got:.4g} {unit} (budget {budget:g} {unit})",
        "" if good else fix,
        () if good else (name,),
        {"value": got, "budget": budget, "unit": unit},
    )

"""Every metric by one name, so that a stored sample and a figure in a report are tied by one function."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from facelab.core.errors import BadInputError, did_you_mean

METRICS: dict[str, str] = {
    "wider_ap": "detection:wider_ap",
    "average_precision": "detection:average_precision",
    "recall": "detection:recall_of",
    "ten_fold_accuracy": "verification:ten_fold",
    "tar_at_far": "operating:tar_at_far",
    "eer": "operating:equal_error_rate",
    "det": "operating:error_curve",
    "accuracy": "classification:accuracy",
    "confusion": "classification:confusion",
    "per_class": "classification:per_class",
    "macro_f1": "classification:macro_f1",
    "balanced_accuracy": "classification:balanced_accuracy",
    "ece": "classification:expected_calibration_error",
    "agreement": "classification:agreement",
    "accuracy_difference": "classification:accuracy_difference",
    "mcnemar": "classification:mcnemar",
    "nme": "landmarks:normalised_mean_error",
    "failure_rate": "landmarks:failure_rate",
    "ced_area": "landmarks:ced_area",
}
"""Name → `module:function` in facelab.metrics; imported when asked for."""


def metric(name: str) -> Callable:
    """Return the function registered under `name`. Raises BadInputError for an unknown name.

    >>> metric("ece").__name__
    'expected_calibration_error'
    """
    if name not in METRICS:
        raise BadInputError(
            f"no metric is called {name!r}{did_you_mean(name, METRICS)}",
            expected=", ".join(METRICS),
            got=name,
        )
    module, function = METRICS[name].split(":")
    return getattr(importlib.import_module(f"facelab.metrics.{module}"), function)

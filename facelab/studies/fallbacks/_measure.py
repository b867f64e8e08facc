"""Run the trials of the matrix's rows, and gather their losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facelab.core.errors import BadInputError, FacelabError, did_you_mean
from facelab.core.machine import facts
from facelab.core.records import now
from facelab.serving.degradation import Loss, Losses, load_matrix
from facelab.studies.fallbacks import _models, _outputs, _senses, _service
from facelab.studies.fallbacks._trial import Setting, Unmeasured, first_line

Trial = Callable[[Setting], Loss]


def trials() -> dict[str, Trial]:
    """Return the trial of each row of the matrix, in its order.

    Returns
    -------
    dict of str to callable
        Row → what triggers it and measures.
    """
    rooms = (_service, _models, _senses, _outputs)
    return {
        row.name: next(getattr(room, row.name) for room in rooms if hasattr(room, row.name))
        for row in load_matrix().entries
    }


def measure(
    setting: Setting,
    names: Sequence[str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Losses:
    """Trigger fallbacks one after the other, and measure each as it should be, while it lasts, and afterwards.

    Parameters
    ----------
    setting : Setting
        What the trials run on.
    names : sequence of str or None
        Rows of the matrix; None: all.
    on_line : callable or None
        Receives what is going on, as text.

    Returns
    -------
    Losses
        With the rows that cannot be measured here, and why.

    Raises
    ------
    BadInputError
        A name is not a row of the matrix.
    """
    known = trials()
    for name in names or ():
        if name not in known:
            raise BadInputError(
                f"the matrix has no row {name!r}{did_you_mean(name, known)}",
                expected=", ".join(known),
                fix="choose one of these",
            )
    chosen = {n: t for n, t in known.items() if names is None or n in names}
    entries, unmeasured = [], {}
    for name, trial in chosen.items():
        if on_line is not None:
            on_line(name)
        try:
            entries.append(trial(setting))
        except Unmeasured as e:
            unmeasured[name] = str(e)
        except FacelabError as e:
            unmeasured[name] = first_line(e)
    versions = ("numpy", "opencv-python-headless", "onnxruntime")
    return Losses(tuple(entries), unmeasured, facts(threads=1, versions=versions), now())

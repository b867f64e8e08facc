"""What a front door exports is documented in NumPy sections: parameters, result, errors, an example."""

import importlib
import inspect
from collections import Counter

from test_front_doors import OPEN, ROOMS

FLOOR = {
    "functions without an example": 154,
    "classes without sections": 66,
    "classes without an example": 82,
}
"""Not yet written; each number may only fall."""


def exported():
    """Yield (room, name, object) of the functions and classes that front doors export."""
    for room in ROOMS:
        if room not in OPEN:
            door = importlib.import_module(f"facelab.{room}")
            for name in door.__all__:
                found = getattr(door, name)
                if inspect.isclass(found) or inspect.isfunction(found):
                    yield room, name, found


def has(doc, section):
    return f"{section}\n{'-' * len(section)}" in doc


def missing(function):
    """Return the sections that a function needs and does not have."""
    doc, signature = inspect.getdoc(function) or "", inspect.signature(function)
    need = ["Parameters"] if signature.parameters else []
    if signature.return_annotation not in (None, "None", "NoReturn", inspect.Signature.empty):
        need.append("Returns")
    if any(line.lstrip().startswith("raise ") for line in inspect.getsource(function).splitlines()):
        need.append("Raises")
    given = {s for s in need if has(doc, s)} | ({"Returns"} if has(doc, "Yields") else set())
    return [section for section in need if section not in given]


def test_exported_functions_have_their_sections():
    wrong = [
        f"{room}.{name}: {', '.join(lacking)}"
        for room, name, found in exported()
        if inspect.isfunction(found) and (lacking := missing(found))
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_not_documented_yet_does_not_grow():
    count = Counter()
    for _room, _name, found in exported():
        doc, is_class = inspect.getdoc(found) or "", inspect.isclass(found)
        if is_class and issubclass(found, BaseException):
            continue
        kind = "classes" if is_class else "functions"
        count[f"{kind} without an example"] += ">>>" not in doc
        if is_class:
            count["classes without sections"] += not (
                has(doc, "Parameters") or has(doc, "Attributes")
            )
    above = {what: n for what, n in count.items() if n > FLOOR.get(what, 0)}
    assert not above, f"{above}, at most {FLOOR}"


def test_a_missing_section_is_found():
    def bare(x: int) -> int:
        """Do it."""
        if x:
            raise ValueError
        return x

    assert missing(bare) == ["Parameters", "Returns", "Raises"]

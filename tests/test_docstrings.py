"""What a front door exports is documented in NumPy sections: parameters, result, errors, an example."""

import importlib
import inspect

from test_front_doors import OPEN, ROOMS


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


def lacking(found):
    """Return the sections that an exported function or class needs and does not have."""
    doc = inspect.getdoc(found) or ""
    if inspect.isfunction(found):
        sections = missing(found)
    elif issubclass(found, BaseException) or has(doc, "Parameters") or has(doc, "Attributes"):
        sections = []
    else:
        sections = ["Parameters or Attributes"]
    return sections if has(doc, "Examples") and ">>>" in doc else [*sections, "Examples"]


def test_exported_names_have_their_sections():
    wrong = [
        f"{room}.{name}: {', '.join(sections)}"
        for room, name, found in exported()
        if (sections := lacking(found))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_missing_section_is_found():
    def bare(x: int) -> int:
        """Do it."""
        if x:
            raise ValueError
        return x

    assert lacking(bare) == ["Parameters", "Returns", "Raises", "Examples"]

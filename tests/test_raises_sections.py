"""The Raises section of what front doors export is true: it names what is raised, and nothing else."""

import ast
import builtins
import inspect
import re
from functools import cache
from pathlib import Path

from test_docstrings import exported, has

PACKAGE = Path(__file__).resolve().parents[1] / "facelab"


def name_of(node):
    """Return the last word of a name or attribute."""
    return getattr(node, "id", getattr(node, "attr", ""))


class Bodies(ast.NodeVisitor):
    """Collect what each function raises itself, and which names it calls; functions in functions count as theirs."""

    def __init__(self):
        self.raises, self.calls, self.stack, self.caught = {}, {}, [], []

    def visit_FunctionDef(self, node):
        if not self.stack:
            self.raises[node.name], self.calls[node.name] = set(), set()
        self.stack.append(node.name)
        self.generic_visit(node)
        self.stack.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Try(self, node):
        caught = set()
        for h in node.handlers:
            kinds = h.type.elts if isinstance(h.type, ast.Tuple) else [h.type]
            caught |= {name_of(k) if k is not None else "Exception" for k in kinds}
        self.caught.append(caught)
        for n in node.body:
            self.visit(n)
        self.caught.pop()
        for n in [*node.handlers, *node.orelse, *node.finalbody]:
            self.visit(n)

    def visit_Raise(self, node):
        made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        name = name_of(made)
        if self.stack and name and not any(catches(c, name) for c in self.caught):
            self.raises[self.stack[0]].add(name)
        self.generic_visit(node)

    def visit_Call(self, node):
        if self.stack and isinstance(node.func, ast.Name):
            self.calls[self.stack[0]].add(node.func.id)
        self.generic_visit(node)


@cache
def bases():
    """Return {class: the classes above it by name} for facelab's and Python's errors."""
    above = {
        n: {b.__name__ for b in k.__mro__[1:]}
        for n, k in vars(builtins).items()
        if isinstance(k, type) and issubclass(k, BaseException)
    }
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                above.setdefault(node.name, set()).update(name_of(b) for b in node.bases)
    return above


@cache
def family(name):
    """Return a class and all that is above it, by name."""
    found, left = {name}, [name]
    while left:
        new = bases().get(left.pop(), set()) - found
        found |= new
        left += new
    return found


def catches(names, error):
    return bool(names & family(error))


@cache
def bodies(file):
    found = Bodies()
    for node in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.visit(node)
    return found


def errors_of(function):
    """Return the errors that a function and its module's own helpers raise by name."""
    found = bodies(inspect.getsourcefile(function))
    seen, left, errors = set(), [inspect.unwrap(function).__name__], set()
    while left:
        name = left.pop()
        if name in seen or name not in found.raises:
            continue
        seen.add(name)
        errors |= {e for e in found.raises[name] if "BaseException" in family(e)}
        left += [c for c in found.calls[name] if c.startswith("_")]
    return errors


def documented(doc):
    """Return the class names that a Raises section lists."""
    if not has(doc, "Raises"):
        return set()
    text = doc.split("Raises\n------\n", 1)[1]
    text = re.split(r"\n\n[A-Z][a-z]+\n-+\n", text)[0]
    heads = [line for line in text.splitlines() if line and not line.startswith(" ")]
    return {w for line in heads for w in re.findall(r"[A-Za-z_.]+", line.replace(" or ", " "))}


def known(name):
    return name.rsplit(".", 1)[-1] in bases() or "." in name


def reachable():
    """Return the name of every error that some function of the package makes."""
    return {
        name_of(node.func)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }


def test_what_is_raised_is_documented():
    wrong, seen = [], 0
    for room, name, found in exported():
        if not inspect.isfunction(found):
            continue
        errors = errors_of(found)
        seen += bool(errors)
        stated = {w.rsplit(".", 1)[-1] for w in documented(inspect.getdoc(found) or "")}
        missing = sorted(e for e in errors if not family(e) & stated)
        if missing:
            wrong.append(f"{room}.{name} raises {', '.join(missing)}")
    assert seen > 50
    assert not wrong, "\n".join(wrong)


def test_what_is_documented_is_an_error_that_something_raises():
    raised, wrong = reachable(), []
    for room, name, found in exported():
        if not inspect.isfunction(found):
            continue
        for stated in documented(inspect.getdoc(found) or ""):
            last = stated.rsplit(".", 1)[-1]
            own = "." not in stated and last not in vars(builtins)
            if not known(stated):
                wrong.append(f"{room}.{name}: {stated} is not a class")
            elif own and not any(last in family(r) for r in raised):
                wrong.append(f"{room}.{name}: nothing raises {stated}")
    assert not wrong, "\n".join(wrong)


def test_the_reader_of_sections_sees_each_class():
    doc = "Do.\n\nRaises\n------\nBadInputError, UnsupportedError\n    Why.\nOSError\n    Disk.\n\nNotes\n-----\nMore"
    assert documented(doc) == {"BadInputError", "UnsupportedError", "OSError"}
    assert documented("Do.") == set()

"""Every error says what to do next: a `fix` that is a plain, specific sentence."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "facelab"
GENERIC = {
    "check it",
    "check the file",
    "check the input",
    "check the inputs",
    "check the value",
    "correct it",
    "correct the input",
    "correct the value",
    "fix it",
    "fix the input",
    "read the message",
    "see above",
    "see the message",
    "try again",
    "try something else",
}
DIALECT = ("mend ", "lies in", "told ", "a row a ", "a call a ", "an image a ")


def modules():
    """Yield (path below the package, its tree)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def name_of(node):
    """Return the last word of a name or attribute."""
    return getattr(node, "id", getattr(node, "attr", ""))


def error_classes(trees):
    """Return the names of FacelabError and of every class below it."""
    bases = {
        node.name: {name_of(b) for b in node.bases}
        for _, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"FacelabError"}
    while new := {c for c, above in bases.items() if above & found} - found:
        found |= new
    return found


def made(trees, classes):
    """Yield (place, the `fix` of one error that is made, or None)."""
    for path, tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or name_of(node.func) not in classes:
                continue
            given = {k.arg: k.value for k in node.keywords}
            yield f"{path}:{node.lineno}", given.get("fix", given.get(None))


def complaint(fix):
    """Return what is wrong with a `fix`, or None; what is computed while running is not judged."""
    if fix is None or (isinstance(fix, ast.Constant) and fix.value is None):
        return "has no fix"
    text = fix.value if isinstance(fix, ast.Constant) else None
    if text is None:
        return None
    if not text.strip() or text.strip(" .").lower() in GENERIC:
        return f"says nothing: {text!r}"
    if text.endswith(".") and not text.endswith(("…", "..")):
        return f"ends in a full stop: {text!r}"
    if len(text.split()) < 2:
        return f"is one word: {text!r}"
    worst = max(len(part.split()) for part in text.replace(";", ".").split(". "))
    if worst > 30:
        return f"has a sentence of {worst} words: {text!r}"
    spoken = [d for d in DIALECT if d in text.lower()]
    return f"is dialect ({spoken[0]!r}): {text!r}" if spoken else None


def test_every_error_has_a_fix():
    trees = list(modules())
    found = list(made(trees, error_classes(trees)))
    assert len(found) > 1000
    wrong = [f"{place} {why}" for place, fix in found if (why := complaint(fix))]
    assert not wrong, "\n".join(wrong)


def test_an_error_without_a_fix_is_found():
    tree = ast.parse(
        "class OwnError(BadInputError): ...\n"
        "class BadInputError(FacelabError): ...\n"
        "raise OwnError('x')\n"
        "raise BadInputError('x', fix='check the input')\n"
        "raise errors.BadInputError('x', fix='')\n"
        "raise BadInputError('x', fix=None)\n"
        "raise BadInputError('x', fix='name a .tflite file')\n"
        "raise BadInputError('x', fix=f'name one of {names}')\n"
        "raise ValueError('x')\n"
    )
    trees = [("m.py", tree)]
    found = {place: complaint(fix) for place, fix in made(trees, error_classes(trees))}
    assert [found[f"m.py:{n}"] is None for n in range(3, 9)] == [False] * 4 + [True] * 2
    assert "m.py:9" not in found

"""Find sentences that a reader has to decode: `python docs/tools/prose.py [PATH ...]` prints them and exits with 1.

`--most N` prints them, and exits with 1, only where there are more than N: a floor that a change may lower.

Docstrings, comments, messages and help texts of Python files are read, Markdown outside code blocks, and the text cells
of notebooks. `docs/contributing/style.md` says how to write each of them instead.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COUNTED = "row|line|call|face|image|model|step|pair|class|file|core|person|frame|page|part"
ALLOWED = (
    "more|longer|less|better|worse|use|need|different|further|such|point|way|reason|difference"
)
AMOUNTS = (
    "one|two|three|[0-9]+|folder|file|images|pictures|pixels|cells|faces|bits|numbers|sentences|"
    "process|column|row"
)
UNITS = "person|label|picture|pair|side|core|line|class|part|channel|variant|call|step|batch|image|face|row|frame|layer"
PATTERNS = {
    rf"\b(?:a|one|no) (?:{COUNTED}) (?:a|an|each) [a-z]+\b": "one … per …",
    rf"(?<!there )(?<!There )\b(?:is|are|was|were|be) no(?= [A-Za-z])(?! (?:{ALLOWED}))\b": "is not a …",
    r"\b(?:is|are|be|was|were|cannot be) told\b": "reported / determined",
    r"\btells? (?:it|them|him|what|which|whether|apart)\b": "says / shows",
    r"\b(?:lies?|lay) (?:in|beside|here|there)\b": "is (stored) in",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bof (?:its|their|his|one's) own\b": "its own …",
    r"\b(?:at most|at least|for|of) so (?:many|much|long)\b": "at most n / for that long",
    r"\bso many\b": "name the number",
    r"\bwhoever\b": "any … that",
    r"\bgoes astray\b|\bgo astray\b": "fails",
    r"\bis asked of\b|\bare asked of\b": "is required of",
    r"\bfor people\b": "as text / formatted",
    r"\bstands? (?:beside|in(?! for)|at|once|twice|alone|for itself)\b": "is in / appears",
    r"\btake(?:s|n)? up again\b": "restore",
    r"\bbut for the\b": "except for the",
    r"\banew\b": "again",
    rf"\b(?:{AMOUNTS}) an? (?:{UNITS})\b": "… per …",
    r"\b(?:has|have) another (?!name\b)": "has a different / the wrong …",
    r"\b(?:an|the) own\b": "its own / a separate …",
    r"\bdoes not (?:distinguishe|show|take|use|know|mean|give|need)s\b": "does not + infinitive",
    r"\btold apart\b": "distinguished / clearly different",
    r"\bstands there\b": "is stored / is shown",
    r"\bunfold(?:s|ed)? to\b": "unpacks to",
}
FINDERS = [(re.compile(p, re.I), hint) for p, hint in PATTERNS.items()]
SKIPPED = (
    "docs/tools/",
    "docs/contributing/style.md",
    "docs/contributing/glossary.md",
    "tests/test_raises.py",
    "CHANGELOG.md",
    "LICENSE",
)


def main(arguments: list[str]) -> int:
    """Print each finding as `path:line: text  → hint`; return 1 if there is one."""
    most = 0
    if arguments[:1] == ["--most"]:
        most, arguments = int(arguments[1]), arguments[2:]
    lines = []
    for path in map(Path, arguments) if arguments else tracked():
        for number, text in passages(path):
            for finder, hint in FINDERS:
                lines += [
                    f"{shown(path)}:{number}: {found[0]!r}  → {hint}"
                    for found in finder.finditer(text)
                ]
    if len(lines) <= most:
        return 0
    print("\n".join(lines))
    print(f"{len(lines)} passages to rewrite, at most {most} are accepted", file=sys.stderr)
    return 1


def shown(path: Path) -> str:
    """Return a path relative to the checkout."""
    return (
        path.resolve().relative_to(ROOT).as_posix()
        if path.resolve().is_relative_to(ROOT)
        else str(path)
    )


def tracked() -> list[Path]:
    """Return the files of the checkout that hold prose."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [n for n in listed.stdout.split("\0") if n.endswith((".py", ".md", ".ipynb", ".pyi"))]
    return [ROOT / n for n in names if not n.startswith(SKIPPED) and (ROOT / n).is_file()]


def passages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) for each line of prose in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "markdown":
                yield from markdown("".join(cell["source"]))
    elif path.suffix == ".md":
        yield from markdown(text)
    else:
        yield from python(text)


def markdown(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of Markdown outside code blocks and code spans."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "`…`", line)


def python(text: str) -> Iterator[tuple[int, str]]:
    """Yield comments and string literals with a blank in them, line by line."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds and " " in token.string:
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, re.sub(r"`[^`]*`", "`…`", line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

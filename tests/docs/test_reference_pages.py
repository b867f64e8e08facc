"""The pages that `make docs` generates: each command by its name, each front door with what it offers."""

import importlib.util
import sys

import pytest
from conftest_docs import REPOSITORY
from test_help_examples import EXAMPLES

TOOLS = REPOSITORY / "docs" / "tools"


@pytest.fixture(scope="module")
def hooks():
    """Return docs/tools/hooks.py as a module; it is not part of the package."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location("hooks", TOOLS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


def test_every_command_has_a_heading_and_its_example(hooks):
    text = "\n".join(hooks.command_pages.pages().values())
    headings = {line.lstrip("# ") for line in text.splitlines() if line.startswith("#")}
    leaves = {n for n in EXAMPLES if not any(m.startswith(f"{n} ") for m in EXAMPLES)}
    assert leaves <= headings
    assert "Sentinel" not in text and all(f"\n{name}" in text for name in leaves)


def test_every_front_door_has_a_page_and_modules_are_on_it(hooks):
    rooms = hooks.rooms()
    assert ("detection", "facelab.metrics.detection") in rooms["metrics"]
    assert dict(rooms["datasets"])["synthetic.generate"].endswith(".generate")
    assert "::: facelab.deploy._gate.judge" in hooks.api_page("deploy", rooms["deploy"])


def test_words_for_tests_are_taken_off_console_blocks(hooks):
    block = "```console newcomer\n$ make setup\n```\n"
    assert hooks.on_page_markdown(block, page=None).startswith("```console\n")
    table = hooks.on_page_markdown("<!-- commands: here -->", page=None)
    assert "[`facelab gate`](commands/gate.md)" in table

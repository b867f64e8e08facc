"""The pages that `make docs` generates: each command by its name, each front door with what it offers."""

import importlib.util
import json
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


def test_links_of_the_site_that_lead_nowhere_are_named(hooks, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="#top"></a><a href="#gone"></a><a href="b/#here"></a>'
        '<a href="b/#gone"></a><a href="c.html"></a><a href="https://example.org/#x"></a>'
    )
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "index.html").write_text('<a name="here"></a><a href="../a.html#top"></a>')
    entries = [{"location": "a.html#top"}, {"location": "b/#lost"}, {"location": ""}]
    (tmp_path / "search" / "search_index.json").write_text(json.dumps({"docs": entries}))
    (tmp_path / "index.html").write_text("")
    wrong = ["a.html: #gone", "a.html: b/#gone", "a.html: c.html", "index.html: b/#lost"]
    assert hooks.anchors.broken(tmp_path) == wrong
    with pytest.raises(hooks.PluginError, match="lost"):
        hooks.on_post_build({"site_dir": str(tmp_path)})

"""The page of an executed notebook: what nbconvert's own exporter says, made in less time."""

from html.parser import HTMLParser

import nbformat
import pytest

from facelab.reproduce import _pages as pages

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ALONE = {"img", "br", "input", "link", "meta", "hr", "path"}


class Content(HTMLParser):
    """What a reader gets of a page: elements with their attributes in any order, and texts."""

    def __init__(self, text):
        super().__init__()
        self.seen = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = {k: " ".join((v or "").split()) for k, v in attrs}
        self.seen.append((tag, found))

    def handle_endtag(self, tag):
        if tag not in ALONE:
            self.seen.append(("end", tag))

    def handle_data(self, data):
        if data.strip():
            self.seen.append(("text", data.split()))


def output(kind, data, **metadata):
    return nbformat.v4.new_output("display_data", data={kind: data}, metadata=metadata)


def notebook(*outputs, language="ipython3"):
    cell = nbformat.v4.new_code_cell("%time x = 1 < 2  # why\nprint(f'{x}')", id="work")
    cell.outputs = list(outputs)
    cells = [nbformat.v4.new_markdown_cell("# Is it?\n\n![a](b.png) and $x^2$"), cell]
    cells += [nbformat.v4.new_code_cell("", id="empty"), nbformat.v4.new_raw_cell("raw")]
    found = nbformat.v4.new_notebook(cells=cells)
    found.metadata["language_info"] = {"name": "python", "pygments_lexer": language}
    return found


OUTPUTS = {
    "text": nbformat.v4.new_output("stream", name="stderr", text="<b>\x1b[31mred"),
    "table": output("text/html", "<table class='x'><tr><td>1</td></tr></table>"),
    "picture": output("image/png", PIXEL),
    "picture with words": output("image/png", PIXEL, **{"image/png": {"alt": "a point"}}),
    "drawing": output("image/svg+xml", "<svg><title>t</title></svg>"),
    "own picture": output("text/html", "<img src='a.png'><img alt='' src='b.png'><IMG/>"),
    "words about pictures": output("text/html", "<pre>&lt;img src=1&gt;</pre><imgx></imgx>"),
    "script": output("application/javascript", "1"),
    "error": nbformat.v4.new_output("error", ename="E", evalue="<i>", traceback=["\x1b[1mE"]),
    "comment": output("text/html", "<!-- note --><p>seen</p>"),
}


def nbconverts(found):
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True, mathjax_url="", require_js_url="", mermaid_js_url="")
    return exporter.from_notebook_node(found, resources={"metadata": {"name": "x"}})[0]


def without_numbers(seen):
    """Leave out what is drawn by lot, and what facelab adds itself: the way back to the report, the cells' anchors."""
    start = next(k for k, (tag, _) in enumerate(seen) if tag == "main")
    result = []
    for tag, found in seen[start:]:
        if isinstance(found, dict):
            found = {k: v for k, v in found.items() if k != "id"}
        result.append((tag, "" if "getElementById" in str(found) else found))
    return result


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("language", ["ipython3", "python"])
def test_a_page_says_what_nbconverts_own_exporter_says(name, language):
    found = notebook(OUTPUTS[name], language=language)
    got, expected = pages.to_html(found, title="x"), nbconverts(found)
    assert without_numbers(Content(got).seen) == without_numbers(Content(expected).seen)
    assert 'id="work"' in got and 'tabindex="0"' in got


def test_a_comment_that_an_output_left_open_hides_nothing_below_it():
    found = notebook(output("text/html", "<p>first</p><!-- for ever"))
    found.cells.append(nbformat.v4.new_markdown_cell("the verdict"))
    seen = Content(pages.to_html(found, title="x")).seen
    assert ("text", ["the", "verdict"]) in seen


def test_a_cell_in_another_language_is_coloured_as_such():
    found = notebook()
    found.cells[1].metadata["magics_language"] = "bash"
    assert without_numbers(Content(pages.to_html(found, title="x")).seen) == without_numbers(
        Content(nbconverts(found)).seen
    )

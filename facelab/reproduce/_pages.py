"""The executed notebook as files: `.ipynb` and a page of HTML, both whole or not there at all."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import nbformat

from facelab.core.files import write_text
from facelab.core.templates import render

KEPT_TEXT = 100_000
"""Characters that an oversized cell's text outputs keep together, so that a person sees what they were."""
KEPT_OBJECT = 1_000_000
"""Bytes above which an output that is not a text is dropped from an oversized notebook."""

_CUT = "\n… cut here: the output was too large\n"


def with_papermill_metadata(notebook: Any) -> Any:
    """Return the notebook as papermill's own loader would: it looks for these keys."""
    from papermill import __version__

    upgraded = nbformat.v4.upgrade(notebook)
    upgraded.metadata.setdefault(
        "papermill",
        nbformat.NotebookNode(
            default_parameters={}, parameters={}, environment_variables={}, version=__version__
        ),
    )
    for cell in upgraded.cells:
        cell.metadata.setdefault("tags", [])
        cell.metadata.setdefault("papermill", nbformat.NotebookNode())
    return upgraded


def write(notebook: nbformat.NotebookNode, folder: Path, name: str, *, cut: bool = False) -> None:
    """Write `<name>.ipynb` and `<name>.html` atomically; with `cut`, outputs that are too large are shortened."""
    if cut:
        shorten(notebook)
    write_text(folder / f"{name}.ipynb", nbformat.writes(notebook))
    write_text(folder / f"{name}.html", to_html(notebook, title=name))


def shorten(notebook: nbformat.NotebookNode) -> None:
    """Cut long text outputs, saying so, and drop other outputs that are too large; changes `notebook`."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        left = KEPT_TEXT  # a kernel may hand over one flood in many pieces
        for output in cell.outputs:
            if output["output_type"] == "stream":
                text = output["text"]
                output["text"] = text if len(text) <= left else text[:left] + _CUT if left else ""
                left = max(0, left - len(text))
            if output["output_type"] == "error" and len(json.dumps(output)) > KEPT_TEXT:
                output["evalue"] = output["evalue"][: KEPT_TEXT // 2] + _CUT
                output["traceback"] = ["".join(output["traceback"])[: KEPT_TEXT // 2] + _CUT]
        kept = (o for o in cell.outputs if o["output_type"] != "stream" or o["text"])
        cell.outputs = [o for o in kept if len(json.dumps(o)) < KEPT_OBJECT]


def to_html(notebook: nbformat.NotebookNode, *, title: str) -> str:
    """Return an executed notebook as one HTML page that needs no network; each cell's id is an anchor."""
    exporter = _exporter()(embed_images=True, mathjax_url="", require_js_url="", mermaid_js_url="")
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    head, start, rest = body.replace('id="cell-id=', 'id="').partition("<main")
    return head + str(render("reproduce/templates/back.html.j2")) + start + rest


@functools.cache
def _exporter() -> Any:
    """Return nbconvert's exporter without what costs each step a quarter second.

    Its own reads the whole page into a tree to set two attributes, and imports IPython to colour the code.
    """
    from nbconvert import HTMLExporter, TemplateExporter
    from nbconvert.filters import Highlight2HTML
    from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter

    class Highlight(Highlight2HTML):
        def __call__(self, source: str, language: Any = None, metadata: Any = None) -> str:
            if (language or self.pygments_lexer) != "ipython3" or "magics_language" in metadata:
                return super().__call__(source, language, metadata)
            return coloured(source)

    class Page(HTMLExporter):
        def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> tuple[str, Any]:
            said = nb.metadata.get("language_info", {})
            lexer = said.get("pygments_lexer", said.get("name"))
            resources = self._init_resources(resources)
            kinds = WidgetsDataTypeFilter(
                notebook_metadata=self._nb_metadata, parent=self, resources=resources
            )
            self.register_filter("filter_data_type", kinds)
            self.register_filter("highlight_code", Highlight(pygments_lexer=lexer, parent=self))
            text, found = TemplateExporter.from_notebook_node(self, nb, resources, **kw)
            if text.rfind("<!--") > text.rfind("-->"):
                # an output left a comment open, which would hide the rest of the page; a tree has no such end
                return super().from_notebook_node(nb, resources, **kw)
            return for_readers(text), found

    return Page


def coloured(source: str) -> str:
    """Return a cell's code as HTML, coloured as IPython would."""
    from ipython_pygments_lexers import IPython3Lexer
    from pygments import highlight
    from pygments.formatters import HtmlFormatter

    return highlight(
        source or " ", IPython3Lexer(), HtmlFormatter(cssclass=" highlight hl-ipython3")
    )


_REACHED = re.compile(
    r'<div(?= [^<>]*?\bclass="[^"<>]*\bjp-(?:Cell-inputWrapper|OutputArea-output)\b)'
)
_SILENT = re.compile(r"<img(?=[\s/>])(?![^>]*?\salt\b)", re.IGNORECASE)


def for_readers(page: str) -> str:
    """Return a page whose cells the keyboard reaches, and whose pictures all have a text for those who cannot see them.

    >>> for_readers('<div class="jp-Cell-inputWrapper">')
    '<div tabindex="0" class="jp-Cell-inputWrapper">'
    """
    page = _REACHED.sub(r'\g<0> tabindex="0"', page)
    return _SILENT.sub(r'\g<0> alt="No description has been provided for this image"', page)

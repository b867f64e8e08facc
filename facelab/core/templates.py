"""Pages and pieces of HTML from Jinja2 templates: every text is escaped, and no name forges a line or a tag."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.core.escape import block

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

PACKAGE = Path(__file__).resolve().parents[1]


def render(template: str, /, **values: Any) -> Markup:
    """Return a template of the package, filled in.

    The result is markup: another template takes it as it is, and `+` escapes the text beside it.

    Parameters
    ----------
    template : str
        The file inside the package, such as "core/templates/table.html.j2".
    **values
        What the template names; one that it names and that is not given is an error.

    Examples
    --------
    >>> print(render("core/templates/image.html.j2", alt='<a "face">', kind="png", data="AA=="))
    <img alt="&lt;a &#34;face&#34;&gt;" src="data:image/png;base64,AA==">
    """
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(values))


@functools.cache
def _environment() -> Environment:
    """Return the loader of templates; made on first use, so that nothing imports Jinja2 before a page is shown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )


def _visible(value: Any) -> Any:
    """Return a text with control characters as escapes; markup and other values as they are."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else block(value)

"""Find links of the built site that lead nowhere: `python docs/tools/anchors.py [SITE]` prints them and exits with 1.

Markdown's links are checked by mkdocs itself; tables of contents, notebooks and search entries are not.
"""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors and the links of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what can be linked to, and what is linked."""
        given = dict(attrs)
        self.anchors |= {v for k in ("id", "name") if (v := given.get(k))}
        if tag == "a" and (link := given.get("href")):
            self.links.append(link)


def broken(site: Path) -> list[str]:
    """Return `page: link` for each link within the site, search entries included, whose target is not there."""
    site = site.resolve()
    pages = {p: Page(p) for p in sorted(site.rglob("*.html"))}
    links = [(p, link) for p, page in pages.items() for link in page.links]
    index = site / "search" / "search_index.json"
    if index.is_file():
        entries = json.loads(index.read_text(encoding="utf-8"))["docs"]
        links += [(site / "index.html", entry["location"]) for entry in entries]
    found = []
    for page, link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        start = site if parts.path.startswith("/") else page.parent
        target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        anchor = unquote(parts.fragment)
        if not target.exists() or (
            anchor and target in pages and anchor not in pages[target].anchors
        ):
            found.append(f"{page.relative_to(site)}: {link}")
    return sorted(set(found))


if __name__ == "__main__":
    wrong = broken(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)

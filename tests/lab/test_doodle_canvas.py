"""The sheet to draw on, in a real JupyterLab and a real Chromium: a drawn heart is answered, and so is a line."""

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

import test_jupyterlab as jupyter
from chromium import executable

NOTEBOOK = "sheet.ipynb"
CELL = """
from pathlib import Path
from facelab import doodle
doodle.canvas(doodle.load(Path({folder!r})))
"""
SHEET = "document.querySelector('.facelab-doodle canvas')"
ANSWER = "document.querySelector('.facelab-doodle-answer')?.textContent"

project, environment, lab, page = (
    jupyter.project,
    jupyter.environment,
    jupyter.lab,
    jupyter.page,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small classifier: 1500 drawings suffice for a clean heart."""
    from facelab import doodle

    out = tmp_path_factory.mktemp("doodle")
    return doodle.train(out, doodle.Settings(n=1500, epochs=6)).folder


def heart(n: int = 60) -> list[tuple[float, float]]:
    """Points of a heart in the unit square, from the cusp around."""
    out = []
    for k in range(n + 1):
        t = 2 * math.pi * k / n
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        out.append((0.5 + x / 40, 0.5 - y / 40))
    return out


def stroke(page, points) -> None:
    """Draw with the mouse: real input events of the browser."""
    box = page.evaluate(
        f"(() => {{ const r = {SHEET}.getBoundingClientRect(); return [r.left, r.top, r.width, r.height] }})()"
    )
    left, top, width, height = box
    at = [(left + x * width, top + y * height) for x, y in points]
    mouse = {"button": "left", "clickCount": 1}
    page.send("Input.dispatchMouseEvent", type="mousePressed", x=at[0][0], y=at[0][1], **mouse)
    for x, y in at[1:]:
        page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
    page.send("Input.dispatchMouseEvent", type="mouseReleased", x=at[-1][0], y=at[-1][1], **mouse)


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.skipif(executable() is None, reason="no Chromium is installed (Debian: chromium)")
def test_a_drawn_heart_is_answered_and_so_is_a_line(lab, page, project, trained, tmp_path):
    cell = {
        "cell_type": "code",
        "id": "sheet",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": CELL.format(folder=str(trained)).strip().splitlines(True),
    }
    kernel = {"display_name": "facelab", "language": "python", "name": "python3"}
    written = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (project / "notebooks" / NOTEBOOK).write_text(json.dumps(written))
    address, token = lab
    page.send("Page.navigate", url=f"{address}/lab/tree/notebooks/{NOTEBOOK}?token={token}")
    jupyter.wait_open(page, project, NOTEBOOK)
    jupyter.run_all(page)
    page.wait(f"{SHEET} && {SHEET}.clientWidth > 200", seconds=120, what="the sheet is seen")
    assert page.evaluate(ANSWER) == "draw a heart, or anything else"
    stroke(page, heart())
    page.wait(f"({ANSWER}).startsWith('a heart')", seconds=60, what="the heart is answered")
    page.screenshot(tmp_path / "heart.png")
    assert page.evaluate(
        f"(() => {{ const c = {SHEET}; const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " return d.filter((v, i) => i % 4 === 3 && v > 0).length > 500 })()"
    ), "the line is drawn in the browser"
    page.evaluate("document.querySelector('.facelab-doodle button').click()")
    page.wait(f"({ANSWER}).startsWith('draw')", seconds=30, what="the sheet is cleared")
    stroke(page, [(0.1, 0.5), (0.5, 0.52), (0.9, 0.5)])
    page.wait(f"({ANSWER}).startsWith('no heart')", seconds=30, what="the line is answered")
    assert not page.console, page.console

"""Every block of Python in the docs runs, with what its page takes for granted."""

import re

import pytest
from conftest_docs import REPOSITORY

DOCS = REPOSITORY / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
BLOCKS = [
    (page.stem, number, body)
    for page in sorted(DOCS.rglob("*.md"))
    if page.stem != "first-hour"  # as one program, by test_concept_pages.py
    for number, body in enumerate(BLOCK.findall(page.read_text()), 1)
]

GIVEN = {
    "latency-and-memory": """
        from facelab import detection
        from facelab.preprocess import read_image
        images, detector = [read_image("photo.jpg")] * 2, detection.load("haar")""",
    "surviving-crashes": """
        from pathlib import Path
        from facelab.preprocess import read_image
        data, image = Path("photo.jpg").read_bytes(), read_image("photo.jpg")""",
    "vector-index": """
        from types import SimpleNamespace
        import numpy as np
        from facelab.preprocess import PreprocessSpec
        spec, model = PreprocessSpec.load("model.preprocess.json"), SimpleNamespace(path="model.onnx")
        embedder = SimpleNamespace(name="mine", spec=spec, model=model)
        vectors = np.random.default_rng(0).standard_normal((4, 512)).astype("f4")
        names, queries = ["a", "a", "b", "b"], vectors[:1]""",
    "writing-a-notebook": """
        import sys
        from pathlib import Path
        from types import SimpleNamespace
        import facelab
        from facelab.report import style
        Path("my_study.py").write_text("def measure(n):\\n    return list(range(n))\\n")
        sys.path.insert(0, ".")
        import my_study as study
        n = 3
        pictures = SimpleNamespace(cost=lambda rows: style.figure(4, 3)[0])""",
}
"""Page → what its reader has already."""

NOT_RUN = {
    ("cameras", 1): "needs a camera",
    ("sizing-a-pool", 1): "needs a PostgreSQL server",
    ("vector-index", 2): "needs a PostgreSQL server",
}


def given(page):
    return re.sub(r"^ {8}", "", GIVEN.get(page, ""), flags=re.M)


@pytest.mark.parametrize(
    ("page", "number", "body"), BLOCKS, ids=[f"{page}-{number}" for page, number, _ in BLOCKS]
)
def test_a_block_runs(page, number, body, inside):
    if reason := NOT_RUN.get((page, number)):
        compile(body, page, "exec")
        pytest.skip(reason)
    program = compile(f"{given(page)}\n{body}", f"{page}.md", "exec")
    exec(program, {"__name__": page})  # noqa: S102 - the text of this repository


def test_no_reason_is_left_over():
    there = {(page, number) for page, number, _ in BLOCKS}
    assert set(NOT_RUN) <= there and set(GIVEN) <= {page for page, _ in there}

"""JupyterLab's files: a notebook is read with its kernel's language and written as it is committed."""

import asyncio
import json
from pathlib import Path

import pytest
from ipykernel.ipkernel import IPythonKernel

from facelab.session._contents import Notebooks

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = "01_data_and_models.ipynb"


@pytest.fixture
def served(tmp_path):
    file = tmp_path / "a.ipynb"
    file.write_bytes((REPOSITORY / "notebooks" / MODELS).read_bytes())
    (tmp_path / "b.txt").write_text("plain")
    return Notebooks(root_dir=str(tmp_path)), file


def read(manager, path, **options):
    return asyncio.run(manager.get(path, **options))


def test_a_notebook_has_its_kernels_language_while_it_is_open(served):
    manager, file = served
    before = json.loads(file.read_text())
    model = read(manager, "a.ipynb")
    assert model["content"]["metadata"]["language_info"] == IPythonKernel.language_info
    del model["content"]["cells"][1:]
    asyncio.run(manager.save({"type": "notebook", "content": model["content"]}, "a.ipynb"))
    after = json.loads(file.read_text())
    assert after["metadata"] == before["metadata"] and len(after["cells"]) == 1


def test_what_is_none_of_ours_stays(served, tmp_path):
    manager, file = served
    assert read(manager, "b.txt")["content"] == "plain"
    assert {m["name"] for m in read(manager, "")["content"]} == {"a.ipynb", "b.txt"}
    assert read(manager, "a.ipynb", content=False)["content"] is None
    other = json.loads(file.read_text())
    other["metadata"] = {
        "kernelspec": {"display_name": "Julia", "language": "julia", "name": "julia"},
        "language_info": {"name": "python"},
    }
    (tmp_path / "c.ipynb").write_text(json.dumps(other))
    assert read(manager, "c.ipynb")["content"]["metadata"]["language_info"] == {"name": "python"}

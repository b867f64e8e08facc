"""Long calls of a project's own functions: kept, loaded, and computed again when a module they reach changes."""

import importlib
import math
import sys

import pytest

from facelab.core.errors import BadInputError
from facelab.core.project import is_project, project_root, user_folder
from facelab.session import _call_key as call_key
from facelab.session import start

PLAN = 'schema = "facelab.plan/1"\n'


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A project with two modules beside its notebooks, one of which imports the other."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "plan.toml").write_text(PLAN)
    (notebooks / "own_helper.py").write_text("FACTOR = 2\n")
    (notebooks / "own_work.py").write_text(
        "import own_helper\ndef double(n):\n    return {'value': n * own_helper.FACTOR}\n"
    )
    monkeypatch.chdir(notebooks)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("FACELAB_STEP_DIR", raising=False)
    monkeypatch.setattr(call_key, "LOADED", math.inf)
    yield tmp_path
    for name in ("own_helper", "own_work"):
        sys.modules.pop(name, None)


def again():
    """Forget what was read of the modules, as a new kernel does."""
    call_key._modules_of.cache_clear()
    call_key._closure.cache_clear()
    for name in ("own_helper", "own_work"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return start("step"), importlib.import_module("own_work").double


def test_an_own_functions_result_is_kept_until_a_module_it_reaches_changes(own, capsys):
    for said in ("no earlier result", "loaded, computed"):
        run, double = again()
        assert run.long("twice", double, 4) == {"value": 8} and said in capsys.readouterr().out
    (own / "notebooks" / "own_helper.py").write_text("FACTOR = 300\n")
    run, double = again()
    assert run.long("twice", double, 4) == {"value": 1200}
    assert "the code changed" in capsys.readouterr().out


def test_a_library_is_not_a_projects_own(own):
    import json

    with pytest.raises(BadInputError, match="only a function of a module"):
        call_key.function_name(json.dumps)


def test_the_project_is_found_by_facelabs_plan_and_not_by_pyproject(tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "notebooks").mkdir(parents=True)
    (other / "pyproject.toml").write_text("")
    monkeypatch.chdir(other / "notebooks")
    assert project_root() != other, "a folder of another project"
    (other / "notebooks" / "plan.toml").write_text("[[task]]\n")
    assert project_root() != other, "a plan of another program"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "plan.toml").write_text(PLAN)
    assert project_root() == tmp_path and is_project(tmp_path)


def test_without_a_checkout_the_users_data_folder_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("facelab.core.project.is_project", lambda folder: False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert project_root() == user_folder() == tmp_path / "facelab"

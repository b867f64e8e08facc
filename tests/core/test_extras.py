"""A package of an extra that is not installed: one sentence with the extra, never a traceback."""

import importlib.metadata
import re
import sys

import pytest

from facelab.cli import run
from facelab.core import extras
from facelab.core.errors import UnsupportedError


def test_every_extra_of_the_package_is_known():
    declared = set(importlib.metadata.metadata("facelab").get_all("Provides-Extra"))
    assert set(extras.EXTRAS) == declared - {"dev", "docs"}


def test_modules_of_the_base_installation_are_in_no_extra():
    base = [
        re.split(r"[<>=\[; ]", r)[0].lower()
        for r in importlib.metadata.requires("facelab")
        if "extra ==" not in r
    ]
    owners = importlib.metadata.packages_distributions()
    for module in (m for modules in extras.EXTRAS.values() for m in modules):
        assert not {d.lower() for d in owners.get(module, ())} & set(base), module


def test_the_command_line_names_the_extra(monkeypatch, capsys, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/plan.toml").write_text("schema = 1\n")
    for name in [m for m in sys.modules if m.partition(".")[0] == "jupyter_client"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jupyter_client", None)
    monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", None)

    def broken(*_, **__):
        import jupyter_client.kernelspec  # noqa: F401

    monkeypatch.setattr("facelab.cli.cli.main", broken)
    assert run(["reproduce"]) == 2
    told = capsys.readouterr().err
    assert "pip install 'facelab[notebooks]'" in told and "Traceback" not in told


def test_what_no_extra_brings_stays_a_fault_of_facelab(monkeypatch):
    def broken(*_, **__):
        import facelab.no_such_module  # noqa: F401

    monkeypatch.setattr("facelab.cli.cli.main", broken)
    with pytest.raises(ModuleNotFoundError):
        run(["reproduce"])


def test_training_without_tensorflow_is_refused_before_any_picture(monkeypatch):
    from facelab.emotion.internals import interpreter

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match="not installed") as e:
        interpreter("keras")
    assert "facelab[train]" in e.value.fix

"""The doctor of an installation without a checkout names what works there: there is no Makefile."""

from types import SimpleNamespace

import pytest

from facelab.core import extras, project
from facelab.doctor import _assets as assets
from facelab.doctor import _environment as environment
from facelab.doctor import _kernels as kernels
from facelab.doctor import all_checks


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """As after `pip install facelab`: no checkout, no extra, no registered kernel."""
    for module in (extras, environment, kernels):
        monkeypatch.setattr(module, "in_checkout", lambda: False)
    monkeypatch.setattr(assets, "in_checkout", lambda: False)
    there = extras._is_there
    of_extras = {m for modules in extras.EXTRAS.values() for m in modules}
    monkeypatch.setattr(extras, "_is_there", lambda m: m not in of_extras and there(m))
    monkeypatch.setattr(kernels, "kernels_folder", lambda: tmp_path)
    absent = SimpleNamespace(state="absent", place="", problem=None)
    monkeypatch.setattr(assets, "status", lambda _: absent)


def test_nothing_names_a_makefile_and_no_choice_is_broken(installed):
    checks = all_checks(start_kernels=False)
    assert not [c for c in checks if "make setup" in f"{c.detail} {c.fix}"]
    by_name = {c.name: c for c in checks}
    assert by_name["facelab"].status == "info"
    assert by_name["facelab"].fix == "pip install 'facelab[notebooks]'"
    assert by_name["facelab-modelmaker"].status == "info"
    assert by_name["dlib-resnet"].status == "info"
    assert by_name["dlib-resnet"].fix == "pip install 'facelab[bench]'"
    assert "train" in by_name["extras"].data["missing"]
    # what the base installation brings is broken where it is away
    assert by_name["mtcnn"].status == "broken"
    assert by_name["mtcnn"].fix == "pip install --force-reinstall facelab"


def test_with_the_notebooks_the_kernel_is_registered_later(installed, monkeypatch):
    monkeypatch.setattr(extras, "_is_there", lambda module: True)
    by_name = {c.name: c for c in kernels.kernel_checks(start=False)}
    assert by_name["facelab"].status == "info" and by_name["facelab"].fix is None
    assert environment._extras().status == "ok"


def test_this_checkout_is_one(tmp_path, monkeypatch):
    assert project.in_checkout()
    monkeypatch.chdir(tmp_path)
    assert project.in_checkout(), "where facelab is installed counts, not the working folder"
    assert extras.how_to_install("train") == "make setup"

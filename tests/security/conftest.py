"""Folders that strangers sent: what is planted in them must not run."""

from pathlib import Path

import pytest

NAMES = """
numpy json subprocess ctypes facelab PIL cv2 onnx onnxruntime ai_edge_litert keras tensorflow joblib ipykernel
ipykernel_launcher runpy importlib multiprocessing pickle random struct zipfile sitecustomize
"""
PLANTED = NAMES.split()


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A working folder full of modules that leave a mark where they run; call it for the marks."""
    folder, marks = tmp_path / "stranger", tmp_path / "marks"
    folder.mkdir()
    marks.mkdir()
    for name in PLANTED:
        (folder / f"{name}.py").write_text(
            f"open({str(marks / name)!r}, 'w').close()\nraise ImportError('planted {name}')\n"
        )
    monkeypatch.chdir(folder)
    # a developer's own setting would hide what is tested
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return lambda: sorted(p.name for p in Path(marks).iterdir())

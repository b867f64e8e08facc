"""Facts of the machine, on the first call after an installation."""

from facelab.doctor import _machine


def test_the_disk_is_looked_at_where_nothing_was_made_yet(tmp_path, monkeypatch):
    root = tmp_path / "home" / ".local" / "share" / "facelab"
    monkeypatch.setattr(_machine, "project_root", lambda: root)
    disk = next(c for c in _machine.machine_checks() if c.name == "disk")
    assert "GB free" in disk.detail and not root.exists()

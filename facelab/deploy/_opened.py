"""A bundle on disk. Apart from what makes one, so that checking a bundle loads little."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facelab.core.html_table import table
from facelab.core.templates import render
from facelab.deploy.manifest import FileEntry, Manifest


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def model(self) -> Path:
        """The model's file."""
        return self.folder / self.manifest.model

    def to_dict(self) -> dict:
        """Return what is worth reporting as plain JSON."""
        m = self.manifest
        return {
            "schema": "facelab.bundled/1",
            "bundle": str(self.folder),
            "name": m.name,
            "task": m.task,
            "model": m.model,
            "hash": m.hash,
            "files": len(m.files),
            "bytes": sum(f.bytes for f in m.files),
            "probes": len(m.golden),
            "labels": m.labels,
            "licence": m.licence.licence,
            "quantized": m.quantized,
        }

    def _repr_html_(self) -> str:
        m = self.manifest
        roles: dict[str, list[FileEntry]] = {}
        for f in m.files:
            roles.setdefault(f.role, []).append(f)
        rows = [
            (
                role.replace("_", " "),
                len(fs),
                sum(f.bytes for f in fs),
                fs[0].path + (" …" if len(fs) > 1 else ""),
            )
            for role, fs in roles.items()
        ]
        files = table(["role", "files", "bytes", "path"], rows)
        return render("deploy/templates/bundle.html.j2", manifest=m, files=files)

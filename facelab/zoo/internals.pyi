from . import families, given, mirror, trust
from ._assets import Asset, data_folder, models_folder
from ._catalogue import ModelEntry
from ._integrity import refuse_impostor
from ._registry import DataEntry, load_registry, unpack
from ._store import Status, require, source_file

__all__ = [
    "Asset",
    "DataEntry",
    "ModelEntry",
    "Status",
    "data_folder",
    "families",
    "given",
    "load_registry",
    "mirror",
    "models_folder",
    "refuse_impostor",
    "require",
    "source_file",
    "trust",
    "unpack",
]

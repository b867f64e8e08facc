from . import families, given, trust
from ._assets import Asset, data_folder, models_folder
from ._integrity import refuse_impostor
from ._registry import DataEntry, load_registry, unpack
from ._store import Status, source_file

__all__ = [
    "Asset",
    "DataEntry",
    "Status",
    "data_folder",
    "families",
    "given",
    "load_registry",
    "models_folder",
    "refuse_impostor",
    "source_file",
    "trust",
    "unpack",
]

from . import families, given, mirror, runtimes, trust
from ._assets import Asset, data_folder, models_folder
from ._catalogue import ModelEntry, load_catalogue
from ._integrity import refuse_impostor
from ._loading import available, load
from ._registry import DataEntry, load_registry, unpack
from ._store import Status, fetch, find, require, status

__all__ = [
    "Asset",
    "DataEntry",
    "ModelEntry",
    "Status",
    "available",
    "data_folder",
    "families",
    "fetch",
    "find",
    "given",
    "load",
    "load_catalogue",
    "load_registry",
    "mirror",
    "models_folder",
    "refuse_impostor",
    "require",
    "runtimes",
    "status",
    "trust",
    "unpack",
]

from ._pipeline import Pipeline, PipelineStage
from .canary._canary import Canary
from .pools._diagnosis import diagnose
from .pools._load import open_loop
from .pools._pool import Pool
from .pools._resources import postgres_connections
from .releases._slot import ModelSlot
from .releases._store import ReleaseStore
from .service._app import create_app
from .service._gate import checked_text, image_header

__all__ = [
    "Canary",
    "ModelSlot",
    "Pipeline",
    "PipelineStage",
    "Pool",
    "ReleaseStore",
    "checked_text",
    "create_app",
    "diagnose",
    "image_header",
    "open_loop",
    "postgres_connections",
]

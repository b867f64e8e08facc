from ._pipeline import FrameSource, Pipeline, PipelineRun, PipelineStage
from ._pipeline_face import RenderedFrames, face_pipeline
from .canary._canary import Canary
from .canary._rollout import Rollout
from .canary._sequential import bounds
from .pools._diagnosis import diagnose
from .pools._lease import OverloadedError
from .pools._load import closed_loop, open_loop
from .pools._local import local_postgres, local_valkey
from .pools._pool import Pool
from .pools._resources import onnx_sessions, postgres_connections, valkey_clients
from .releases._adapters import task_adapter
from .releases._offline import tested
from .releases._slot import ModelSlot
from .releases._store import ReleaseStore
from .releases._trust import Trust
from .service._app import create_app
from .service._limits import Limits
from .service._server import listen, running, server
from .service._tasks import FaceTasks, same_emotions

__all__ = [
    "Canary",
    "FaceTasks",
    "FrameSource",
    "Limits",
    "ModelSlot",
    "OverloadedError",
    "Pipeline",
    "PipelineRun",
    "PipelineStage",
    "Pool",
    "ReleaseStore",
    "RenderedFrames",
    "Rollout",
    "Trust",
    "bounds",
    "closed_loop",
    "create_app",
    "diagnose",
    "face_pipeline",
    "listen",
    "local_postgres",
    "local_valkey",
    "onnx_sessions",
    "open_loop",
    "postgres_connections",
    "running",
    "same_emotions",
    "server",
    "task_adapter",
    "tested",
    "valkey_clients",
]

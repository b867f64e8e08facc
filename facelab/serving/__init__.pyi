from ._pipeline import FrameSource, Pipeline, PipelineRun, PipelineStage
from ._pipeline_face import RenderedFrames, face_pipeline
from .canary._canary import Canary
from .canary._rollout import Rollout
from .canary._sequential import bounds
from .degradation._matrix import Degradation, load_matrix
from .degradation._measure import measure
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
from .service._gate import checked_text, image_header
from .service._limits import Limits
from .service._server import listen, running, server
from .service._tasks import FaceTasks, same_emotions
from .workers._isolated import Isolation
from .workers._process import Recipe
from .workers._proof import prove
from .workers._restarts import Restarts
from .workers._supervisor import SupervisedWorker

__all__ = [
    "Canary",
    "Degradation",
    "FaceTasks",
    "FrameSource",
    "Isolation",
    "Limits",
    "ModelSlot",
    "OverloadedError",
    "Pipeline",
    "PipelineRun",
    "PipelineStage",
    "Pool",
    "Recipe",
    "ReleaseStore",
    "RenderedFrames",
    "Restarts",
    "Rollout",
    "SupervisedWorker",
    "Trust",
    "bounds",
    "checked_text",
    "closed_loop",
    "create_app",
    "diagnose",
    "face_pipeline",
    "image_header",
    "listen",
    "load_matrix",
    "local_postgres",
    "local_valkey",
    "measure",
    "onnx_sessions",
    "open_loop",
    "postgres_connections",
    "prove",
    "running",
    "same_emotions",
    "server",
    "task_adapter",
    "tested",
    "valkey_clients",
]

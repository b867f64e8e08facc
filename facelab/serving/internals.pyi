from ._pipeline import PipelineRun
from ._pipeline_face import RenderedFrames, face_pipeline
from .canary._rollout import Rollout
from .canary._sequential import bounds
from .pools._load import closed_loop
from .pools._local import local_postgres, local_valkey
from .pools._resources import onnx_sessions, valkey_clients
from .releases._adapters import task_adapter
from .releases._offline import tested
from .releases._trust import Trust
from .service._limits import Limits
from .service._server import listen, running, server
from .service._tasks import FaceTasks, same_emotions
from .workers._isolated import Isolation
from .workers._proof import Proof, prove
from .workers._restarts import Restarts
from .workers._supervisor import SupervisedWorker

__all__ = [
    "FaceTasks",
    "Isolation",
    "Limits",
    "PipelineRun",
    "Proof",
    "RenderedFrames",
    "Restarts",
    "Rollout",
    "SupervisedWorker",
    "Trust",
    "bounds",
    "closed_loop",
    "face_pipeline",
    "listen",
    "local_postgres",
    "local_valkey",
    "onnx_sessions",
    "prove",
    "running",
    "same_emotions",
    "server",
    "task_adapter",
    "tested",
    "valkey_clients",
]

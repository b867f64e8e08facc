"""What keeps running on a device: bounded pools, hot reload, canaries, the service, the pipeline of stages."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_pipeline": ["FrameSource", "Pipeline", "PipelineRun", "PipelineStage"],
        "_pipeline_face": ["RenderedFrames", "face_pipeline"],
        "canary._canary": ["Canary"],
        "canary._rollout": ["Rollout"],
        "canary._sequential": ["bounds"],
        "pools._diagnosis": ["diagnose"],
        "pools._lease": ["OverloadedError"],
        "pools._load": ["closed_loop", "open_loop"],
        "pools._local": ["local_postgres", "local_valkey"],
        "pools._pool": ["Pool"],
        "releases._adapters": ["task_adapter"],
        "releases._offline": ["tested"],
        "releases._slot": ["ModelSlot"],
        "releases._store": ["ReleaseStore"],
        "releases._trust": ["Trust"],
        "service._app": ["create_app"],
        "service._limits": ["Limits"],
        "service._server": ["listen", "running", "server"],
        "service._tasks": ["FaceTasks", "same_emotions"],
        "pools._resources": ["onnx_sessions", "postgres_connections", "valkey_clients"],
    },
)

"""What facelab uses of ONNX Runtime, which states no types; other names are `Any`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

class SessionOptions:
    log_severity_level: int
    intra_op_num_threads: int
    inter_op_num_threads: int
    execution_mode: Any
    graph_optimization_level: Any
    enable_mem_pattern: bool
    enable_cpu_mem_arena: bool
    enable_profiling: bool
    profile_file_prefix: str
    optimized_model_filepath: str
    def __init__(self) -> None: ...
    def add_session_config_entry(self, key: str, value: str) -> None: ...

class NodeArg:
    name: str
    type: str
    shape: list[int | str | None]

class InferenceSession:
    def __init__(
        self,
        path_or_bytes: str | bytes,
        sess_options: SessionOptions | None = ...,
        providers: Sequence[str] | None = ...,
    ) -> None: ...
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]
    ) -> list[np.ndarray[Any, np.dtype[Any]]]: ...
    def get_inputs(self) -> list[NodeArg]: ...
    def get_outputs(self) -> list[NodeArg]: ...
    def get_modelmeta(self) -> Any: ...
    def io_binding(self) -> Any: ...
    def run_with_iobinding(self, iobinding: Any) -> None: ...
    def end_profiling(self) -> str: ...

def __getattr__(name: str) -> Any: ...

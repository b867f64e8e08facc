"""The study of the matchers: what notebook 08 and `facelab match bench` measure."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facelab.studies.matching._claims import kernel_claims, search_claims, thread_claims
    from facelab.studies.matching._compile import CompileAhead
    from facelab.studies.matching._data import make_data, split_embeddings
    from facelab.studies.matching._disassembly import listing
    from facelab.studies.matching._harness import pairwise_benchmark, search_benchmark
    from facelab.studies.matching._notebook import (
        abandoning,
        blas_kernels,
        blas_table,
        check_proof,
        inner_loops,
        kernel_points,
        listings,
        record_limits,
        record_rows,
        report_claims,
        scaling_panels,
        search_all,
        search_photographs,
        search_points,
        search_table,
        search_with_all_cores,
    )
    from facelab.studies.matching._roofline import measure_limits, two_threads
    from facelab.studies.matching._rows import as_dict, as_record, table
    from facelab.studies.matching._streamed import memory_table, streamed_search

_NAMES = {
    "_claims": ["kernel_claims", "search_claims", "thread_claims"],
    "_compile": ["CompileAhead"],
    "_data": ["make_data", "split_embeddings"],
    "_disassembly": ["listing"],
    "_harness": ["pairwise_benchmark", "search_benchmark"],
    "_notebook": [
        "abandoning",
        "blas_kernels",
        "blas_table",
        "check_proof",
        "inner_loops",
        "kernel_points",
        "listings",
        "record_limits",
        "record_rows",
        "report_claims",
        "scaling_panels",
        "search_all",
        "search_photographs",
        "search_points",
        "search_table",
        "search_with_all_cores",
    ],
    "_roofline": ["measure_limits", "two_threads"],
    "_rows": ["as_dict", "as_record", "table"],
    "_streamed": ["memory_table", "streamed_search"],
}
__all__ = [
    "CompileAhead",
    "abandoning",
    "as_dict",
    "as_record",
    "blas_kernels",
    "blas_table",
    "check_proof",
    "inner_loops",
    "kernel_claims",
    "kernel_points",
    "listing",
    "listings",
    "make_data",
    "measure_limits",
    "memory_table",
    "pairwise_benchmark",
    "record_limits",
    "record_rows",
    "report_claims",
    "scaling_panels",
    "search_all",
    "search_benchmark",
    "search_claims",
    "search_photographs",
    "search_points",
    "search_table",
    "search_with_all_cores",
    "split_embeddings",
    "streamed_search",
    "table",
    "thread_claims",
    "two_threads",
]
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs=_NAMES)

"""Graph → graph, one pass a file. `PIPELINE` lists them in order; `run_passes` runs them."""

from layercc.passes.infrastructure import Pass, PassError, graph_pass
from layercc.passes.pipeline import OPTIMIZE, PIPELINE, SIMPLIFY, preparation, run_passes

__all__ = [
    "OPTIMIZE",
    "PIPELINE",
    "SIMPLIFY",
    "Pass",
    "PassError",
    "graph_pass",
    "preparation",
    "run_passes",
]

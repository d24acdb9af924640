"""The list of all passes, and how a graph goes through it."""

from __future__ import annotations

from collections.abc import Iterable

from ir.graph import Graph
from layercc.passes.channels_last import channels_last
from layercc.passes.clean_imports import clean_imports
from layercc.passes.decompose_gemm import decompose_gemm
from layercc.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from layercc.passes.eliminate_dead_code import eliminate_dead_code
from layercc.passes.fold_batch_normalization import fold_batch_normalization
from layercc.passes.fold_constants import fold_constants
from layercc.passes.fold_padding import fold_padding
from layercc.passes.fuse_epilogues import fuse_epilogues
from layercc.passes.fuse_pointwise import fuse_pointwise
from layercc.passes.infrastructure import Observer, Pass, run_sequence
from layercc.passes.simplify_shapes import simplify_shapes

#: Portable simplification, in rounds until nothing changes.
SIMPLIFY: tuple[Pass, ...] = (
    clean_imports,
    fold_constants,
    simplify_shapes,
    eliminate_common_subexpressions,
    eliminate_dead_code,
    decompose_gemm,
    fold_batch_normalization,
    fold_padding,
)
#: Preparation for the target, once.
OPTIMIZE: tuple[Pass, ...] = (
    channels_last,
    fuse_epilogues,
    fuse_pointwise,
)
PIPELINE: tuple[Pass, ...] = (*SIMPLIFY, *OPTIMIZE)


def run_passes(
    graph: Graph,
    passes: Iterable[Pass] = PIPELINE,
    *,
    until: str | None = None,
    verify: bool = False,
    observe: Observer | None = None,
) -> Graph:
    """The graph after `passes` (see `infrastructure.run_sequence`); the argument is not changed."""
    return run_sequence(graph, passes, until=until, verify=verify, observe=observe)

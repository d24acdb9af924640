"""The list of all passes, and how a graph goes through it."""

from __future__ import annotations

from collections.abc import Iterable

from ir.graph import Graph
from layercc.passes.absorb_expand import absorb_expand
from layercc.passes.channels_last import channels_last
from layercc.passes.clean_imports import clean_imports
from layercc.passes.decompose_batch_normalization import decompose_batch_normalization
from layercc.passes.decompose_contributed import decompose_contributed
from layercc.passes.decompose_einsum import decompose_einsum
from layercc.passes.decompose_gemm import decompose_gemm
from layercc.passes.divide_variadic import divide_variadic
from layercc.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from layercc.passes.eliminate_dead_code import eliminate_dead_code
from layercc.passes.expand_composites import expand_composites
from layercc.passes.fold_constants import fold_constants
from layercc.passes.fold_padding import fold_padding
from layercc.passes.fold_scale_and_shift import fold_scale_and_shift
from layercc.passes.fuse_epilogues import fuse_epilogues
from layercc.passes.fuse_pointwise import fuse_pointwise
from layercc.passes.hoist_loop_invariants import hoist_loop_invariants
from layercc.passes.hoist_shapes import hoist_shapes
from layercc.passes.infrastructure import Observer, Pass, run_sequence
from layercc.passes.inline_branches import inline_branches
from layercc.passes.recognize_activations import recognize_activations
from layercc.passes.recognize_attention import recognize_attention
from layercc.passes.recognize_causal_mask import recognize_causal_mask
from layercc.passes.recognize_gelu import recognize_gelu
from layercc.passes.recognize_global_pooling import recognize_global_pooling
from layercc.passes.recognize_group_normalization import recognize_group_normalization
from layercc.passes.recognize_normalization import recognize_normalization
from layercc.passes.simplify_arithmetic import simplify_arithmetic
from layercc.passes.simplify_shapes import simplify_shapes
from layercc.passes.unroll_loops import unroll_loops
from layercc.passes.widen_contractions import widen_contractions, widen_contractions_but_halves

#: Portable simplification, in rounds until nothing changes.
SIMPLIFY: tuple[Pass, ...] = (
    expand_composites,
    inline_branches,
    hoist_loop_invariants,
    unroll_loops,
    clean_imports,
    decompose_contributed,
    decompose_einsum,
    fold_constants,
    hoist_shapes,
    simplify_shapes,
    absorb_expand,
    simplify_arithmetic,
    eliminate_common_subexpressions,
    eliminate_dead_code,
    recognize_normalization,
    recognize_group_normalization,
    recognize_gelu,
    recognize_activations,
    recognize_attention,
    recognize_causal_mask,
    recognize_global_pooling,
    decompose_gemm,
    decompose_batch_normalization,
    divide_variadic,
    fold_scale_and_shift,
    fold_padding,
)
#: What rearranging a layout may leave behind.
TIDY: tuple[Pass, ...] = (
    clean_imports,
    simplify_shapes,
    eliminate_common_subexpressions,
    eliminate_dead_code,
)
#: Preparation for the target, once.
OPTIMIZE: tuple[Pass, ...] = (
    widen_contractions,
    channels_last,
    *TIDY,
    fuse_epilogues,
    fuse_pointwise,
)
PIPELINE: tuple[Pass, ...] = (*SIMPLIFY, *OPTIMIZE)


def preparation(halves: bool) -> tuple[Pass, ...]:
    """`OPTIMIZE` for a target that multiplies half-precision operands, or not."""
    if not halves:
        return OPTIMIZE
    other = {widen_contractions.name: widen_contractions_but_halves}
    return tuple(other.get(each.name, each) for each in OPTIMIZE)


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

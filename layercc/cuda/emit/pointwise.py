"""Emission of pointwise jobs: one launch, over dims that are walked as one where they can be."""

from __future__ import annotations

import math
from typing import Any

from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels.pointwise import THREADS
from layercc.cuda.kernels.pointwise import pointwise as kernel
from layercc.jobs.pointwise import Pointwise, collapse, row_major_strides

#: Elements of a thread where it can read them at once: 16 bytes of most types.
_WIDTH = 4
ACCESS = 16  # bytes of the widest access


@emitter(Pointwise)
def pointwise(builder: Builder, job: Pointwise) -> None:
    """One launch; wide accesses if all operands are walked in steps of them."""
    rank = len(job.shape)
    n = countable("a pointwise group", math.prod(job.shape))
    walks = [row_major_strides(tensor.shape, rank) for tensor in job.operands]
    dense = row_major_strides(job.shape, rank)
    sizes, (*merged, _) = collapse(job.shape, [*walks, dense])
    arguments: dict[str, Any] = {
        **{f"x{k}": tensor for k, tensor in enumerate(job.operands)},
        **{f"y{k}": tensor for k, tensor in enumerate(job.outputs)},
        "n": n,
    }
    for d, size in enumerate(sizes):
        if d:
            arguments[f"size{d}"] = size
        if d < len(sizes) - 1:
            for k, walk in enumerate(merged):
                arguments[f"x{k}_stride{d}"] = walk[d]
    inner = tuple(walk[-1] for walk in merged)
    places = (*job.operands, *job.outputs)
    strides = [step for walk in merged for step in walk[:-1]]
    whole = len(sizes) == 1 or not any(value % _WIDTH for value in (sizes[-1], *strides))
    width = _WIDTH if whole and n >= _WIDTH and all(map(is_aligned, places)) else 1
    builder.call(
        kernel.key(job.expression, inner, len(sizes), width),
        -(-n // (THREADS * width)),
        flops=job.flops * n,
        **arguments,
    )


def is_aligned(tensor: Tensor) -> bool:
    """Whether the tensor begins where the widest access may; buffers themselves do."""
    return tensor.offset % ACCESS == 0

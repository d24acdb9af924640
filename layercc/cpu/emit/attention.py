"""Emission of attention and rotary position embedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from ir.dtypes import HALVES, DType
from layercc.buffers import Tensor
from layercc.cpu.algorithms.panels import pack_at_run_time
from layercc.cpu.emit.builder import Builder, part_of
from layercc.cpu.emit.movement import CHUNK
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.attention import (
    ADDED,
    BLOCK_TILES,
    CHOSEN,
    NOTHING,
    PRODUCTS,
    VALUE_VECTORS,
)
from layercc.cpu.kernels.attention import attention as kernel
from layercc.cpu.kernels.rotary import rotary as rotary_kernel
from layercc.cpu.tiles import choose_vectors, lanes, tile_rows, widest
from layercc.jobs.attention import Attention, Heads, Rotary, Stage
from layercc.jobs.pointwise import Pointwise, row_major_strides
from layercc.kernels.expressions import ExpressionBuilder, conversion

#: A window without a bound.
_EVERYTHING = 1 << 40
_SCORE_FLOPS, _ROTARY_FLOPS = 10, 3  # beside the products, a score; an element


@emitter(Attention)
def attention(builder: Builder, job: Attention) -> None:
    """K' and V packed in panels, then one call: blocks of queries by blocks of columns of V."""
    if job.q.tensor.dtype in HALVES:
        _in_f32(builder, job)
        return
    q, k, v, y = job.q, job.k, job.v, job.y
    batch, heads, queries, size = q.shape
    _, kv_heads, keys, value_size = v.shape
    isa, kind = builder.isa, str(q.tensor.dtype)
    key_vectors, value_vectors = widest(isa), choose_vectors(isa, value_size, kind)
    groups = (batch, kv_heads)
    steps = (k.batch, k.head, 1, k.row)
    packed_keys = pack_at_run_time(builder, k.tensor, groups, steps, size, keys, key_vectors)
    steps = (v.batch, v.head, v.row, 1)
    packed_values = pack_at_run_time(
        builder, v.tensor, groups, steps, keys, value_size, value_vectors
    )
    row_blocks = -(-queries // (BLOCK_TILES * tile_rows(isa, key_vectors)))
    value_width = VALUE_VECTORS // value_vectors * value_vectors * lanes(isa, kind)
    value_blocks = -(-value_size // value_width)
    given = {"lengths": job.lengths, "scores": job.scores}
    optional: dict[str, Any] = {name: t for name, t in given.items() if t is not None}
    if job.mask is not None:
        optional["mask"] = _mask_words(builder, job.mask, q.tensor.dtype)
    builder.call(
        kernel.key(kind, key_vectors, value_vectors),
        tasks=batch * heads * row_blocks * value_blocks,
        flops=batch * heads * queries * keys * 2 * (size + value_size + _SCORE_FLOPS),
        q=q.tensor,
        k=packed_keys.tensor,
        v=packed_values.tensor,
        y=y.tensor,
        **optional,
        scale=job.scale,
        softcap=job.softcap,
        empty=job.empty,
        heads=heads,
        shared=heads // kv_heads,
        queries=queries,
        keys=keys,
        head_size=size,
        width=key_vectors * lanes(isa, kind),
        value_size=value_size,
        past=job.past,
        limited=int(job.lengths is not None),
        window_past=_EVERYTHING if job.before is None else job.before,
        window_future=_EVERYTHING if job.after is None else job.after,
        shown=NOTHING if job.scores is None else PRODUCTS + get_args(Stage).index(job.shown),
        q_batch=q.batch,
        q_head=q.head,
        q_row=q.row,
        y_batch=y.batch,
        y_head=y.head,
        y_row=y.row,
    )


def _in_f32(builder: Builder, job: Attention) -> None:
    """Operands widened before, results rounded after."""

    def wide(tensor: Tensor) -> Tensor:
        return builder.scratch(DType.f32, tensor.shape)

    def convert(x: Tensor, y: Tensor) -> Tensor:
        expression = conversion(str(x.dtype), str(y.dtype))
        builder.emit(Pointwise(expression, (x,), (y,), x.shape, 1))
        return y

    def widened(heads: Heads) -> Heads:
        return replace(heads, tensor=convert(heads.tensor, wide(heads.tensor)))

    mask, scores = job.mask, job.scores
    if mask is not None and mask.dtype is not DType.bool:
        mask = convert(mask, wide(mask))
    shown = None if scores is None else wide(scores)
    q, k, v = (widened(heads) for heads in (job.q, job.k, job.v))
    y = replace(job.y, tensor=wide(job.y.tensor))
    attention(builder, replace(job, q=q, k=k, v=v, y=y, mask=mask, scores=shown))
    convert(y.tensor, job.y.tensor)
    if scores is not None and shown is not None:
        convert(shown, scores)


def _mask_words(builder: Builder, mask: Tensor, dtype: DType) -> dict[str, Any]:
    """The mask as numbers to add or choose by, and its strides over batch, heads and queries."""
    numbers = mask
    if mask.dtype is DType.bool:  # its logarithm: 0 where a key is seen, else -inf
        numbers = builder.scratch(dtype, mask.shape)
        steps = ExpressionBuilder(1)
        seen = steps("identity", 0, dtype=str(dtype))
        expression = steps.expression(("bool",), steps("log", seen, dtype=str(dtype)))
        builder.emit(Pointwise(expression, (mask,), (numbers,), mask.shape))
    batch, head, row, _ = row_major_strides(mask.shape, 4)
    return {
        "given": CHOSEN if mask.dtype is DType.bool else ADDED, "data": numbers,
        "keys": mask.shape[-1], "batch": batch, "head": head, "row": row,
    }  # fmt: skip


@emitter(Rotary)
def rotary(builder: Builder, job: Rotary) -> None:
    """Rows in chunks; one pass over x, and the caches read where the positions say."""
    x = job.x
    batch, heads, length, size = x.shape
    rows = batch * heads * length
    chunk = max(CHUNK // max(size, 1), 1)
    optional = {} if job.positions is None else {"positions": job.positions}
    turns = batch * length * (job.turned // 2)
    builder.call(
        rotary_kernel.key(str(x.tensor.dtype), job.interleaved),
        tasks=-(-rows // chunk),
        flops=_ROTARY_FLOPS * x.tensor.size,
        x=x.tensor,
        y=job.y,
        cosines=part_of(job.cosines, turns),
        sines=part_of(job.sines, turns),
        **optional,
        indexed=int(job.positions is not None),
        entries=job.cosines.shape[0],
        rows=rows,
        chunk=chunk,
        heads=heads,
        length=length,
        size=size,
        half=job.turned // 2,
        x_batch=x.batch,
        x_head=x.head,
        x_row=x.row,
    )

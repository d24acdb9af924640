"""Lowering of attention and rotary position embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ir.dtypes import DType
from ir.graph import Node
from ir.ops.attention import AttentionDims, attention_dims
from layercc.cpu.algorithms.panels import pack_at_run_time
from layercc.cpu.emit.movement import CHUNK
from layercc.cpu.kernels.attention import (
    ADDED,
    BLOCK_TILES,
    CHOSEN,
    NOTHING,
    PRODUCTS,
    VALUE_VECTORS,
)
from layercc.cpu.kernels.attention import attention as kernel
from layercc.cpu.kernels.rotary import rotary
from layercc.cpu.tiles import choose_vectors, lanes, tile_rows, widest
from layercc.jobs.movement import strides_of
from layercc.lower.casting import cast, computable, result, rounded
from layercc.lower.context import Context, Tensor
from layercc.lower.gathering import in_range
from layercc.lower.movement import strided_copy
from layercc.lower.registry import lowering

#: A window without a bound.
_EVERYTHING = 1 << 40


@dataclass(frozen=True)
class Heads:
    """A tensor seen as [batch, heads, sequence, size], the size dense; strides in elements."""

    tensor: Tensor
    batch: int
    head: int
    row: int

    @staticmethod
    def of(tensor: Tensor, packed: bool, heads: int) -> Heads:
        """[batch, sequence, heads * size] if `packed`, else [batch, heads, sequence, size]."""
        if packed:
            _, length, hidden = tensor.shape
            return Heads(tensor, length * hidden, hidden // heads if heads else 0, hidden)
        _, heads, length, size = tensor.shape
        return Heads(tensor, heads * length * size, length * size, size)


@lowering("Attention")
def attention(context: Context, node: Node) -> None:
    """Scaled dot-product attention: K' and V packed in panels, then one kernel."""
    call = context.call_of(node)
    dims = attention_dims(call)
    given = [*node.inputs, *[""] * (7 - len(node.inputs))]
    wanted = [*node.outputs, *[""] * (4 - len(node.outputs))]
    q = computable(context, context.tensor(given[0]))
    heads, kv_heads = int(dims.q_heads), int(dims.kv_heads)
    k, v = (
        _keys_or_values(context, dims, given[1 + i], given[4 + i], wanted[1 + i], q.dtype)
        for i in range(2)
    )
    size, value_size, keys = int(dims.head_size), int(dims.v_head_size), int(dims.total_length)
    batch, queries = int(dims.batch), int(dims.q_length)
    kind = str(q.dtype)
    key_vectors, value_vectors = widest(context.isa), choose_vectors(context.isa, value_size, kind)
    groups = (batch, kv_heads)
    packed_keys = pack_at_run_time(
        context.builder, k.tensor, groups, (k.batch, k.head, 1, k.row), size, keys, key_vectors
    )
    steps = (v.batch, v.head, v.row, 1)
    packed_values = pack_at_run_time(
        context.builder, v.tensor, groups, steps, keys, value_size, value_vectors
    )
    y = result(context, wanted[0], q.dtype)
    q_at, y_at = Heads.of(q, dims.packed, heads), Heads.of(y, dims.packed, heads)
    scores = result(context, wanted[3], q.dtype) if wanted[3] else None
    row_blocks = -(-queries // (BLOCK_TILES * tile_rows(context.isa, key_vectors)))
    value_width = VALUE_VECTORS // value_vectors * value_vectors * lanes(context.isa, kind)
    value_blocks = -(-value_size // value_width)
    future = 0 if call.is_causal else _EVERYTHING
    if call.right_window_size >= 0:
        future = min(future, call.right_window_size)
    past = int(dims.past_length)
    tensors = {
        "q": q, "k": packed_keys.tensor, "v": packed_values.tensor, "y": y,
    }  # fmt: skip
    if given[6]:
        tensors["lengths"] = in_range(context, node, 6)
    if scores is not None:
        tensors["scores"] = scores
    context.call(
        kernel.key(kind, key_vectors, value_vectors),
        tasks=batch * heads * row_blocks * value_blocks,
        flops=2 * batch * heads * queries * keys * (size + value_size + 10),
        **tensors,
        mask=_mask_words(context, given[3], q.dtype, (batch, heads, queries, keys)),
        scale=1 / math.sqrt(size) if call.scale is None else call.scale,
        softcap=float(call.softcap),
        empty=math.nan if call.fully_masked == "nan" and keys else 0.0,
        heads=heads,
        shared=heads // kv_heads,
        queries=queries,
        keys=keys,
        head_size=size,
        width=key_vectors * lanes(context.isa, kind),
        value_size=value_size,
        past=past,
        limited=int(bool(given[6])),
        window_past=call.left_window_size if call.left_window_size >= 0 else _EVERYTHING,
        window_future=future,
        shown=NOTHING if scores is None else PRODUCTS + call.qk_matmul_output_mode,
        q_batch=q_at.batch,
        q_head=q_at.head,
        q_row=q_at.row,
        y_batch=y_at.batch,
        y_head=y_at.head,
        y_row=y_at.row,
    )
    rounded(context, y, wanted[0])
    if scores is not None:
        rounded(context, scores, wanted[3])


def _keys_or_values(
    context: Context, dims: AttentionDims, name: str, past: str, present: str, dtype: DType
) -> Heads:
    """All keys (or values): those given before the ones of this call, where there are any.

    They are put together if they are an output, or need be.
    """
    x = context.tensor(name)
    heads = int(dims.kv_heads)
    at = Heads.of(x, dims.packed, heads)
    if past or present:
        size = x.shape[2] // heads if dims.packed else x.shape[3]
        length, before = int(dims.kv_length), int(dims.past_length)
        shape = (int(dims.batch), heads, before + length, size)
        whole = context.output(present) if present else context.scratch(x.dtype, shape)
        strides = strides_of(shape)
        strided_copy(
            context, x, whole, (shape[0], heads, length, size),
            (at.batch, at.head, at.row, 1), strides, 0, before * size,
        )  # fmt: skip
        if past:
            old = context.tensor(past)
            strided_copy(context, old, whole, old.shape, strides_of(old.shape), strides)
        at = Heads.of(whole, False, heads)
    wide = computable(context, at.tensor)
    if wide.dtype is not dtype:
        other = context.scratch(dtype, wide.shape)
        cast(context, wide, other)
        wide = other
    return Heads(wide, at.batch, at.head, at.row)


def _mask_words(
    context: Context, name: str, dtype: DType, scores: tuple[int, ...]
) -> dict[str, Any]:
    """The mask as numbers to add or choose by, and its strides over batch, heads and queries."""
    if not name:
        return {}
    mask = context.tensor(name)
    added = mask
    if mask.dtype is DType.bool:
        added = context.scratch(dtype, mask.shape)
        _log(context, mask, added)
    elif mask.dtype is not dtype:
        added = context.scratch(dtype, mask.shape)
        cast(context, mask, added)
    if not mask.shape:  # one number for all
        row = context.scratch(dtype, scores[-1:])
        strided_copy(context, added, row, row.shape, (0,), (1,))
        added = row
    shape = (1,) * (4 - len(added.shape)) + added.shape
    strides = [0 if dim == 1 else step for dim, step in zip(shape, strides_of(shape), strict=True)]
    return {
        "given": CHOSEN if mask.dtype is DType.bool else ADDED, "data": added, "keys": shape[-1],
        "batch": strides[0], "head": strides[1], "row": strides[2],
    }  # fmt: skip


def _log(context: Context, mask: Tensor, added: Tensor) -> None:
    """0 where the mask is true and -inf where it is false: its logarithm."""
    from layercc.lower.pointwise import emit_pointwise

    kind = str(added.dtype)
    steps = (("identity", (0,), (), kind), ("log", (1,), (), kind))
    emit_pointwise(context, (("bool",), steps, (2,)), [mask], [added], mask.shape)


@lowering("RotaryEmbedding")
def rotary_embedding(context: Context, node: Node) -> None:
    """One pass over X; the caches are read where the positions say."""
    call = context.call_of(node)
    x, cosines, sines = (computable(context, context.tensor(name)) for name in node.inputs[:3])
    y = result(context, node.outputs[0], x.dtype)
    packed = len(x.shape) == 3
    heads = call.num_heads if packed else x.shape[1]
    batch, length = x.shape[0], x.shape[1] if packed else x.shape[2]
    size = x.shape[2] // heads if packed else x.shape[3]
    at = Heads.of(x, packed, heads)
    indexed = len(node.inputs) > 3 and bool(node.inputs[3])
    entries = cosines.shape[0]
    positions = {"positions": in_range(context, node, 3)} if indexed else {}
    rows = batch * heads * length if entries or not indexed else 0
    chunk = max(CHUNK // max(size, 1), 1)
    context.call(
        rotary.key(str(x.dtype), bool(call.interleaved)),
        tasks=-(-rows // chunk),
        flops=3 * x.size,
        x=x,
        y=y,
        cosines=cosines,
        sines=sines,
        **positions,
        indexed=int(indexed),
        entries=entries,
        rows=rows,
        chunk=chunk,
        heads=heads,
        length=length,
        size=size,
        half=(call.rotary_embedding_dim or size) // 2,
        x_batch=at.batch,
        x_head=at.head,
        x_row=at.row,
    )
    rounded(context, y, node.outputs[0])

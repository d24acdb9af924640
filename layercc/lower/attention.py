"""Lowering of attention and rotary position embeddings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

from ir.dtypes import HALVES, DType
from ir.graph import Node
from ir.ops.attention import AttentionDims, attention_dims
from layercc.buffers import Tensor
from layercc.jobs import attention as jobs
from layercc.jobs.attention import Heads
from layercc.jobs.movement import strides_of
from layercc.lower.casting import cast, computable, result, rounded
from layercc.lower.context import Context
from layercc.lower.gathering import in_range
from layercc.lower.movement import strided_copy
from layercc.lower.registry import lowering


def _heads(tensor: Tensor, packed: bool, heads: int) -> Heads:
    """[batch, sequence, heads * size] if `packed`, else [batch, heads, sequence, size]."""
    return Heads.packed(tensor, heads) if packed else Heads.apart(tensor)


@lowering("Attention")
def attention(context: Context, node: Node) -> None:
    """Past and present keys and values together, then attention, in the element type of all its
    operands or one that holds theirs."""
    call = context.call_of(node)
    dims = attention_dims(call)
    given = [*node.inputs, *[""] * (7 - len(node.inputs))]
    wanted = [*node.outputs, *[""] * (4 - len(node.outputs))]
    dtype = _common_type(context, [name for name in given[:6] if name])
    q = _as(context, context.tensor(given[0]), dtype)
    heads, keys = int(dims.q_heads), int(dims.total_length)
    k, v = (
        _keys_or_values(context, dims, given[1 + i], given[4 + i], wanted[1 + i], dtype)
        for i in range(2)
    )
    y = result(context, wanted[0], dtype)
    scores = result(context, wanted[3], dtype) if wanted[3] else None
    after = call.right_window_size if call.right_window_size >= 0 else None
    context.emit(
        jobs.Attention(
            q=_heads(q, dims.packed, heads),
            k=k,
            v=v,
            y=_heads(y, dims.packed, heads),
            mask=_mask(context, given[3], dtype, keys) if given[3] else None,
            lengths=in_range(context, node, 6) if given[6] else None,
            scale=1 / math.sqrt(int(dims.head_size)) if call.scale is None else call.scale,
            softcap=float(call.softcap),
            past=int(dims.past_length),
            before=call.left_window_size if call.left_window_size >= 0 else None,
            after=0 if call.is_causal else after,
            empty=math.nan if call.fully_masked == "nan" and keys else 0.0,
            scores=scores,
            shown=get_args(jobs.Stage)[call.qk_matmul_output_mode],
        )
    )
    rounded(context, y, wanted[0])
    if scores is not None:
        rounded(context, scores, wanted[3])


def _common_type(context: Context, names: list[str]) -> DType:
    """The element type of values (but for bool), or where they differ that in which the first is
    computed."""
    dtypes = {context.dtype(name) for name in names} - {DType.bool}
    first = context.dtype(names[0])
    return DType.f32 if first in HALVES and len(dtypes) > 1 else first


def _keys_or_values(
    context: Context, dims: AttentionDims, name: str, past: str, present: str, dtype: DType
) -> Heads:
    """All keys (or values): those given before the ones of this call, where there are any.

    They are put together if they are an output, or need be.
    """
    at = _heads(context.tensor(name), dims.packed, int(dims.kv_heads))
    if past or present:
        batch, heads, length, size = at.shape
        before = int(dims.past_length)
        shape = (batch, heads, before + length, size)
        whole = context.output(present) if present else context.scratch(at.tensor.dtype, shape)
        strides = strides_of(shape)
        strided_copy(
            context, at.tensor, whole, at.shape,
            (at.batch, at.head, at.row, 1), strides, 0, before * size,
        )  # fmt: skip
        if past:
            old = context.tensor(past)
            strided_copy(context, old, whole, old.shape, strides_of(old.shape), strides)
        at = Heads.apart(whole)
    return replace(at, tensor=_as(context, at.tensor, dtype))


def _as(context: Context, x: Tensor, dtype: DType) -> Tensor:
    """`x`, or its values as `dtype` where it is of another type."""
    if x.dtype is dtype:
        return x
    other = context.scratch(dtype, x.shape)
    cast(context, x, other)
    return other


def _mask(context: Context, name: str, dtype: DType, keys: int) -> Tensor:
    """The mask in `dtype`, or bool; with a dim for the keys, where it is one number for all."""
    mask = context.tensor(name)
    if mask.dtype is not DType.bool:
        mask = _as(context, mask, dtype)
    if mask.shape:
        return mask
    row = context.scratch(mask.dtype, (keys,))
    strided_copy(context, mask, row, row.shape, (0,), (1,))
    return row


@lowering("RotaryEmbedding")
def rotary_embedding(context: Context, node: Node) -> None:
    """One job, in a type that is computed with."""
    call = context.call_of(node)
    x, cosines, sines = (computable(context, context.tensor(name)) for name in node.inputs[:3])
    y = result(context, node.outputs[0], x.dtype)
    at = _heads(x, len(x.shape) == 3, call.num_heads)
    positions = in_range(context, node, 3) if call.has(3) else None
    if positions is None or cosines.shape[0]:  # else any position is out of range
        turned = call.rotary_embedding_dim or at.shape[3]
        interleaved = bool(call.interleaved)
        context.emit(jobs.Rotary(at, y, cosines, sines, positions, interleaved, turned))
    rounded(context, y, node.outputs[0])

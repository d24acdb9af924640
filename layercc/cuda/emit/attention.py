"""Emission of attention: a warp a query; and of rotary position embedding: a pair a thread."""

from __future__ import annotations

from typing import Any

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import attention as kernels
from layercc.cuda.kernels import rotary as rotary_kernels
from layercc.jobs.attention import Attention, Heads, Rotary
from layercc.jobs.pointwise import row_major_strides

#: A window without a bound.
_EVERYTHING = 1 << 40
_SCORE_FLOPS, _ROTARY_FLOPS = 10, 3  # beside the products, a score; an element


@emitter(Attention)
def attention(builder: Builder, job: Attention) -> None:
    """One launch. Raises UnsupportedError for f64, whose exponential is the C library's."""
    q, v = job.q, job.v
    batch, heads, queries, size = q.shape
    _, kv_heads, keys, value_size = v.shape
    kind = q.tensor.dtype
    if kind is not DType.f32:
        raise UnsupportedError(f"no kernel for a GPU computes attention in {kind}; f32 would fit")
    rows = batch * heads * queries
    countable("the scores of an attention", rows * max(keys, 1))
    most = kernels.MOST_PARTS * kernels.WARP
    value_blocks = max(-(-value_size // most), 1)
    parts = max(-(-min(value_size, most) // kernels.WARP), 1)
    warps = countable("an attention", rows * value_blocks)
    words: dict[str, Any] = {}
    mask_strides, mask_keys, mask_kind = [0, 0, 0], 0, ""
    if job.mask is not None:
        mask_kind = "chosen" if job.mask.dtype is DType.bool else "added"
        mask_strides, mask_keys = row_major_strides(job.mask.shape, 4)[:3], job.mask.shape[-1]
        words["mask_"] = job.mask
    if job.lengths is not None:
        words["lengths"] = job.lengths
    if job.scores is not None:
        words["scores"] = job.scores
    windowed = job.before is not None or job.after is not None
    shown = "" if job.scores is None else job.shown
    limited = job.lengths is not None
    builder.call(
        kernels.attention.key(
            str(kind), parts, mask_kind, limited, bool(job.softcap), windowed, shown
        ),
        -(-warps // (kernels.THREADS // kernels.WARP)),
        flops=rows * keys * 2 * (size + value_size + _SCORE_FLOPS),
        q=q.tensor,
        k=job.k.tensor,
        v=v.tensor,
        y=job.y.tensor,
        **words,
        warps=warps,
        heads=heads,
        shared=heads // max(kv_heads, 1),
        queries=queries,
        keys=keys,
        size=size,
        value_size=value_size,
        value_blocks=value_blocks,
        past=job.past,
        before=_EVERYTHING if job.before is None else job.before,
        after=_EVERYTHING if job.after is None else job.after,
        scale=job.scale,
        softcap=job.softcap,
        empty=job.empty,
        of_q=_strides(q),
        of_k=_strides(job.k),
        of_v=_strides(v),
        of_y=_strides(job.y),
        mask_at=dict(zip(("batch", "head", "row"), mask_strides, strict=True)),
        mask_keys=mask_keys,
    )


def _strides(heads: Heads) -> dict[str, int]:
    return {"batch": heads.batch, "head": heads.head, "row": heads.row}


@emitter(Rotary)
def rotary(builder: Builder, job: Rotary) -> None:
    """One launch."""
    x, half = job.x, job.turned // 2
    batch, heads, length, size = x.shape
    countable("what is turned", x.tensor.size)
    countable("cosines", job.cosines.size)
    n = batch * heads * length * (size - half)
    words: dict[str, Any] = {} if job.positions is None else {"positions": job.positions}
    builder.call(
        rotary_kernels.rotary.key(str(x.tensor.dtype), job.interleaved, job.positions is not None),
        -(-n // rotary_kernels.THREADS),
        flops=_ROTARY_FLOPS * x.tensor.size,
        x=x.tensor,
        y=job.y,
        cosines=job.cosines,
        sines=job.sines,
        **words,
        entries=job.cosines.shape[0],
        n=n,
        heads=heads,
        length=length,
        size=size,
        half=half,
        x_batch=x.batch,
        x_head=x.head,
        x_row=x.row,
    )

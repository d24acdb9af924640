"""Emission of attention: on tensor cores, or a warp a query; and of rotary position embedding: a
pair a thread."""

from __future__ import annotations

from typing import Any

from ir.dtypes import DType
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import attention as kernels
from layercc.cuda.kernels import attention_tiles as tiles
from layercc.cuda.kernels import rotary as rotary_kernels
from layercc.jobs.attention import Attention, Heads, Rotary
from layercc.jobs.pointwise import row_major_strides

#: A window without a bound.
_EVERYTHING = 1 << 40
_SCORE_FLOPS, _ROTARY_FLOPS = 10, 3  # beside the products, a score; an element
#: Queries from which tiles of them are worth their fixed size.
_LEAST_QUERIES = 16
#: Pieces of bf16 as which f32 is multiplied, by precision.
_PIECES = {"highest": 3, "high": 2, "medium": 1}


@emitter(Attention)
def attention(builder: Builder, job: Attention) -> None:
    """One launch. Which kernel hangs on all but the batch, so that a sample gives the same within
    any."""
    batch, heads, queries, size = job.q.shape
    keys, value_size = job.v.shape[2:]
    rows = batch * heads * queries
    countable("the scores of an attention", rows * max(keys, 1))
    flops = rows * keys * 2 * (size + value_size + _SCORE_FLOPS)
    shape = _tiles_of(builder, job)
    if shape is None:
        _by_warps(builder, job, flops)
        return
    element, pieces, depth, columns = shape
    value_blocks = -(-value_size // columns)
    builder.call(
        tiles.attention_tiles.key(
            str(job.q.tensor.dtype), element, pieces, depth, columns, _is_wide(job), *_of_key(job)
        ),
        batch * heads * -(-queries // tiles.ROWS) * value_blocks,
        flops=flops,
        algorithm="tiles",
        job=_words(job, value_blocks),
        row_blocks=-(-queries // tiles.ROWS),
    )


def _tiles_of(builder: Builder, job: Attention) -> tuple[str, int, int, int] | None:
    """(kind of products, pieces, depth, columns of V) of tiles; None where there are none that fit
    the job."""
    dtype, queries, size = job.q.tensor.dtype, job.q.shape[2], job.q.shape[3]
    if dtype is DType.f64 or job.scores is not None or queries < _LEAST_QUERIES:
        return None
    element, pieces = "bf16", _PIECES[builder.precision]
    if dtype is not DType.f32:
        element, pieces = str(dtype), 1
    columns = next((n for n in tiles.SIZES if n >= job.v.shape[3]), tiles.MOST_COLUMNS)
    columns = min(columns, tiles.MOST_COLUMNS)
    depth = next((n for n in tiles.SIZES if n >= size), 0)
    room = builder.architecture.shared_of_block
    if not depth or tiles.shared_bytes(pieces, depth, columns) > room:
        return None
    return element, pieces, depth, columns


def _is_wide(job: Attention) -> bool:
    """Whether four neighbouring elements of Q, K and V can be read at once."""
    for heads in (job.q, job.k, job.v):
        steps = (heads.batch, heads.head, heads.row, heads.shape[3])
        if any(step % 4 for step in steps) or heads.tensor.offset % (
            4 * heads.tensor.dtype.itemsize
        ):
            return False
    return True


def _by_warps(builder: Builder, job: Attention, flops: int) -> None:
    batch, heads, queries, _ = job.q.shape
    value_size = job.v.shape[3]
    most = kernels.MOST_PARTS * kernels.WARP
    value_blocks = max(-(-value_size // most), 1)
    parts = max(-(-min(value_size, most) // kernels.WARP), 1)
    warps = countable("an attention", batch * heads * queries * value_blocks)
    shown = "" if job.scores is None else job.shown
    builder.call(
        kernels.attention.key(str(job.q.tensor.dtype), parts, *_of_key(job), shown),
        -(-warps // (kernels.THREADS // kernels.WARP)),
        flops=flops,
        algorithm="warps",
        job=_words(job, value_blocks),
        warps=warps,
    )


def _of_key(job: Attention) -> tuple[Any, ...]:
    """What of a job is compiled into its kernels: mask, whether limited, capped, windowed."""
    mask = ""
    if job.mask is not None:
        mask = "chosen" if job.mask.dtype is DType.bool else "added"
    windowed = job.before is not None or job.after is not None
    return mask, job.lengths is not None, bool(job.softcap), windowed


def _words(job: Attention, value_blocks: int) -> dict[str, Any]:
    """The record `layercc.cuda.kernels.attention.arguments`."""
    _, heads, queries, size = job.q.shape
    _, kv_heads, keys, value_size = job.v.shape
    words: dict[str, Any] = {}
    mask_strides, mask_keys = [0, 0, 0], 0
    if job.mask is not None:
        mask_strides, mask_keys = row_major_strides(job.mask.shape, 4)[:3], job.mask.shape[-1]
        words["mask"] = job.mask
    if job.lengths is not None:
        words["lengths"] = job.lengths
    if job.scores is not None:
        words["scores"] = job.scores
    return {
        **words,
        "q": job.q.tensor,
        "k": job.k.tensor,
        "v": job.v.tensor,
        "y": job.y.tensor,
        "heads": heads,
        "shared": heads // max(kv_heads, 1),
        "queries": queries,
        "keys": keys,
        "size": size,
        "value_size": value_size,
        "value_blocks": value_blocks,
        "past": job.past,
        "before": _EVERYTHING if job.before is None else job.before,
        "after": _EVERYTHING if job.after is None else job.after,
        "scale": job.scale,
        "softcap": job.softcap,
        "empty": job.empty,
        "of_q": _strides(job.q),
        "of_k": _strides(job.k),
        "of_v": _strides(job.v),
        "of_y": _strides(job.y),
        "mask_at": dict(zip(("batch", "head", "row"), mask_strides, strict=True)),
        "mask_keys": mask_keys,
    }


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

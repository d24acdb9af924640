"""On tensor cores, as an implicit matrix product.

Fits floats: float32 as exact as the precision wants, float16 and bfloat16 in their own type. Costs
products of whole tiles at the rate of tensor cores, and the bytes of the operands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.dtypes import DType
from layercc.algorithms import Algorithm, rows_of
from layercc.buffers import Tensor
from layercc.cuda.algorithms.arguments import common
from layercc.cuda.algorithms.arguments import of_key as key_parts
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.kernels import implicit_gemm as kernels
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.matrices import View, merged, packed_groups
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.windows import Axis
from layercc.limits import Limits

#: How elements of a type are multiplied at a precision.
_ARITHMETIC = {"highest": "tf32x3", "high": "bf16x2", "medium": "rounded"}
#: By arithmetic, the type at whose rate it runs, and instructions for one product.
_RATES = {
    "tf32x3": ("tf32", 3),
    "bf16x2": ("bf16", 3),
    "rounded": ("bf16", 1),
    "bf16": ("bf16", 1),
    "f16": ("f16", 1),
}
#: What of the peak a tile reaches, in the order of `kernels.TILES`: small ones load more for a
#: product.
_SHARES = (0.6, 0.55, 0.45, 0.2)
#: Slices' time that a block takes besides: to fill the ring, and to write the result.
_AROUND = 6
#: Seconds of a launch.
_LAUNCH = 2e-6
#: Most stretches of a sum, and the least slices of one.
_MOST_STRETCHES, _LEAST_SLICES = 16, 4
_COPIES = (16, 8, 4)
_WORDS = (1, 2, 4)


def arithmetic_of(job: Contraction, precision: str) -> str:
    """How the elements of a job are multiplied; empty if tensor cores do not."""
    dtype = job.x.dtype
    if dtype in (DType.f16, DType.bf16):
        return str(dtype)
    return _ARITHMETIC[precision] if dtype is DType.f32 else ""


def fits(job: Contraction, precision: str) -> bool:
    """Where rows of X can be copied four bytes at a time, by windows of less than 128 taps."""
    if job.x_zero or job.w_zero or job.weights.tensor.dtype != job.x.dtype or not job.depth:
        return False
    few = job.taps < 32 * _WORDS[-1]
    return bool(arithmetic_of(job, precision)) and few and _copied_x(job) > 0


def cost(job: Contraction, limits: Limits) -> float:
    """As the module says, for one image, and float32 as exact as can be."""
    arithmetic = arithmetic_of(job, "highest")
    rows, columns = _padded(rows_of(job), 16), _padded(job.columns, 64)
    terms = _padded(job.taps * job.depth, kernels.slice_terms(arithmetic))
    rate, products = _RATES[arithmetic]
    slow = 1.0 if _copied_x(_plain(job)) == 16 else 1.5
    flops = slow * 2 * products * job.group_count * rows * columns * terms
    return limits.seconds(flops, 0, rate)


def emit(builder: Builder, job: Contraction) -> None:
    """One launch, or two if the sum is split; one before where weights must be brought in order."""
    job = _plain(job)
    arithmetic = arithmetic_of(job, builder.precision)
    weights = _ordered(builder, job)
    slices = -(-job.taps * job.depth // kernels.slice_terms(arithmetic))
    stretch = stretch_of(slices)
    stretches = -(-slices // stretch)
    tile, split = schedule(builder, job, arithmetic, slices, stretches)
    rows, columns, *_ = tile
    row_blocks, column_blocks = -(-job.rows // rows), -(-job.columns // columns)
    blocks = countable("blocks", row_blocks * column_blocks * job.group_count)
    sizes: dict[str, Any] = {
        "w_step": weights.step,
        "w_terms": weights.terms,
        "slices": slices,
        "stretch": stretch,
        "row_blocks": row_blocks,
        "column_blocks": column_blocks,
        "group_count": job.group_count,
        "rows_": job.rows,
    }
    dtype = str(job.x.dtype)
    copied = (_copied_x(job), weights.copied)
    given = common(job, weights.tensor, weights.groups)
    of_key = key_parts(job, dtype, weights.groups)
    words = _words(job)
    if not split:
        parts_of_key = (*of_key[:-1], words, tile, *copied, False)
        key = kernels.implicit_gemm.key(arithmetic, dtype, *parts_of_key)
        builder.call(key, blocks, flops=job.flops, **(given | sizes))
        return
    n = job.group_count * job.rows * job.columns
    parts = builder.scratch(DType.f32, (countable("sums in parts", stretches * n),))
    plain = (((dtype,), (), (0,)), (), len(weights.groups), words)
    key = kernels.implicit_gemm.key(arithmetic, dtype, *plain, tile, *copied, True)
    partial = given | sizes | {"y": parts, "operands": ()}
    builder.call(key, blocks * stretches, flops=job.flops, **partial)
    builder.call(
        kernels.added_stretches.key(dtype, *of_key, dtype == "f32"),
        -(-n // kernels.ADDING_THREADS),
        parts=parts,
        n=n,
        stretches=stretches,
        rows_=job.rows,
        w_step=weights.step,
        **given,
    )


def stretch_of(slices: int) -> int:
    """Slices that are summed by themselves: what the order of a sum hangs on, so it hangs on the
    depth alone."""
    return -(-slices // min(max(slices // _LEAST_SLICES, 1), _MOST_STRETCHES))


def schedule(
    builder: Builder, job: Contraction, arithmetic: str, slices: int, stretches: int
) -> tuple[tuple[int, ...], bool]:
    """The tile, and whether the sum is split: what is soonest done, of what fits into the shared
    memory of a block. Neither changes a bit."""
    limits, room = builder.limits, builder.architecture.shared_of_block
    rate, products = _RATES[arithmetic]
    peak = limits.flops[rate] / limits.threads / products  # of a multiprocessor
    terms = kernels.slice_terms(arithmetic)
    found = []
    for tile, share in zip(kernels.TILES, _SHARES, strict=True):
        rows, columns, *_ = tile
        blocks = -(-job.rows // rows) * -(-job.columns // columns) * job.group_count
        slice_seconds = 2 * rows * columns * terms / (peak * share)
        for split in (False, True) if stretches > 1 else (False,):
            if kernels.shared_bytes(arithmetic, tile, split, _words(job)) > room:
                continue
            count, depth = (blocks * stretches, stretch_of(slices)) if split else (blocks, slices)
            seconds = -(-count // limits.threads) * slice_seconds * (depth + _AROUND)
            if split:
                traffic = 2 * 4 * stretches * job.group_count * job.rows * job.columns
                seconds += _LAUNCH + limits.seconds(0, traffic)
            found.append((seconds, tile, split))
    _, tile, split = min(found, key=lambda each: each[0])
    return tile, split


@dataclass(frozen=True)
class _Weights:
    """Matrices [columns, terms] of each group, columns `step` elements apart; `copied` bytes at a
    time."""

    tensor: Tensor
    step: int
    terms: int
    copied: int
    groups: tuple[GroupDim, ...]


def _ordered(builder: Builder, job: Contraction) -> _Weights:
    """Weights whose terms are neighbours: constants are packed now, with zeros up to whole slices;
    others are read in place where they can be, else copied by each run."""
    view, tensor = View.of(job), job.weights.tensor
    dtype = tensor.dtype
    terms = job.taps * job.depth
    if tensor.array is not None:
        padded = _padded(terms, kernels.SLICE_BYTES // dtype.itemsize)

        def pack(array: np.ndarray) -> np.ndarray:
            seen = view.of_array(array).reshape(view.count, terms, job.columns)
            packed = np.zeros((view.count, job.columns, padded), array.dtype)
            packed[..., :terms] = seen.swapaxes(1, 2)
            return packed.reshape(-1)

        made = builder.packed(tensor, f"columns by {padded} terms of {view}", pack)
        groups = packed_groups(job, job.columns * padded)
        return _Weights(made, padded, padded, _COPIES[0], groups)
    rows, columns = merged((*view.taps, view.depth)), merged(view.columns)
    if len(rows) <= 1 and len(columns) <= 1:
        (_, between), (_, step) = (*rows, (1, 1))[0], (*columns, (1, terms))[0]
        at = tensor.moved(view.start * dtype.itemsize)
        copied = _copied(dtype, at, [step, *(group.w for group in job.groups)])
        if between == 1 and copied:
            return _Weights(at, step, terms, copied, job.groups)
    leading = (*view.groups, *view.columns)
    inner = (*view.taps, view.depth)
    pitch = _padded(terms, _COPIES[0] // dtype.itemsize)
    shape = (*(size for size, _ in leading), pitch)
    ordered = builder.scratch(dtype, shape)
    sizes, strides = (tuple(part) for part in zip(*leading, *inner, strict=True))
    target = (*strides_of(shape)[:-1], *strides_of(tuple(size for size, _ in inner)))
    builder.emit(Move(tensor, ordered, sizes, strides, target, view.start))
    return _Weights(ordered, pitch, terms, _COPIES[0], packed_groups(job, job.columns * pitch))


def _plain(job: Contraction) -> Contraction:
    """A window of one tap that meets each pixel is none."""
    if job.window is None:
        return job
    axes = vars(job.window).values()
    if all(axis == Axis(inputs=axis.outputs, outputs=axis.outputs) for axis in axes):
        return replace(job, window=None)
    return job


def _words(job: Contraction) -> int:
    """Words of 32 bits that have one for each tap of the window and one more, as kernels have them;
    0 without a window."""
    return 0 if job.window is None else next(n for n in _WORDS if job.taps < 32 * n)


def _copied_x(job: Contraction) -> int:
    """Bytes of X that can be copied at a time, 0 if it cannot be copied."""
    strides = [job.x_row, *(group.x for group in job.groups)]
    if job.window is not None:
        strides.append(job.depth)  # of no more than one tap
    return _copied(job.x.dtype, job.x, strides)


def _copied(dtype: DType, tensor: Tensor, strides: list[int]) -> int:
    """The most bytes of which all these are multiples."""
    common = math.gcd(tensor.offset, *(stride * dtype.itemsize for stride in strides))
    return next((size for size in _COPIES if common % size == 0), 0)


def _padded(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


ALGORITHMS = (Algorithm("tensor_cores", fits, cost, emit),)

"""Ops that move elements, or say how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dims import SymbolicDim
from layercc.frontends.keras.registry import Refused, translates_op
from layercc.layers import emit
from layercc.layers.tensor import SymbolicTensor, ints


def sizes(c: Any, dims: Any) -> Any:
    """An operand of sizes; one may be unknown. Refused for more."""
    if any(isinstance(dim, SymbolicTensor) for dim in dims):
        raise Refused("a size that is computed")
    if sum(dim is None or dim == -1 for dim in dims) > 1:
        raise Refused(f"the shape {tuple(dims)} leaves more than one size open")
    return c.sizes([dim if dim is None or isinstance(dim, SymbolicDim) else int(dim)
                    for dim in dims])  # fmt: skip


@translates_op("numpy.Reshape")
def reshape(c: Any, x: Any) -> Any:
    return emit("Reshape", c.tensor(x), sizes(c, c.op.newshape))


@translates_op("numpy.Ravel")
def ravel(c: Any, x: Any) -> Any:
    return emit("Reshape", c.tensor(x), ints(-1))


@translates_op("numpy.Transpose")
def transpose(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    axes = c.op.axes
    order = range(x.rank)[::-1] if axes is None else [int(axis) % x.rank for axis in axes]
    return emit("Transpose", x, perm=tuple(order))


@translates_op("numpy.Swapaxes")
def swapaxes(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    order = list(range(x.rank))
    a, b = c.op.axis1 % x.rank, c.op.axis2 % x.rank
    order[a], order[b] = b, a
    return emit("Transpose", x, perm=tuple(order))


@translates_op("numpy.Moveaxis")
def moveaxis(c: Any, x: Any) -> Any:
    x = c.tensor(x)

    def plain(axis: Any) -> list[int]:
        given = [axis] if isinstance(axis, int) else axis
        return [int(a) % x.rank for a in given]

    source, target = plain(c.op.source), plain(c.op.destination)
    order = [axis for axis in range(x.rank) if axis not in source]
    for to, axis in sorted(zip(target, source, strict=True)):
        order.insert(to, axis)
    return emit("Transpose", x, perm=tuple(order))


def _axes(axis: Any) -> Any:
    return ints(*([axis] if isinstance(axis, int) else axis))


@translates_op("numpy.ExpandDims")
def expand_dims(c: Any, x: Any) -> Any:
    return emit("Unsqueeze", c.tensor(x), _axes(c.op.axis))


@translates_op("numpy.Squeeze")
def squeeze(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    return emit("Squeeze", x) if c.op.axis is None else emit("Squeeze", x, _axes(c.op.axis))


@translates_op("numpy.Concatenate")
def concatenate(c: Any, xs: Any) -> Any:
    parts = [c.tensor(x, c.dtype) for x in xs]
    if c.op.axis is None:
        parts = [emit("Reshape", x, ints(-1)) for x in parts]
    return emit("Concat", *parts, axis=int(c.op.axis or 0))


@translates_op("numpy.Append")
def append(c: Any, x1: Any, x2: Any) -> Any:
    return concatenate(c, [x1, x2])


@translates_op("numpy.Stack")
def stack(c: Any, xs: Any) -> Any:
    axis = int(c.op.axis)
    parts = [emit("Unsqueeze", c.tensor(x, c.dtype), ints(axis)) for x in xs]
    return emit("Concat", *parts, axis=axis)


@translates_op("numpy.Hstack", "numpy.Vstack")
def stack_by_name(c: Any, xs: Any) -> Any:
    parts = [c.tensor(x, c.dtype) for x in xs]
    vertical = type(c.op).__name__ == "Vstack"
    if vertical and parts[0].rank == 1:
        parts = [emit("Unsqueeze", x, ints(0)) for x in parts]
    return emit("Concat", *parts, axis=0 if vertical or parts[0].rank == 1 else 1)


@translates_op("core.Unstack")
def unstack(c: Any, x: Any) -> Any:
    axis = int(c.op.axis)
    x = c.tensor(x)
    count = len(c.outputs)
    if count == 1:
        return [emit("Squeeze", x, ints(axis))]
    parts = emit("Split", x, results=count, axis=axis, num_outputs=count)
    return [emit("Squeeze", part, ints(axis)) for part in parts]


@translates_op("numpy.Split", "numpy.ArraySplit")
def split(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    axis = int(c.op.axis) % x.rank
    count, given, size = len(c.outputs), c.op.indices_or_sections, x.shape[axis]
    if count == 1:
        return [emit("Identity", x)]
    if isinstance(given, int):
        if not isinstance(size, int):
            return list(emit("Split", x, results=count, axis=axis, num_outputs=count))
        lengths: list[Any] = [size // count + (i < size % count) for i in range(count)]
    else:
        lengths = [b - a for a, b in zip([0, *given], [*given, size], strict=True)]
    return list(emit("Split", x, c.sizes(lengths), results=count, axis=axis))


@translates_op("numpy.Flip", "numpy.Fliplr", "numpy.Flipud")
def flip(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    fixed = {"Fliplr": 1, "Flipud": 0}
    axis = fixed.get(type(c.op).__name__, getattr(c.op, "axis", None))
    axes = range(x.rank) if axis is None else [axis] if isinstance(axis, int) else axis
    axes = [int(a) for a in axes]
    count = len(axes)
    return emit(
        "Slice", x, ints(*[-1] * count), ints(*[-(2**31)] * count), ints(*axes), ints(*[-1] * count)
    )


@translates_op("numpy.Roll")
def roll(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    shifts, axes = c.op.shift, c.op.axis
    if axes is None:
        raise Refused("axis None")
    shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    axes = [axes] if isinstance(axes, int) else list(axes)
    for shift, axis in zip(shifts, axes, strict=True):
        if shift % (x.shape[axis] if isinstance(x.shape[axis], int) else 1 << 40) == 0:
            continue
        size = x.shape[axis]
        if not isinstance(size, int):
            raise Refused("along an axis whose size is not known")
        cut = size - int(shift) % size
        end = emit("Slice", x, ints(cut), ints(size), ints(axis))
        start = emit("Slice", x, ints(0), ints(cut), ints(axis))
        x = emit("Concat", end, start, axis=int(axis))
    return x


@translates_op("numpy.Pad")
def pad(c: Any, x: Any, constant_values: Any = None) -> Any:
    x = c.tensor(x)
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if c.op.mode not in modes:
        raise Refused(f"mode {c.op.mode!r}")
    width = c.op.pad_width
    if isinstance(width, int):
        width = ((width, width),) * x.rank
    pairs = [tuple(pair) for pair in width]
    if len(pairs) == 1:
        pairs = pairs * x.rank
    starts, ends = zip(*pairs, strict=True)
    value = [] if constant_values is None else [c.tensor(constant_values, x.dtype)]
    return emit("Pad", x, ints(*starts, *ends), *value, mode=modes[c.op.mode])


@translates_op("numpy.Tile")
def tile(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    given = c.op.repeats
    repeats = [given] if isinstance(given, int | SymbolicDim) else list(given)
    while len(repeats) < x.rank:
        repeats.insert(0, 1)
    if len(repeats) > x.rank:
        x = emit("Unsqueeze", x, ints(*range(len(repeats) - x.rank)))
    return emit("Tile", x, c.sizes(repeats))


@translates_op("numpy.Repeat")
def repeat(c: Any, x: Any) -> Any:
    x, count, axis = c.tensor(x), c.op.repeats, c.op.axis
    if not isinstance(count, int | np.integer):
        raise Refused("several repeats")
    if axis is None:
        x, axis = emit("Reshape", x, ints(-1)), 0
    axis = int(axis) % x.rank
    spread = emit("Unsqueeze", x, ints(axis + 1))
    spread = emit("Tile", spread, ints(*[1] * (axis + 1), int(count), *[1] * (x.rank - axis - 1)))
    if isinstance(x.shape[axis], int):
        target = [0 if i < axis else dim for i, dim in enumerate(x.shape)]
        target[axis] = int(x.shape[axis]) * int(count)
        if all(isinstance(d, int) for d in target):
            return emit("Reshape", spread, ints(*target))
    before = emit("Shape", x, end=axis) if axis else ints()
    behind = emit("Shape", x, start=axis + 1)
    return emit("Reshape", spread, emit("Concat", *([before] if axis else []), ints(-1), behind,
                                        axis=0))  # fmt: skip


@translates_op("numpy.BroadcastTo")
def broadcast_to(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    return emit("Expand", x, c.sizes([1 if dim is None else dim for dim in c.op.shape]))


@translates_op("numpy.Tril", "numpy.Triu")
def triangle(c: Any, x: Any) -> Any:
    upper = int(type(c.op).__name__ == "Triu")
    return emit("Trilu", c.tensor(x), ints(int(c.op.k))[0], upper=upper)


@translates_op("nn.DepthToSpace", "nn.SpaceToDepth")
def blocks(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    last = c.op.data_format != "channels_first"
    if last:
        x = emit("Transpose", x, perm=(0, 3, 1, 2))
    y = emit(type(c.op).__name__, x, blocksize=int(c.op.block_size))
    return emit("Transpose", y, perm=(0, 2, 3, 1)) if last else y

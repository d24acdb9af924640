"""Building blocks of translations: shapes, axes, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dims import Dim, product
from layercc.frontends.torch.translator import Tensor, Translator

#: Beyond any index: what a slice that is open at its end ends at.
END = (1 << 63) - 1


def reshaped(t: Translator, x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """`x` in another shape of as many elements; as it is where that is its own.

    A single symbolic dim is written as -1, or 0 where it is the same axis of `x`, so that nothing
    is computed for it; several are computed.
    """
    shape = tuple(shape)
    if x.shape == shape:
        return x
    symbolic = [i for i, dim in enumerate(shape) if not isinstance(dim, int)]
    if not symbolic:
        return t.emit("Reshape", x, t.ints(*shape), allowzero=1 if 0 in shape else None)  # type: ignore[arg-type]
    kept = [i for i in symbolic if i < x.rank and x.shape[i] == shape[i]]
    rest = [i for i in symbolic if i not in kept]
    static = product(dim for dim in shape if isinstance(dim, int))
    if static != 0 and (not rest or (len(rest) == 1 and not kept)):
        plain = [0 if i in kept else -1 if i in rest else dim for i, dim in enumerate(shape)]
        return t.emit("Reshape", x, t.ints(*plain))  # type: ignore[arg-type]
    return t.emit("Reshape", x, t.sizes(shape), allowzero=1)


def expanded(t: Translator, x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """`x` broadcast to a shape."""
    return x if x.shape == tuple(shape) else t.emit("Expand", x, t.sizes(shape))


def transposed(t: Translator, x: Tensor, order: Sequence[int]) -> Tensor:
    """`x` with its axes in another order."""
    order = [axis % x.rank for axis in order]
    return x if order == list(range(x.rank)) else t.emit("Transpose", x, perm=tuple(order))


def unsqueezed(t: Translator, x: Tensor, *axes: int) -> Tensor:
    return t.emit("Unsqueeze", x, t.ints(*axes))


def squeezed(t: Translator, x: Tensor, *axes: int) -> Tensor:
    return t.emit("Squeeze", x, t.ints(*axes)) if axes else x


def sliced(
    t: Translator, x: Tensor, axis: int, start: Dim = 0, end: Dim | None = None, step: int = 1
) -> Tensor:
    """`x[start:end:step]` along an axis."""
    end = END if end is None else end
    axis = axis % x.rank
    if step == 1 and start == 0 and (end in (END, x.shape[axis])):
        return x
    return t.emit("Slice", x, t.sizes([start]), t.sizes([end]), t.ints(axis), t.ints(step))


def axis_of(x: Tensor, dim: int) -> int:
    """A dim that may count from the end, as an axis; a tensor of rank 0 counts as of rank 1."""
    return dim % max(x.rank, 1)


def axes_of(x: Tensor, dims: Any) -> list[int]:
    """Axes of one dim, a list of them, or None or an empty list for all."""
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        return list(range(x.rank))
    return [axis_of(x, dim) for dim in (dims if isinstance(dims, list | tuple) else [dims])]


def common_shape(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The shape that broadcasts from shapes which PyTorch has found to fit."""
    result: list[Dim] = [1] * max(map(len, shapes))
    for shape in shapes:
        for axis, dim in enumerate(shape, start=len(result) - len(shape)):
            if dim != 1:
                result[axis] = dim
    return tuple(result)

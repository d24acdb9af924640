"""Ops about shapes: reading them, and giving the same elements another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.broadcasting import broadcast_shapes
from ir.dims import Dim, exact_div, is_known, may_equal, product
from ir.dtypes import DType
from ir.registry import Attr, Call, Op, register
from ir.symbolic import as_dim
from ir.types import TensorType, format_shape

#: Dims of a tensor: NumPy's limit.
MAX_RANK = 64


def as_dims(values: np.ndarray) -> list[Dim]:
    """The elements of a known integer tensor: Python ints and symbolic dims."""
    return [as_dim(x) for x in values.reshape(-1)]


def scalar_dim(call: Call, index: int, hint: str) -> Dim:
    """The dim that a one-element input holds; a new symbol where its value is not known."""
    known = call.value(index)
    if known is None:
        return call.fresh_dim(hint)
    if known.size != 1:
        name = call.op.input_name(index)
        call.fail(f"input {name!r} is {call.type(index)}; one element would fit")
    return as_dim(known.reshape(-1)[0])


def vector_length(call: Call, index: int) -> int:
    """Elements of a 1-d input; its length decides the rank of the result, so it must be known."""
    kind = call.type(index)
    if kind.rank != 1 or not isinstance(kind.shape[0], int):
        name = call.op.input_name(index)
        call.fail(f"input {name!r} is {kind}; one dim, of known size, would fit", "data-dependent")
    if kind.shape[0] > MAX_RANK:
        name = call.op.input_name(index)
        call.fail(f"input {name!r} is {kind}: a tensor has at most {MAX_RANK} dims", "absurd-size")
    return kind.shape[0]


def dims_of(call: Call, index: int, hint: str) -> list[Dim]:
    """Dims that a 1-d input holds, as far as its value is known; new symbols where it is not."""
    known = call.value(index)
    if known is not None:
        return as_dims(known)
    return [call.fresh_dim(hint) for _ in range(vector_length(call, index))]


def known_axes(call: Call, index: int, rank: int) -> list[int]:
    """Non-negative axes that input `index` holds; fails where one comes twice."""
    axes = [
        call.axis_of(int(axis), rank)
        for axis in as_dims(call.known(index, "it says which axes, so which shape"))
    ]
    if len(set(axes)) != len(axes):
        call.fail(f"axes {axes} name an axis twice", "bad-attribute")
    return axes


@register
class Shape(Op):
    """The dims of a tensor, from `start` up to `end`."""

    inputs = ("data: T",)
    outputs = ("shape: i64",)
    attributes = {"start": Attr("int", 0), "end": Attr("int", None)}

    @staticmethod
    def symbolic_value(call: Call) -> np.ndarray:  # type: ignore[override]
        dims = call.shape(0)[call.start : call.end]
        known = all(map(is_known, dims))
        made = np.empty(len(dims), dtype=np.int64 if known else object)
        made[:] = dims
        return made

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [TensorType(DType.i64, (len(call.shape(0)[call.start : call.end]),))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        return np.array(x.shape[call.start : call.end], dtype=np.int64)


@register
class Size(Op):
    """The number of elements of a tensor."""

    inputs = ("data: T",)
    outputs = ("size: i64",)

    @staticmethod
    def symbolic_value(call: Call) -> np.ndarray:  # type: ignore[override]
        size = call.type(0).size
        made = np.empty((), dtype=np.int64 if is_known(size) else object)
        made[()] = size
        return made

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [TensorType(DType.i64, ())]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        return np.array(x.size, dtype=np.int64)


@register
class Reshape(Op):
    """The same elements in another shape: 0 keeps a dim (unless `allowzero`), -1 is inferred.

    Dims that are kept do not count for -1, so that an empty batch has it as any other: [0, -1]
    makes (0, 12) of (0, 3, 4).
    """

    inputs = ("data: T", "shape: i64")
    attributes = {"allowzero": Attr("int", 0)}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        data = call.type(0)
        if call.value(1) is None:
            return [data.with_shape(dims_of(call, 1, "reshape"))]
        target = as_dims(call.known(1, "shape"))
        asked = format_shape(target)
        kept = _kept(call, target)
        for axis in kept:
            if axis >= data.rank:
                call.fail(f"shape {asked} copies dim {axis} of {data}, which has none")
            target[axis] = data.shape[axis]
        free = [axis for axis, dim in enumerate(target) if dim == -1]
        if len(free) > 1:
            call.fail(f"shape {asked} has more than one -1", "bad-attribute")
        if any(type(dim) is int and dim < -1 for dim in target):
            call.fail(f"shape {asked} has a negative dim", "bad-attribute")
        if free:
            target[free[0]] = _missing_dim(call, data.shape, target, kept, asked)
        elif not may_equal(product(target), data.size):
            call.fail(f"input is {data}, {data.size} elements; shape {asked} has {product(target)}")
        return [data.with_shape(target)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
        target = [int(dim) for dim in shape]
        kept = _kept(call, target)
        for axis in kept:
            target[axis] = x.shape[axis]
        if any(dim < -1 for dim in target):
            call.fail(f"shape {target} has a negative dim", "bad-attribute")
        if x.size == 0 and target.count(-1) == 1:
            missing = _missing_dim(call, x.shape, target, kept, str(target))
            target[target.index(-1)] = int(missing)
        return x.reshape(target)


def _kept(call: Call, target: Sequence[Dim]) -> list[int]:
    """Axes of the target that keep their dim."""
    return [] if call.allowzero else [axis for axis, dim in enumerate(target) if dim == 0]


def _missing_dim(
    call: Call, shape: Sequence[Dim], target: Sequence[Dim], kept: Sequence[int], asked: str
) -> Dim:
    """The dim that -1 stands for. Dims that both sides have are cancelled first."""
    rest, given = [dim for axis, dim in enumerate(shape) if axis not in kept], []
    for axis, dim in enumerate(target):
        if dim == -1 or axis in kept:
            continue
        if dim in rest and dim != 0:
            rest.remove(dim)
        else:
            given.append(dim)
    over, under = product(rest), product(given)
    if under == 0:
        call.fail(f"shape {asked} has a 0 beside -1, which then can be anything", "bad-attribute")
    whole = exact_div(over, under)
    if whole is not None:
        return whole
    if isinstance(over, int) and isinstance(under, int):
        call.fail(
            f"input is {call.type(0)}, {product(shape)} elements, which shape {asked} does not"
            f" divide: the dims besides -1 multiply to {product(d for d in target if d != -1)}"
        )
    return over // under  # exact whenever the model can run


@register
class Flatten(Op):
    """A matrix: dims before `axis` are its rows, the others its columns."""

    inputs = ("input: T",)
    attributes = {"axis": Attr("int", 1)}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        axis = _flatten_axis(call, call.rank(0))
        shape = call.shape(0)
        return [call.type(0).with_shape([product(shape[:axis]), product(shape[axis:])])]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        axis = _flatten_axis(call, x.ndim)
        return x.reshape(int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:])))


def _flatten_axis(call: Call, rank: int) -> int:
    if not -rank <= call.axis <= rank:
        call.fail(f"axis {call.axis} is outside -{rank}..{rank}", "bad-attribute")
    return call.axis + rank if call.axis < 0 else call.axis


@register
class Squeeze(Op):
    """Removes the given axes, or all axes of size 1."""

    inputs = ("data: T", "axes: i64?")
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = call.shape(0)
        if call.has(1) and call.value(1) is None:
            left = len(shape) - vector_length(call, 1)
            return [call.type(0).with_shape(call.fresh_dim("squeezed") for _ in range(left))]
        if call.has(1):
            axes = known_axes(call, 1, len(shape))
        else:
            unsure = [str(dim) for dim in shape if not is_known(dim) and may_equal(dim, 1)]
            if unsure:
                call.fail(
                    f"input is {call.type(0)}: whether {unsure[0]} is 1 is not known, so neither"
                    " is the rank of the result; give axes",
                    "data-dependent",
                )
            axes = [axis for axis, dim in enumerate(shape) if dim == 1]
        for axis in axes:
            if not may_equal(shape[axis], 1):
                call.fail(f"input is {call.type(0)}: dim {axis} is {shape[axis]}, 1 would fit")
        return [call.type(0).with_shape(d for axis, d in enumerate(shape) if axis not in axes)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
        return x.squeeze() if axes is None else x.squeeze(tuple(map(int, axes.reshape(-1))))


@register
class Unsqueeze(Op):
    """Inserts axes of size 1; `axes` are positions in the result."""

    inputs = ("data: T", "axes: i64")
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = list(call.shape(0))
        if call.value(1) is None:
            rank = len(shape) + vector_length(call, 1)
            return [call.type(0).with_shape(call.fresh_dim("unsqueezed") for _ in range(rank))]
        count = call.known(1, "it says where axes are inserted").size
        for axis in sorted(known_axes(call, 1, len(shape) + count)):
            shape.insert(axis, 1)
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, axes: np.ndarray) -> np.ndarray:
        return np.expand_dims(x, tuple(map(int, axes.reshape(-1))))


@register
class Expand(Op):
    """Broadcasts to (at least) a shape."""

    axes = "entries"
    inputs = ("input: T", "shape: i64")
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = dims_of(call, 1, "expand")
        return [call.type(0).with_shape(broadcast_shapes(call, call.shape(0), shape))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
        target = np.broadcast_shapes(x.shape, tuple(int(dim) for dim in shape))
        return np.broadcast_to(x, target).copy()


@register
class Identity(Op):
    """The input."""

    inputs = ("input: T",)
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [call.type(0)]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        return x


@register
class Transpose(Op):
    """Permutes the axes; reverses them by default."""

    inputs = ("data: T",)
    attributes = {"perm": Attr("ints", None)}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = call.shape(0)
        perm = list(range(len(shape)))[::-1] if call.perm is None else list(call.perm)
        if sorted(perm) != list(range(len(shape))):
            call.fail(
                f"perm {perm} is no permutation of the {len(shape)} axes of {call.type(0)}",
                "bad-attribute",
            )
        return [call.type(0).with_shape(shape[axis] for axis in perm)]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        return np.transpose(x, call.perm).copy()

"""Layers that join several tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ir.dims import may_equal
from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor, emit, ints


class Merge(Layer):
    """Base of element-wise merges of a list of tensors, broadcast against each other.

    A tensor of lower rank gets axes of size 1 behind its batch.
    """

    op: ClassVar[str]
    exactly: ClassVar[int | None] = None

    def call(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        if isinstance(inputs, SymbolicTensor) or len(inputs) < 1:
            self.fail("takes a list of tensors")
        if self.exactly is not None and len(inputs) != self.exactly:
            self.fail(f"takes {self.exactly} tensors, {len(inputs)} were given")
        rank = max(tensor.rank for tensor in inputs)
        level = [self._lift(tensor, rank) for tensor in inputs]
        merged = level[0]
        for other in level[1:]:
            merged = emit(self.op, merged, other)
        return self.finish(merged, len(inputs))

    def finish(self, merged: SymbolicTensor, count: int) -> SymbolicTensor:
        return merged

    def _lift(self, x: SymbolicTensor, rank: int) -> SymbolicTensor:
        missing = rank - x.rank
        return emit("Unsqueeze", x, ints(*range(1, 1 + missing))) if missing else x


class Add(Merge):
    """Sum of the tensors."""

    op = "Add"


class Subtract(Merge):
    """The first tensor minus the second."""

    op = "Sub"
    exactly = 2


class Multiply(Merge):
    """Product of the tensors."""

    op = "Mul"


class Average(Merge):
    """Mean of the tensors."""

    op = "Add"

    def finish(self, merged: SymbolicTensor, count: int) -> SymbolicTensor:
        return merged / float(count)


class Maximum(Merge):
    """Largest element of each position."""

    op = "Max"


class Minimum(Merge):
    """Smallest element of each position."""

    op = "Min"


class Concatenate(Layer):
    """The tensors one behind the other along `axis`."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.join_axis = axis

    def call(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        if isinstance(inputs, SymbolicTensor) or len(inputs) < 1:
            self.fail("takes a list of tensors")
        axis = self.axis(self.join_axis, inputs[0])
        return emit("Concat", *inputs, axis=axis) if len(inputs) > 1 else inputs[0]


class Dot(Layer):
    """Sum of products along one axis of each of two tensors, sample by sample.

    `axes`: one axis for both, or a pair. `normalize` scales the tensors to unit length along the
    axes, which gives the cosine.
    """

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.dot_axes = (axes, axes) if isinstance(axes, int) else tuple(axes)
        self.normalize = normalize

    def call(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        if isinstance(inputs, SymbolicTensor) or len(inputs) != 2:
            self.fail("takes a list of two tensors")
        first, second = inputs
        axes = [self.axis(axis, x) for axis, x in zip(self.dot_axes, inputs, strict=True)]
        if 0 in axes:
            self.fail("axes 0 is the batch", "bad-attribute")
        lengths = [x.shape[axis] for x, axis in zip(inputs, axes, strict=True)]
        if not may_equal(*lengths):
            self.fail(
                f"axis {axes[0]} of {first.type} and axis {axes[1]} of {second.type} differ: "
                f"{lengths[0]} and {lengths[1]}"
            )
        if self.normalize:
            first, second = (self._unit(x, axis) for x, axis in zip(inputs, axes, strict=True))
        letters = iter("abcdefghijklm")
        left = ["z", *(next(letters) for _ in range(first.rank - 1))]
        right = ["z", *(next(letters) for _ in range(second.rank - 1))]
        left[axes[0]] = right[axes[1]] = "k"
        kept = [letter for letter in left + right[1:] if letter != "k"]
        equation = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
        y = emit("Einsum", first, second, equation=equation)
        return emit("Unsqueeze", y, ints(1)) if y.rank == 1 else y

    def _unit(self, x: SymbolicTensor, axis: int) -> SymbolicTensor:
        total = emit("ReduceSumSquare", x, ints(axis), keepdims=1)
        return x / emit("Sqrt", emit("Max", total, 1e-12))

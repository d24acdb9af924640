"""Layers that join several tensors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ir.dims import may_equal
from layercc.layers.layer import Layer
from layercc.layers.masking import any_of, zero
from layercc.layers.tensor import SymbolicTensor, emit, ints


def _kept(x: SymbolicTensor) -> SymbolicTensor | None:
    """The mask of a tensor, to be broadcast against it."""
    return None if x.mask is None else emit("Unsqueeze", x.mask, ints(-1))


class Merge(Layer):
    """Base of element-wise merges of a list of tensors, broadcast against each other.

    A tensor of lower rank gets axes of size 1 behind its batch.
    """

    masking = True

    op: ClassVar[str]
    exactly: ClassVar[int | None] = None

    def call(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        if isinstance(inputs, SymbolicTensor) or len(inputs) < 1:
            self.fail("takes a list of tensors")
        if self.exactly is not None and len(inputs) != self.exactly:
            self.fail(f"takes {self.exactly} tensors, {len(inputs)} were given")
        rank = max(tensor.rank for tensor in inputs)
        level = [self._lift(tensor, rank) for tensor in inputs]
        return self.finish(self.merged(level), len(inputs))

    def merged(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        """The tensors, which have one rank, merged in their order."""
        return functools.reduce(lambda a, b: emit(self.op, a, b), inputs)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """A position counts if it does in any of the tensors; no mask if one has none."""
        if any(part is None for part in mask):
            return None
        return functools.reduce(lambda a, b: emit("Or", a, b), mask)

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

    def merged(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        """As in Keras, elements that a mask leaves out count as 1, and as 0 if all do."""
        kept = [_kept(x) for x in inputs]
        ones = [np.ones((), x.dtype.value) for x in inputs]
        parts = [
            x if keep is None else emit("Where", keep, x, one)
            for x, keep, one in zip(inputs, kept, ones, strict=True)
        ]
        y = super().merged(parts)
        if any(keep is None for keep in kept):
            return y
        return emit("Where", functools.reduce(lambda a, b: emit("Or", a, b), kept), y, zero(y))


class Average(Merge):
    """Mean of the tensors."""

    op = "Add"

    def finish(self, merged: SymbolicTensor, count: int) -> SymbolicTensor:
        return merged / float(count)


class _Extreme(Merge):
    """Base of merges without a neutral element: one that a mask leaves out gives way to the other
    tensor's, as in Keras."""

    def merged(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        y, kept = inputs[0], _kept(inputs[0])
        for given in inputs[1:]:
            keep = _kept(given)
            x = given if keep is None else emit("Where", keep, given, y)
            y = y if kept is None else emit("Where", kept, y, x)
            kept = None if keep is None or kept is None else emit("Or", kept, keep)
            y = emit(self.op, y, x)
        return y


class Maximum(_Extreme):
    """Largest element of each position."""

    op = "Max"


class Minimum(_Extreme):
    """Smallest element of each position."""

    op = "Min"


class Concatenate(Layer):
    """The tensors one behind the other along `axis`."""

    masking = True

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.join_axis = axis

    def call(self, inputs: Sequence[SymbolicTensor]) -> SymbolicTensor:
        if isinstance(inputs, SymbolicTensor) or len(inputs) < 1:
            self.fail("takes a list of tensors")
        axis = self.axis(self.join_axis, inputs[0])
        return emit("Concat", *inputs, axis=axis) if len(inputs) > 1 else inputs[0]

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """Masks joined as the tensors are, those without one counting whole; of the last axis, a
        position counts if any of its elements does."""
        spread = [self._spread(x, part) for x, part in zip(inputs, mask, strict=True)]
        return any_of(emit("Concat", *spread, axis=self.axis(self.join_axis, inputs[0])), -1)

    @staticmethod
    def _spread(x: SymbolicTensor, mask: SymbolicTensor | None) -> SymbolicTensor:
        if mask is None:
            return emit("Expand", np.ones((), bool), emit("Shape", x))
        if mask.rank < x.rank:
            return emit("Expand", emit("Unsqueeze", mask, ints(-1)), emit("Shape", x))
        return mask


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

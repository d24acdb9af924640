"""Sequences with masked steps, for recurrent layers.

ONNX's recurrent ops know sequences of several lengths, and Keras masks any steps. So the steps that
count are moved to the front, the op runs over as many, and each step of the result is read from
where the last step that counts, up to it, has gone: a masked step repeats the result before it.
"""

from __future__ import annotations

import numpy as np

from ir.dtypes import DType
from layercc.layers.layer import cast
from layercc.layers.masking import zero
from layercc.layers.tensor import SymbolicTensor, as_tensor, emit, ints


class MaskedSteps:
    """A mask `[batch, steps]` and where its steps go. `backwards`: they are taken from the last."""

    def __init__(self, mask: SymbolicTensor, backwards: bool) -> None:
        self.mask = cast(mask, DType.bool)
        counts = cast(self.mask, DType.i32)
        #: How many steps of each sample count: i32 [batch].
        self.lengths: SymbolicTensor = emit("ReduceSum", counts, ints(1), keepdims=0)
        before = emit("CumSum", counts, ints(1)[0], exclusive=1)
        every = emit("Unsqueeze", self.lengths, ints(1))
        last = before if backwards else before + counts - np.int32(1)
        outside = emit("Less", last, every) if backwards else emit("GreaterOrEqual", last, _i32(0))
        #: Whether a step that counts has been met, at each step.
        self.begun: SymbolicTensor = outside
        highest = emit("Max", every - np.int32(1), _i32(0))
        self._last = cast(emit("Min", emit("Max", last, _i32(0)), highest), DType.i64)

    def gathered(self, x: SymbolicTensor) -> SymbolicTensor:
        """`x` `[batch, steps, ...]` with the steps that count in front, in their order."""
        steps = x.shape[1]
        count = ints(steps) if isinstance(steps, int) else emit("Shape", x, start=1, end=2)
        size = emit("Squeeze", as_tensor(count), ints(0))
        number = emit("Range", ints(0)[0], size, ints(1)[0])
        keys = emit("Where", self.mask, number, number + size)
        _, order = emit("TopK", keys, count, results=2, axis=1, largest=0)
        return _steps(x, order)

    def spread(self, y: SymbolicTensor, zero_masked: bool) -> SymbolicTensor:
        """Results of the gathered steps, at each step; zeros before the first that counts, and
        with `zero_masked` at all that do not."""
        kept = self.mask if zero_masked else self.begun
        return emit("Where", emit("Unsqueeze", kept, ints(2)), _steps(y, self._last), zero(y))

    def last(self, state: SymbolicTensor, zero_masked: bool, backwards: bool) -> SymbolicTensor:
        """The last result, of the final state: zeros if no step counts, and with `zero_masked` if
        the last one does not."""
        if zero_masked:
            end = ints(0) if backwards else ints(-1)
            kept = emit("Gather", self.mask, end, axis=1)
        else:
            kept = emit("Unsqueeze", emit("Greater", self.lengths, _i32(0)), ints(1))
        return emit("Where", kept, state, zero(state))


def _i32(value: int) -> np.ndarray:
    return np.asarray(value, np.int32)


def _steps(x: SymbolicTensor, which: SymbolicTensor) -> SymbolicTensor:
    """For each sample, the steps of the given numbers."""
    made: SymbolicTensor = emit("GatherND", x, emit("Unsqueeze", which, ints(2)), batch_dims=1)
    return made

"""A call of an op, as its translation sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from ir.dims import Dim, SymbolicDim
from ir.dtypes import DType, dtype_of
from layercc.layers.layer import cast
from layercc.layers.tensor import SymbolicTensor


class OpCall:
    """A call of a `keras.ops` op, as its translation sees it: its settings in `op`, the dtype and
    shape that Keras gives to the (first) result."""

    def __init__(self, tracer: Any, op: Any, outputs: Sequence[Any]) -> None:
        self.tracer, self.op, self.outputs = tracer, op, outputs

    @property
    def dtype(self) -> DType:
        return dtype_of(keras.backend.standardize_dtype(self.outputs[0].dtype))

    def tensor(self, x: Any, dtype: DType | None = None) -> SymbolicTensor:
        """An argument as a tensor, in another dtype if one is given."""
        if isinstance(x, SymbolicDim):
            return self.tracer.constant(x, dtype)
        if isinstance(x, bool | int | float):
            return self.tracer.constant(x, dtype)
        made = self.tracer.constant(x)
        return made if dtype is None or made.dtype is dtype else cast(made, dtype)

    def promoted(self, *args: Any) -> list[SymbolicTensor]:
        """Arguments in the dtype that Keras computes with."""
        kinds = [
            int
            if isinstance(x, SymbolicDim)
            else type(x)
            if isinstance(x, bool | int | float)
            else str(self.tensor(x).dtype.value.name)
            for x in args
        ]
        dtype = dtype_of(keras.backend.result_type(*kinds))
        return [self.tensor(x, dtype) for x in args]

    def sizes(self, dims: Sequence[Dim | None]) -> Any:
        """An operand of sizes; None is one that follows from the others."""
        return self.tracer.sizes([-1 if dim is None else dim for dim in dims])

    def function(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.tracer.function(function, *args)

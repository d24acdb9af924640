"""Arrays and sizes of a model as tensors of the builder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ir.dims import Dim, SymbolicDim
from ir.dims.expression import terms_of
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from layercc.frontends.keras.registry import Refused
from layercc.frontends.keras.sizes import Beginning, Counting, Number, Spread
from layercc.layers import emit
from layercc.layers.layer import cast
from layercc.layers.tensor import Constant, SymbolicTensor, ints


class Constants:
    """What a model holds besides its layers. `inputs` are those of the model, once they are made;
    `autocast` the type of weights in the layer that is traced."""

    def __init__(self) -> None:
        self.inputs: list[SymbolicTensor] = []
        self.autocast: DType | None = None
        self._constants: dict[tuple[int, DType], SymbolicTensor] = {}
        self._kept: list[Any] = []  # whose ids are keys

    def constant(self, value: Any, dtype: DType | None = None) -> SymbolicTensor:
        """A weight, a tensor of the back end, an array or a number as a tensor of the builder;
        each weight is one constant."""
        if isinstance(value, SymbolicTensor):
            return value
        if isinstance(value, SymbolicDim | Number | Spread | Counting | Beginning):
            made = self._of_sizes(value)
            return made if dtype is None else cast(made, dtype)
        name = None
        if isinstance(value, keras.Variable):
            kind = dtype_of(keras.backend.standardize_dtype(value._dtype))
            if self.autocast is not None and kind in DTYPE_SETS["float"]:
                kind = self.autocast
            key = (id(value), dtype or kind)
            if key not in self._constants:
                path = value.path.replace("/", ".")
                array = keras.ops.convert_to_numpy(value.value)
                self._constants[key] = Constant(array.astype(key[1].value), path)
                self._kept.append(value)
            return self._constants[key]
        array = value if isinstance(value, np.ndarray | np.generic) else None
        if array is None:
            if isinstance(value, bool | int | float):
                array = np.asarray(value, (dtype or _plain(value)).value)
            elif keras.ops.is_tensor(value):
                array = keras.ops.convert_to_numpy(value)
            else:
                array = np.asarray(value)
        if array.dtype == object or array.dtype.kind in "US":
            raise Refused(f"{value!r} does not become a tensor")
        return Constant(array if dtype is None else array.astype(dtype.value), name)

    def _of_sizes(self, value: Any) -> SymbolicTensor:
        """A number or a constant that hangs on open sizes; emits ops."""
        made: SymbolicTensor
        if isinstance(value, SymbolicDim):
            value = Number(value, np.dtype(np.int32))
        if isinstance(value, Number):
            size = emit("Squeeze", self.size(value.size), ints(0))
            return cast(size, dtype_of(value.dtype))
        if isinstance(value, Beginning):
            table = self.constant(value.weight)
            made = emit("Slice", table, ints(0), self.size(value.size), ints(0))
            return emit("Unsqueeze", made, ints(*range(value.axes))) if value.axes else made
        if isinstance(value, Spread):
            made = emit("Expand", value.array, self.sizes(value.shape))
            return made
        size = emit("Squeeze", self.size(value.size), ints(0))
        numbers = emit("Range", np.int64(0), size, np.int64(1))
        made = cast(numbers, dtype_of(value.dtype)) * np.asarray(value.step, value.dtype)
        made = made + np.asarray(value.start, value.dtype)
        others = [i for i in range(value.rank) if i != value.axis]
        return emit("Unsqueeze", made, ints(*others)) if others else made

    def sizes(self, dims: Sequence[Dim]) -> Any:
        """An operand of sizes: an array, or computed where they are open."""
        if all(isinstance(dim, int) for dim in dims):
            return ints(*dims)
        parts = [self.size(dim) for dim in dims]
        return parts[0] if len(parts) == 1 else emit("Concat", *parts, axis=0)

    def size(self, dim: Dim) -> Any:
        """A size as i64[1]: read from an input of the model, or computed of such."""
        if isinstance(dim, int):
            return ints(dim)
        total: Any = None
        for monomial, factor in terms_of(dim).items():
            term: Any = ints(factor) if factor != 1 or not monomial else None
            for atom in monomial:
                read = self._read(str(atom))
                term = read if term is None else emit("Mul", term, read)
            total = term if total is None else emit("Add", total, term)
        return total

    def _read(self, name: str) -> Any:
        for x in self.inputs:
            for axis, dim in enumerate(x.shape):
                if str(dim) == name:
                    return emit("Shape", x, start=axis, end=axis + 1)
        raise Refused(f"the size {name} cannot be computed of the inputs' shapes")


def _plain(value: Any) -> DType:
    if isinstance(value, bool):
        return DType.bool
    return DType.i32 if isinstance(value, int) else dtype_of(keras.config.floatx())

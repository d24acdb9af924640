"""Dense layers, embeddings, and layers that hold an activation or constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import DTYPE_SETS
from layercc.layers.activations import Activation as ActivationLike
from layercc.layers.activations import activate
from layercc.layers.initializers import Initializer
from layercc.layers.layer import Layer
from layercc.layers.masking import not_equal
from layercc.layers.tensor import SymbolicTensor, emit


class Dense(Layer):
    """`activation(x @ kernel + bias)` over the last axis, which becomes `units` long."""

    masking = True

    def __init__(
        self,
        units: int,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = self.positive(units, "units")
        self.activation, self.use_bias = activation, use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if x.rank < 2:
            self.fail(f"the input is {x.type}; [batch, ..., features] would fit")
        kernel = self.weight("kernel", (x.shape[-1], self.units), self.kernel_initializer)
        bias = self.weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None
        if x.rank == 2:
            return activate(emit("Gemm", x, kernel, bias), self.activation)
        y = emit("MatMul", x, kernel)
        return activate(y if bias is None else y + bias, self.activation)


class EinsumDense(Layer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    `equation` has one input and one kernel term (`"abc,cd->abd"`); `output_shape` lists the output
    dims behind the batch, None where they come from the input.
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: ActivationLike = None,
        bias_axes: str | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.equation, self.activation, self.bias_axes = equation, activation, bias_axes
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        operands, _, result = self.equation.replace(" ", "").partition("->")
        term, _, kernel_term = operands.partition(",")
        term, result = (self._expand(part, x) for part in (term, result))
        if len(term) != x.rank:
            self.fail(f"the input is {x.type}; {self.equation!r} names {len(term)} dims")
        sizes: dict[str, Any] = dict(zip(term, x.shape, strict=True))
        given = result[len(result) - len(self.output_shape) :]
        for letter, size in zip(given, self.output_shape, strict=True):
            if size is not None:
                sizes[letter] = size
        kernel = self.weight("kernel", [sizes[c] for c in kernel_term], self.kernel_initializer)
        y = emit("Einsum", x, kernel, equation=f"{term},{kernel_term}->{result}")
        if self.bias_axes:
            first = min(result.index(letter) for letter in self.bias_axes)
            shape = [sizes[c] if c in self.bias_axes else 1 for c in result[first:]]
            y = y + self.weight("bias", shape, self.bias_initializer)
        return activate(y, self.activation)

    def _expand(self, term: str, x: SymbolicTensor) -> str:
        """`...` spelled out with letters that the equation does not use."""
        if "..." not in term:
            return term
        named = self.equation.split(",")[0].replace("...", "").strip()
        free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in self.equation]
        return term.replace("...", "".join(free[: max(0, x.rank - len(named))]))


class Embedding(Layer):
    """Rows of a table by integer index: `[batch, ...]` of ints to `[batch, ..., output_dim]`.

    With `mask_zero`, index 0 stands for padding: a mask leaves it out of the layers behind.
    """

    masking = True
    makes_masks = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Initializer = "uniform",
        *,
        mask_zero: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.input_dim = self.positive(input_dim, "input_dim")
        self.output_dim = self.positive(output_dim, "output_dim")
        self.mask_zero = mask_zero
        self.embeddings_initializer = embeddings_initializer

    def call(self, indices: SymbolicTensor) -> SymbolicTensor:
        if indices.dtype not in DTYPE_SETS["index"]:
            self.fail(f"the input is {indices.type}; i32 or i64 indices would fit", "bad-dtype")
        table = self.weight(
            "embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer
        )
        return emit("Gather", table, indices, axis=0)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return not_equal(inputs, 0) if self.mask_zero else None


class Activation(Layer):
    """An activation function, by Keras name or as a function of a tensor, as a layer."""

    masking = True

    def __init__(self, activation: ActivationLike, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activation

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return activate(x, self.activation)


class Identity(Layer):
    """The input itself."""

    masking = True

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return x


class Rescaling(Layer):
    """`x * scale + offset`; both numbers, or arrays that broadcast against the last axes."""

    masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = scale, offset

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        dtype = x.dtype.value
        scaled = x * np.asarray(self.scale, dtype)
        return scaled + np.asarray(self.offset, dtype) if np.any(self.offset) else scaled


class Normalization(Layer):
    """`(x - mean) / sqrt(variance)` with given statistics, one a position along `axis`.

    `axis` None has one mean and variance for all. `invert` undoes it. (Keras' `adapt` computes the
    statistics from data; here they are arguments.)
    """

    masking = True

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if mean is None or variance is None:
            raise ValueError("Normalization needs the mean and the variance")
        self.axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.mean, self.variance, self.invert = mean, variance, invert

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        kept = {self.axis(axis, x) for axis in self.axes}
        shape: Any = [dim if axis in kept else 1 for axis, dim in enumerate(x.shape)]
        dtype = x.dtype.value
        try:
            mean, variance = (
                np.broadcast_to(np.asarray(given, dtype), shape)
                if np.ndim(given) == 0
                else np.reshape(np.asarray(given, dtype), shape)
                for given in (self.mean, self.variance)
            )
        except (ValueError, TypeError):
            self.fail(f"mean and variance do not have the shape {shape} that {x.type} needs")
        deviation = np.maximum(np.sqrt(variance), np.asarray(1e-7, dtype))
        return x * deviation + mean if self.invert else (x - mean) / deviation

"""Weights: a shape and order as Keras has them, and the array as the graph's ops take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dtypes import DType
from ir.types import TensorType
from layercc.layers.initializers import Initializer, initialise
from layercc.layers.tensor import SymbolicTensor


@dataclass(frozen=True)
class Layout:
    """How an array in Keras order becomes the op's operand, and back."""

    shape: Callable[[tuple[int, ...]], tuple[int, ...]]
    from_keras: Callable[[np.ndarray], np.ndarray]
    to_keras: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


SAME = Layout(lambda shape: shape, lambda array: array, lambda array, shape: array)


def transposed(*order: int) -> Layout:
    """The operand is the Keras array with its axes in this order."""
    back = tuple(int(axis) for axis in np.argsort(order))
    return Layout(
        lambda shape: tuple(shape[axis] for axis in order),
        lambda array: array.transpose(order),
        lambda array, shape: array.transpose(back),
    )


class Weight(SymbolicTensor):
    """A layer's weight. The array is made when a model is first assembled from the layer."""

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DType,
        initializer: Initializer,
        layout: Layout = SAME,
    ) -> None:
        self.keras_shape = tuple(shape)
        self.layout = layout
        super().__init__(TensorType(dtype, layout.shape(self.keras_shape)))
        self.name = name
        self.initializer = initializer
        self.array: np.ndarray | None = None

    def assign(self, value: Any) -> None:
        """Sets the weight from an array in Keras order. ValueError if the shape is another."""
        value = np.asarray(value)
        if value.shape != self.keras_shape:
            raise ValueError(
                f"weight {self.name!r} has shape {list(self.keras_shape)}, "
                f"an array of shape {list(value.shape)} was given"
            )
        operand = self.layout.from_keras(value.astype(self.dtype.value, copy=False))
        if self.array is None:
            self.array = np.array(operand, order="C")
        else:
            self.array[...] = operand  # in place: every graph made from the layer sees it

    def numpy(self) -> np.ndarray:
        """The weight in Keras order."""
        if self.array is None:
            raise ValueError(f"weight {self.name!r} has values once a model is made of its layer")
        return self.layout.to_keras(self.array, self.keras_shape)

    def materialise(self, seed: int, path: str) -> np.ndarray:
        """The operand array, initialised if it is not yet; `path` and `seed` fix the numbers."""
        if self.array is None:
            random = np.random.default_rng([seed, *path.encode()])
            self.assign(initialise(self.initializer, self.keras_shape, self.dtype, random))
        assert self.array is not None
        return self.array

"""What is known of a tensor before it has data: element type and shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ir.dims import Dim, product
from ir.dtypes import DType


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape. Dims are ints or symbolic expressions (`ir.dims`).

    `ranked` is false where not even the number of dims is known; `shape` is empty then. Only what
    is declared of a graph's output is left that open (`open_rank`).
    """

    dtype: DType
    shape: tuple[Dim, ...]
    ranked: bool = True

    @staticmethod
    def open_rank(dtype: DType) -> TensorType:
        """The type of a tensor of which only the dtype is known: `f32[*]`."""
        return TensorType(dtype, (), ranked=False)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """Number of elements; symbolic when a dim is."""
        return product(self.shape)

    @property
    def nbytes(self) -> Dim:
        """Bytes of a dense tensor of this type; symbolic when a dim is."""
        return self.size * self.dtype.itemsize

    @property
    def is_static(self) -> bool:
        """Whether every dim is a known integer."""
        return self.ranked and all(type(dim) is int for dim in self.shape)

    def with_shape(self, shape: Iterable[Dim]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape, self.ranked)

    def __str__(self) -> str:
        return f"{self.dtype}{format_shape(self.shape) if self.ranked else '[*]'}"


def format_shape(shape: Iterable[Dim]) -> str:
    """`[N, 3, 224, 224]`."""
    return "[" + ", ".join(str(dim) for dim in shape) + "]"

"""Places in memory: buffers, addresses in them, and the tensors that lie in them.

Where buffers lie is decided late: that of the arena by a memory plan, that of inputs and outputs by
each call. What is to be computed (`layercc.jobs`) and the table of kernel calls
(`layercc.program`) name them alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ir.dtypes import DType
from layercc.runtime.arenas import ALIGNMENT

Space = Literal["arena", "constant", "input", "output", "faults"]


@dataclass(slots=True, eq=False)
class Buffer:
    """A stretch of memory. `slot` is the position among constants, inputs or outputs;
    `offset` the place in the arena, set by the memory plan.

    A constant has its `array`; it gets its slot when a kernel first reads it as it is. One that is
    `shared` belongs to the model: its packed forms are made once for all plans. The space "faults"
    is the block through which kernels report values that they cannot use.
    """

    space: Space
    nbytes: int
    slot: int = -1
    offset: int = -1
    array: np.ndarray | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """A place `offset` bytes into a buffer."""

    buffer: Buffer
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Tensor:
    """A dense row-major tensor: where it lies, its element type and its shape."""

    buffer: Buffer
    dtype: DType
    shape: tuple[int, ...]
    offset: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def address(self) -> Address:
        return Address(self.buffer, self.offset)

    @property
    def array(self) -> np.ndarray | None:
        """The value, if the tensor is a constant."""
        whole = self.buffer.array
        if whole is None or (self.offset == 0 and whole.shape == self.shape):
            return whole
        flat = whole.reshape(-1).view(np.uint8)[self.offset : self.offset + self.nbytes]
        return flat.view(self.dtype.value).reshape(self.shape)

    def moved(self, nbytes: int) -> Tensor:
        """The tensor that starts `nbytes` further on."""
        return replace(self, offset=self.offset + nbytes)

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        """The same memory under another shape of the same size."""
        return replace(self, shape=shape)


def scratch(dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """Memory that lives from the first to the last call that is given it."""
    return Tensor(Buffer("arena", math.prod(shape) * dtype.itemsize), dtype, shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, dense and aligned as kernels want it."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    result = aligned_zeros(array.shape, array.dtype)
    result[...] = array
    return result


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at an aligned address, to be packed into: `aligned` need not copy them."""
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)

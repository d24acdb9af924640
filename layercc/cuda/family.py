"""Kernel families for a graphics processor.

A kernel is a function that each thread of a grid runs, in numba.cuda's own words::

    from layercc.cuda.family import gpu_kernel_family
    from layercc.kernels.declaration import I32, pointer

    @gpu_kernel_family(threads=256)
    def scale(dtype: str):
        from numba import cuda           # imports Numba, so only where a kernel is built

        def body(x: pointer(dtype), y: pointer(dtype), n: I32):
            i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
            if i < n:
                y[i] = x[i] + x[i]

        return body

What a block takes may hang on the parameters: then it is a function of them. Shared memory that is
not declared with its length is `cuda.shared.array(0, dtype)`, as in numba.cuda, of the family's
`dynamic_shared` bytes: only in it may a block have more than 48 KiB.

Parameters, keys and annotations are those of `layercc.kernels.declaration`, but that there is no
`task`; arguments arrive as themselves. What a kernel file must keep to there, it must here. Words
that numba.cuda has and that are known here are listed in `layercc.cuda.codegen.words`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from layercc.kernels.declaration import BodyBuilder, KernelFamily, KernelKey, enter, family_of

#: What the names of these families begin with, in keys too: a CPU kernel may have the same name.
PREFIX = "gpu."


@dataclass(frozen=True)
class Block:
    """What a block of a kernel takes: `threads`, along x alone, and bytes of dynamic shared memory.

    So many `blocks` are to fit on a multiprocessor at once: the compiler keeps to the registers
    that this leaves to a thread.
    """

    threads: int
    blocks: int
    dynamic_shared: int


#: A number, or a function that makes it of a kernel's parameters.
PerKernel = int | Callable[..., int]


class GpuKernelFamily(KernelFamily):
    """A family of kernels that run in blocks of threads."""

    def __init__(
        self,
        build: BodyBuilder,
        threads: PerKernel,
        blocks: PerKernel,
        dynamic_shared: PerKernel,
        noalias: tuple[str, ...],
    ) -> None:
        super().__init__(build, noalias, abi="direct")
        self.name = PREFIX + self.name
        self._block = (threads, blocks, dynamic_shared)

    def block(self, key: KernelKey) -> Block:
        """What a block of one kernel takes."""
        return Block(*(value(*key.params) if callable(value) else value for value in self._block))


def gpu_kernel_family(
    *,
    threads: PerKernel,
    blocks: PerKernel = 1,
    dynamic_shared: PerKernel = 0,
    noalias: tuple[str, ...] = (),
) -> Callable[[BodyBuilder], Any]:
    """Register a function as a family of GPU kernels, named after it; see `Block`."""

    def register(build: BodyBuilder) -> GpuKernelFamily:
        return enter(GpuKernelFamily(build, threads, blocks, dynamic_shared, noalias))

    return register


def gpu_family_of(key: KernelKey) -> GpuKernelFamily:
    """The family that a key belongs to; raises KeyError where its module was never imported."""
    family = family_of(key)
    assert isinstance(family, GpuKernelFamily)
    return family


def symbol_of(key: KernelKey) -> str:
    """The name of a kernel's entry: readable, and unlike any other's."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return f"layercc_{key.family.removeprefix(PREFIX)}_{digest[:16]}"

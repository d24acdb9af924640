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

Parameters, keys and annotations are those of `layercc.kernels.declaration`, but that there is no
`task`; arguments arrive as themselves. What a kernel file must keep to there, it must here. Words
that numba.cuda has and that are known here are listed in `layercc.cuda.codegen.words`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from layercc.kernels.declaration import BodyBuilder, KernelFamily, KernelKey, enter, family_of

#: What the names of these families begin with, in keys too: a CPU kernel may have the same name.
PREFIX = "gpu."


class GpuKernelFamily(KernelFamily):
    """A family whose kernels run in blocks of `threads`, along x alone.

    `blocks` are to fit on a multiprocessor at once: the compiler keeps to the registers that this
    leaves to a thread.
    """

    def __init__(
        self, build: BodyBuilder, threads: int, blocks: int, noalias: tuple[str, ...]
    ) -> None:
        super().__init__(build, noalias, abi="direct")
        self.name = PREFIX + self.name
        self.threads = threads
        self.blocks = blocks


def gpu_kernel_family(
    *, threads: int, blocks: int = 1, noalias: tuple[str, ...] = ()
) -> Callable[[BodyBuilder], Any]:
    """Register a function as a family of GPU kernels, named after it."""

    def register(build: BodyBuilder) -> GpuKernelFamily:
        return enter(GpuKernelFamily(build, threads, blocks, noalias))

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

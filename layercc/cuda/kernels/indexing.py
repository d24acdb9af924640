# mypy: ignore-errors
"""Elements read at places that only a run knows, all of them known to be in range."""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, pointer

THREADS = 256


@gpu_kernel_family(threads=THREADS)
def gather(dtype: str, index_dtype: str):
    """y[o, i, j] = x[o, indices[i], j] of x [outer, size, inner]; negative indices count from the
    end. Blocks: ceil(n / THREADS), n the elements of y."""
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest

    def body(
        x: pointer(dtype), indices: pointer(index_dtype), y: pointer(dtype),
        n: I32, size: I32, count: I32, inner: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            j = rest(at, inner)
            q = quotient(at, inner)
            index = indices[rest(q, count)]
            place = index + size if index < 0 else index
            y[at] = x[(quotient(q, count) * size + place) * inner + j]

    return body

# mypy: ignore-errors
"""Rotary position embedding (Su et al., arXiv 2104.09864): pairs of elements turned by an angle.

    y[a] = cos x[a] - sin x[b],   y[b] = sin x[a] + cos x[b]

where (a, b) are neighbours if interleaved, else half the turned part apart. A pair a thread. Bound
by memory.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, INT, optional, pointer

THREADS = 256


@gpu_kernel_family(threads=THREADS)
def rotary(dtype: str, interleaved: bool, indexed: bool):
    """X and Y are seen as [batch, heads, length, size]; elements from 2 * `half` on are copied.

    With `indexed`, the caches have `entries` rows and `positions`, [batch, length], chooses one
    (a negative one counts from the end; none is outside); else they are [batch, length, half].
    Blocks: ceil(n / THREADS), n the pairs of all rows and the elements that are copied.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import load, store
    from layercc.kernels.intrinsics import offset

    read, write = load(dtype), store(dtype)
    data = pointer(dtype)

    def body(
        x: data, y: data, cosines: data, sines: data, positions: optional(pointer("i64")),
        entries: I32, n: I32, heads: I32, length: I32, size: I32, half: I32, x_batch: INT,
        x_head: INT, x_row: INT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            j = rest(at, size - half)
            row = quotient(at, size - half)
            head = rest(row, heads)
            token = quotient(row, heads)
            place = rest(token, length)
            start = quotient(token, length) * x_batch + head * x_head + place * x_row
            source, target = offset(x, start), offset(y, start)
            if j >= half:
                target[half + j] = source[half + j]
            else:
                angle = token * half + j
                if indexed:
                    entry = positions[token]
                    entry = entry + entries if entry < 0 else entry
                    angle = entry * half + j
                first = 2 * j if interleaved else j
                second = first + 1 if interleaved else half + j
                a, b = read(source, first), read(source, second)
                cos, sin = read(cosines, angle), read(sines, angle)
                write(target, first, cos * a - sin * b)
                write(target, second, sin * a + cos * b)

    return body

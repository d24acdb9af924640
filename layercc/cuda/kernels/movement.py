# mypy: ignore-errors
"""Elements that are moved as they are: strided copies, transposes, fills."""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, INT, optional, pointer

THREADS = 256
#: Side of the square of elements that a block of `transpose` turns in shared memory.
SIDE = 32


@gpu_kernel_family(threads=THREADS)
def strided_copy(dtype: str, rank: int, width: int):
    """y[Σ i_d t_d] = x[Σ i_d s_d] over dims of `size{d}`, `rank` of them, the last one innermost.

    A thread moves `width` neighbours along the last dim, of which both strides are then 1; all
    places are multiples of `width`. `n` counts elements. Blocks: ceil(n / (THREADS * width)).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import load_vector, quotient, rest, store_vector
    from layercc.kernels.intrinsics import offset

    dims = range(rank)
    arguments = ["x: pointer_", "y: pointer_", "n: I32"]
    for d in dims:
        arguments += [f"size{d}: I32", f"s{d}: INT", f"t{d}: INT"]
    lines = [
        f"def body({', '.join(arguments)}):",
        f"    first = (cuda.blockIdx.x * {THREADS} + cuda.threadIdx.x) * {width}",
        "    if first < n:",
        "        left = first",
    ]
    for d in reversed(dims[1:]):
        lines += [f"        i{d} = rest(left, size{d})", f"        left = quotient(left, size{d})"]
    lines += [
        "        i0 = left",
        f"        source = offset(x, {' + '.join(f'i{d} * s{d}' for d in dims)})",
        f"        target = offset(y, {' + '.join(f'i{d} * t{d}' for d in dims)})",
    ]
    if width == 1:
        lines.append("        target[0] = source[0]")
    else:
        lines.append(f"        store_vector(target, load_vector(source, {width}))")
    names = {
        "I32": I32, "INT": INT, "pointer_": pointer(dtype), "cuda": cuda, "rest": rest,
        "quotient": quotient, "offset": offset, "load_vector": load_vector,
        "store_vector": store_vector,
    }  # fmt: skip
    exec("\n".join(lines), names)
    return names["body"]


@gpu_kernel_family(threads=THREADS)
def transpose(dtype: str, rank: int):
    """Matrices turned: y[o, c, r] = x[o, r, c], c dense in x and r in y.

    `columns` of c, `column` elements apart in y, and `rows` of r, `row` elements apart in x; over
    `rank` outer dims of `size{d}`, `s{d}` apart in x and `t{d}` in y. A block turns a square of
    SIDE elements by way of shared memory, so that both sides are accessed in whole rows; the
    squares' rows are one element longer than they need be, so that a column lies in all banks.
    Blocks: outer positions * `row_blocks` * `column_blocks`.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, quotient, rest
    from layercc.kernels.element_types import ELEMENT_TYPES, SCALAR
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    scalar = SCALAR[ELEMENT_TYPES[dtype].stored]
    pitch, lines_a_step = SIDE + 1, THREADS // SIDE
    length = SIDE * pitch

    @jit
    def turn(x, y, first_row, first_column, rows, columns, row, column):
        tile = first_of(cuda.shared.array(length, scalar))
        lane = cuda.threadIdx.x % SIDE
        start = cuda.threadIdx.x // SIDE
        for step in range(0, SIDE, lines_a_step):
            r = first_row + start + step
            if r < rows and first_column + lane < columns:
                tile[(start + step) * pitch + lane] = x[r * row + first_column + lane]
        cuda.syncthreads()
        for step in range(0, SIDE, lines_a_step):
            c = first_column + start + step
            if c < columns and first_row + lane < rows:
                y[c * column + first_row + lane] = tile[lane * pitch + start + step]

    dims = range(rank)
    arguments = ["x: pointer_", "y: pointer_", "rows: I32", "columns: I32", "row: INT"]
    arguments += ["column: INT", "row_blocks: I32", "column_blocks: I32"]
    for d in dims:
        arguments += [f"size{d}: I32", f"s{d}: INT", f"t{d}: INT"]
    lines = [
        f"def body({', '.join(arguments)}):",
        "    left = cuda.blockIdx.x",
        f"    first_column = rest(left, column_blocks) * {SIDE}",
        "    left = quotient(left, column_blocks)",
        f"    first_row = rest(left, row_blocks) * {SIDE}",
        "    left = quotient(left, row_blocks)",
    ]
    for d in reversed(dims):
        lines += [f"    i{d} = rest(left, size{d})", f"    left = quotient(left, size{d})"]
    source, target = (" + ".join(["0", *(f"i{d} * {w}{d}" for d in dims)]) for w in "st")
    lines += [
        f"    turn(offset(x, {source}), offset(y, {target}), first_row, first_column,",
        "         rows, columns, row, column)",
    ]
    names = {
        "I32": I32, "INT": INT, "pointer_": pointer(dtype), "cuda": cuda, "rest": rest,
        "quotient": quotient, "offset": offset, "turn": turn,
    }  # fmt: skip
    exec("\n".join(lines), names)
    return names["body"]


@gpu_kernel_family(threads=THREADS)
def fill(dtype: str, valued: bool):
    """y[i] = value[0], or 0. Blocks: ceil(n / THREADS)."""
    from numba import cuda

    from layercc.kernels.element_types import ELEMENT_TYPES, SCALAR

    zero = SCALAR[ELEMENT_TYPES[dtype].stored](0)

    def body(y: pointer(dtype), n: I32, value: optional(pointer(dtype))):
        i = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if i < n:
            if valued:
                y[i] = value[0]
            else:
                y[i] = zero

    return body

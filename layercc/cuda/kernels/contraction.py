# mypy: ignore-errors
"""Convolutions and matrix products on the arithmetic units of all threads ("CUDA cores").

    Y[g, m, n] = epilogue( Σ_κ X[g, row(m, t), k] · W[g, κ, n] ),   κ = t · depth + k

`m` counts output pixels (or rows of a matrix), `t` the taps of the window, `k` input channels, `n`
output channels; X is channels-last and read in place, as an implicit matrix of rows m and columns
κ: outside of the image it is 0. Terms are added in the order of κ by fused multiply-adds; each
`STRETCH` of them is summed on its own and then added, which keeps the rounding errors of long sums
small. Both kernels here do so, and so give the same bits, for any number of rows.

`tiles` computes a square of the result in a block, from slices of both operands in shared memory,
each thread a tile in registers: for products of some size. `direct` computes an element in a
thread, from global memory: for few rows or columns, and so for depthwise convolutions.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, INT, pointer, record

#: Terms that are summed on their own.
STRETCH = 256
#: Sizes of `tiles`: threads of a block, the depth of a slice, columns of a block, and what a thread
#: has of columns and (by the bytes of an element) of rows.
THREADS, SLICE, COLUMNS, THREAD_COLUMNS = 128, 16, 64, 4
THREAD_ROWS = {4: 8, 8: 4}
DIRECT_THREADS = 128

GROUP = record("Group", size=I32, x=INT, w=INT, y=INT)
AXIS = record("Axis", inputs=I32, outputs=I32, taps=I32, stride=I32, pad=I32, dilation=I32)
WINDOW = record("Window", d=AXIS, h=AXIS, w=AXIS)


def block_rows(itemsize: int) -> int:
    """Rows of a block of `tiles`, by the bytes of an element as it is computed."""
    return THREADS * THREAD_COLUMNS // COLUMNS * THREAD_ROWS[itemsize]


def operand(dtype: str, rank: int):
    """An operand of the epilogue: strides over the groups and rows."""
    return record("Operand", data=pointer(dtype), row=INT, groups=(INT,) * rank)


def epilogue_parts(dtype: str, expression: tuple, columns: tuple, rank: int):
    """`located(group, groups, operands)`: elements to a group's matrices in x, w and y, and where
    its operands begin; `finished(value, starts, operands, m, n)`: the result for a sum, which is
    rounded to the type before anything reads it, as it is computed: to be stored.

    `columns[i]` says whether operand i of the epilogue varies along the columns (1) or not (0).
    """
    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import build, decoder, encoder, load
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    dims, each = range(rank), range(len(columns))
    lines = ["def located(group, groups, operands):", "    left = group"]
    for d in reversed(dims):
        lines += [
            f"    i{d} = rest(left, groups[{d}].size)",
            f"    left = quotient(left, groups[{d}].size)",
        ]

    def along(text: str) -> str:
        return " + ".join(["0", *(f"i{d} * {text.format(d=d)}" for d in dims)])

    places = [along(f"groups[{{d}}].{side}") for side in "xwy"]
    starts = [f"offset(operands[{k}].data, {along(f'operands[{k}].groups[{{d}}]')})" for k in each]
    lines.append(f"    return {', '.join(places)}, ({''.join(f'{s}, ' for s in starts)})")
    values = [f"load(starts[{k}], m * operands[{k}].row + n * {columns[k]})" for k in each]
    total = "decode(encode(value))" if expression[1] and encoder(dtype) else "value"
    lines += [
        "def finished(value, starts, operands, m, n):",
        f"    return epilogue({', '.join([total, *values])})",
    ]
    names = {"rest": rest, "quotient": quotient, "offset": offset, "epilogue": build(expression),
             "load": load(dtype), "decode": decoder(dtype),
             "encode": encoder(dtype)}  # fmt: skip
    exec("\n".join(lines), names)
    return jit(names["located"]), jit(names["finished"])


def element_sum(dtype: str, windowed: bool):
    """A helper `(x, w, m, depth, taps, x_row, w_step, window)`: the sum for one element, in
    stretches of its terms; `w` is the first of its weights."""
    from layercc.cuda.intrinsics import quotient, rest
    from layercc.cuda.tile import multiply_add
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.expressions import compute_dtype, load
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    int32, scalar, element = SCALAR["i32"], SCALAR[compute_dtype(dtype)], load(dtype)
    zero = scalar(0)

    @jit
    def product(x, w, m, depth, taps, x_row, w_step, window):
        total = part = zero
        left = 0  # terms in the stretch
        image = d0 = h0 = w0 = int32(0)
        if windowed:
            ow = rest(m, window.w.outputs)
            q = quotient(m, window.w.outputs)
            oh = rest(q, window.h.outputs)
            q = quotient(q, window.h.outputs)
            od = rest(q, window.d.outputs)
            image = quotient(q, window.d.outputs)
            image = int32(image * window.d.inputs * window.h.inputs * window.w.inputs)
            d0 = int32(od * window.d.stride - window.d.pad)
            h0 = int32(oh * window.h.stride - window.h.pad)
            w0 = int32(ow * window.w.stride - window.w.pad)
        for t in range(taps):
            inside = True
            pixel = int32(m)
            if windowed:
                q = quotient(t, window.w.taps)
                at_w = int32(w0 + rest(t, window.w.taps) * window.w.dilation)
                at_h = int32(h0 + rest(q, window.h.taps) * window.h.dilation)
                at_d = int32(d0 + quotient(q, window.h.taps) * window.d.dilation)
                inside = (
                    at_d >= 0
                    and at_d < window.d.inputs
                    and at_h >= 0
                    and at_h < window.h.inputs
                    and at_w >= 0
                    and at_w < window.w.inputs
                )
                pixel = int32(image + (at_d * window.h.inputs + at_h) * window.w.inputs + at_w)
            source = offset(x, pixel * x_row)
            weights = offset(w, t * depth * w_step)
            for k in range(depth):
                value = zero
                if inside:
                    value = element(source, k)
                part = multiply_add(value, element(weights, k * w_step), part)
                left += 1
                if left == STRETCH:
                    total = scalar(total + part)
                    part = zero
                    left = 0
        return scalar(total + part)

    return product


@gpu_kernel_family(threads=THREADS)
def tiles(dtype: str, expression: tuple, columns: tuple, rank: int, windowed: bool, along: str):
    """Blocks: groups * `row_blocks` * `column_blocks`.

    `along` is the dim of W in which its elements are neighbours, "columns" or "depth"; along the
    other they are `w_step` apart. Without a window, taps are 1 and row m of Y is of row m of X.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, load_vector, quotient, rest
    from layercc.cuda.tile import accumulate, add_tiles, put_tile, zero_tile
    from layercc.kernels.element_types import FLOATS, SCALAR, SIZES
    from layercc.kernels.expressions import compute_dtype, store
    from layercc.kernels.expressions import load as loader
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    computed, loaded, stored = compute_dtype(dtype), loader(dtype), store(dtype)
    scalar, size = SCALAR[computed], SIZES[computed]
    zero = scalar(0)
    located, finished = epilogue_parts(dtype, expression, columns, rank)
    rows, thread_rows = block_rows(size), THREAD_ROWS[size]
    pad = 16 // size  # keeps rows aligned, and shifts the banks of neighbouring ones
    x_pitch, w_pitch = rows + pad, COLUMNS + pad
    x_size, w_size, y_size = SLICE * x_pitch, SLICE * w_pitch, rows * w_pitch
    pixels_size = 4 * rows
    across = COLUMNS // THREAD_COLUMNS  # threads side by side
    tile_size = thread_rows * THREAD_COLUMNS
    x_loads, w_loads = rows * SLICE // THREADS, COLUMNS * SLICE // THREADS
    vectors = tuple(range(0, thread_rows, 4))
    put_down = computed in FLOATS
    steps_of_stretch = STRETCH // SLICE
    by_depth = along == "depth"
    two = len(vectors) == 2
    int32 = SCALAR["i32"]

    @jit
    def element(x, place, inside):
        value = zero
        if inside:
            value = loaded(x, place)
        return value

    @jit
    def starting_pixels(pixels, first_row, count, window):
        """For each row of the block: its image's first pixel, and where its window begins."""
        for r in range(cuda.threadIdx.x, rows, THREADS):
            m = int32(first_row + r)
            ow = rest(m, window.w.outputs)
            m = quotient(m, window.w.outputs)
            oh = rest(m, window.h.outputs)
            m = quotient(m, window.h.outputs)
            od = rest(m, window.d.outputs)
            image = quotient(m, window.d.outputs)
            pixels[r] = int32(image * window.d.inputs * window.h.inputs * window.w.inputs)
            d = od * window.d.stride - window.d.pad
            pixels[rows + r] = int32(d) if first_row + r < count else int32(-(2**30))
            pixels[2 * rows + r] = int32(oh * window.h.stride - window.h.pad)
            pixels[3 * rows + r] = int32(ow * window.w.stride - window.w.pad)

    @jit
    def fill_x(shared, x, pixels, first_row, first, count, depth, terms, x_row, window):
        """A slice of X: neighbouring threads take neighbouring terms of a row."""
        term = cuda.threadIdx.x % SLICE
        kappa = first + term
        start = cuda.threadIdx.x // SLICE
        if windowed:
            t = quotient(kappa, depth)
            k = kappa - t * depth
            tw = rest(t, window.w.taps) * window.w.dilation
            t = quotient(t, window.w.taps)
            th = rest(t, window.h.taps) * window.h.dilation
            td = quotient(t, window.h.taps) * window.d.dilation
            for load in range(x_loads):
                r = start + load * (THREADS // SLICE)
                d = int32(pixels[rows + r] + td)
                h = int32(pixels[2 * rows + r] + th)
                w = int32(pixels[3 * rows + r] + tw)
                inside = (
                    kappa < terms
                    and d >= 0
                    and d < window.d.inputs
                    and h >= 0
                    and h < window.h.inputs
                    and w >= 0
                    and w < window.w.inputs
                )
                pixel = pixels[r] + (d * window.h.inputs + h) * window.w.inputs + w
                shared[term * x_pitch + r] = element(x, pixel * x_row + k, inside)
        else:
            for load in range(x_loads):
                r = start + load * (THREADS // SLICE)
                m = first_row + r
                inside = kappa < terms and m < count
                shared[term * x_pitch + r] = element(x, m * x_row + kappa, inside)

    @jit
    def fill_w(shared, w, first, first_column, terms, columns, w_step):
        """A slice of W: neighbouring threads take what lies side by side."""
        for load in range(w_loads):
            at = cuda.threadIdx.x + load * THREADS
            if by_depth:
                term, c = at % SLICE, at // SLICE
                place = (first_column + c) * w_step + first + term
            else:
                term, c = at // COLUMNS, at % COLUMNS
                place = (first + term) * w_step + first_column + c
            inside = first + term < terms and first_column + c < columns
            shared[term * w_pitch + c] = element(w, place, inside)

    @jit
    def multiply(tile, x_shared, w_shared, row, column):
        for term in range(SLICE):
            source = offset(x_shared, term * x_pitch + row)
            left = load_vector(source, 4)
            right = load_vector(offset(w_shared, term * w_pitch + column), THREAD_COLUMNS)
            if two:
                tile = accumulate(tile, left + load_vector(offset(source, 4), 4), right)
            else:
                tile = accumulate(tile, left, right)
        return tile

    def body(
        x: pointer(dtype),
        w: pointer(dtype),
        y: pointer(dtype),
        rows_: I32,
        columns_: I32,
        depth: I32,
        taps: I32,
        x_row: INT,
        y_row: INT,
        w_step: INT,
        row_blocks: I32,
        column_blocks: I32,
        groups: (GROUP,) * rank,
        window: WINDOW,
        operands: (operand(dtype, rank),) * len(columns),
    ):
        left = cuda.blockIdx.x
        first_column = rest(left, column_blocks) * COLUMNS
        left = quotient(left, column_blocks)
        first_row = rest(left, row_blocks) * rows
        x_at, w_at, y_at, starts = located(quotient(left, row_blocks), groups, operands)
        x, w, y = offset(x, x_at), offset(w, w_at), offset(y, y_at)

        pixels = first_of(cuda.shared.array(pixels_size, int32))
        x_shared = first_of(cuda.shared.array(x_size, scalar))
        w_shared = first_of(cuda.shared.array(w_size, scalar))
        result = first_of(cuda.shared.array(y_size, scalar))
        row = cuda.threadIdx.x // across * thread_rows
        column = cuda.threadIdx.x % across * THREAD_COLUMNS
        terms = depth * taps
        if windowed:
            starting_pixels(pixels, first_row, rows_, window)
            cuda.syncthreads()
        tile = zero_tile(computed, tile_size)
        total = tile
        step = 0
        for first in range(0, terms, SLICE):
            fill_x(x_shared, x, pixels, first_row, first, rows_, depth, terms, x_row, window)
            fill_w(w_shared, w, first, first_column, terms, columns_, w_step)
            cuda.syncthreads()
            tile = multiply(tile, x_shared, w_shared, row, column)
            cuda.syncthreads()
            step += 1
            if put_down and step == steps_of_stretch:
                total = add_tiles(total, tile)
                tile = zero_tile(computed, tile_size)
                step = 0
        total = add_tiles(total, tile)
        put_tile(offset(result, row * w_pitch + column), total, THREAD_COLUMNS, w_pitch)
        cuda.syncthreads()
        for at in range(cuda.threadIdx.x, rows * COLUMNS, THREADS):
            r, c = at // COLUMNS, at % COLUMNS
            m, n = first_row + r, first_column + c
            if m < rows_ and n < columns_:
                value = result[r * w_pitch + c]
                stored(y, m * y_row + n, finished(value, starts, operands, m, n))

    return body


@gpu_kernel_family(threads=DIRECT_THREADS)
def direct(
    dtype: str, expression: tuple, columns: tuple, rank: int, windowed: bool, groups_inner: bool
):
    """Blocks: ceil(groups * rows * columns / DIRECT_THREADS).

    W's elements are `w_step` apart along the depth and `w_column` along the columns. Neighbouring
    threads take neighbouring columns, then rows, then groups; with `groups_inner` groups, then
    rows, as it suits channels in groups.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import store
    from layercc.kernels.intrinsics import offset

    located, finished = epilogue_parts(dtype, expression, columns, rank)
    product, stored = element_sum(dtype, windowed), store(dtype)

    def body(
        x: pointer(dtype),
        w: pointer(dtype),
        y: pointer(dtype),
        n: I32,
        rows: I32,
        columns_: I32,
        depth: I32,
        taps: I32,
        x_row: INT,
        y_row: INT,
        w_step: INT,
        w_column: INT,
        group_count: I32,
        groups: (GROUP,) * rank,
        window: WINDOW,
        operands: (operand(dtype, rank),) * len(columns),
    ):
        at = cuda.blockIdx.x * DIRECT_THREADS + cuda.threadIdx.x
        if at < n:
            column = rest(at, columns_)
            left = quotient(at, columns_)
            if groups_inner:
                group = rest(left, group_count)
                m = quotient(left, group_count)
            else:
                m = rest(left, rows)
                group = quotient(left, rows)
            x_at, w_at, y_at, starts = located(group, groups, operands)
            w_at += column * w_column
            value = product(offset(x, x_at), offset(w, w_at), m, depth, taps, x_row, w_step, window)
            value = finished(value, starts, operands, m, column)
            stored(y, y_at + m * y_row + column, value)

    return body

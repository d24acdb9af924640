# mypy: ignore-errors
"""Convolutions and matrix products on tensor cores, as an implicit matrix product.

    Y[g, m, n] = epilogue( Σ_κ X[g, row(m, t), k] · W[g, n, κ] ),   κ = t · depth + k

X is channels-last and read in place, as an implicit matrix of rows m and columns κ: outside of the
image it is 0. Columns of W lie one behind the other, their terms side by side.

A block computes a tile of Y from slices of both operands, 128 bytes of depth each. Slices are
copied to a ring of stages in shared memory while others are multiplied. In a row of a slice the
16-byte chunk c lies at place c ^ (row % 8), so that the eight rows of an `ldmatrix` lie in
different banks.

**Arithmetic** is one of `ARITHMETIC`. Tensor cores cut off what they add, so float32 at full
precision takes three products of TF32, sums 16 terms by themselves, the small products first, and
adds these sums as float32 (after Ootomo and Yokota, "Recovering single precision accuracy from
Tensor Cores while surpassing the FP32 theoretical peak performance", 2022).

**Order of the sum.** Slices are summed in *stretches*, of a length that hangs on the depth alone,
and the stretches are added in their order. A block does all of them, or (`split`) one, and
`added_stretches` adds what the blocks have left in memory: the bits are the same. Nor does the
shape of the tile change them.

**Values that are not finite.** Pieces of a number that is not finite, or nearly so, are not what
they should be. Where a sum of float32 is not finite, it is computed again as on CUDA cores.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.contraction import (
    GROUP,
    WINDOW,
    element_sum,
    epilogue_parts,
    operand,
)
from layercc.kernels.declaration import I32, INT, pointer

#: Bytes of depth in a slice.
SLICE_BYTES = 128
#: How elements are multiplied → their size.
#: tf32x3: float32 to its full precision; bf16x2: float32 as two pieces of bfloat16; rounded:
#: float32 rounded to bfloat16; bf16 and f16: as they are.
ARITHMETIC = {"tf32x3": 4, "bf16x2": 4, "rounded": 4, "bf16": 2, "f16": 2}
#: Tiles: rows and columns of a block, rows and columns of a warp, stages of the ring.
TILES = (
    (128, 128, 64, 32, 3),
    (128, 64, 64, 32, 3),
    (64, 64, 64, 32, 4),
    (16, 128, 16, 32, 4),
)
_PAD = 8  # words by which rows of the result are longer in shared memory, for its banks
#: Of a block that adds stretches.
ADDING_THREADS = 256


def threads_of(tile: tuple) -> int:
    """Threads of a block."""
    rows, columns, warp_rows, warp_columns, _ = tile
    return 32 * (rows // warp_rows) * (columns // warp_columns)


def dynamic_bytes(arithmetic: str, tile: tuple, split: bool) -> int:
    """Dynamic shared memory of a block: the ring, and the sum of the stretches where registers
    would not suffice."""
    rows, columns, *_, stages = tile
    ring = stages * (rows + columns) * SLICE_BYTES
    return ring + 4 * rows * columns * (arithmetic == "tf32x3" and not split)


def shared_bytes(arithmetic: str, tile: tuple, split: bool, words: int) -> int:
    """All shared memory of a block."""
    table = max(2 * words * tile[0], 4) + max(32 * words, 4)
    return dynamic_bytes(arithmetic, tile, split) + 4 * table


def slice_terms(arithmetic: str) -> int:
    """Terms of a slice."""
    return SLICE_BYTES // ARITHMETIC[arithmetic]


@gpu_kernel_family(
    threads=lambda *key: threads_of(key[6]),
    dynamic_shared=lambda arithmetic, *key: dynamic_bytes(arithmetic, key[5], key[8]),
)
def implicit_gemm(
    arithmetic: str,
    dtype: str,
    expression: tuple,
    columns: tuple,
    rank: int,
    words: int,
    tile: tuple,
    x_copied: int,
    w_copied: int,
    split: bool,
):
    """Blocks: groups * `row_blocks` * `column_blocks`, times the stretches if they are `split`:
    then `y` is [stretches, groups, rows, columns] of float32.

    `words` of 32 bits have one for each tap of a window and one more; there are none without one.
    `x_copied` and `w_copied` are the bytes (4, 8 or 16) that are copied at once: rows of X, its
    pixels' depth and columns of W are multiples of these. `w_step` are the elements between columns
    of W, `w_terms` those that each has; there are `slices` slices, `stretch` in a stretch.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, load_vector, quotient, rest, rotated_right
    from layercc.cuda.tensor_cores import (
        cp_async,
        cp_async_commit,
        cp_async_wait,
        shared_address,
    )
    from layercc.cuda.tensor_tile import add_tile_at, put_products, take_tile
    from layercc.cuda.tile import add_tiles, zero_tile
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.expressions import store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    int32, uint32, float32 = SCALAR["i32"], SCALAR["u32"], SCALAR["f32"]
    nothing = float32(0)
    size = ARITHMETIC[arithmetic]
    block_rows, block_columns, warp_rows, warp_columns, stages = tile
    threads = threads_of(tile)
    across = block_columns // warp_columns  # warps side by side
    tile_size = warp_rows * warp_columns // 32
    column_tiles = warp_columns // 8
    slice_terms_ = slice_terms(arithmetic)
    x_stage = block_rows * SLICE_BYTES
    stage_bytes = x_stage + block_columns * SLICE_BYTES
    ring_bytes = stages * stage_bytes
    pitch = block_columns + _PAD
    x_pieces, w_pieces = SLICE_BYTES // x_copied, SLICE_BYTES // w_copied  # of a row
    x_place = x_copied.bit_length() - 1
    x_elements, w_elements = x_copied // size, w_copied // size
    x_rows, w_rows = threads // x_pieces, threads // w_pieces  # copied at once
    x_passes, w_passes = block_rows // x_rows, block_columns // w_rows
    in_shared = arithmetic == "tf32x3" and not split
    in_registers = not in_shared and not split
    again = size == 4 and not split
    ahead, pending = stages - 1, stages - 2

    located, finished = epilogue_parts(dtype, expression, columns, rank)
    windowed = words > 0
    table_size, steps_size = max(2 * words * block_rows, 4), max(32 * words, 4)
    exact, stored = element_sum("f32", windowed), store(dtype)
    multiplied = slice_product(arithmetic, tile)

    @jit
    def place(first, row, byte):
        """Where a byte of a row of a slice lies: so many rows behind the first."""
        swap = first % 8 if row % 8 == 0 else (first + row) % 8
        chunk = (byte // 16) ^ swap
        return uint32(uint32(first * SLICE_BYTES + chunk * 16 + byte % 16) + row * SLICE_BYTES)

    @jit
    def windows(rows_of, steps, first_row, count, taps, x_row, window):
        """For each row of the block: where in X its window begins, and for each tap a bit that says
        whether it is inside of the image; for each tap: how much further it lies."""
        for r in range(cuda.threadIdx.x, block_rows, threads):
            m = int32(first_row + r)
            ow = rest(m, window.w.outputs)
            m = quotient(m, window.w.outputs)
            oh = rest(m, window.h.outputs)
            m = quotient(m, window.h.outputs)
            od = rest(m, window.d.outputs)
            image = quotient(m, window.d.outputs)
            d = int32(od * window.d.stride - window.d.pad)
            h = int32(oh * window.h.stride - window.h.pad)
            w = int32(ow * window.w.stride - window.w.pad)
            depths = int32(image * window.d.inputs + d)
            pixel = int32((depths * window.h.inputs + h) * window.w.inputs + w)
            bits = uint32(0)
            for t in range(taps + 1):
                q = int32(quotient(t, window.w.taps))
                at_w = int32(w + rest(t, window.w.taps) * window.w.dilation)
                at_h = int32(h + rest(q, window.h.taps) * window.h.dilation)
                at_d = int32(d + quotient(q, window.h.taps) * window.d.dilation)
                inside = (
                    t < taps
                    and first_row + r < count
                    and uint32(at_d) < uint32(window.d.inputs)
                    and uint32(at_h) < uint32(window.h.inputs)
                    and uint32(at_w) < uint32(window.w.inputs)
                )
                if inside:
                    bits = uint32(bits | uint32(1 << t % 32))
                if t % 32 == 31 or t == taps:
                    row = offset(rows_of, 2 * (t // 32 * block_rows + r))
                    row[0], row[1] = int32(pixel * x_row), int32(bits)
                    bits = uint32(0)
        for t in range(cuda.threadIdx.x, taps + 1, threads):
            q = int32(quotient(t, window.w.taps))
            step_w = int32(rest(t, window.w.taps) * window.w.dilation)
            step_h = int32(rest(q, window.h.taps) * window.h.dilation)
            step_d = int32(quotient(q, window.h.taps) * window.d.dilation)
            pixels = int32((step_d * window.h.inputs + step_h) * window.w.inputs + step_w)
            steps[t] = int32(pixels * x_row)

    @jit
    def next_tap(k, t, depth, taps):
        """The tap, and the place in its depth, of a term that is `k` on from the start of a tap."""
        while k >= depth and t < taps:
            k = int32(k - depth)
            t = int32(t + 1)
        return k, t

    @jit
    def fill_x(stage, x, rows_of, steps, first_row, kappa, tap, count, terms, x_row):
        """Copies a slice of X, from term `kappa` on: a thread the same places of several rows."""
        column = cuda.threadIdx.x % x_pieces
        first = cuda.threadIdx.x // x_pieces
        if windowed:
            k, t = tap
            step = int32(steps[t] + k)
            turn = int32(t - x_place)  # brings the tap's bit to where it means x_copied
            table = offset(rows_of, int32(quotient(t, 32) * 2 * block_rows))
            for each in range(x_passes):
                r = int32(first + each * x_rows)
                start, bits = load_vector(offset(table, 2 * r), 2)
                valid = rotated_right(bits, turn) & x_copied
                target = uint32(stage + place(first, each * x_rows, column * x_copied))
                cp_async(target, offset(x, int32(start + step)), x_copied, valid)
        else:
            k = int32(kappa + column * x_elements)
            left = min(max(int32((terms - k) * size), int32(0)), int32(x_copied))
            source = offset(x, int32((first_row + first) * x_row + k))
            for each in range(x_passes):
                r = int32(first + each * x_rows)
                valid = int32(left) if int32(first_row + r) < count else int32(0)
                target = uint32(stage + place(first, each * x_rows, column * x_copied))
                cp_async(target, source, x_copied, valid)
                source = offset(source, int32(x_rows * x_row))

    @jit
    def fill_w(stage, w, first_column, kappa, count, terms, w_step):
        """Copies a slice of W."""
        column = cuda.threadIdx.x % w_pieces
        first = cuda.threadIdx.x // w_pieces
        k = int32(kappa + column * w_elements)
        left = min(max(int32((terms - k) * size), int32(0)), int32(w_copied))
        source = offset(w, int32((first_column + first) * w_step + k))
        for each in range(w_passes):
            r = int32(first + each * w_rows)
            valid = int32(left) if int32(first_column + r) < count else int32(0)
            target = uint32(
                uint32(stage + x_stage) + place(first, each * w_rows, column * w_copied)
            )
            cp_async(target, source, w_copied, valid)
            source = offset(source, int32(w_rows * w_step))

    def body(
        x: pointer(dtype),
        w: pointer(dtype),
        y: pointer("f32" if split else dtype),
        rows_: I32,
        columns_: I32,
        depth: I32,
        taps: I32,
        x_row: I32,
        y_row: INT,
        w_step: I32,
        w_terms: I32,
        slices: I32,
        stretch: I32,
        row_blocks: I32,
        column_blocks: I32,
        group_count: I32,
        groups: (GROUP,) * rank,
        window: WINDOW,
        operands: (operand(dtype, rank),) * len(columns),
    ):
        thread = cuda.threadIdx.x
        left = cuda.blockIdx.x
        first_column = int32(rest(left, column_blocks) * block_columns)
        left = quotient(left, column_blocks)
        first_row = int32(rest(left, row_blocks) * block_rows)
        left = quotient(left, row_blocks)
        group = rest(left, group_count)
        part = quotient(left, group_count)
        x_at, w_at, y_at, starts = located(group, groups, operands)
        x, w = offset(x, x_at), offset(w, w_at)
        first = int32(0)
        count = int32(slices)
        if split:
            first = int32(part * stretch)
            count = int32(min(stretch, int32(slices - first)))

        rows_of = first_of(cuda.shared.array(table_size, int32))
        steps = first_of(cuda.shared.array(steps_size, int32))
        memory = first_of(cuda.shared.array(0, float32))
        totals = offset(memory, ring_bytes // 4 + thread)
        ring = shared_address(memory)
        terms = int32(depth * taps)
        kappa = int32(first * slice_terms_)
        left_terms = int32(terms - kappa)
        tap = (int32(0), int32(0))
        if windowed:
            windows(rows_of, steps, first_row, rows_, taps, x_row, window)
            ours = int32(kappa + thread % x_pieces * x_elements)
            skipped = int32(min(int32(quotient(ours, depth)), taps))
            tap = (int32(ours - skipped * depth), skipped)
            cuda.syncthreads()
        warp = thread // 32
        warp_row = int32(warp // across * warp_rows)
        warp_column = int32(warp % across * warp_columns)

        product = zero_tile("f32", tile_size)
        total = product
        if in_shared:
            add_tile_at(totals, threads, total, True)
        filled = int32(0)  # where in the ring the next slice goes,
        read = int32(0)  # and is taken from
        s = int32(0)  # slices filled, or that would be
        end = int32(count + ahead)
        boundary = int32(stretch + ahead)
        while s < end:
            stop = min(boundary, end)
            while s < stop:
                if s >= ahead:
                    cp_async_wait(pending)
                cuda.syncthreads()
                if s < count:
                    stage = uint32(ring + filled)
                    fill_x(stage, x, rows_of, steps, first_row, kappa, tap, rows_, terms, x_row)
                    fill_w(stage, w, first_column, kappa, columns_, w_terms, w_step)
                    kappa = int32(kappa + slice_terms_)
                    if windowed:
                        tap = next_tap(int32(tap[0] + slice_terms_), tap[1], depth, taps)
                    filled = int32(filled + stage_bytes)
                    if filled == ring_bytes:
                        filled = int32(0)
                cp_async_commit()
                if s >= ahead:
                    stage = uint32(ring + read)
                    product = multiplied(product, stage, warp_row, warp_column, left_terms)
                    left_terms = int32(left_terms - slice_terms_)
                    read = int32(read + stage_bytes)
                    if read == ring_bytes:
                        read = int32(0)
                s = int32(s + 1)
            if in_shared:
                add_tile_at(totals, threads, product, False)
                product = zero_tile("f32", tile_size)
            if in_registers:
                total = add_tiles(total, product)
                product = zero_tile("f32", tile_size)
            boundary = int32(boundary + stretch)
        if in_shared:
            total = take_tile(totals, threads, tile_size)
        if split:
            total = product
        cuda.syncthreads()
        lane = thread % 32
        corner = (warp_row + lane // 4) * pitch + warp_column + lane % 4 * 2
        put_products(offset(memory, corner), total, column_tiles, pitch)
        cuda.syncthreads()
        for at in range(thread, block_rows * block_columns, threads):
            r, c = at // block_columns, at % block_columns
            m, n = int32(first_row + r), int32(first_column + c)
            if m < rows_ and n < columns_:
                value = memory[r * pitch + c]
                if again and value - value != nothing:
                    value = exact(x, offset(w, n * w_step), m, depth, taps, x_row, 1, window)
                if split:
                    y[((part * group_count + group) * rows_ + m) * columns_ + n] = value
                else:
                    value = finished(value, starts, operands, m, n)
                    stored(y, y_at + m * y_row + n, value)

    return body


def slice_product(arithmetic: str, tile: tuple):
    """A helper `(c, stage, row, column, left)`: c + the product of a warp's part of a slice, whose
    operands begin at these rows of those of the stage; so many terms are `left` from it on."""
    from numba import cuda

    from layercc.cuda.tensor_cores import mma
    from layercc.cuda.tensor_tile import (
        bf16_of_f32,
        ldmatrix_tile,
        mma_f32,
        rest_of_bf16,
        rounded_to_bf16,
    )
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.helper import jit

    int32, uint32 = SCALAR["i32"], SCALAR["u32"]
    block_rows, _, warp_rows, warp_columns, _ = tile
    x_stage = block_rows * SLICE_BYTES
    row_tiles, column_pairs = warp_rows // 16, warp_columns // 16
    between = 16 * SLICE_BYTES

    @jit
    def places(stage, row, column):
        """Where a lane's rows of X and W begin, and the place of the first chunk of each; chunk
        2 q on lies at that ^ 32 q."""
        lane = cuda.threadIdx.x % 32
        swap = lane % 8
        x = uint32(stage + uint32((row + lane % 16) * SLICE_BYTES))
        w = uint32(stage + uint32(x_stage + (column + swap + lane // 16 * 8) * SLICE_BYTES))
        return x, uint32((lane // 16 ^ swap) * 16), w, uint32((lane // 8 % 2 ^ swap) * 16)

    @jit
    def of_floats(c, stage, row, column, left):
        """16 terms at a time, in two halves."""
        x, x_chunk, w, w_chunk = places(stage, row, column)
        # products in pieces are many: ptxas would unroll a loop of two, and run out of registers
        end = min(int32(4 * left), int32(SLICE_BYTES)) if full else SLICE_BYTES
        for step in range(0, end, 64):
            x0, x1 = uint32(x + (x_chunk ^ uint32(step))), uint32(x + (x_chunk ^ uint32(step + 32)))
            w0 = ldmatrix_tile(uint32(w + (w_chunk ^ uint32(step))), column_pairs, between)
            w1 = ldmatrix_tile(uint32(w + (w_chunk ^ uint32(step + 32))), column_pairs, between)
            if full:
                c = mma_f32(c, x0, x1, between, w0, w1)
                continue
            a0 = ldmatrix_tile(x0, row_tiles, between)
            a1 = ldmatrix_tile(x1, row_tiles, between)
            if rounded:
                c = mma("bf16", c, bf16_of_f32(4, a0, a1), bf16_of_f32(2, w0, w1))
            else:  # the product of the rests is below what counts
                a = bf16_of_f32(4, rounded_to_bf16(a0), rounded_to_bf16(a1))
                b = bf16_of_f32(2, rounded_to_bf16(w0), rounded_to_bf16(w1))
                c = mma("bf16", c, a, bf16_of_f32(2, rest_of_bf16(w0), rest_of_bf16(w1)))
                c = mma("bf16", c, bf16_of_f32(4, rest_of_bf16(a0), rest_of_bf16(a1)), b)
                c = mma("bf16", c, a, b)
        return c

    @jit
    def of_halves(c, stage, row, column, left):
        x, x_chunk, w, w_chunk = places(stage, row, column)
        for step in range(0, SLICE_BYTES, 32):
            a = ldmatrix_tile(uint32(x + (x_chunk ^ uint32(step))), row_tiles, between)
            b = ldmatrix_tile(uint32(w + (w_chunk ^ uint32(step))), column_pairs, between)
            c = mma(arithmetic, c, a, b)
        return c

    full, rounded = arithmetic == "tf32x3", arithmetic == "rounded"
    return of_floats if ARITHMETIC[arithmetic] == 4 else of_halves


@gpu_kernel_family(threads=ADDING_THREADS)
def added_stretches(
    dtype: str, expression: tuple, columns: tuple, rank: int, windowed: bool, again: bool
):
    """Blocks: ceil(n / ADDING_THREADS), n = groups * rows * columns; `parts` is [stretches, n].

    `again`: sums that are not finite are computed again.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.expressions import store
    from layercc.kernels.intrinsics import offset

    int32, nothing = SCALAR["i32"], SCALAR["f32"](0)
    located, finished = epilogue_parts(dtype, expression, columns, rank)
    exact, stored = element_sum("f32", windowed), store(dtype)

    def body(
        parts: pointer("f32"),
        x: pointer(dtype),
        w: pointer(dtype),
        y: pointer(dtype),
        n: I32,
        stretches: I32,
        rows_: I32,
        columns_: I32,
        depth: I32,
        taps: I32,
        x_row: I32,
        y_row: INT,
        w_step: I32,
        groups: (GROUP,) * rank,
        window: WINDOW,
        operands: (operand(dtype, rank),) * len(columns),
    ):
        at = cuda.blockIdx.x * ADDING_THREADS + cuda.threadIdx.x
        if at < n:
            column = int32(rest(at, columns_))
            left = quotient(at, columns_)
            m = int32(rest(left, rows_))
            x_at, w_at, y_at, starts = located(quotient(left, rows_), groups, operands)
            value = nothing
            for each in range(stretches):
                value += parts[each * n + at]
            if again and value - value != nothing:
                weights = offset(w, w_at + column * w_step)
                value = exact(offset(x, x_at), weights, m, depth, taps, x_row, 1, window)
            value = finished(value, starts, operands, m, column)
            stored(y, y_at + m * y_row + column, value)

    return body

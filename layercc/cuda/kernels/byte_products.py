# mypy: ignore-errors
"""Convolutions and matrix products of bytes, on tensor cores or an element a thread.

    Y[g, m, n] = epilogue( Σ_κ (X[g, row(m, t), k] - p[m]) · (W[g, κ, n] - q[n]) )

with κ = t · depth + k, as in `layercc.cuda.kernels.contraction`, with zero points p of rows and q
of columns. Sums are kept in i32 and wrap around, so their order does not matter. Tensor cores take
the bytes as they are:

    Σ (x - p) (w - q) = Σ x w - q Σ x - p Σ w + p q · terms

where x is p outside of the image. The sums of a row and of a column are taken on the way, four
bytes an instruction, where there are zero points that need them.

`byte_tiles` computes 128 rows by 64 columns in a block of four warps, from slices of 64 bytes in a
ring of shared memory that asynchronous copies fill ahead. Chunks of 16 bytes are permuted within
rows, so that the eight rows that `ldmatrix` reads at once lie in different banks.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.contraction import GROUP, WINDOW, epilogue_parts, operand
from layercc.kernels.declaration import I32, INT, optional, pointer

#: Of `byte_tiles`: threads, rows and columns of a block, bytes of a slice, slices in the ring.
THREADS, ROWS, COLUMNS, SLICE, STAGES = 128, 128, 64, 64, 3
#: Bytes of the widest access, to a multiple of which rows of weights are padded.
CHUNK = 16
DIRECT_THREADS = 128
#: Tiles of a warp, 16 rows by 8 columns each.
_WARP_ROWS, _WARP_COLUMNS = 4, 4


def _levels(rank: int):
    """`zero_of(operand, groups)`: where the zero points of a group's matrices begin."""
    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    lines = ["def zero_of(zeros, group, groups):", "    left, place = group, 0"]
    for d in reversed(range(rank)):
        lines += [
            f"    place += rest(left, groups[{d}].size) * zeros.groups[{d}]",
            f"    left = quotient(left, groups[{d}].size)",
        ]
    names = {"rest": rest, "quotient": quotient, "offset": offset}
    exec("\n".join([*lines, "    return offset(zeros.data, place)"]), names)
    return jit(names["zero_of"])


@gpu_kernel_family(threads=THREADS)
def byte_tiles(
    x_type: str, w_type: str, wide: bool, expression: tuple, columns: tuple, rank: int,
    windowed: bool, x_zeroed: bool, w_zeroed: bool,
):  # fmt: skip
    """Blocks: groups * `row_blocks` * `column_blocks`.

    W is [columns, `pitch`] for each group, a column's terms side by side, the pitch a multiple of
    CHUNK. With `wide`, X is aligned to CHUNK, and so are its rows and, with a window, its depth.
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import (
        as_words,
        first_of,
        four_bytes_added,
        quotient,
        rest,
        store_vector,
    )
    from layercc.cuda.tensor_cores import (
        cp_async,
        cp_async_commit,
        cp_async_wait,
        ldmatrix,
        mma,
        shared_address,
    )
    from layercc.cuda.tile import zero_tile
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math_intrinsics import select

    int32, u32, u8 = np.int32, np.uint32, np.uint8
    located, finished = epilogue_parts("i32", expression, columns, rank)
    zero_of = _levels(rank)
    kind = f"{'u8' if x_type == 'u8' else 's8'}.{'u8' if w_type == 'u8' else 's8'}"
    x_signed, w_signed = x_type == "i8", w_type == "i8"
    every, steps = 0xFFFFFFFF, range(SLICE // 32)
    x_bytes, w_bytes = ROWS * SLICE, COLUMNS * SLICE
    ring_x, pixels_size = STAGES * x_bytes, 4 * ROWS
    chunks = SLICE // CHUNK  # of a row
    x_loads, w_loads = x_bytes // CHUNK // THREADS, w_bytes // CHUNK // THREADS
    rows_between = THREADS // chunks
    last_stage = STAGES - 1
    pending = STAGES - 2
    tile_size, row_size, column_size = 4 * _WARP_ROWS * _WARP_COLUMNS, 2 * _WARP_ROWS, _WARP_COLUMNS
    # behind the last slice the ring's memory is that of the sums, and of those of rows and columns
    ring_size = ring_x + STAGES * w_bytes
    pitch_y = COLUMNS + 2
    y_size = ROWS * pitch_y
    row_totals, column_totals = y_size, y_size + ROWS

    @jit
    def place(row, chunk):
        """Bytes to a chunk of a row of a slice."""
        return row * SLICE + (chunk ^ ((row >> 1) & 3)) * CHUNK

    @jit
    def starting_pixels(pixels, first_row, count, window):
        """For each row of the block: its image's first pixel, and where its window begins."""
        for r in range(cuda.threadIdx.x, ROWS, THREADS):
            m = int32(first_row + r)
            ow = rest(m, window.w.outputs)
            m = quotient(m, window.w.outputs)
            oh = rest(m, window.h.outputs)
            m = quotient(m, window.h.outputs)
            od = rest(m, window.d.outputs)
            image = quotient(m, window.d.outputs)
            pixels[r] = int32(image * window.d.inputs * window.h.inputs * window.w.inputs)
            pixels[ROWS + r] = int32(od * window.d.stride - window.d.pad)
            pixels[2 * ROWS + r] = int32(oh * window.h.stride - window.h.pad)
            pixels[3 * ROWS + r] = int32(ow * window.w.stride - window.w.pad)

    @jit
    def source_of(pixels, r, first_row, kappa, depth, x_row, window):
        """Elements to a term of a row of X, or -1 outside of the image."""
        if windowed:
            t = quotient(kappa, depth)
            k = kappa - t * depth
            w = int32(pixels[3 * ROWS + r] + rest(t, window.w.taps) * window.w.dilation)
            t = quotient(t, window.w.taps)
            h = int32(pixels[2 * ROWS + r] + rest(t, window.h.taps) * window.h.dilation)
            d = int32(pixels[ROWS + r] + quotient(t, window.h.taps) * window.d.dilation)
            inside = (
                d >= 0
                and d < window.d.inputs
                and h >= 0
                and h < window.h.inputs
                and w >= 0
                and w < window.w.inputs
            )
            pixel = pixels[r] + (d * window.h.inputs + h) * window.w.inputs + w
            at = np.int64(pixel) * x_row + k if inside else np.int64(-1)
        else:
            at = np.int64(first_row + r) * x_row + kappa
        return at

    @jit
    def fill_x(
        ring, start, x, pixels, first_row, count, first, terms, depth, x_row, outside, window
    ):
        """A slice of X. A thread has a chunk of several rows; `outside` is a word of the bytes that
        lie outside of the image."""
        chunk = cuda.threadIdx.x % chunks
        kappa = first + chunk * CHUNK
        left = u32(max(min(terms - kappa, CHUNK), 0))
        for load in range(x_loads):
            r = cuda.threadIdx.x // chunks + load * rows_between
            target = offset(ring, place(r, chunk))
            inside = first_row + r < count and kappa < terms
            if wide and not windowed:  # a place outside is not read
                source = offset(x, np.int64(first_row + r) * x_row + kappa)
                valid = left if first_row + r < count else u32(0)
                cp_async(start + u32(load * rows_between * SLICE), source, CHUNK, valid)
            elif wide:
                at = np.int64(0)
                if inside:
                    at = source_of(pixels, r, first_row, kappa, depth, x_row, window)
                if inside and at < 0 and x_zeroed:
                    store_vector(as_words(target), (outside, outside, outside, outside))
                else:
                    valid = min(terms - kappa, CHUNK) if inside and at >= 0 else 0
                    source = offset(x, max(at, np.int64(0)))
                    cp_async(start + u32(load * rows_between * SLICE), source, CHUNK, valid)
            else:
                for word in range(CHUNK // 4):
                    made = u32(0)
                    for byte in range(4):
                        k = kappa + 4 * word + byte
                        value = u32(0)
                        if first_row + r < count and k < terms:
                            at = source_of(pixels, r, first_row, k, depth, x_row, window)
                            value = outside & u32(255)
                            if at >= 0:
                                value = u32(u8(x[at]))
                        made |= value << u32(8 * byte)
                    as_words(target)[word] = made

    @jit
    def fill_w(start, w, first_column, count, first, terms, pitch):
        chunk = cuda.threadIdx.x % chunks
        kappa = first + chunk * CHUNK
        left = u32(max(min(terms - kappa, CHUNK), 0))
        for load in range(w_loads):
            c = cuda.threadIdx.x // chunks + load * rows_between
            source = offset(w, (first_column + c) * pitch + kappa)
            valid = left if first_column + c < count else u32(0)
            cp_async(start + u32(load * rows_between * SLICE), source, CHUNK, valid)

    # 16 rows on, a chunk is permuted alike; a warp's rows begin at multiples of that
    lines = [
        "def starts_of(ring, row, column):",
        "    lane = cuda.threadIdx.x % 32",
        "    r, c = row + lane % 16, column + lane // 16 * 8 + lane % 8",
        *(f"    a{step} = u32(place(r, {2 * step} + lane // 16))" for step in steps),
        *(f"    b{step} = u32(w_start + place(c, {2 * step} + lane // 8 % 2))" for step in steps),
        f"    return ({''.join(f'ring + a{step}, ring + b{step}, ' for step in steps)})",
    ]
    start_lines = lines
    lines = ["def multiply(starts, x_stage, w_stage, tile, row_sums, column_sums):"]
    for step in steps:
        lines += [
            f"    left = starts[{2 * step}] + x_stage",
            f"    right = starts[{2 * step + 1}] + w_stage",
            *(f"    a{i} = ldmatrix(left + u32({16 * SLICE * i}), 4)" for i in range(_WARP_ROWS)),
            *(f"    b{j} = ldmatrix(right + u32({8 * SLICE * j}), 4)"
              for j in range(0, _WARP_COLUMNS, 2)),
        ]  # fmt: skip
        a = " + ".join(f"a{i}" for i in range(_WARP_ROWS))
        b = " + ".join(f"b{j}" for j in range(0, _WARP_COLUMNS, 2))
        lines.append(f"    tile = mma('{kind}', tile, {a}, {b})")
        if w_zeroed:
            lines.append(f"    row_sums = row_added(row_sums, {a})")
        if x_zeroed:
            lines.append(f"    column_sums = column_added(column_sums, {b})")
    lines.append("    return tile, row_sums, column_sums")

    def added(name: str, count: int, registers: int, half, signed: bool) -> list[str]:
        """A helper that adds the bytes of `registers` to their sums."""
        parts = [f"s{k} = sums[{k}]" for k in range(count)]
        for r in range(registers):
            k = half(r)
            parts.append(f"s{k} = four_bytes_added(values[{r}], s{k}, {signed})")
        made = ", ".join(f"s{k}" for k in range(count))
        return [f"def {name}(sums, values):", *(f"    {p}" for p in parts), f"    return ({made},)"]

    row_lines = added(
        "row_added", 2 * _WARP_ROWS, 4 * _WARP_ROWS, lambda r: r // 4 * 2 + r % 2, x_signed
    )
    column_lines = added(
        "column_added", _WARP_COLUMNS, 2 * _WARP_COLUMNS, lambda r: r // 2, w_signed
    )
    put = [
        "def put(result, tile, row_sums, column_sums, row, column):",
        "    lane = cuda.threadIdx.x % 32",
        "    g, t = lane // 4, lane % 4",
    ]
    for k in range(0, tile_size, 2):
        i, j, r = k // 4 // _WARP_COLUMNS, k // 4 % _WARP_COLUMNS, k // 2 % 2
        put += [
            f"    at = (row + {16 * i + 8 * r} + g) * {pitch_y} + column + {8 * j} + 2 * t",
            f"    store_vector(offset(result, at), (tile[{k}], tile[{k + 1}]))",
        ]
    for k in range(row_size if w_zeroed else 0):
        put += [
            f"    total = whole(row_sums[{k}])",
            "    if t == 0 and column == 0:",
            f"        result[{y_size} + row + {8 * k} + g] = u32(total)",
        ]
    for j in range(column_size if x_zeroed else 0):
        put += [
            f"    total = whole(column_sums[{j}])",
            "    if t == 0 and row == 0:",
            f"        result[{y_size + ROWS} + column + {8 * j} + g] = u32(total)",
        ]

    @jit
    def whole(part):
        """What the four lanes of a row or column have, together."""
        part = int32(part + cuda.shfl_xor_sync(every, part, 1))
        return int32(part + cuda.shfl_xor_sync(every, part, 2))

    names = {
        "cuda": cuda, "place": place, "ldmatrix": ldmatrix, "mma": mma, "u32": u32, "whole": whole,
        "four_bytes_added": four_bytes_added, "store_vector": store_vector, "offset": offset,
        "w_start": ring_x,
    }  # fmt: skip
    for text in (row_lines, column_lines, start_lines, lines, put):
        exec("\n".join(text), names)
        name = text[0].split("(")[0].removeprefix("def ")
        names[name] = jit(names[name])
    multiply, put, starts_of = names["multiply"], names["put"], names["starts_of"]

    last_x, more, halves = u32(last_stage * x_bytes), u32(x_bytes), u32(x_bytes // w_bytes)

    @jit
    def following(stage):
        return select(stage == last_x, u32(0), u32(stage + more))

    @jit
    def shrunk(stage):
        """Bytes to a slice of W."""
        return u32(stage // halves)

    def body(
        x: pointer(x_type),
        w: pointer(w_type),
        y: pointer(_made(expression)),
        rows_: I32,
        columns_: I32,
        depth: I32,
        taps: I32,
        x_row: INT,
        y_row: INT,
        pitch: INT,
        row_blocks: I32,
        column_blocks: I32,
        groups: (GROUP,) * rank,
        window: WINDOW,
        operands: (operand("i32", rank),) * len(columns),
        x_zero: optional(operand("i32", rank)),
        w_zero: optional(operand("i32", rank)),
    ):
        left = cuda.blockIdx.x
        first_column = rest(left, column_blocks) * COLUMNS
        left = quotient(left, column_blocks)
        first_row = rest(left, row_blocks) * ROWS
        group = quotient(left, row_blocks)
        x_at, w_at, y_at, starts = located(group, groups, operands)
        x, w, y = offset(x, x_at), offset(w, w_at), offset(y, y_at)
        x_zeros, w_zeros = zero_of(x_zero, group, groups), zero_of(w_zero, group, groups)
        outside = u32(0)
        if x_zeroed and windowed:
            outside = u32(u8(x_zeros[0])) * u32(0x01010101)

        pixels = first_of(cuda.shared.array(pixels_size, int32))
        x_ring = first_of(cuda.shared.array(ring_size, u8))
        if windowed:
            starting_pixels(pixels, first_row, rows_, window)
            cuda.syncthreads()
        terms = depth * taps
        slices = (terms + SLICE - 1) // SLICE
        warp = cuda.threadIdx.x // 32
        row, column = warp % 2 * (16 * _WARP_ROWS), warp // 2 * (8 * _WARP_COLUMNS)
        places = starts_of(shared_address(x_ring), row, column)
        mine = u32(place(cuda.threadIdx.x // chunks, cuda.threadIdx.x % chunks))
        x_start = shared_address(x_ring) + mine
        w_start = x_start + u32(ring_x)
        for ahead in range(last_stage):
            if ahead < slices:
                fill_x(offset(x_ring, ahead * x_bytes), x_start + u32(ahead * x_bytes), x, pixels,
                       first_row, rows_, ahead * SLICE, terms, depth, x_row, outside,
                       window)  # fmt: skip
                fill_w(w_start + u32(ahead * w_bytes), w, first_column, columns_, ahead * SLICE,
                       terms, pitch)  # fmt: skip
            cp_async_commit()
        tile = zero_tile("i32", tile_size)
        row_sums, column_sums = zero_tile("i32", row_size), zero_tile("i32", column_size)
        stage, filled = u32(0), u32(last_stage * x_bytes)  # bytes to slices of X
        for number in range(slices):
            cp_async_wait(pending)
            cuda.syncthreads()
            ahead = number + last_stage
            if ahead < slices:
                fill_x(offset(x_ring, filled), x_start + filled, x, pixels, first_row, rows_,
                       ahead * SLICE, terms, depth, x_row, outside, window)  # fmt: skip
                fill_w(w_start + shrunk(filled), w, first_column, columns_, ahead * SLICE, terms,
                       pitch)  # fmt: skip
            cp_async_commit()
            tile, row_sums, column_sums = multiply(
                places, stage, shrunk(stage), tile, row_sums, column_sums
            )
            stage, filled = following(stage), following(filled)
        cp_async_wait(0)
        cuda.syncthreads()
        result = as_words(x_ring)
        put(result, tile, row_sums, column_sums, row, column)
        cuda.syncthreads()
        for at in range(cuda.threadIdx.x, ROWS * COLUMNS, THREADS):
            r, c = at // COLUMNS, at % COLUMNS
            m, n = first_row + r, first_column + c
            if m < rows_ and n < columns_:
                value = int32(result[r * pitch_y + c])
                p = q = int32(0)
                if x_zeroed:
                    p = x_zeros[m * x_zero.row]
                    value = int32(value - p * int32(result[column_totals + c]))
                if w_zeroed:
                    q = w_zeros[n]
                    value = int32(value - q * int32(result[row_totals + r]))
                if x_zeroed and w_zeroed:
                    value = int32(value + p * q * terms)
                y[m * y_row + n] = finished(value, starts, operands, m, n)

    return body


def _made(expression: tuple) -> str:
    """The type of an epilogue's result."""
    inputs, steps, outputs = expression
    return (*inputs, *(step[-1] for step in steps))[outputs[0]]


@gpu_kernel_family(threads=DIRECT_THREADS)
def byte_direct(
    x_type: str, w_type: str, expression: tuple, columns: tuple, rank: int, windowed: bool,
    x_zeroed: bool, w_zeroed: bool,
):  # fmt: skip
    """An element a thread: for few rows or columns, and so for depthwise convolutions.

    W as for `byte_tiles`. Neighbouring threads take neighbouring columns, then groups, then rows.
    Blocks: ceil(groups * rows * columns / DIRECT_THREADS).
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    int32 = np.int32
    located, finished = epilogue_parts("i32", expression, columns, rank)
    zero_of = _levels(rank)

    @jit
    def product(x, w, m, depth, taps, x_row, p, q, window):
        total = int32(0)
        image = d0 = h0 = w0 = int32(0)
        if windowed:
            ow = rest(m, window.w.outputs)
            left = quotient(m, window.w.outputs)
            oh = rest(left, window.h.outputs)
            left = quotient(left, window.h.outputs)
            od = rest(left, window.d.outputs)
            image = quotient(left, window.d.outputs)
            image = int32(image * window.d.inputs * window.h.inputs * window.w.inputs)
            d0 = int32(od * window.d.stride - window.d.pad)
            h0 = int32(oh * window.h.stride - window.h.pad)
            w0 = int32(ow * window.w.stride - window.w.pad)
        for t in range(taps):
            inside = True
            pixel = int32(m)
            if windowed:
                left = quotient(t, window.w.taps)
                at_w = int32(w0 + rest(t, window.w.taps) * window.w.dilation)
                at_h = int32(h0 + rest(left, window.h.taps) * window.h.dilation)
                at_d = int32(d0 + quotient(left, window.h.taps) * window.d.dilation)
                inside = (
                    at_d >= 0
                    and at_d < window.d.inputs
                    and at_h >= 0
                    and at_h < window.h.inputs
                    and at_w >= 0
                    and at_w < window.w.inputs
                )
                pixel = int32(image + (at_d * window.h.inputs + at_h) * window.w.inputs + at_w)
            if inside:
                source, weights = offset(x, np.int64(pixel) * x_row), offset(w, t * depth)
                for k in range(depth):
                    total = int32(total + (int32(source[k]) - p) * (int32(weights[k]) - q))
        return total

    def body(
        x: pointer(x_type),
        w: pointer(w_type),
        y: pointer(_made(expression)),
        n: I32,
        columns_: I32,
        depth: I32,
        taps: I32,
        x_row: INT,
        y_row: INT,
        pitch: INT,
        group_count: I32,
        groups: (GROUP,) * rank,
        window: WINDOW,
        operands: (operand("i32", rank),) * len(columns),
        x_zero: optional(operand("i32", rank)),
        w_zero: optional(operand("i32", rank)),
    ):
        at = cuda.blockIdx.x * DIRECT_THREADS + cuda.threadIdx.x
        if at < n:
            column = rest(at, columns_)
            left = quotient(at, columns_)
            group = rest(left, group_count)
            m = quotient(left, group_count)
            x_at, w_at, y_at, starts = located(group, groups, operands)
            p = q = int32(0)
            if x_zeroed:
                p = zero_of(x_zero, group, groups)[m * x_zero.row]
            if w_zeroed:
                q = zero_of(w_zero, group, groups)[column]
            value = product(
                offset(x, x_at), offset(w, w_at + column * pitch), m, depth, taps, x_row, p, q,
                window,
            )  # fmt: skip
            y[y_at + m * y_row + column] = finished(value, starts, operands, m, column)

    return body

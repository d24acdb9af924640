# mypy: ignore-errors
"""Attention on tensor cores, with online softmax (Dao et al., FlashAttention, arXiv 2205.14135).

A block has 64 queries of a head, 16 a warp, and a block of columns of V; it takes the keys 64 or 32
at a time. K and V lie in shared memory, where all its warps read them. A warp's scores stay in
registers, which as they are, are those of the left operand of P V. Keys that no query of the block
may see are not read.

f32 is multiplied as one, two or three pieces of bf16, which hold 8, 16 or all 24 of its bits:

    Σ x y = Σ over pieces i + j < pieces of Σ x_i y_j          (the smallest products first)

Tensor cores cut off as they add, so no sum in them is long: those of Q K are put down every 64
terms, and those of P V at each block of keys, when what was there before is scaled down anyway
(Ootomo and Yokota, "Recovering single precision accuracy from Tensor Cores", 2022). Powers are
those of two, by the unit that has them to 2 ulp.

Pieces of infinity are not all numbers. Where a result is none, a warp computes its queries again
without tensor cores (`attention.one_query`).
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.attention import WARP, arguments, mask_type, one_query, visibility
from layercc.kernels.declaration import I32

THREADS = 128
#: Queries of a block; sizes of heads that tiles have room for; columns of V, at most: more, and
#: sums would be spilled.
ROWS, SIZES, MOST_COLUMNS = 64, (32, 64, 128, 256), 64
#: Elements behind each row in shared memory, which shift the banks of rows that are read at once.
_PAD = 8
#: Steps of 16 terms after which products are put down.
_PUT_DOWN = 4


def keys_of(pieces: int, depth: int) -> int:
    """Keys that a block takes at a time: as many as registers and shared memory have room for."""
    return 64 if pieces * depth <= 256 else 32


def shared_bytes(pieces: int, depth: int, columns: int) -> int:
    """Shared memory of a block: Q, K and V in pieces of 2 bytes; behind the last key, the results
    in f32."""
    keys = keys_of(pieces, depth)
    tiles = 2 * pieces * ((ROWS + keys) * (depth + _PAD) + keys * (columns + _PAD))
    return max(tiles, 4 * ROWS * (columns + _PAD))


def _dynamic(dtype, element, pieces, depth, columns, *others) -> int:
    return shared_bytes(pieces, depth, columns)


def _products(pieces: int) -> list[tuple[int, int]]:
    """Pieces of the left and the right operand, those with the smallest products first."""
    pairs = [(i, j) for i in range(pieces) for j in range(pieces) if i + j < pieces]
    return sorted(pairs, key=lambda pair: (-sum(pair), pair))


def _scores(element: str, pieces: int, depth: int) -> list[str]:
    """The text of `scores(q, k, row, steps)`: 16 queries by the block's keys, four registers for
    each tile of 8 keys, two tiles a group; q and k are addresses, `steps` those of 16 terms."""
    keys = keys_of(pieces, depth)
    groups = range(keys // 16)
    put_down = pieces > 1 and depth > 16 * _PUT_DOWN
    pitch = 2 * (depth + _PAD)  # bytes
    lines = [
        "def scores(q, k, row, steps):",
        "    lane = cuda.threadIdx.x % 32",
        f"    left = q + u32((row + lane % 16) * {pitch} + lane // 16 * 16)",
        f"    right = k + u32((lane // 16 * 8 + lane % 8) * {pitch} + lane // 8 % 2 * 16)",
        *(f"    s{g} = zero_tile('f32', 8)" for g in groups),
    ]
    inner = "    "
    if put_down:
        lines += [
            *(f"    total{g} = zero_tile('f32', 8)" for g in groups),
            f"    for chunk in range(0, steps, {_PUT_DOWN}):",
            *(f"        s{g} = zero_tile('f32', 8)" for g in groups),
            f"        for step in range(chunk, min(chunk + {_PUT_DOWN}, steps)):",
        ]
        inner = "        "
    else:
        lines.append("    for step in range(steps):")
    inner += "    "
    lines += [
        f"{inner}a{p} = ldmatrix(left + u32(step * 32 + {2 * p * ROWS * (depth + _PAD)}), 4)"
        for p in range(pieces)
    ]
    for g in groups:
        for p in range(pieces):
            place = 2 * p * keys * (depth + _PAD) + 16 * g * pitch
            lines.append(f"{inner}b{p} = ldmatrix(right + u32(step * 32 + {place}), 4)")
        lines += [f"{inner}s{g} = mma('{element}', s{g}, a{i}, b{j})" for i, j in _products(pieces)]
    if put_down:
        lines += [f"        total{g} = add_tiles(total{g}, s{g})" for g in groups]
        return [*lines, f"    return {', '.join(f'total{g}' for g in groups)}"]
    return [*lines, f"    return {', '.join(f's{g}' for g in groups)}"]


def _softmax(pieces: int, groups: int) -> list[str]:
    """The text of `softmax(s, tops, totals, first, lows, highs, mask_rows, factor, cap, inside)` →
    (powers in pieces, new tops, new totals, factors of what was before)."""
    every = [(g, u, r, i) for g in range(groups) for u in (0, 1) for r in (0, 1) for i in (0, 1)]

    def name(g, u, r, i):
        return f"x{g}_{u}{r}{i}"

    lines = [
        "def softmax(s, tops, totals, first, lows, highs, mask_rows, factor, cap, inside):",
        "    key = first + cuda.threadIdx.x % 4 * 2",
        *(f"    {name(g, u, r, i)} = scaled(s[{g}][{4 * u + 2 * r + i}], factor, cap)"
          for g, u, r, i in every),
        "    if not inside:",
        *(f"        {name(g, u, r, i)} = biased({name(g, u, r, i)}, "
          f"key + {16 * g + 8 * u + i}, lows[{r}], highs[{r}], mask_rows[{r}])"
          for g, u, r, i in every),
    ]  # fmt: skip
    for r in (0, 1):
        values = [name(g, u, r, i) for g in range(groups) for u in (0, 1) for i in (0, 1)]
        lines.append(f"    top{r} = {values[0]}")
        lines += [f"    top{r} = largest(top{r}, {value})" for value in values[1:]]
        lines += [
            f"    top{r} = largest(top{r}, swap(top{r}, 1))",
            f"    top{r} = largest(largest(top{r}, swap(top{r}, 2)), tops[{r}])",
            f"    shift{r} = zero if top{r} == lowest else top{r}",
            f"    smaller{r} = power_of_two(tops[{r}] - shift{r})",
            f"    total{r} = totals[{r}] * smaller{r}",
        ]
        for value in values:
            lines += [
                f"    {value} = power_of_two({value} - shift{r})",
                f"    total{r} += {value}",
            ]
    for g in range(groups):
        for u in (0, 1):
            for r in (0, 1):
                pair = f"{name(g, u, r, 0)}, {name(g, u, r, 1)}"
                names = ", ".join(f"p{g}_{p}_{2 * u + r}" for p in range(pieces))
                lines.append(f"    {names}, = in_pieces({pair})")
    powers = ", ".join(
        "(" + ", ".join(f"p{g}_{p}_{k}" for k in range(4)) + ")"
        for g in range(groups)
        for p in range(pieces)
    )
    lines.append(f"    return ({powers},), (top0, top1), (total0, total1), (smaller0, smaller1)")
    return lines


def _values(element: str, pieces: int, columns: int, groups: int) -> list[str]:
    """The text of `values(v, powers, sums, smaller)`: the sums so far, scaled down, and with them
    the block's powers times its values; 8 registers for each 16 columns."""
    pitch = 2 * (columns + _PAD)
    lines = [
        "def values(v, powers, sums, smaller):",
        "    lane = cuda.threadIdx.x % 32",
        f"    at = v + u32(lane % 16 * {pitch} + lane // 16 * 16)",
        f"    by = ({'smaller[0], smaller[0], smaller[1], smaller[1], ' * 2})",
    ]
    for c in range(columns // 16):
        lines.append("    part = zero_tile('f32', 8)")
        for g in range(groups):
            for p in range(pieces):
                place = 2 * p * 16 * groups * (columns + _PAD) + 16 * g * pitch + 32 * c
                lines.append(f"    b{p} = ldmatrix_transposed(at + u32({place}), 4)")
            lines += [
                f"    part = mma('{element}', part, powers[{g * pieces + i}], b{j})"
                for i, j in _products(pieces)
            ]
        lines.append(f"    sums{c} = scale_and_add(sums[{c}], by, part)")
    return [*lines, f"    return ({', '.join(f'sums{c}' for c in range(columns // 16))},)"]


def _put(columns: int) -> list[list[str]]:
    """The texts of `weighted(sums, totals, tops, nothing)` → (means, whether all are finite), and
    of `put(results, means, row)`, which puts them into shared memory."""
    registers = [(c, u, r, i) for c in range(columns // 16) for u in (0, 1) for r in (0, 1)
                 for i in (0, 1)]  # fmt: skip
    weighted = ["def weighted(sums, totals, tops, nothing):", "    good = True"]
    for r in (0, 1):
        weighted += [
            f"    total = totals[{r}] + swap(totals[{r}], 1)",
            "    total = total + swap(total, 2)",
            f"    given{r} = tops[{r}] != lowest",
            f"    by{r} = one / total if given{r} else zero",
        ]
    for c, u, r, i in registers:
        weighted += [
            f"    m = sums[{c}][{4 * u + 2 * r + i}] * by{r}",
            "    good = good & (absolute(m) < infinity)",
            f"    m{c}_{u}{r}{i} = select(given{r}, m, nothing)",
        ]
    groups = []
    for column in range(columns // 16):
        names = (f"m{c}_{u}{r}{i}" for c, u, r, i in registers if c == column)
        groups.append(f"({', '.join(names)})")
    weighted.append(f"    return ({', '.join(groups)},), good")
    put = ["def put(results, means, row):", "    t2 = cuda.threadIdx.x % 4 * 2"]
    for c, u, r, i in registers:
        if i == 0:
            place = f"(row + {8 * r}) * {columns + _PAD} + {16 * c + 8 * u} + t2"
            pair = ", ".join(f"means[{c}][{4 * u + 2 * r + i}]" for i in (0, 1))
            put.append(f"    store_vector(offset(results, {place}), ({pair}))")
    return [weighted, put]


@gpu_kernel_family(threads=THREADS, dynamic_shared=_dynamic)
def attention_tiles(
    dtype: str, element: str, pieces: int, depth: int, columns: int, wide: bool, mask: str,
    limited: bool, capped: bool, windowed: bool,
):  # fmt: skip
    """As `attention`, without scores. `element` is what tensor cores multiply, bf16 or f16; heads
    are of `depth` elements at most, and `value_blocks` of `columns` columns of V each.

    Blocks: batch * heads * `row_blocks` * value_blocks.
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import (
        as_floats,
        as_words,
        first_of,
        load_vector,
        power_of_two,
        quotient,
        rest,
        store_vector,
    )
    from layercc.cuda.tensor_cores import (
        ldmatrix,
        ldmatrix_transposed,
        mma,
        pack_bf16,
        pack_f16,
        shared_address,
    )
    from layercc.cuda.tile import add_tiles, scale_and_add, zero_tile
    from layercc.cuda.warps import exchange
    from layercc.kernels.accumulate import largest
    from layercc.kernels.expressions import decoder, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import f32_from_bits, offset
    from layercc.kernels.math import SCALAR, primitive
    from layercc.kernels.math_intrinsics import select

    scalar, u32, int32 = SCALAR["f32"], np.uint32, np.int32
    zero, one, lowest, log2_e = scalar(0), scalar(1), scalar(-np.inf), np.log2(np.e)
    tanh, absolute = primitive("tanh", "f32"), primitive("absolute", "f32")
    load_x, decode, store_y = load(dtype), decoder(dtype), store(dtype)
    added = load(mask_type(dtype, mask)) if mask == "added" else None
    of_base, of_base_2 = scalar(log2_e), log2_e
    _, view_of = visibility(mask, limited, windowed)
    query_of = one_query(dtype, columns // WARP, mask, limited, capped, windowed, "")
    swap, swap_flag = exchange("f32"), exchange("i32")
    pack = pack_bf16 if element == "bf16" else pack_f16
    keys = keys_of(pieces, depth)
    q_whole, k_whole = (pieces * rows * (depth + _PAD) for rows in (ROWS, keys))
    high_half = u32(0xFFFF0000)

    @jit
    def rounded(low, high):
        """Two numbers as a register of the first pieces, and what is left of them."""
        word = pack(low, high)
        return word, low - f32_from_bits(word << u32(16)), high - f32_from_bits(word & high_half)

    @jit
    def in_pieces(low, high):
        if pieces == 1:
            words = (pack(low, high),)
        elif pieces == 2:
            first, low, high = rounded(low, high)
            words = (first, pack(low, high))
        else:
            first, low, high = rounded(low, high)
            second, low, high = rounded(low, high)
            words = (first, second, pack(low, high))
        return words

    @jit
    def read(x, at, inside):
        value = zero
        if inside:
            value = load_x(x, at)
        return value

    quads = [
        "def put_quad(target, size, x0, x1, x2, x3):",
        f"    {', '.join(f'a{p}' for p in range(pieces))}, = in_pieces(x0, x1)",
        f"    {', '.join(f'b{p}' for p in range(pieces))}, = in_pieces(x2, x3)",
        *(f"    store_vector(as_words(offset(target, {p} * size)), (a{p}, b{p}))"
          for p in range(pieces)),
    ]  # fmt: skip
    decoded = ", ".join(f"{'decode' if decode else ''}(four[{e}])" for e in range(4))
    quads += ["def decoded(four):", f"    return {decoded}"]

    def filler(rows: int, width: int):
        """`fill(target, x, row_step, first, count, column, size, end)`: rows of x from `first` on,
        of which there are `count`, in pieces; `size` columns of them from `column` on, zeros behind
        up to `end`. A thread has four columns of some rows, and then others; `end` is not known
        here, lest the places of all of them be kept in registers.
        """
        pitch, whole = width + _PAD, rows * (width + _PAD)
        across = min(width // 4, 16)
        down = THREADS // across

        @jit
        def fill(target, x, row_step, first, count, column, size, end):
            for c in range(cuda.threadIdx.x % across * 4, end, 4 * across):
                for r in range(cuda.threadIdx.x // across, rows, down):
                    place = (first + r) * row_step + column + c
                    inside = first + r < count
                    x0 = x1 = x2 = x3 = zero
                    if wide:
                        if inside and column + c < size:
                            x0, x1, x2, x3 = decoded(load_vector(offset(x, place), 4))
                    else:
                        x0 = read(x, place, inside and column + c < size)
                        x1 = read(x, place + 1, inside and column + c + 1 < size)
                        x2 = read(x, place + 2, inside and column + c + 2 < size)
                        x3 = read(x, place + 3, inside and column + c + 3 < size)
                    put_quad(offset(target, r * pitch + c), whole, x0, x1, x2, x3)

        return fill

    @jit
    def scaled(value, factor, cap):
        """A score as a power of two; `factor` and `cap` have that in them."""
        return tanh(value * factor) * cap if capped else value * factor

    @jit
    def biased(value, key, low, high, mask_row):
        seen = key >= low and key < high
        if mask == "chosen":
            if seen:
                seen = mask_row[key] != 0
        elif mask == "added" and seen:
            value += added(mask_row, key) * of_base
        return value if seen else lowest

    @jit
    def bounds(job, limit, place):
        """The first key that a query at a place sees, and the one behind the last."""
        low, high = np.int64(0), limit
        if windowed:
            low = max(low, place - job.before)
            high = min(high, place + job.after + 1)
        if mask != "":
            high = min(high, np.int64(job.mask_keys))
        return int32(low), int32(max(high, np.int64(0)))

    names = {
        "cuda": cuda, "u32": u32, "zero": zero, "one": one, "lowest": lowest, "scalar": scalar,
        "zero_tile": zero_tile, "add_tiles": add_tiles, "scale_and_add": scale_and_add, "mma": mma,
        "ldmatrix": ldmatrix, "ldmatrix_transposed": ldmatrix_transposed, "largest": largest,
        "swap": swap, "scaled": scaled, "biased": biased, "power_of_two": power_of_two,
        "in_pieces": in_pieces, "offset": offset, "store_y": store_y, "as_words": as_words,
        "store_vector": store_vector, "decode": decode, "absolute": absolute,
        "select": select, "infinity": scalar(np.inf),
    }  # fmt: skip
    texts = (
        *("\n".join(quads).split("\ndef ")),
        "\n".join(_scores(element, pieces, depth)),
        "\n".join(_softmax(pieces, keys // 16)),
        "\n".join(_values(element, pieces, columns, keys // 16)),
        *map("\n".join, _put(columns)),
    )
    for text in texts:
        text = text if text.startswith("def ") else "def " + text
        exec(text, names)
        name = text[4 : text.index("(")]
        names[name] = jit(names[name])
    put_quad, decoded = names["put_quad"], names["decoded"]
    scores, softmax, values = (names[n] for n in ("scores", "softmax", "values"))
    weighted, put = names["weighted"], names["put"]
    fill_queries, fill_keys = filler(ROWS, depth), filler(keys, depth)
    fill_values = filler(keys, columns)
    pitch_y = columns + _PAD
    column_groups = columns // 16
    zeros_text = "def zeros():\n    return (" + "zero_tile('f32', 8), " * column_groups + ")"
    exec(zeros_text, names)
    zeros = jit(names["zeros"])

    def body(job: arguments(dtype, mask), row_blocks: I32):
        left = cuda.blockIdx.x
        block = rest(left, job.value_blocks)
        left = quotient(left, job.value_blocks)
        first_row = rest(left, row_blocks) * ROWS
        left = quotient(left, row_blocks)
        h, b = rest(left, job.heads), quotient(left, job.heads)
        kv = quotient(h, job.shared)
        k = offset(job.k, b * job.of_k.batch + kv * job.of_k.head)
        v = offset(job.v, b * job.of_v.batch + kv * job.of_v.head)
        q_tile = first_of(cuda.shared.array(0, np.uint16))
        k_tile = offset(q_tile, q_whole)
        v_tile = offset(k_tile, k_whole)
        q_place, k_place, v_place = (
            shared_address(q_tile), shared_address(k_tile), shared_address(v_tile)
        )  # fmt: skip
        query = offset(job.q, b * job.of_q.batch + h * job.of_q.head)
        steps = (job.size + 15) // 16
        value_end = min((job.value_size - block * columns + 15) // 16 * 16, columns)
        fill_queries(q_tile, query, job.of_q.row, first_row, job.queries, 0, job.size, steps * 16)
        for at in range(cuda.threadIdx.x, pieces * keys * pitch_y, THREADS):
            if at % pitch_y >= value_end:
                v_tile[at] = 0

        limit, place = view_of(job, b)
        warp, lane = cuda.threadIdx.x // 32, cuda.threadIdx.x % 32
        row = first_row + warp * 16 + lane // 4  # and 8 rows on
        mask_at = b * job.mask_at.batch + h * job.mask_at.head
        rows = min(row, job.queries - 1), min(row + 8, job.queries - 1)
        mask_rows = (
            offset(job.mask, mask_at + rows[0] * job.mask_at.row),
            offset(job.mask, mask_at + rows[1] * job.mask_at.row),
        )
        if capped:
            cap, factor = scalar(job.softcap * of_base_2), scalar(job.scale / job.softcap)
        else:
            cap, factor = one, scalar(job.scale * of_base_2)
        tops, totals, sums = (lowest, lowest), (zero, zero), zeros()
        # keys that some query of the block sees, and those that all of them see
        low, high = np.int64(0), limit
        seen_low, seen_high = np.int64(0), limit
        if windowed:
            last = place + min(first_row + ROWS, job.queries) - 1
            low = max(place + first_row - job.before, 0) // keys * keys
            high = min(high, last + job.after + 1)
            seen_low = max(last - job.before, 0)
            seen_high = min(limit, place + first_row + job.after + 1)
        if mask != "":
            seen_high = np.int64(-1)
        low_0, high_0 = bounds(job, limit, place + row)
        low_1, high_1 = bounds(job, limit, place + row + 8)
        lows, highs = (low_0, low_1), (high_0, high_1)
        for first in range(low, high, keys):
            cuda.syncthreads()
            fill_keys(k_tile, k, job.of_k.row, first, job.keys, 0, job.size, steps * 16)
            fill_values(
                v_tile, v, job.of_v.row, first, job.keys, block * columns, job.value_size, value_end
            )
            cuda.syncthreads()
            s = scores(q_place, k_place, warp * 16, steps)
            inside = first >= seen_low and first + keys <= seen_high
            powers, tops, totals, smaller = softmax(
                s, tops, totals, int32(first), lows, highs, mask_rows, factor, cap, inside
            )
            sums = values(v_place, powers, sums, smaller)
        means, good = weighted(sums, totals, tops, scalar(job.empty))
        cuda.syncthreads()
        results = as_floats(q_tile)
        put(results, means, warp * 16 + lane // 4)
        bad = int32(pieces > 1 and not good)
        for lanes in (1, 2, 4, 8, 16):
            bad |= swap_flag(bad, lanes)
        cuda.syncthreads()
        y = offset(job.y, b * job.of_y.batch + h * job.of_y.head + block * columns)
        start = warp * 16
        count = min(job.queries - first_row - start, 16)
        if bad == 0:
            for at in range(lane, count * columns, 32):
                r, c = start + at // columns, at % columns
                if block * columns + c < job.value_size:
                    store_y(y, (first_row + r) * job.of_y.row + c, results[r * pitch_y + c])
        else:
            for i in range(first_row + start, first_row + start + count):
                query_of(job, lane, b, h, i, block)

    return body

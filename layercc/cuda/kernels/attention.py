# mypy: ignore-errors
"""Attention with online softmax (Milakov and Gimelshein, arXiv 1805.02867), a warp a query.

A warp goes over the keys in blocks of one a lane: each lane has the score of its key, the warp
their maximum, and all lanes then add the block's values, each in columns of its own. What was added
before is scaled down when a larger score comes. No scores are stored unless they are asked for.
Bound by reading K and V, which all queries of a head read; the arithmetic is not that of tensor
cores.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import F64, I32, INT, optional, pointer, record

THREADS, WARP = 128, 32
#: Columns of V that a warp has, at most: WARP of them for each accumulator of a lane.
MOST_PARTS = 8

HEADS = record("Heads", batch=INT, head=INT, row=INT)


@gpu_kernel_family(threads=THREADS)
def attention(
    dtype: str, parts: int, mask: str, limited: bool, capped: bool, windowed: bool, shown: str
):
    """As `layercc.jobs.attention.Attention` says.

    `mask` is "", "chosen" for one of bool, or "added"; `limited` by lengths; `shown` is "", or a
    stage. Warps: batch * heads * queries * `value_blocks`, each of `parts` * WARP columns.
    Blocks: ceil(warps / (THREADS / WARP)).
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.cuda.tile import multiply_add
    from layercc.cuda.warps import over_warp
    from layercc.kernels.accumulate import add, largest
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR, primitive

    scalar = SCALAR[dtype]
    exp, tanh = primitive("exp_nonpositive", dtype), primitive("tanh", dtype)
    topmost, summed = over_warp(largest, dtype), over_warp(add, dtype)
    lowest, zero, one = scalar(-np.inf), scalar(0), scalar(1)
    every = 0xFFFFFFFF
    after_mask = shown in ("biased", "weights")
    of_mask = pointer("bool" if mask == "chosen" else dtype)

    @jit
    def product(q, k, size):
        total = zero
        for d in range(size):
            total = multiply_add(q[d], k[d], total)
        return total

    @jit
    def is_seen(key, keys, place, before, after, mask_row, mask_keys):
        seen = key < keys
        if windowed:
            seen = seen and place - key <= before and key - place <= after
        if mask != "":
            seen = seen and key < mask_keys
        if mask == "chosen":
            chosen = False
            if seen:
                chosen = mask_row[key] != 0
            seen = chosen
        return seen

    @jit
    def scored(q, k, size, scale, cap):
        value = product(q, k, size) * scale
        if capped:
            value = tanh(value / cap) * cap
        return value

    @jit
    def biased(value, key, seen, mask_row):
        if not seen:
            value = lowest
        elif mask == "added":
            value += mask_row[key]
        return value

    accumulators = [f"a{c}" for c in range(parts)]
    lines = [
        "def values(weight, lane_seen, v, v_row, first, count, column, columns, scale, sums):",
        f"    {', '.join(accumulators)}, = sums",
        *(f"    {a} = {a} * scale" for a in accumulators),
        "    for other in range(count):",
        "        p = shfl(every, weight, other)",
        "        if shfl(every, lane_seen, other) != 0:",
        "            row = offset(v, (first + other) * v_row)",
    ]
    for c, a in enumerate(accumulators):
        lines += [
            f"            if column + {c * WARP} < columns:",
            f"                {a} = multiply_add(p, row[column + {c * WARP}], {a})",
        ]
    lines += [
        f"    return ({', '.join(accumulators)},)",
        "def put(y, column, columns, scale, empty, given, sums):",
        f"    {', '.join(accumulators)}, = sums",
    ]
    for c, a in enumerate(accumulators):
        lines += [
            f"    if column + {c * WARP} < columns:",
            f"        y[column + {c * WARP}] = {a} * scale if given else empty",
        ]
    lines += ["def zeros():", f"    return ({'zero, ' * parts})"]
    names = {
        "shfl": cuda.shfl_sync, "every": every, "offset": offset, "multiply_add": multiply_add,
        "zero": zero,
    }  # fmt: skip
    exec("\n".join(lines), names)
    values, put, zeros = (jit(names[name]) for name in ("values", "put", "zeros"))

    def body(
        q: pointer(dtype),
        k: pointer(dtype),
        v: pointer(dtype),
        y: pointer(dtype),
        mask_: optional(of_mask),
        lengths: optional(pointer("i64")),
        scores: optional(pointer(dtype)),
        warps: I32,
        heads: I32,
        shared: I32,
        queries: I32,
        keys: I32,
        size: I32,
        value_size: I32,
        value_blocks: I32,
        past: INT,
        before: INT,
        after: INT,
        scale: F64,
        softcap: F64,
        empty: F64,
        of_q: HEADS,
        of_k: HEADS,
        of_v: HEADS,
        of_y: HEADS,
        mask_at: HEADS,
        mask_keys: I32,
    ):
        warp = cuda.blockIdx.x * (THREADS // WARP) + cuda.threadIdx.x // WARP
        if warp < warps:
            lane = cuda.threadIdx.x % WARP
            block = rest(warp, value_blocks)
            left = quotient(warp, value_blocks)
            i = rest(left, queries)
            left = quotient(left, queries)
            h = rest(left, heads)
            b = quotient(left, heads)
            kv = quotient(h, shared)
            query = offset(q, b * of_q.batch + h * of_q.head + i * of_q.row)
            k = offset(k, b * of_k.batch + kv * of_k.head)
            v = offset(v, b * of_v.batch + kv * of_v.head)
            mask_row = offset(mask_, b * mask_at.batch + h * mask_at.head + i * mask_at.row)
            row = ((b * heads + h) * queries + i) * keys  # of the scores
            first_column = block * (parts * WARP)
            column = first_column + lane
            limit = np.int64(keys)
            place = i + past
            if limited:
                limit = min(lengths[b], limit)
                place = i + lengths[b] - queries
            factor, cap = scalar(scale), scalar(softcap)

            top, total, sums = lowest, zero, zeros()
            for first in range(0, keys, WARP):
                key = first + lane
                score = lowest
                seen = is_seen(key, limit, place, before, after, mask_row, mask_keys)
                if key < keys and (seen or (shown != "" and not after_mask)):
                    score = scored(query, offset(k, key * of_k.row), size, factor, cap)
                    if shown in ("products", "capped") and block == 0:
                        plain = score
                        if shown == "products" and capped:
                            plain = product(query, offset(k, key * of_k.row), size) * factor
                        scores[row + key] = plain
                score = biased(score, key, seen, mask_row)
                if shown == "biased" and block == 0 and key < keys:
                    scores[row + key] = score
                higher = largest(top, topmost(score))
                if higher != lowest:
                    weight = zero
                    if seen:
                        weight = exp(score - higher)
                    smaller = exp(top - higher)
                    total = add(total * smaller, weight)
                    count = min(np.int64(WARP), keys - first)
                    sums = values(
                        weight, np.int32(seen), v, of_v.row, first, count, column, value_size,
                        smaller, sums,
                    )  # fmt: skip
                top = higher
            total = summed(total)
            given = top != lowest
            nothing = scalar(empty)
            inverse = one / total if given else zero
            y = offset(y, b * of_y.batch + h * of_y.head + i * of_y.row)
            put(y, column, value_size, inverse, nothing, given, sums)
            if shown == "weights" and block == 0:
                for key in range(lane, keys, WARP):
                    seen = is_seen(key, limit, place, before, after, mask_row, mask_keys)
                    weight = zero
                    if seen:
                        score = scored(query, offset(k, key * of_k.row), size, factor, cap)
                        weight = exp(biased(score, key, seen, mask_row) - top) * inverse
                    scores[row + key] = weight if given else nothing

    return body

# mypy: ignore-errors
"""Attention with online softmax (Milakov and Gimelshein, arXiv 1805.02867), a warp a query.

A warp goes over the keys in blocks of one a lane: each lane has the score of its key, the warp
their maximum, and all lanes then add the block's values, each in columns of its own. What was added
before is scaled down when a larger score comes. No scores are stored unless they are asked for.
Bound by reading K and V, which all queries of a head read; the arithmetic is not that of tensor
cores (`layercc.cuda.kernels.attention_tiles`): this is for few queries, for scores that are asked
for, for f64, and for what is left over there.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import F64, I32, INT, optional, pointer, record

THREADS, WARP = 128, 32
#: Columns of V that a warp has, at most: WARP of them for each accumulator of a lane.
MOST_PARTS = 8

HEADS = record("Heads", batch=INT, head=INT, row=INT)


def arguments(dtype: str, mask: str):
    """What kernels of attention take, as one record: `layercc.jobs.attention.Attention`.

    `shared` query heads have a key head; V has `value_blocks` blocks of columns; `mask_at` are the
    mask's strides over batch, heads and queries, and `mask_keys` its keys.
    """
    data = pointer(dtype)
    return record(
        "Attention", q=data, k=data, v=data, y=data, mask=optional(pointer(mask_type(dtype, mask))),
        lengths=optional(pointer("i64")), scores=optional(data), heads=I32, shared=I32,
        queries=I32, keys=I32, size=I32, value_size=I32, value_blocks=I32, past=INT, before=INT,
        after=INT, scale=F64, softcap=F64, empty=F64, of_q=HEADS, of_k=HEADS, of_v=HEADS,
        of_y=HEADS, mask_at=HEADS, mask_keys=I32,
    )  # fmt: skip


def mask_type(dtype: str, mask: str) -> str:
    """The type of the elements of a mask: "chosen" is of bool."""
    return "bool" if mask == "chosen" else dtype


def visibility(mask: str, limited: bool, windowed: bool):
    """`is_seen(job, key, limit, place, mask_row)`: whether a query at a place sees a key before
    `limit`; `view_of(job, b)` → (limit, place of query 0)."""
    import numpy as np

    from layercc.kernels.helper import jit

    @jit
    def is_seen(job, key, limit, place, mask_row):
        seen = key < limit
        if windowed:
            seen = seen and place - key <= job.before and key - place <= job.after
        if mask != "":
            seen = seen and key < job.mask_keys
        if mask == "chosen":
            chosen = False
            if seen:
                chosen = mask_row[key] != 0
            seen = chosen
        return seen

    @jit
    def view_of(job, b):
        limit, place = np.int64(job.keys), job.past
        if limited:
            place = job.lengths[b] - job.queries
            limit = min(job.lengths[b], limit)
        return limit, place

    return is_seen, view_of


def one_query(
    dtype: str, parts: int, mask: str, limited: bool, capped: bool, windowed: bool, shown: str
):
    """`query_of(job, lane, b, h, i, block)`: a warp computes query i of a head, in a block of
    `parts` * WARP columns of V. Parameters as those of `attention`."""
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import quotient
    from layercc.cuda.tile import multiply_add
    from layercc.cuda.warps import over_warp
    from layercc.kernels.accumulate import add, largest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR, primitive

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    element, put_element = load(dtype), store(dtype)
    exp, tanh = primitive("exp_nonpositive", kind), primitive("tanh", kind)
    topmost, summed = over_warp(largest, kind), over_warp(add, kind)
    lowest, zero, one = scalar(-np.inf), scalar(0), scalar(1)
    every = 0xFFFFFFFF
    after_mask = shown in ("biased", "weights")
    is_seen, view_of = visibility(mask, limited, windowed)
    added = load(mask_type(dtype, mask)) if mask == "added" else None

    @jit
    def product(q, k, size):
        total = zero
        for d in range(size):
            total = multiply_add(element(q, d), element(k, d), total)
        return total

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
            value += added(mask_row, key)
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
            f"                {a} = multiply_add(p, element(row, column + {c * WARP}), {a})",
        ]
    lines += [
        f"    return ({', '.join(accumulators)},)",
        "def put(y, column, columns, scale, empty, given, sums):",
        f"    {', '.join(accumulators)}, = sums",
    ]
    for c, a in enumerate(accumulators):
        lines += [
            f"    if column + {c * WARP} < columns:",
            f"        put_element(y, column + {c * WARP}, {a} * scale if given else empty)",
        ]
    lines += ["def zeros():", f"    return ({'zero, ' * parts})"]
    names = {
        "shfl": cuda.shfl_sync, "every": every, "offset": offset, "multiply_add": multiply_add,
        "zero": zero, "element": element, "put_element": put_element,
    }  # fmt: skip
    exec("\n".join(lines), names)
    values, put, zeros = (jit(names[name]) for name in ("values", "put", "zeros"))

    @jit
    def query_of(job, lane, b, h, i, block):
        keys, size = job.keys, job.size
        kv = quotient(h, job.shared)
        query = offset(job.q, b * job.of_q.batch + h * job.of_q.head + i * job.of_q.row)
        k = offset(job.k, b * job.of_k.batch + kv * job.of_k.head)
        v = offset(job.v, b * job.of_v.batch + kv * job.of_v.head)
        at = b * job.mask_at.batch + h * job.mask_at.head + i * job.mask_at.row
        mask_row = offset(job.mask, at)
        row = ((b * job.heads + h) * job.queries + i) * keys  # of the scores
        column = block * (parts * WARP) + lane
        limit, place = view_of(job, b)
        place += i
        factor, cap = scalar(job.scale), scalar(job.softcap)

        top, total, sums = lowest, zero, zeros()
        for first in range(0, keys, WARP):
            key = first + lane
            score = lowest
            seen = is_seen(job, key, limit, place, mask_row)
            if key < keys and (seen or (shown != "" and not after_mask)):
                score = scored(query, offset(k, key * job.of_k.row), size, factor, cap)
                if shown in ("products", "capped") and block == 0:
                    plain = score
                    if shown == "products" and capped:
                        plain = product(query, offset(k, key * job.of_k.row), size) * factor
                    put_element(job.scores, row + key, plain)
            score = biased(score, key, seen, mask_row)
            if shown == "biased" and block == 0 and key < keys:
                put_element(job.scores, row + key, score)
            higher = largest(top, topmost(score))
            if higher != lowest:
                weight = zero
                if seen:
                    weight = exp(score - higher)
                smaller = exp(top - higher)
                total = add(total * smaller, weight)
                count = min(np.int64(WARP), keys - first)
                sums = values(
                    weight, np.int32(seen), v, job.of_v.row, first, count, column, job.value_size,
                    smaller, sums,
                )  # fmt: skip
            top = higher
        total = summed(total)
        given = top != lowest
        nothing = scalar(job.empty)
        inverse = one / total if given else zero
        y = offset(job.y, b * job.of_y.batch + h * job.of_y.head + i * job.of_y.row)
        put(y, column, job.value_size, inverse, nothing, given, sums)
        if shown == "weights" and block == 0:
            for key in range(lane, keys, WARP):
                seen = is_seen(job, key, limit, place, mask_row)
                weight = zero
                if seen:
                    score = scored(query, offset(k, key * job.of_k.row), size, factor, cap)
                    weight = exp(biased(score, key, seen, mask_row) - top) * inverse
                put_element(job.scores, row + key, weight if given else nothing)

    return query_of


@gpu_kernel_family(threads=THREADS)
def attention(
    dtype: str, parts: int, mask: str, limited: bool, capped: bool, windowed: bool, shown: str
):
    """As `layercc.jobs.attention.Attention` says.

    `mask` is "", "chosen" for one of bool, or "added"; `limited` by lengths; `shown` is "", or a
    stage. Warps: batch * heads * queries * `value_blocks`, each of `parts` * WARP columns.
    Blocks: ceil(warps / (THREADS / WARP)).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest

    query_of = one_query(dtype, parts, mask, limited, capped, windowed, shown)

    def body(job: arguments(dtype, mask), warps: I32):
        warp = cuda.blockIdx.x * (THREADS // WARP) + cuda.threadIdx.x // WARP
        if warp < warps:
            block = rest(warp, job.value_blocks)
            left = quotient(warp, job.value_blocks)
            i = rest(left, job.queries)
            left = quotient(left, job.queries)
            h, b = rest(left, job.heads), quotient(left, job.heads)
            query_of(job, cuda.threadIdx.x % WARP, b, h, i, block)

    return body

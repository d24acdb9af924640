"""Scaled dot-product attention without the matrix of scores in memory.

    Y[b, h, i, :] = Σ_j P[i, j] V[b, h', j, :]
    P[i, :] = softmax_j(cap(scale · Q[b, h, i, :] · K[b, h', j, :]) + bias[i, j])

`h' = h // shared` is the key head of query head h; `cap(s)` is `softcap · tanh(s / softcap)`; the
bias is a mask that is added; scores are -inf outside the keys that a query may see, by their place
or by a mask that chooses. A row that sees no key, or has a bias of -inf for all, gives `empty`.

One task computes `block_rows` queries of one head by one block of columns of V. Keys are taken
`KEY_BLOCK` at a time with a running maximum and total (Milakov and Gimelshein, arXiv 1805.02867;
Dao et al., FlashAttention, arXiv 2205.14135); scores stay on the stack. Both products are the
microkernel of `contraction`; K' and V are packed in panels (`layercc.cpu.algorithms.panels`).
Panels of keys that no query of the block may see are not read.
"""

from layercc.kernels.declaration import F64, INT, kernel_family, optional, pointer, record

#: Register tiles of a block of queries.
BLOCK_TILES = 4
#: Keys whose scores are on the stack at a time.
KEY_BLOCK = 512
#: Vectors of columns of V that a task computes.
VALUE_VECTORS = 16
#: Stages of `shown`: what is also written out as a matrix.
NOTHING, PRODUCTS, CAPPED, BIASED, WEIGHTS = range(5)
#: What a mask holds (`given`): numbers to add; or 0 where a key may be seen, -inf where it may not.
NO_MASK, ADDED, CHOSEN = range(3)


@kernel_family(noalias=("y", "scores"))
def attention(dtype: str, key_vectors: int, value_vectors: int, *, isa):
    """Tasks: batch * heads * row blocks * column blocks of V, the last running fastest.

    `window_past` and `window_future`: how many keys before and after its own place a query sees;
    query i is at place i + `past`, or with `limited` i + lengths[b] - queries, and then sees only
    lengths[b] keys. A mask has `keys` columns; keys beyond are masked. `empty` is 0 or NaN. `width`
    is that of a panel of keys, which LLVM must not know, lest it unroll loops instead of
    vectorising them.
    """
    import numpy as np

    from layercc.cpu.fold import make_fold
    from layercc.cpu.microkernel import make_accumulate
    from layercc.cpu.tiles import ITEMSIZE, lanes, tile_rows
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import address, offset, stack_array
    from layercc.kernels.math import SCALAR, primitive
    from layercc.kernels.math_intrinsics import select

    itemsize = ITEMSIZE[dtype]
    scalar = SCALAR[dtype]
    exp, tanh = primitive("exp", dtype), primitive("tanh", dtype)
    key_width, value_width = (
        vectors * lanes(isa, dtype) for vectors in (key_vectors, value_vectors)
    )
    key_rows, value_rows = tile_rows(isa, key_vectors), tile_rows(isa, value_vectors)
    block_rows = BLOCK_TILES * key_rows
    most_panels = max(KEY_BLOCK // key_width, 1)
    most_values = VALUE_VECTORS // value_vectors
    multiply_keys = make_accumulate(isa, dtype, key_vectors)
    multiply_values = make_accumulate(isa, dtype, value_vectors)
    zero, one, lowest = scalar(0), scalar(1), scalar(-np.inf)
    panel_size = block_rows * key_width
    scores_size, addresses_size = most_panels * panel_size, most_panels * block_rows
    result_size = most_values * value_width * block_rows
    products, capped, biased, weights = PRODUCTS, CAPPED, BIASED, WEIGHTS
    no_mask, added_mask = NO_MASK, ADDED
    fold_sum, fold_largest = make_fold("sum", key_width), make_fold("max", key_width)
    data = pointer(dtype)
    mask_record = record("Mask", given=INT, data=data, batch=INT, head=INT, row=INT, keys=INT)

    def larger(a, b):  # NaN if either is NaN
        return select((b > a) | (b != b), b, a)

    largest = jit(larger)

    def body(
        task: INT,
        q: data,
        k: data,
        v: data,
        mask: optional(mask_record),
        lengths: optional(pointer("i64")),
        y: data,
        scores: optional(data),
        scale: F64,
        softcap: F64,
        empty: F64,
        heads: INT,
        shared: INT,
        queries: INT,
        keys: INT,
        head_size: INT,
        width: INT,
        value_size: INT,
        past: INT,
        limited: INT,
        window_past: INT,
        window_future: INT,
        shown: INT,
        q_batch: INT,
        q_head: INT,
        q_row: INT,
        y_batch: INT,
        y_head: INT,
        y_row: INT,
    ):
        value_panels = (value_size + value_width - 1) // value_width
        value_blocks = (value_panels + most_values - 1) // most_values
        blocks = (queries + block_rows - 1) // block_rows
        first_value = task % value_blocks * most_values
        rest = task // value_blocks
        first = rest % blocks * block_rows
        rest = rest // blocks
        batch, head = rest // heads, rest % heads
        height = min(block_rows, queries - first)
        values = min(most_values, value_panels - first_value)
        panels = (keys + key_width - 1) // key_width
        key_head = batch * (heads // shared) + head // shared
        packed_keys = offset(k, key_head * panels * key_width * head_size)
        packed_values = offset(v, (key_head * value_panels + first_value) * keys * value_width)
        factor, cap = scalar(scale), scalar(softcap)
        visible = lengths[batch] if limited != 0 else keys
        place = first + (visible - queries if limited != 0 else past)

        addresses = stack_array(addresses_size, "i64")
        tops = stack_array(block_rows, dtype)
        totals = stack_array(block_rows, dtype)
        lane = stack_array(key_width, dtype)
        tile = stack_array(scores_size, dtype)
        result = stack_array(result_size, dtype)
        start = address(q) + (batch * q_batch + head * q_head + first * q_row) * itemsize
        for i in range(height):
            tops[i] = lowest
            totals[i] = zero
        shown_rows = offset(scores, ((batch * heads + head) * queries + first) * keys)

        # Panels of keys that some query of the block sees.
        panel, last_panel = 0, panels
        if shown == 0:
            panel = max(place - window_past, 0) // key_width
            seen = min(visible, place + height - 1 + window_future + 1)
            last_panel = min((max(seen, 0) + key_width - 1) // key_width, panels)
        fresh = True
        while panel < last_panel:
            count = min(most_panels, last_panel - panel)

            # Scores: each panel [block_rows, key_width].
            for i in range(height):
                addresses[i] = start + i * q_row * itemsize
            for p in range(count):
                i = 0
                while i < height:
                    multiply_keys(
                        min(key_rows, height - i),
                        offset(addresses, i),
                        0,
                        1,
                        offset(packed_keys, (panel + p) * key_width * head_size),
                        head_size,
                        offset(tile, p * panel_size + i * key_width),
                        True,
                    )
                    i += key_rows

            for i in range(height):
                low = max(place + i - window_past, 0)
                high = min(visible, place + i + window_future + 1)
                mask_of_row = offset(
                    mask.data, batch * mask.batch + head * mask.head + (first + i) * mask.row
                )
                for j in range(width):
                    lane[j] = lowest
                for p in range(count):
                    t = offset(tile, p * panel_size + i * key_width)
                    key = (panel + p) * key_width
                    inside = min(key_width, keys - key)
                    written = offset(shown_rows, i * keys + key)
                    for j in range(width):
                        t[j] *= factor
                    if shown == products:
                        for j in range(inside):
                            written[j] = t[j]
                    if cap != zero:
                        for j in range(width):
                            t[j] = cap * tanh(t[j] / cap)
                    if shown == capped:
                        for j in range(inside):
                            written[j] = t[j]
                    if mask.given != no_mask:
                        added = offset(mask_of_row, key)
                        if mask.given == added_mask:
                            for j in range(min(inside, mask.keys - key)):
                                t[j] += added[j]
                        else:
                            for j in range(min(inside, mask.keys - key)):
                                t[j] = select(added[j] == lowest, lowest, t[j])
                        for j in range(max(mask.keys - key, 0), width):
                            t[j] = lowest
                    if low > key or high < key + key_width:
                        for j in range(min(max(low - key, 0), key_width)):
                            t[j] = lowest
                        for j in range(max(high - key, 0), width):
                            t[j] = lowest
                    if shown >= biased:
                        for j in range(inside):
                            written[j] = t[j]
                    for j in range(width):
                        lane[j] = largest(lane[j], t[j])

                # Powers, and the totals so far at the new maximum.
                before = tops[i]
                top = largest(before, fold_largest(lane))
                shift = zero if top == lowest else top
                for j in range(width):
                    lane[j] = zero
                for p in range(count):
                    t = offset(tile, p * panel_size + i * key_width)
                    for j in range(width):
                        power = exp(t[j] - shift)
                        t[j] = power
                        lane[j] += power
                tops[i] = top
                if fresh:
                    totals[i] = fold_sum(lane)
                else:
                    smaller = exp(before - shift)
                    totals[i] = totals[i] * smaller + fold_sum(lane)
                    if smaller != one:
                        for n in range(values):
                            t = offset(result, (n * block_rows + i) * value_width)
                            for j in range(value_width):
                                t[j] *= smaller

            # Powers times values: whole panels together, then what is left of the last one.
            whole = min(count, keys // key_width - panel)
            key = (panel + whole) * key_width
            for p in range(count):
                powers = address(tile) + p * panel_size * itemsize
                for i in range(height):
                    addresses[p * block_rows + i] = powers + i * key_width * itemsize
            for n in range(values):
                i = 0
                while i < height:
                    some = min(value_rows, height - i)
                    sums = offset(result, (n * block_rows + i) * value_width)
                    multiply_values(
                        some,
                        offset(addresses, i),
                        block_rows,
                        whole,
                        offset(packed_values, (n * keys + panel * key_width) * value_width),
                        key_width,
                        sums,
                        fresh,
                    )
                    if whole < count:
                        multiply_values(
                            some,
                            offset(addresses, whole * block_rows + i),
                            0,
                            1,
                            offset(packed_values, (n * keys + key) * value_width),
                            keys - key,
                            sums,
                            False,
                        )
                    i += value_rows
            fresh = False
            panel += count

        column = first_value * value_width
        for i in range(height):
            target = offset(y, batch * y_batch + head * y_head + (first + i) * y_row + column)
            total = totals[i]
            blind = fresh or total == zero
            if total != total and mask.given == added_mask:
                # NaN, which masked scores may be as well: then the mask alone decides
                blind = True
                added = offset(
                    mask.data, batch * mask.batch + head * mask.head + (first + i) * mask.row
                )
                low = max(place + i - window_past, 0)
                high = min(min(visible, place + i + window_future + 1), min(keys, mask.keys))
                for j in range(low, high):
                    blind = blind and added[j] == lowest
            inverse = one / total
            nothing = scalar(empty)
            for n in range(values):
                t = offset(result, (n * block_rows + i) * value_width)
                width_left = min(value_width, value_size - column - n * value_width)
                if blind:
                    for j in range(width_left):
                        target[n * value_width + j] = nothing
                else:
                    for j in range(width_left):
                        target[n * value_width + j] = t[j] * inverse
            if shown == weights:
                written = offset(shown_rows, i * keys)
                for j in range(keys):
                    power = exp(written[j] - tops[i]) * inverse
                    written[j] = nothing if blind else power

    return body

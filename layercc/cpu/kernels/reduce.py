"""Reductions of [outer, reduced, inner] over the middle dimension.

    y[o, b, i] = post( combine_{r in block b} pre(x[o, r, i], shift[o, i]), count, shift[o, i] )

`pre` and `post` are expressions (`layercc.kernels.expressions`), `combine` is sum, product, minimum
or maximum in the accumulators' type. Long reductions are done in blocks, whose results a second
call combines: the order of operations depends on shapes only.

`reduce_columns` keeps an accumulator for each of `COLUMNS` values of i and runs over r;
`reduce_rows` is for inner = 1, with accumulators in vector registers.
Both are bound by memory beyond the second-level cache.
"""

from layercc.kernels.declaration import F64, INT, kernel_family, optional, pointer
from layercc.kernels.reductions import output_dtype, reduction_steps, shift_dtype

#: Accumulators of a block of columns, on the stack.
COLUMNS = 512


@kernel_family(noalias=("y",))
def reduce_columns(pre: tuple, post: tuple, combine: str):
    """For inner > 1. Tasks: outer blocks * blocks of r * blocks of COLUMNS elements of i."""
    from layercc.kernels.intrinsics import offset, stack_array

    element, finish, join, start, accumulator = reduction_steps(pre, post, combine)
    columns = COLUMNS

    def body(
        task: INT,
        x: pointer(pre[0][0]),
        shift: optional(pointer(shift_dtype(pre, post))),
        y: pointer(output_dtype(post)),
        outer: INT,
        outer_block: INT,
        reduced: INT,
        block: INT,
        inner: INT,
        count: F64,
    ):
        blocks = max((reduced + block - 1) // block, 1)
        parts = (inner + columns - 1) // columns
        first = task % parts * columns
        width = min(columns, inner - first)
        number = task // parts % blocks
        first_row = number * block
        rows = min(block, reduced - first_row)
        first_outer = task // (parts * blocks) * outer_block
        totals = stack_array(columns, accumulator)
        for o in range(first_outer, min(first_outer + outer_block, outer)):
            source = offset(x, (o * reduced + first_row) * inner + first)
            at = o * inner + first
            for i in range(width):
                totals[i] = start
            r = 0
            while r + 4 <= rows:
                second = offset(source, inner)
                third = offset(second, inner)
                fourth = offset(third, inner)
                for i in range(width):
                    total = join(totals[i], element(source, i, shift, at + i))
                    total = join(total, element(second, i, shift, at + i))
                    total = join(total, element(third, i, shift, at + i))
                    totals[i] = join(total, element(fourth, i, shift, at + i))
                source = offset(fourth, inner)
                r += 4
            while r < rows:
                for i in range(width):
                    totals[i] = join(totals[i], element(source, i, shift, at + i))
                source = offset(source, inner)
                r += 1
            target = offset(y, (o * blocks + number) * inner + first)
            for i in range(width):
                finish(target, i, totals[i], count, shift, at + i)

    return body


@kernel_family(noalias=("y",))
def reduce_rows(pre: tuple, post: tuple, combine: str):
    """For inner = 1. Tasks: outer blocks * blocks of r."""
    from layercc.kernels.intrinsics import offset

    element, finish, join, start, _ = reduction_steps(pre, post, combine)

    def body(
        task: INT,
        x: pointer(pre[0][0]),
        shift: optional(pointer(shift_dtype(pre, post))),
        y: pointer(output_dtype(post)),
        outer: INT,
        outer_block: INT,
        reduced: INT,
        block: INT,
        count: F64,
    ):
        blocks = max((reduced + block - 1) // block, 1)
        first = task % blocks * block
        length = min(block, reduced - first)
        first_outer = task // blocks * outer_block
        for o in range(first_outer, min(first_outer + outer_block, outer)):
            source = offset(x, o * reduced + first)
            total = start
            for k in range(length):
                total = join(total, element(source, k, shift, o))
            finish(y, o * blocks + task % blocks, total, count, shift, o)

    return body

"""Data movement: strided copies, transposes, padding. Elements are moved by size, not by type.

Bound by memory: each element is read and written once.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family(noalias=("y",))
def strided_copy(dtype: str, dense: bool):
    """y[i0·t0 + … + i4·t4 + j·ty] = x[i0·s0 + … + i4·s4 + j·sx]; strides in elements.

    `n0`…`n4` outer sizes, `n` the innermost; `dense`: both innermost strides are 1. Tasks: outer
    positions in chunks of `chunk`.
    """
    from layercc.kernels.intrinsics import offset

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        n0: INT,
        n1: INT,
        n2: INT,
        n3: INT,
        n4: INT,
        n: INT,
        s0: INT,
        s1: INT,
        s2: INT,
        s3: INT,
        s4: INT,
        sx: INT,
        t0: INT,
        t1: INT,
        t2: INT,
        t3: INT,
        t4: INT,
        ty: INT,
        chunk: INT,
    ):
        position = task * chunk
        stop = min(position + chunk, n0 * n1 * n2 * n3 * n4)
        while position < stop:
            rest, i4 = position // n4, position % n4
            rest, i3 = rest // n3, rest % n3
            rest, i2 = rest // n2, rest % n2
            i0, i1 = rest // n1, rest % n1
            source = offset(x, i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3 + i4 * s4)
            target = offset(y, i0 * t0 + i1 * t1 + i2 * t2 + i3 * t3 + i4 * t4)
            run = min(n4 - i4, stop - position)
            for _ in range(run):
                if dense:
                    for j in range(n):
                        target[j] = source[j]
                else:
                    for j in range(n):
                        target[j * ty] = source[j * sx]
                source = offset(source, s4)
                target = offset(target, t4)
            position += run

    return body


@kernel_family(noalias=("y",))
def transpose(dtype: str, *, isa):
    """y[o_t + j · column + i] = x[o_s + i · row + j]: matrices at any strides, dense in x along j
    and in y along i. Squares are turned in registers.

    `n0`…`n3` are outer sizes with strides `s0`… in x and `t0`… in y. Tasks: outer positions in
    chunks of `chunk`, and for each `row_blocks` · `column_blocks` blocks of the matrices.
    """
    from layercc.cpu.transpose_tile import make_transpose_tile, tile_side
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    itemsize = int(dtype[1:]) // 8
    transpose_tile, side = make_transpose_tile(isa, itemsize), tile_side(isa, itemsize)

    @jit
    def turn(x, y, rows, columns, row, column):
        if rows == 3:  # images: three planes to pixels
            b, c = offset(x, row), offset(x, 2 * row)
            if column == 3:
                for j in range(columns):
                    y[3 * j], y[3 * j + 1], y[3 * j + 2] = x[j], b[j], c[j]
            else:
                for j in range(columns):
                    at = j * column
                    y[at], y[at + 1], y[at + 2] = x[j], b[j], c[j]
            return
        whole_rows, whole_columns = rows // side * side, columns // side * side
        for j in range(0, whole_columns, side):
            for i in range(0, whole_rows, side):
                transpose_tile(offset(x, i * row + j), row, offset(y, j * column + i), column)
        for i in range(whole_rows):
            for j in range(whole_columns, columns):
                y[j * column + i] = x[i * row + j]
        for i in range(whole_rows, rows):
            for j in range(columns):
                y[j * column + i] = x[i * row + j]

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        n0: INT,
        n1: INT,
        n2: INT,
        n3: INT,
        s0: INT,
        s1: INT,
        s2: INT,
        s3: INT,
        t0: INT,
        t1: INT,
        t2: INT,
        t3: INT,
        chunk: INT,
        rows: INT,
        columns: INT,
        row: INT,
        column: INT,
        row_block: INT,
        column_block: INT,
        row_blocks: INT,
        column_blocks: INT,
    ):
        first_column = task % column_blocks * column_block
        rest = task // column_blocks
        first_row = rest % row_blocks * row_block
        first = rest // row_blocks * chunk
        height = min(row_block, rows - first_row)
        width = min(column_block, columns - first_column)
        source = offset(x, first_row * row + first_column)
        target = offset(y, first_column * column + first_row)
        for position in range(first, min(first + chunk, n0 * n1 * n2 * n3)):
            rest, i3 = position // n3, position % n3
            rest, i2 = rest // n2, rest % n2
            i0, i1 = rest // n1, rest % n1
            turn(
                offset(source, i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3),
                offset(target, i0 * t0 + i1 * t1 + i2 * t2 + i3 * t3),
                height,
                width,
                row,
                column,
            )

    return body


@kernel_family(noalias=("y",))
def pad_rows(dtype: str):
    """Zero-pads three spatial dims of a channels-last tensor; tasks: rows of the output in chunks.

    A row is one (image, depth, height): its width · channels elements are contiguous. `before`
    and `inside` are the elements of a row in front of and from the input.
    """
    from layercc.kernels.intrinsics import offset

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        rows: INT,
        chunk: INT,
        in_d: INT,
        in_h: INT,
        out_d: INT,
        out_h: INT,
        begin_d: INT,
        begin_h: INT,
        before: INT,
        inside: INT,
        row: INT,
    ):
        for r in range(task * chunk, min((task + 1) * chunk, rows)):
            rest, h = r // out_h, r % out_h - begin_h
            image, d = rest // out_d, rest % out_d - begin_d
            target = offset(y, r * row)
            if d < 0 or d >= in_d or h < 0 or h >= in_h:
                for j in range(row):
                    target[j] = 0
            else:
                source = offset(x, ((image * in_d + d) * in_h + h) * inside)
                for j in range(before):
                    target[j] = 0
                for j in range(inside):
                    target[before + j] = source[j]
                for j in range(before + inside, row):
                    target[j] = 0

    return body

"""Data movement: strided copies, transposes, padding. Elements are moved by size, not by type.

Bound by memory: each element is read and written once.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer

#: Side of the square that `transpose` turns at a time: both its sides stay in the first cache.
TILE = 16


@kernel_family(noalias=("y",))
def strided_copy(dtype: str, dense: bool):
    """y[i0·t0 + … + i4·t4 + j·ty] = x[i0·s0 + … + i4·s4 + j·sx]; strides in elements.

    `n0`…`n4` outer sizes, `n` the innermost; `dense`: both innermost strides are 1. Tasks: outer
    positions in chunks of `chunk`.
    """
    from layercc.cpu.intrinsics import offset

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
def transpose(dtype: str):
    """y[b, j, i] = x[b, i, j] for `batch` matrices of rows × columns; tasks: batch · row blocks."""
    from layercc.cpu.intrinsics import offset

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        rows: INT,
        columns: INT,
        block: INT,
        blocks: INT,
    ):
        matrix = task // blocks * rows * columns
        source = offset(x, matrix)
        target = offset(y, matrix)
        first = task % blocks * block
        last = min(first + block, rows)
        for i0 in range(first, last, TILE):
            i1 = min(i0 + TILE, last)
            for j0 in range(0, columns, TILE):
                for j in range(j0, min(j0 + TILE, columns)):
                    for i in range(i0, i1):
                        target[j * rows + i] = source[i * columns + j]

    return body


@kernel_family(noalias=("y",))
def pad_rows(dtype: str):
    """Zero-pads three spatial dims of a channels-last tensor; tasks: rows of the output in chunks.

    A row is one (image, depth, height): its width · channels elements are contiguous. `before`
    and `inside` are the elements of a row in front of and from the input.
    """
    from layercc.cpu.intrinsics import offset

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

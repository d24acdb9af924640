"""Convolution and matrix product of small integers, exactly.

    Y[g, m, n] = Σ_t Σ_k X[g, row(m, t), k] · W[g, t, k, n]      in i32, wrapping

Operands are 8-bit integers less their zero points, so that they fit i16 and what a window reads
outside the input is 0. Rows and taps are those of `contraction`; W is `[group][tap][k][n]`.

Four steps of k at a time are added to a block of sums that stays in the first-level cache.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer

#: Columns whose sums a task keeps.
COLUMNS = 256


@kernel_family(noalias=("y",))
def integer_contraction():
    """Tasks: groups * row blocks * column blocks, the last running fastest."""
    import numpy as np

    from layercc.cpu.intrinsics import offset, stack_array

    block = COLUMNS

    def body(
        task: INT,
        x: pointer("i16"),
        w: pointer("i16"),
        y: pointer("i32"),
        rows: INT,
        row_block: INT,
        depth: INT,
        columns: INT,
        x_group: INT,
        w_group: INT,
        y_group: INT,
        x_pixel: INT,
        y_pixel: INT,
        in_d: INT,
        in_h: INT,
        in_w: INT,
        out_d: INT,
        out_h: INT,
        out_w: INT,
        window_d: INT,
        window_h: INT,
        window_w: INT,
        stride_d: INT,
        stride_h: INT,
        stride_w: INT,
        pad_d: INT,
        pad_h: INT,
        pad_w: INT,
        dilation_d: INT,
        dilation_h: INT,
        dilation_w: INT,
    ):
        column_blocks = (columns + block - 1) // block
        row_blocks = (rows + row_block - 1) // row_block
        first = task % column_blocks * block
        width = min(block, columns - first)
        rest = task // column_blocks
        first_row = rest % row_blocks * row_block
        group = rest // row_blocks
        weights = offset(w, group * w_group + first)
        sums = stack_array(block, "i32")
        for row in range(first_row, min(first_row + row_block, rows)):
            rest, out_x = row // out_w, row % out_w
            rest, out_y = rest // out_h, rest % out_h
            image, out_z = rest // out_d, rest % out_d
            for n in range(width):
                sums[n] = 0
            for kd in range(window_d):
                iz = out_z * stride_d - pad_d + kd * dilation_d
                if iz < 0 or iz >= in_d:
                    continue
                for kh in range(window_h):
                    iy = out_y * stride_h - pad_h + kh * dilation_h
                    if iy < 0 or iy >= in_h:
                        continue
                    for kw in range(window_w):
                        ix = out_x * stride_w - pad_w + kw * dilation_w
                        if ix < 0 or ix >= in_w:
                            continue
                        pixel = ((image * in_d + iz) * in_h + iy) * in_w + ix
                        source = offset(x, group * x_group + pixel * x_pixel)
                        tap = (kd * window_h + kh) * window_w + kw
                        w0 = offset(weights, tap * depth * columns)
                        k = 0
                        while k + 4 <= depth:
                            w1 = offset(w0, columns)
                            w2 = offset(w1, columns)
                            w3 = offset(w2, columns)
                            x0, x1, x2, x3 = source[k], source[k + 1], source[k + 2], source[k + 3]
                            for n in range(width):
                                sums[n] += np.int32(
                                    x0 * w0[n] + x1 * w1[n] + x2 * w2[n] + x3 * w3[n]
                                )
                            w0 = offset(w3, columns)
                            k += 4
                        while k < depth:
                            x0 = source[k]
                            for n in range(width):
                                sums[n] += np.int32(x0 * w0[n])
                            w0 = offset(w0, columns)
                            k += 1
            target = offset(y, group * y_group + row * y_pixel + first)
            for n in range(width):
                target[n] = sums[n]

    return body

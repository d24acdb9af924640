"""Convolution and matrix product: one kernel for every contraction with packed weights.

    Y[g, m, n] = epilogue( Σ_t Σ_k A[g, row(m, t), k] · W[g, t, k, n] )

`m` counts output pixels (over images, depth, height, width; or rows of a matrix), `t` the taps of
the convolution window, `k` input channels, `n` output channels. `row(m, t)` is the input pixel
under tap `t`; outside the input it is a row of zeros, so padding costs no copy. Activations are
channels-last, weights packed `[group][panel][tap][k][width]` (see `layercc.lower.contraction`).

One task computes a block of up to `BLOCK_TILES` register tiles by one panel of weights, in
scratch that stays in the first-level cache: taps and stretches of k outside, tiles inside, so that
the slice of weights in use is read from the second-level cache once a block. The epilogue (bias,
activation, residual) is applied to the scratch on its way out.

Measured on two Zen 4 cores: see `python -m benchmarks.kernels`.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer

#: Register tiles of a block: its scratch is BLOCK_TILES · rows · width elements on the stack.
BLOCK_TILES = 8
#: Most taps that a tile takes without being put down in between.
MOST_TAPS_JOINED = 49
#: Longest stretch of k that is summed up on its own: short enough for small rounding errors, long
#: enough that taking up and putting down the tile costs little.
DEPTH_BLOCK = 256


@kernel_family(noalias=("y",), unroll=False)
def contraction(dtype: str, vectors: int, expression: tuple, columns: tuple):
    """Contraction with a register tile of `vectors` vectors and an epilogue.

    `expression` (see `layercc.cpu.expressions`) has the sum as first input, then up to four
    operands; `columns[i]` says whether operand i varies along n (1) or not (0).
    """
    from layercc.cpu.epilogues import make_finish
    from layercc.cpu.intrinsics import address, offset, stack_array
    from layercc.cpu.microkernel import make_accumulate
    from layercc.cpu.target import jit
    from layercc.cpu.tiles import ITEMSIZE, lanes, tile_rows

    itemsize = ITEMSIZE[dtype]
    rows = tile_rows(vectors)
    width = vectors * lanes(dtype)
    block_rows = BLOCK_TILES * rows
    scratch_size = block_rows * width
    addresses_size = block_rows * MOST_TAPS_JOINED
    accumulate = make_accumulate(dtype, vectors)
    finish = make_finish(expression, columns)
    c0, c1, c2, c3 = (*columns, 0, 0, 0, 0)[:4]
    # Elements of a row to stage: `valid` of an operand with columns, one of another.
    one0, one1, one2, one3 = (int(len(columns) > i and not columns[i]) for i in range(4))
    data = pointer(dtype)

    @jit
    def stage(target, source, count):
        for j in range(count):
            target[j] = source[j]

    def body(
        task: INT,
        x: data,
        w: data,
        zeros: data,
        y: data,
        panels: INT,
        panel_step: INT,
        blocks: INT,
        block_step: INT,
        group_step: INT,
        inner_groups: INT,
        x_outer: INT,
        x_inner: INT,
        w_outer: INT,
        w_inner: INT,
        y_outer: INT,
        y_inner: INT,
        pixels: INT,
        block: INT,
        channels: INT,
        depth: INT,
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
        p0: data,
        p0_row: INT,
        p0_outer: INT,
        p0_inner: INT,
        p1: data,
        p1_row: INT,
        p1_outer: INT,
        p1_inner: INT,
        p2: data,
        p2_row: INT,
        p2_outer: INT,
        p2_inner: INT,
        p3: data,
        p3_row: INT,
        p3_outer: INT,
        p3_inner: INT,
    ):
        panel = task // panel_step % panels
        group = task // group_step
        outer = group // inner_groups
        inner = group % inner_groups
        first = task // block_step % blocks * block
        height = min(block, pixels - first)

        # Input pixel under tap 0, for each row of the block.
        image = stack_array(block_rows, "i64")
        in_z = stack_array(block_rows, "i64")
        in_y = stack_array(block_rows, "i64")
        in_x = stack_array(block_rows, "i64")
        rest, px = first // out_w, first % out_w
        rest, py = rest // out_h, rest % out_h
        number, pz = rest // out_d, rest % out_d
        start = address(x) + (outer * x_outer + inner * x_inner) * itemsize
        image_bytes = in_d * in_h * in_w * x_pixel * itemsize
        for i in range(height):
            image[i] = start + number * image_bytes
            in_z[i] = pz * stride_d - pad_d
            in_y[i] = py * stride_h - pad_h
            in_x[i] = px * stride_w - pad_w
            px += 1
            if px == out_w:
                px = 0
                py += 1
                if py == out_h:
                    py = 0
                    pz += 1
                    if pz == out_d:
                        pz = 0
                        number += 1

        tile = stack_array(scratch_size, dtype)
        fresh = True  # nothing is summed up in the tile yet
        addresses = stack_array(addresses_size, "i64")
        taps = window_d * window_h * window_w
        weights = offset(w, outer * w_outer + inner * w_inner + panel * taps * depth * width)
        outside = address(zeros)
        # Short taps are taken all at once, so that the tile stays in registers throughout.
        joined = taps if taps <= MOST_TAPS_JOINED and taps * depth <= DEPTH_BLOCK else 1
        tap = 0
        while tap < taps:
            for t in range(joined):
                rest, kw = (tap + t) // window_w, (tap + t) % window_w
                dz = rest // window_h * dilation_d
                dy = rest % window_h * dilation_h
                dx = kw * dilation_w
                row = offset(addresses, t * block_rows)
                for i in range(height):
                    iz = in_z[i] + dz
                    iy = in_y[i] + dy
                    ix = in_x[i] + dx
                    inside = (
                        (iz >= 0) & (iz < in_d) & (iy >= 0) & (iy < in_h) & (ix >= 0) & (ix < in_w)
                    )
                    at = image[i] + ((iz * in_h + iy) * in_w + ix) * x_pixel * itemsize
                    row[i] = at if inside else outside
            k = 0
            while True:  # once for a depth of 0: the sum is 0
                stretch = min(DEPTH_BLOCK, depth - k)
                for i in range(0, height, rows):
                    accumulate(
                        min(rows, height - i),
                        offset(addresses, i),
                        block_rows,
                        joined,
                        weights,
                        stretch,
                        offset(tile, i * width),
                        fresh,
                    )
                fresh = False
                k += stretch
                weights = offset(weights, joined * stretch * width)
                if k >= depth:
                    break
                for i in range(height):
                    addresses[i] += stretch * itemsize
            tap += joined

        n = panel * width
        valid = min(width, channels - n)
        out = offset(y, outer * y_outer + inner * y_inner + first * y_pixel + n)
        q0 = offset(p0, outer * p0_outer + inner * p0_inner + first * p0_row + n * c0)
        q1 = offset(p1, outer * p1_outer + inner * p1_inner + first * p1_row + n * c1)
        q2 = offset(p2, outer * p2_outer + inner * p2_inner + first * p2_row + n * c2)
        q3 = offset(p3, outer * p3_outer + inner * p3_inner + first * p3_row + n * c3)
        s0 = stack_array(width, dtype)
        s1 = stack_array(width, dtype)
        s2 = stack_array(width, dtype)
        s3 = stack_array(width, dtype)
        if valid < width:
            for j in range(width):
                s0[j] = s1[j] = s2[j] = s3[j] = 0
        for i in range(height):
            source = offset(tile, i * width)
            if valid == width:
                for j in range(width):
                    out[j] = finish(source[j], q0, q1, q2, q3, j)
            else:
                # Operands are staged, so that the expression runs over whole vectors here too.
                if i == 0 or p0_row + p1_row + p2_row + p3_row != 0:
                    stage(s0, q0, valid * c0 + one0)
                    stage(s1, q1, valid * c1 + one1)
                    stage(s2, q2, valid * c2 + one2)
                    stage(s3, q3, valid * c3 + one3)
                for j in range(width):
                    source[j] = finish(source[j], s0, s1, s2, s3, j)
                for j in range(valid):
                    out[j] = source[j]
            out = offset(out, y_pixel)
            q0 = offset(q0, p0_row)
            q1 = offset(q1, p1_row)
            q2 = offset(q2, p2_row)
            q3 = offset(q3, p3_row)

    return body

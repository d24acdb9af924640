"""Convolution and matrix product: one kernel for every contraction with packed weights.

    Y[g, m, n] = epilogue( Σ_t Σ_k A[g, row(m, t), k] · W[g, t, k, n] )

`m` counts output pixels (over images, depth, height, width; or rows of a matrix), `t` the taps of
the convolution window, `k` input channels, `n` output channels. `row(m, t)` is the input pixel
under tap `t`; outside the input it is the row `outside`, so padding costs no copy. Activations are
channels-last, weights packed `[group][panel][tap][k][width]` (see `layercc.cpu.algorithms.panels`).

One task computes a block of up to `BLOCK_TILES` register tiles by one panel of weights, in
scratch that stays in the first-level cache: taps and stretches of k outside, tiles inside, so that
the slice of weights in use is read from the second-level cache once a block. The epilogue (bias,
activation, residual) is applied to the scratch on its way out.

Bound by multiply-adds where depth is 64 or more; `python -m benchmarks.run` prints the share of the
machine's peak that whole networks reach.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer

#: Register tiles of a block: its scratch is BLOCK_TILES · rows · width elements on the stack.
BLOCK_TILES = 8
#: Most taps that a tile takes without being put down in between.
MOST_TAPS_JOINED = 49
#: Longest stretch of k that is summed up on its own: short enough for small rounding errors, long
#: enough that taking up and putting down the tile costs little.
DEPTH_BLOCK = 256


@kernel_family(noalias=("y.data",), unroll=False)
def contraction(element: str, vectors: int, expression: tuple, columns: tuple, *, isa):
    """Contraction with a register tile of `vectors` vectors and an epilogue.

    `element` is the element type, or what its words hold (`layercc.cpu.tiles`). `expression` and
    `columns`: see `layercc.cpu.epilogues`. A row of `w` is a panel.
    """
    from layercc.cpu.epilogues import make_epilogue
    from layercc.cpu.microkernel import make_accumulate
    from layercc.cpu.strided import row_of, strided
    from layercc.cpu.tiles import ITEMSIZE, WORDS, lanes, tile_rows
    from layercc.cpu.window_taps import (
        WINDOW,
        count_pixels,
        count_taps,
        first_met,
        is_inside,
        is_plain,
        pixel_number,
        split_row,
    )
    from layercc.kernels.intrinsics import address, offset, stack_array

    dtype = WORDS.get(element, element)
    itemsize = ITEMSIZE[element]
    rows = tile_rows(isa, vectors)
    width = vectors * lanes(isa, element)
    block_rows = BLOCK_TILES * rows
    scratch_size = block_rows * width
    addresses_size = block_rows * MOST_TAPS_JOINED
    staged_size = max(len(columns), 1) * width
    accumulate = make_accumulate(isa, element, vectors)
    epilogue = make_epilogue(expression, columns)
    rows_of, next_row, finish = epilogue.rows_of, epilogue.next_row, epilogue.finish
    vary, split, stage = epilogue.vary, epilogue.split, epilogue.stage
    tensor = strided(dtype)

    def body(
        task: INT,
        x: tensor,
        w: tensor,
        outside: pointer(dtype),
        y: tensor,
        panels: INT,
        panel_step: INT,
        blocks: INT,
        block_step: INT,
        group_step: INT,
        inner_groups: INT,
        pixels: INT,
        block: INT,
        channels: INT,
        depth: INT,
        window: WINDOW,
        operands: (tensor,) * len(columns),
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
        number, pz, py = split_row(window, first // window.w.outputs)
        px = first % window.w.outputs
        start = address(row_of(x, outer, inner, 0))
        image_bytes = count_pixels(window) * x.row * itemsize
        plain = is_plain(window)
        for i in range(0 if plain else height):
            image[i] = start + number * image_bytes
            in_z[i] = first_met(window.d, pz)
            in_y[i] = first_met(window.h, py)
            in_x[i] = first_met(window.w, px)
            px += 1
            if px == window.w.outputs:
                px = 0
                py += 1
                if py == window.h.outputs:
                    py = 0
                    pz += 1
                    if pz == window.d.outputs:
                        pz = 0
                        number += 1

        tile = stack_array(scratch_size, dtype)
        fresh = True  # nothing is summed up in the tile yet
        addresses = stack_array(addresses_size, "i64")
        taps = count_taps(window)
        weights = row_of(w, outer, inner, panel)
        beyond = address(outside)
        # Short taps are taken all at once, so that the tile stays in registers throughout.
        joined = taps if taps <= MOST_TAPS_JOINED and taps * depth <= DEPTH_BLOCK else 1
        tap = 0
        while tap < taps:
            for t in range(joined):
                rest, kw = (tap + t) // window.w.taps, (tap + t) % window.w.taps
                dz = rest // window.h.taps * window.d.dilation
                dy = rest % window.h.taps * window.h.dilation
                dx = kw * window.w.dilation
                row = offset(addresses, t * block_rows)
                if plain:
                    for i in range(height):
                        row[i] = start + (first + i) * x.row * itemsize
                for i in range(0 if plain else height):
                    iz = in_z[i] + dz
                    iy = in_y[i] + dy
                    ix = in_x[i] + dx
                    inside = (
                        is_inside(window.d, iz) & is_inside(window.h, iy) & is_inside(window.w, ix)
                    )
                    at = image[i] + pixel_number(window, iz, iy, ix) * x.row * itemsize
                    row[i] = at if inside else beyond
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
        out = offset(row_of(y, outer, inner, first), n)
        beside = rows_of(operands, outer, inner, first, n)
        memory = stack_array(staged_size, dtype)
        staged = split(memory, width)
        if valid < width:
            for j in range(staged_size):
                memory[j] = 0
        for i in range(height):
            source = offset(tile, i * width)
            if valid == width:
                for j in range(width):
                    out[j] = finish(source[j], beside, j)
            else:
                # Operands are staged, so that the expression runs over whole vectors here too.
                if i == 0 or vary(operands):
                    stage(staged, beside, valid)
                for j in range(width):
                    source[j] = finish(source[j], staged, j)
                for j in range(valid):
                    out[j] = source[j]
            out = offset(out, y.row)
            beside = next_row(beside, operands)

    return body

"""Winograd's convolution: windows of 3 × 3 with stride 1 by fewer multiplications.

    Y = epilogue( Aᵀ ( Σ_c (G W_c Gᵀ) ⊙ (Bᵀ X_c B) ) A )        for each tile of size × size outputs

(Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices are
those of `layercc.cpu.cook_toom`.) The products are (size + 2)² matrix products of tiles ×
input channels by input × output channels, one for each place in the transformed tile. They go
through the contraction's microkernel, with transformed weights packed `[group][panel][place][k]
[width]`.

A window of several taps along the depth is as many windows of 3 × 3 over neighbouring planes, whose
products are summed up before the output transform: to the products, they are further channels.

All stages are done for one block of tiles before the next, so that what is between them stays in
the second-level cache: the block's tiles are transformed into `[place][tile][k]`; for each panel of
columns the products are summed up in `[place][tile][width]`, and transformed in place into
`[output][tile][width]`, from where they take the epilogue on their way out. A unit is one panel of
one block; a task computes neighbouring units, in scratch of its own. Where blocks are too few to be
shared between threads, and weights too many to be read for each again, a call of its own transforms
all inputs, and another does the rest.

What is not finite spreads in a transform over the whole tile. Each output of the direct sum that is
not finite is not finite here either: a product that depends on the pixel or weight at fault, with
factors other than 0, has a part in it. So where outputs of a tile are not finite (or intermediate
values overflowed), the sums of that tile are computed again as they stand.
"""

import numpy as np

from layercc.kernels.declaration import INT, kernel_family, pointer, record

#: What a call does: everything, in memory of each task; or one of the two steps of it, with the
#: transformed inputs of all blocks one behind the other.
ALL, ONLY_INPUTS, ONLY_OUTPUTS = 0, 1, 2
#: Tiles of a block at most.
MOST_TILES = 64
#: Terms that are summed up on their own: with these, errors of F(2 × 2) are about those of the
#: direct sum in stretches of 256.
DEPTH_BLOCK = 16
#: The same, of channels, where a tile is computed again.
_DIRECT_DEPTH = 16
_TAPS = 3
#: Elements of a line of the caches.
_LINE = 16


@kernel_family(noalias=("y.data",), unroll=False)
def winograd(vectors: int, expression: tuple, columns: tuple, *, isa):
    """F(size × size, 3 × 3) of float32 in panels of `vectors` vectors, with an epilogue. One kernel
    serves all sizes of `layercc.cpu.cook_toom`.

    `images` are planes of the output, all of an image one behind the other. `expression` and
    `columns`: see `layercc.cpu.epilogues`. A row of `w` is a panel. `filters` are the weights as
    they were, `[group, column, depth, d, h, w]` with any strides; `outside` is a row of zeros.
    `transformed` has rows of `row` elements, a block for each task or for each block of the call;
    `sums` are scratch of each task. `streamed`: 1 where weights come from beyond the second-level
    cache, else 0. Tasks are of `grain` units or a multiple. A call of `ONLY_INPUTS` takes parts of
    a block for panels.
    """
    from layercc.cpu.cook_toom import SIZES
    from layercc.cpu.epilogues import make_epilogue
    from layercc.cpu.microkernel import make_accumulate
    from layercc.cpu.strided import row_of, strided
    from layercc.cpu.tiles import lanes, tile_rows
    from layercc.cpu.window_taps import (
        WINDOW,
        count_pixels,
        first_met,
        is_inside,
        pixel_number,
    )
    from layercc.cpu.winograd_tile import make_transform_input, make_transform_output
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import address, offset, prefetch, stack_array

    most_places = (max(SIZES) + _TAPS - 1) ** 2
    taps = _TAPS * _TAPS
    rows = tile_rows(isa, vectors)
    width = vectors * lanes(isa, "f32")
    accumulate = make_accumulate(isa, "f32", vectors)
    transform_input = make_transform_input(isa)
    transform_output = make_transform_output(isa, vectors)
    epilogue = make_epilogue(expression, columns)
    rows_of, next_row, finish = epilogue.rows_of, epilogue.next_row, epilogue.finish
    vary, split, stage = epilogue.vary, epilogue.split, epilogue.stage
    staged_size = max(len(columns), 1) * width
    near_size = taps * rows
    packed_size = taps * _DIRECT_DEPTH * width
    zero = np.float32(0)
    tensor = strided("f32")
    filter_record = record(
        "Filters", data=pointer("f32"), group=INT, column=INT, depth=INT, d=INT, h=INT, w=INT
    )

    @jit
    def pixel_at(window, start, step, beyond, iz, iy, ix):
        """The address of an input pixel, or of a row of zeros."""
        inside = is_inside(window.d, iz) & is_inside(window.h, iy) & is_inside(window.w, ix)
        return start + pixel_number(window, iz, iy, ix) * step if inside else beyond

    @jit
    def pack_filters(target, filters, group, first, valid, kd, k, stretch):
        """`stretch` channels of a panel's weights at depth kd of the window, from channel k on, as
        [tap][channel][width]."""
        for tap in range(taps):
            at = group * filters.group + first * filters.column + k * filters.depth
            at += kd * filters.d
            at += tap // _TAPS * filters.h + tap % _TAPS * filters.w
            for c in range(stretch):
                row = offset(target, (tap * stretch + c) * width)
                source = offset(filters.data, at + c * filters.depth)
                for j in range(width):
                    row[j] = source[j * filters.column] if j < valid else zero

    def body(
        task: INT,
        size: INT,
        x: tensor,
        w: tensor,
        filters: filter_record,
        outside: pointer("f32"),
        y: tensor,
        transformed: pointer("f32"),
        sums: pointer("f32"),
        work: INT,
        row: INT,
        shares: INT,
        units: INT,
        grain: INT,
        streamed: INT,
        panels: INT,
        blocks: INT,
        images: INT,
        tiles: INT,
        across: INT,
        block: INT,
        channels: INT,
        depth: INT,
        window: WINDOW,
        operands: (tensor,) * len(columns),
    ):
        side = size + _TAPS - 1
        places = side * side
        plane = block * row
        sums_plane = block * width
        sums = offset(sums, task * places * sums_plane)
        pixels = stack_array(most_places, "i64")
        addresses = stack_array(MOST_TILES, "i64")
        faulty = stack_array(MOST_TILES, "i64")
        near = stack_array(near_size, "i64")
        packed = stack_array(packed_size, "f32")
        memory = stack_array(staged_size, "f32")
        staged = split(memory, width)
        beyond = address(outside)
        step = x.row * 4
        terms = window.d.taps * depth
        begin = task * (units // grain) // shares * grain
        for unit in range(begin, (task + 1) * (units // grain) // shares * grain):
            panel = unit % panels
            rest = unit // panels
            first = rest % blocks * block
            image = rest // blocks % images
            group = rest // blocks // images
            count = min(block, tiles - first)
            start = address(row_of(x, 0, group, image // window.d.outputs * count_pixels(window)))
            iz = first_met(window.d, image % window.d.outputs)

            inputs = offset(transformed, (task if work == ALL else rest) * places * plane)
            if work == ONLY_INPUTS or (work == ALL and (panel == 0 or unit == begin)):
                part = panel if work == ONLY_INPUTS else 0
                parts = panels if work == ONLY_INPUTS else 1
                for t in range(count * part // parts, count * (part + 1) // parts):
                    iy = (first + t) // across * size - window.h.pad
                    ix = (first + t) % across * size - window.w.pad
                    for kd in range(window.d.taps):
                        z = iz + kd * window.d.dilation
                        for i in range(side):
                            for j in range(side):
                                at = pixel_at(window, start, step, beyond, z, iy + i, ix + j)
                                pixels[i * side + j] = at
                        target = offset(inputs, t * row + kd * depth)
                        transform_input(size, pixels, depth, target, plane)

            if work == ONLY_INPUTS:
                continue
            # The next stretch of weights is asked for while this one is in use.
            calls = (count + rows - 1) // rows
            ahead = (DEPTH_BLOCK * width // _LINE * streamed + calls - 1) // calls
            weights = row_of(w, 0, group, panel)
            for place in range(places):
                start_of_place = address(offset(inputs, place * plane))
                for t in range(count):
                    addresses[t] = start_of_place + t * row * 4
                k = 0
                while k < terms:
                    stretch = min(DEPTH_BLOCK, terms - k)
                    for i in range(0, count, rows):
                        for line in range(i // rows * ahead, (i // rows + 1) * ahead):
                            prefetch(offset(weights, stretch * width + line * _LINE))
                        accumulate(
                            min(rows, count - i),
                            offset(addresses, i),
                            0,
                            1,
                            weights,
                            stretch,
                            offset(sums, place * sums_plane + i * width),
                            k == 0,
                        )
                    weights = offset(weights, stretch * width)
                    k += stretch
                    for t in range(count):
                        addresses[t] += stretch * 4

            any_faulty = 0
            for t in range(count):
                faulty[t] = transform_output(size, offset(sums, t * width), sums_plane)
                any_faulty |= faulty[t]

            n = panel * width
            valid = min(width, channels - n)
            if any_faulty:
                steps = (depth + _DIRECT_DEPTH - 1) // _DIRECT_DEPTH
                for stage_of in range(window.d.taps * steps):
                    kd, k = stage_of // steps, stage_of % steps * _DIRECT_DEPTH
                    z = iz + kd * window.d.dilation
                    stretch = min(_DIRECT_DEPTH, depth - k)
                    pack_filters(packed, filters, group, n, valid, kd, k, stretch)
                    for o in range(size * size):
                        t = 0
                        while t < count:
                            run = 0
                            while run < rows and t + run < count and faulty[t + run]:
                                number = first + t + run
                                iy = number // across * size - window.h.pad + o // size
                                ix = number % across * size - window.w.pad + o % size
                                for tap in range(taps):
                                    near[tap * rows + run] = k * 4 + pixel_at(
                                        window, start, step, beyond,
                                        z, iy + tap // _TAPS, ix + tap % _TAPS,
                                    )  # fmt: skip
                                run += 1
                            if run:
                                target = offset(sums, o * sums_plane + t * width)
                                new = stage_of == 0
                                accumulate(run, near, rows, taps, packed, stretch, target, new)
                            t += max(run, 1)

            if valid < width:
                for j in range(staged_size):
                    memory[j] = 0
            fresh = True
            for t in range(count):
                oy = (first + t) // across * size
                ox = (first + t) % across * size
                for i in range(min(size, window.h.outputs - oy)):
                    number = (image * window.h.outputs + oy + i) * window.w.outputs + ox
                    out = offset(row_of(y, 0, group, number), n)
                    beside = rows_of(operands, 0, group, number, n)
                    for j in range(min(size, window.w.outputs - ox)):
                        source = offset(sums, (i * size + j) * sums_plane + t * width)
                        if valid == width:
                            for c in range(width):
                                out[c] = finish(source[c], beside, c)
                        else:
                            # Operands are staged, so that whole vectors are computed here too.
                            if fresh or vary(operands):
                                stage(staged, beside, valid)
                                fresh = False
                            for c in range(width):
                                source[c] = finish(source[c], staged, c)
                            for c in range(valid):
                                out[c] = source[c]
                        out = offset(out, y.row)
                        beside = next_row(beside, operands)

    return body

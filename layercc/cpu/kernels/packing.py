"""Packing of a matrix that is only known at run time into the panels that `contraction` reads.

    P[g, p, k, j] = B[g, k, p · width + j]      (0 beyond the last column)

Bound by memory: reads and writes B once.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family(noalias=("packed",))
def pack_panels(dtype: str, *, isa):
    """Pack `groups` matrices of depth × columns; tasks: groups · panels.

    Where the matrix is given transposed (`row` is 1), squares are turned in registers.
    """
    from layercc.cpu.tiles import ITEMSIZE
    from layercc.cpu.transpose_tile import make_transpose_tile, tile_side
    from layercc.kernels.intrinsics import offset

    itemsize = ITEMSIZE[dtype]
    transpose_tile, side = make_transpose_tile(isa, itemsize), tile_side(isa, itemsize)

    def body(
        task: INT,
        b: pointer(dtype),
        packed: pointer(dtype),
        inner_groups: INT,
        b_outer: INT,
        b_inner: INT,
        panels: INT,
        width: INT,
        depth: INT,
        columns: INT,
        row: INT,
        column: INT,
    ):
        group = task // panels
        first = task % panels * width
        at = group // inner_groups * b_outer + group % inner_groups * b_inner + first * column
        source = offset(b, at)
        target = offset(packed, task * depth * width)
        valid = min(width, columns - first)
        turned = 0  # columns and depth that are done
        turned_depth = 0
        if row == 1:
            turned = valid // side * side
            turned_depth = depth // side * side
            for j in range(0, turned, side):
                for k in range(0, turned_depth, side):
                    transpose_tile(
                        offset(source, j * column + k),
                        column,
                        offset(target, k * width + j),
                        width,
                    )
        for k in range(depth):
            for j in range(turned if k < turned_depth else 0, valid):
                target[j] = source[j * column]
            for j in range(valid, width):
                target[j] = 0
            target = offset(target, width)
            source = offset(source, row)

    return body

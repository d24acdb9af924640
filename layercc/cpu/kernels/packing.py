"""Packing of a matrix that is only known at run time into the panels that `contraction` reads.

    P[g, p, k, j] = B[g, k, p · width + j]      (0 beyond the last column)

Bound by memory: reads and writes B once.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer


@kernel_family(noalias=("packed",))
def pack_panels(dtype: str):
    """Pack `groups` matrices of depth × columns; tasks: groups · panels."""
    from layercc.cpu.intrinsics import offset

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
        for k in range(depth):
            for j in range(valid):
                target[j] = source[j * column]
            for j in range(valid, width):
                target[j] = 0
            target = offset(target, width)
            source = offset(source, row)

    return body

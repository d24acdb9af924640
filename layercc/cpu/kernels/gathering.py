# mypy: ignore-errors
"""Reads and writes at indices that are only known at run time.

Elements are moved by size, not by type. Negative indices count from the end; an index that is
still outside is reported (`layercc.cpu.faults`). Where a tensor has no elements that could be read
or written, slices are of 0 elements: then indices are only looked at.
Bound by memory, but for small slices by the latency of reading the index.
"""

from layercc.cpu.faults import FAULT, index_checker, reporter
from layercc.kernels.declaration import INT, kernel_family, optional, pointer


@kernel_family(noalias=("y",))
def gather(dtype: str, index: str):
    """y[o, i, :] = x[o, indices[i], :]; slices of `inner` elements; tasks: (o, i) in chunks."""
    import numpy as np

    from layercc.kernels.intrinsics import offset

    checked = index_checker()

    def body(
        task: INT,
        x: pointer(dtype),
        indices: pointer(index),
        y: pointer(dtype),
        outer: INT,
        size: INT,
        count: INT,
        inner: INT,
        chunk: INT,
        fault: optional(FAULT),
    ):
        slice = task * chunk
        last = min(slice + chunk, outer * count)
        while slice < last:
            o, first = slice // count, slice % count
            table = offset(x, o * size * inner)
            for i in range(first, min(count, first + last - slice)):
                at = checked(fault, i, np.int64(indices[i]), size)
                if inner == 1:
                    y[slice] = table[at]
                else:
                    source = offset(table, at * inner)
                    target = offset(y, slice * inner)
                    for j in range(inner):
                        target[j] = source[j]
                slice += 1

    return body


def _row_start(dims, rank, row):
    """What the coordinates of a row of elements, all but the last one, add to an offset."""
    start = 0
    for d in range(rank - 2, -1, -1):
        start += row % dims[2 * d] * dims[2 * d + 1]
        row //= dims[2 * d]
    return start


@kernel_family(noalias=("y",))
def gather_elements(dtype: str, index: str):
    """y[i] = x[i with the coordinate along one axis replaced by indices[i]]; tasks: chunks of n.

    `dims` holds for each of `rank` dims the size of the indices and the element stride of x, which
    is 0 for the axis; `stride` is the axis's, `size` its size.
    """
    import numpy as np

    from layercc.kernels.helper import jit

    row_start = jit(_row_start)

    checked = index_checker()

    def body(
        task: INT,
        x: pointer(dtype),
        indices: pointer(index),
        y: pointer(dtype),
        dims: pointer("i64"),
        rank: INT,
        size: INT,
        stride: INT,
        n: INT,
        chunk: INT,
        fault: FAULT,
    ):
        i = task * chunk
        end = min(i + chunk, n)
        columns, step = dims[2 * rank - 2], dims[2 * rank - 1]
        while i < end:
            row = row_start(dims, rank, i // columns)
            for column in range(i % columns, min(columns, i % columns + end - i)):
                at = checked(fault, i, np.int64(indices[i]), size)
                y[i] = x[row + column * step + at * stride]
                i += 1

    return body


@kernel_family(noalias=("y",))
def gather_nd(dtype: str):
    """y[t, :] = x[batch of t, indices[t], :]: slices of `inner` elements at tuples of indices.

    `dims` holds for each of the `length` indices of a tuple the size and the element stride of x.
    `tuples` belong to each batch element, which takes `batch_stride` elements of x. Tasks: `count`
    tuples in chunks.
    """
    from layercc.kernels.intrinsics import offset

    checked = index_checker()

    def body(
        task: INT,
        x: pointer(dtype),
        indices: pointer("i64"),
        y: pointer(dtype),
        dims: pointer("i64"),
        length: INT,
        tuples: INT,
        batch_stride: INT,
        count: INT,
        inner: INT,
        chunk: INT,
        fault: FAULT,
    ):
        for t in range(task * chunk, min((task + 1) * chunk, count)):
            at = t // tuples * batch_stride
            for d in range(length):
                k = t * length + d
                at += checked(fault, k, indices[k], dims[2 * d]) * dims[2 * d + 1]
            source = offset(x, at)
            target = offset(y, t * inner)
            for j in range(inner):
                target[j] = source[j]

    return body


def _joiner(dtype, reduction):
    """The helper `join(y, at, value)`: stores the value, or combines it with what is there."""
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.math import primitive

    if reduction == "none":

        def join(y, at, value):
            y[at] = value

        return jit(join)
    load_y, store_y = load(dtype), store(dtype)
    kind = compute_dtype(dtype)
    largest, smallest = primitive("maximum", kind), primitive("minimum", kind)
    if reduction == "add":

        def join(y, at, value):
            store_y(y, at, load_y(y, at) + value)

    elif reduction == "mul":

        def join(y, at, value):
            store_y(y, at, load_y(y, at) * value)

    elif reduction == "max":

        def join(y, at, value):
            store_y(y, at, largest(load_y(y, at), value))

    else:

        def join(y, at, value):
            store_y(y, at, smallest(load_y(y, at), value))

    return jit(join)


@kernel_family
def scatter_elements(dtype: str, index: str, reduction: str):
    """y[i with the coordinate along one axis replaced by indices[i]] = updates[i], in order.

    Arguments as for `gather_elements`. One task: of several updates of an element the last wins.
    """
    import numpy as np

    from layercc.kernels.expressions import load
    from layercc.kernels.helper import jit

    row_start = jit(_row_start)
    checked = index_checker()
    join = _joiner(dtype, reduction)
    load_update = load(dtype)

    def body(
        task: INT,
        y: pointer(dtype),
        indices: pointer(index),
        updates: pointer(dtype),
        dims: pointer("i64"),
        rank: INT,
        size: INT,
        stride: INT,
        n: INT,
        fault: FAULT,
    ):
        i = 0
        columns, step = dims[2 * rank - 2], dims[2 * rank - 1]
        while i < n:
            row = row_start(dims, rank, i // columns)
            for column in range(columns):
                at = checked(fault, i, np.int64(indices[i]), size)
                join(y, row + column * step + at * stride, load_update(updates, i))
                i += 1

    return body


@kernel_family
def scatter_nd(dtype: str, reduction: str):
    """y[indices[t], :] = updates[t, :], in order; arguments as for `gather_nd`. One task."""
    from layercc.kernels.expressions import load
    from layercc.kernels.intrinsics import offset

    checked = index_checker()
    join = _joiner(dtype, reduction)
    load_update = load(dtype)

    def body(
        task: INT,
        y: pointer(dtype),
        indices: pointer("i64"),
        updates: pointer(dtype),
        dims: pointer("i64"),
        length: INT,
        count: INT,
        inner: INT,
        fault: FAULT,
    ):
        for t in range(count):
            at = 0
            for d in range(length):
                k = t * length + d
                at += checked(fault, k, indices[k], dims[2 * d]) * dims[2 * d + 1]
            target = offset(y, at)
            source = offset(updates, t * inner)
            for j in range(inner):
                join(target, j, load_update(source, j))

    return body


@kernel_family
def write_sequence(dtype: str):
    """y[b, o, starts[b] + i, :] = x[b, o, i, :] for i < count, in rows of `inner` elements.

    Positions beyond `size` are taken modulo it where `circular` (1), else there are none. Tasks:
    batch · `rows` (the extent of o).
    """
    from layercc.kernels.intrinsics import offset

    def body(
        task: INT,
        x: pointer(dtype),
        starts: pointer("i64"),
        y: pointer(dtype),
        rows: INT,
        size: INT,
        count: INT,
        inner: INT,
        circular: INT,
    ):
        start = starts[task // rows]
        for i in range(count):
            at = (start + i) % size if circular != 0 else start + i
            source = offset(x, (task * count + i) * inner)
            target = offset(y, (task * size + at) * inner)
            for j in range(inner):
                target[j] = source[j]

    return body


@kernel_family(noalias=("y",))
def in_range(dtype: str):
    """y = x, n integers; one outside of `low`..`high` is reported, and the nearest goes for it.

    One task.
    """
    import numpy as np

    report = reporter()

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        n: INT,
        low: INT,
        high: INT,
        fault: FAULT,
    ):
        for i in range(n):
            value = np.int64(x[i])
            if value < low or value > high:
                report(fault, i, value, low, high)
                value = max(min(value, high), low)
            y[i] = value

    return body


@kernel_family(noalias=("y",))
def one_hot(dtype: str, index: str):
    """y[o, d, i] = values[1] where d is indices[o, i] (or depth more), else values[0].

    Tasks: `outer` in chunks.
    """
    import numpy as np

    from layercc.kernels.expressions import load

    load_index = load(index)

    def body(
        task: INT,
        indices: pointer(index),
        values: pointer(dtype),
        y: pointer(dtype),
        outer: INT,
        depth: INT,
        inner: INT,
        chunk: INT,
    ):
        off, on = values[0], values[1]
        for o in range(task * chunk, min((task + 1) * chunk, outer)):
            for k in range(o * depth * inner, (o + 1) * depth * inner):
                y[k] = off
            for i in range(inner):
                at = np.int64(load_index(indices, o * inner + i))
                if at < 0:
                    at += depth
                if 0 <= at < depth:
                    y[(o * depth + at) * inner + i] = on

    return body


@kernel_family(noalias=("y",))
def reverse_sequence(dtype: str):
    """Reverses the first lengths[b] steps, which exist: x seen as [n0, n1, n2, n3, inner].

    Dims 1 and 3 are time and batch, or with `batch_first` (1) batch and time. Tasks: positions of
    the first four dims in chunks.
    """
    from layercc.kernels.intrinsics import offset

    def body(
        task: INT,
        x: pointer(dtype),
        lengths: pointer("i64"),
        y: pointer(dtype),
        n0: INT,
        n1: INT,
        n2: INT,
        n3: INT,
        inner: INT,
        batch_first: INT,
        chunk: INT,
    ):
        for at in range(task * chunk, min((task + 1) * chunk, n0 * n1 * n2 * n3)):
            rest, i3 = at // n3, at % n3
            rest, i2 = rest // n2, rest % n2
            i0, i1 = rest // n1, rest % n1
            if batch_first != 0:
                length = lengths[i1]
                if i3 < length:
                    i3 = length - 1 - i3
            else:
                length = lengths[i3]
                if i1 < length:
                    i1 = length - 1 - i1
            source = offset(x, (((i0 * n1 + i1) * n2 + i2) * n3 + i3) * inner)
            target = offset(y, at * inner)
            for j in range(inner):
                target[j] = source[j]

    return body


@kernel_family
def triangle(dtype: str):
    """y = x on and above (`upper` 1) or below (0) diagonal k[0], zero elsewhere.

    Tasks: rows of all matrices in chunks; y may be x.
    """

    def body(
        task: INT,
        x: pointer(dtype),
        k: pointer("i64"),
        y: pointer(dtype),
        rows: INT,
        height: INT,
        width: INT,
        upper: INT,
        chunk: INT,
    ):
        diagonal = min(max(k[0], -height), width)  # beyond is all or nothing, and may overflow
        for row in range(task * chunk, min((task + 1) * chunk, rows)):
            middle = row % height + diagonal
            first = max(min(middle if upper != 0 else 0, width), 0)
            last = max(min(width if upper != 0 else middle + 1, width), 0)
            start = row * width
            for j in range(start, start + first):
                y[j] = 0
            for j in range(start + first, start + last):
                y[j] = x[j]
            for j in range(start + max(first, last), start + width):
                y[j] = 0

    return body

"""Rotary position embedding (Su et al., arXiv 2104.09864): pairs of elements turned by an angle.

    y[a] = cos x[a] - sin x[b],   y[b] = sin x[a] + cos x[b]

where (a, b) are neighbours if interleaved, else half the turned part apart. Bound by memory.
"""

from layercc.kernels.declaration import INT, kernel_family, optional, pointer


@kernel_family(noalias=("y",))
def rotary(dtype: str, interleaved: bool):
    """X and Y are seen as [batch, heads, length, size]; elements from 2 * `half` on are copied.

    With `indexed`, the caches have `entries` rows and `positions`, [batch, length], chooses one
    (a negative one counts from the end; none is outside); else they are [batch, length, half]. A
    task is `chunk` of the rows (batch, position, head).
    """
    from layercc.kernels.intrinsics import offset

    data = pointer(dtype)

    def body(
        task: INT,
        x: data,
        y: data,
        cosines: data,
        sines: data,
        positions: optional(pointer("i64")),
        indexed: INT,
        entries: INT,
        rows: INT,
        chunk: INT,
        heads: INT,
        length: INT,
        size: INT,
        half: INT,
        x_batch: INT,
        x_head: INT,
        x_row: INT,
    ):
        for row in range(task * chunk, min((task + 1) * chunk, rows)):
            token, head = row // heads, row % heads
            batch, place = token // length, token % length
            at = batch * x_batch + head * x_head + place * x_row
            source, target = offset(x, at), offset(y, at)
            entry = token
            if indexed != 0:
                entry = positions[token]
                if entry < 0:
                    entry += entries
            cos, sin = offset(cosines, entry * half), offset(sines, entry * half)
            if interleaved:
                for j in range(half):
                    a, b = source[2 * j], source[2 * j + 1]
                    target[2 * j] = cos[j] * a - sin[j] * b
                    target[2 * j + 1] = sin[j] * a + cos[j] * b
            else:
                second, other = offset(source, half), offset(target, half)
                for j in range(half):
                    a, b = source[j], second[j]
                    target[j] = cos[j] * a - sin[j] * b
                    other[j] = sin[j] * a + cos[j] * b
            for j in range(2 * half, size):
                target[j] = source[j]

    return body

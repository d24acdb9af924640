"""Cells of recurrent layers: what follows the recurrent product in one time step.

With x the projected input of the step (W x + Wb), s the recurrent product (R h), rb its bias:

    RNN    h ← f(x + s)
    LSTM   i, f, o = f(x + s + p c),  c ← f c + i g(x + s),  h ← o l(c)      (o peeps at the new c)
    GRU    z, r = f(x + s + rb),  n = g(x + R(r h) + rb)  or  g(x + r (s + rb)),
           h ← (1 - z) n + z h

A row is one sample in one direction; tasks are blocks of `row_block` rows. `sums` is
[directions, batch, gates * hidden]; the states are updated in place. Samples shorter than `step`
keep their states and give zeros. Each gate's function is an expression of one input
(`layercc.cpu.expressions`), clipping included.

Bound by the recurrent product's weights, which are read once a step; a cell reads a few rows.
"""

from layercc.cpu.kernel import INT, kernel_family, optional, pointer


def _place():
    """The helper `place(step, steps, backward)`: the time at which a sample of `steps` steps reads
    and writes; what is behind its end stays where it is."""
    from layercc.cpu.target import jit

    def place(step, steps, backward):
        if backward != 0 and step < steps:
            return steps - 1 - step
        return step

    return jit(place)


@kernel_family(noalias=("y", "h"))
def rnn_cell(dtype: str, activation: tuple):
    """Tasks: ceil(directions * batch / row_block)."""
    from layercc.cpu.expressions import build
    from layercc.cpu.intrinsics import offset
    from layercc.cpu.math import SCALAR

    f, place, zero = build(activation), _place(), SCALAR[dtype](0)
    data = pointer(dtype)

    def body(
        task: INT,
        sums: data,
        projected: data,
        lengths: optional(pointer("i32")),
        y: data,
        h: data,
        step: INT,
        time: INT,
        limited: INT,
        first_backward: INT,
        directions: INT,
        batch: INT,
        hidden: INT,
        row_block: INT,
        projected_direction: INT,
        projected_time: INT,
        projected_row: INT,
        y_direction: INT,
        y_time: INT,
        y_row: INT,
        state_direction: INT,
        state_row: INT,
    ):
        for row in range(task * row_block, min((task + 1) * row_block, directions * batch)):
            direction, sample = row // batch, row % batch
            steps = lengths[sample] if limited != 0 else time
            at = place(step, steps, direction + first_backward)
            target = offset(y, direction * y_direction + at * y_time + sample * y_row)
            if step >= steps:
                for j in range(hidden):
                    target[j] = zero
                continue
            x = offset(
                projected,
                direction * projected_direction + at * projected_time + sample * projected_row,
            )
            s = offset(sums, row * hidden)
            state = offset(h, direction * state_direction + sample * state_row)
            for j in range(hidden):
                new = f(x[j] + s[j])
                state[j] = new
                target[j] = new

    return body


@kernel_family(noalias=("y", "h", "c"))
def lstm_cell(dtype: str, activations: tuple, peeping: bool, coupled: bool):
    """Gates are in the order i, o, f, c. `peeping`: with peepholes p, [directions, 3 * hidden] in
    the order i, o, f; `coupled`: the forget gate is 1 - i.

    Tasks: ceil(directions * batch / row_block).
    """
    from layercc.cpu.expressions import build
    from layercc.cpu.intrinsics import offset
    from layercc.cpu.math import SCALAR

    f, g, last = (build(activation) for activation in activations)
    place, zero, one = _place(), SCALAR[dtype](0), SCALAR[dtype](1)
    data = pointer(dtype)

    def body(
        task: INT,
        sums: data,
        projected: data,
        lengths: optional(pointer("i32")),
        y: data,
        h: data,
        c: data,
        p: optional(data),
        step: INT,
        time: INT,
        limited: INT,
        first_backward: INT,
        directions: INT,
        batch: INT,
        hidden: INT,
        row_block: INT,
        projected_direction: INT,
        projected_time: INT,
        projected_row: INT,
        y_direction: INT,
        y_time: INT,
        y_row: INT,
        state_direction: INT,
        state_row: INT,
    ):
        for row in range(task * row_block, min((task + 1) * row_block, directions * batch)):
            direction, sample = row // batch, row % batch
            steps = lengths[sample] if limited != 0 else time
            at = place(step, steps, direction + first_backward)
            target = offset(y, direction * y_direction + at * y_time + sample * y_row)
            if step >= steps:
                for j in range(hidden):
                    target[j] = zero
                continue
            xi = offset(
                projected,
                direction * projected_direction + at * projected_time + sample * projected_row,
            )
            xo, xf, xc = offset(xi, hidden), offset(xi, 2 * hidden), offset(xi, 3 * hidden)
            si = offset(sums, row * 4 * hidden)
            so, sf, sc = offset(si, hidden), offset(si, 2 * hidden), offset(si, 3 * hidden)
            pi = offset(p, direction * 3 * hidden)
            po, pf = offset(pi, hidden), offset(pi, 2 * hidden)
            state = offset(h, direction * state_direction + sample * state_row)
            cell = offset(c, direction * state_direction + sample * state_row)
            for j in range(hidden):
                old = cell[j]
                gate_i, gate_o, gate_f = xi[j] + si[j], xo[j] + so[j], xf[j] + sf[j]
                if peeping:
                    gate_i += pi[j] * old
                    gate_f += pf[j] * old
                i = f(gate_i)
                forget = one - i if coupled else f(gate_f)
                new = forget * old + i * g(xc[j] + sc[j])
                if peeping:
                    gate_o += po[j] * new
                out = f(gate_o) * last(new)
                cell[j] = new
                state[j] = out
                target[j] = out

    return body


@kernel_family(noalias=("sums",))
def gru_gates(dtype: str, activation: tuple, biased: bool):
    """First half of a GRU step whose reset gate is applied to h before its product.

    `sums`, [directions, batch, 2 * hidden], holds the products of z and r, and afterwards z and
    r * h. `bias` is [directions, 6 * hidden], Wb before Rb. Tasks as in `gru_cell`.
    """
    from layercc.cpu.expressions import build
    from layercc.cpu.intrinsics import offset

    f, place = build(activation), _place()
    data = pointer(dtype)

    def body(
        task: INT,
        sums: data,
        projected: data,
        bias: optional(data),
        lengths: optional(pointer("i32")),
        h: data,
        step: INT,
        time: INT,
        limited: INT,
        first_backward: INT,
        directions: INT,
        batch: INT,
        hidden: INT,
        row_block: INT,
        projected_direction: INT,
        projected_time: INT,
        projected_row: INT,
        state_direction: INT,
        state_row: INT,
    ):
        for row in range(task * row_block, min((task + 1) * row_block, directions * batch)):
            direction, sample = row // batch, row % batch
            steps = lengths[sample] if limited != 0 else time
            at = place(step, steps, direction + first_backward)
            xz = offset(
                projected,
                direction * projected_direction + at * projected_time + sample * projected_row,
            )
            xr = offset(xz, hidden)
            sz = offset(sums, row * 2 * hidden)
            sr = offset(sz, hidden)
            bz = offset(bias, (direction * 6 + 3) * hidden)
            br = offset(bz, hidden)
            state = offset(h, direction * state_direction + sample * state_row)
            for j in range(hidden):
                gate_z, gate_r = xz[j] + sz[j], xr[j] + sr[j]
                if biased:
                    gate_z += bz[j]
                    gate_r += br[j]
                sz[j] = f(gate_z)
                sr[j] = f(gate_r) * state[j]

    return body


@kernel_family(noalias=("y", "h"))
def gru_cell(dtype: str, activations: tuple, biased: bool, linear: bool):
    """Gates are in the order z, r, h. `linear`: the reset gate multiplies the product, and `sums`
    is [directions, batch, 3 * hidden]; otherwise `sums` is what `gru_gates` left, and `products`,
    [directions, batch, hidden], the product with r * h.

    Tasks: ceil(directions * batch / row_block).
    """
    from layercc.cpu.expressions import build
    from layercc.cpu.intrinsics import offset
    from layercc.cpu.math import SCALAR

    f, g = (build(activation) for activation in activations)
    place, zero, one = _place(), SCALAR[dtype](0), SCALAR[dtype](1)
    data = pointer(dtype)
    gates = 3 if linear else 2

    def body(
        task: INT,
        sums: data,
        products: optional(data),
        projected: data,
        bias: optional(data),
        lengths: optional(pointer("i32")),
        y: data,
        h: data,
        step: INT,
        time: INT,
        limited: INT,
        first_backward: INT,
        directions: INT,
        batch: INT,
        hidden: INT,
        row_block: INT,
        projected_direction: INT,
        projected_time: INT,
        projected_row: INT,
        y_direction: INT,
        y_time: INT,
        y_row: INT,
        state_direction: INT,
        state_row: INT,
    ):
        for row in range(task * row_block, min((task + 1) * row_block, directions * batch)):
            direction, sample = row // batch, row % batch
            steps = lengths[sample] if limited != 0 else time
            at = place(step, steps, direction + first_backward)
            target = offset(y, direction * y_direction + at * y_time + sample * y_row)
            if step >= steps:
                for j in range(hidden):
                    target[j] = zero
                continue
            xz = offset(
                projected,
                direction * projected_direction + at * projected_time + sample * projected_row,
            )
            xr, xh = offset(xz, hidden), offset(xz, 2 * hidden)
            sz = offset(sums, row * gates * hidden)
            sr, sh = offset(sz, hidden), offset(sz, 2 * hidden)
            product = offset(products, row * hidden)
            bz = offset(bias, (direction * 6 + 3) * hidden)
            br, bh = offset(bz, hidden), offset(bz, 2 * hidden)
            state = offset(h, direction * state_direction + sample * state_row)
            for j in range(hidden):
                if linear:
                    gate_z, gate_r, inner = xz[j] + sz[j], xr[j] + sr[j], sh[j]
                    if biased:
                        gate_z += bz[j]
                        gate_r += br[j]
                        inner += bh[j]
                    z = f(gate_z)
                    inner *= f(gate_r)
                else:
                    z, inner = sz[j], product[j]
                    if biased:
                        inner += bh[j]
                new = (one - z) * g(xh[j] + inner) + z * state[j]
                state[j] = new
                target[j] = new

    return body

"""Cells of recurrent layers: what follows the recurrent product in one time step.

With x the projected input of the step (W x + Wb), s the recurrent product (R h), rb its bias:

    RNN    h ← f(x + s)
    LSTM   i, f, o = f(x + s + p c),  c ← f c + i g(x + s),  h ← o l(c)      (o peeps at the new c)
    GRU    z, r = f(x + s + rb),  n = g(x + R(r h) + rb)  or  g(x + r (s + rb)),
           h ← (1 - z) n + z h

A row is one sample in one direction; tasks are blocks of rows (`layercc.cpu.recurrence`). Tensors
are [directions, time, batch, columns]; those without a time have stride 0 there. Their columns are
gates * hidden of `projected` and `sums` (x and s), and hidden of `y` and of the states, which are
updated in place. Samples shorter than `step` keep their states and give zeros. Each gate's function
is an expression of one input (`layercc.kernels.expressions`), clipping included.

Bound by the recurrent product's weights, which are read once a step; a cell reads a few rows.
"""

from layercc.kernels.declaration import INT, kernel_family, optional


@kernel_family(noalias=("y.data", "h.data"))
def rnn_cell(dtype: str, activation: tuple):
    """Tasks: ceil(directions * batch / row_block)."""
    from layercc.cpu.recurrence import LAYER, clear, place_of, rows_of_task
    from layercc.cpu.strided import row_of, strided
    from layercc.kernels.expressions import build

    f = build(activation, contract=True)
    tensor = strided(dtype)

    def body(
        task: INT, sums: tensor, projected: tensor, y: tensor, h: tensor, step: INT, layer: LAYER
    ):
        first, end = rows_of_task(layer, task)
        for row in range(first, end):
            direction, sample, time, inside = place_of(layer, row, step)
            target = row_of(y, direction, time, sample)
            if not inside:
                clear(target, layer.hidden)
                continue
            x = row_of(projected, direction, time, sample)
            s = row_of(sums, direction, 0, sample)
            state = row_of(h, direction, 0, sample)
            for j in range(layer.hidden):
                new = f(x[j] + s[j])
                state[j] = new
                target[j] = new

    return body


@kernel_family(noalias=("y.data", "h.data", "c.data"))
def lstm_cell(dtype: str, activations: tuple, peeping: bool, coupled: bool):
    """Gates are in the order i, o, f, c. `peeping`: with `peepholes`, a row for each direction, in
    the order i, o, f; `coupled`: the forget gate is 1 - i.

    Tasks: ceil(directions * batch / row_block).
    """
    from layercc.cpu.recurrence import (
        LAYER,
        clear,
        four_gates,
        place_of,
        rows_of_task,
        three_gates,
    )
    from layercc.cpu.strided import row_of, strided
    from layercc.kernels.gates import make_lstm_update

    update = make_lstm_update(dtype, activations, peeping, coupled)
    tensor = strided(dtype)

    def body(
        task: INT,
        sums: tensor,
        projected: tensor,
        peepholes: optional(tensor),
        y: tensor,
        h: tensor,
        c: tensor,
        step: INT,
        layer: LAYER,
    ):
        first, end = rows_of_task(layer, task)
        for row in range(first, end):
            direction, sample, time, inside = place_of(layer, row, step)
            target = row_of(y, direction, time, sample)
            if not inside:
                clear(target, layer.hidden)
                continue
            xi, xo, xf, xc = four_gates(row_of(projected, direction, time, sample), layer.hidden)
            si, so, sf, sc = four_gates(row_of(sums, direction, 0, sample), layer.hidden)
            peeps = three_gates(row_of(peepholes, direction, 0, 0), layer.hidden)
            state = row_of(h, direction, 0, sample)
            cell = row_of(c, direction, 0, sample)
            for j in range(layer.hidden):
                out, cell[j] = update(
                    xi[j] + si[j], xo[j] + so[j], xf[j] + sf[j], xc[j] + sc[j], peeps, j, cell[j]
                )
                state[j] = out
                target[j] = out

    return body


@kernel_family(noalias=("sums.data",))
def gru_gates(dtype: str, activation: tuple, biased: bool):
    """First half of a GRU step whose reset gate is applied to h before its product.

    `sums`, of two gates, holds the products of z and r, and afterwards z and r * h. `bias` is Rb, a
    row for each direction. Tasks as in `gru_cell`.
    """
    from layercc.cpu.recurrence import LAYER, place_of, rows_of_task, three_gates
    from layercc.cpu.strided import row_of, strided
    from layercc.kernels.expressions import build

    f = build(activation, contract=True)
    tensor = strided(dtype)

    def body(
        task: INT,
        sums: tensor,
        projected: tensor,
        bias: optional(tensor),
        h: tensor,
        step: INT,
        layer: LAYER,
    ):
        first, end = rows_of_task(layer, task)
        for row in range(first, end):
            direction, sample, time, _ = place_of(layer, row, step)
            xz, xr, _ = three_gates(row_of(projected, direction, time, sample), layer.hidden)
            sz, sr, _ = three_gates(row_of(sums, direction, 0, sample), layer.hidden)
            bz, br, _ = three_gates(row_of(bias, direction, 0, 0), layer.hidden)
            state = row_of(h, direction, 0, sample)
            for j in range(layer.hidden):
                gate_z, gate_r = xz[j] + sz[j], xr[j] + sr[j]
                if biased:
                    gate_z += bz[j]
                    gate_r += br[j]
                sz[j] = f(gate_z)
                sr[j] = f(gate_r) * state[j]

    return body


@kernel_family(noalias=("y.data", "h.data"))
def gru_cell(dtype: str, activations: tuple, biased: bool, linear: bool):
    """Gates are in the order z, r, h. `linear`: the reset gate multiplies the product, and `sums`
    is of three gates; otherwise `sums` is what `gru_gates` left, and `products`, [directions, 1,
    batch, hidden], the product with r * h. `bias` is Rb, a row for each direction.

    Tasks: ceil(directions * batch / row_block).
    """
    from layercc.cpu.recurrence import LAYER, clear, place_of, rows_of_task, three_gates
    from layercc.cpu.strided import row_of, strided
    from layercc.kernels.expressions import build
    from layercc.kernels.math import SCALAR

    f, g = (build(activation, contract=True) for activation in activations)
    one = SCALAR[dtype](1)
    tensor = strided(dtype)

    def body(
        task: INT,
        sums: tensor,
        products: optional(tensor),
        projected: tensor,
        bias: optional(tensor),
        y: tensor,
        h: tensor,
        step: INT,
        layer: LAYER,
    ):
        first, end = rows_of_task(layer, task)
        for row in range(first, end):
            direction, sample, time, inside = place_of(layer, row, step)
            target = row_of(y, direction, time, sample)
            if not inside:
                clear(target, layer.hidden)
                continue
            xz, xr, xh = three_gates(row_of(projected, direction, time, sample), layer.hidden)
            sz, sr, sh = three_gates(row_of(sums, direction, 0, sample), layer.hidden)
            product = row_of(products, direction, 0, sample)
            bz, br, bh = three_gates(row_of(bias, direction, 0, 0), layer.hidden)
            state = row_of(h, direction, 0, sample)
            for j in range(layer.hidden):
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

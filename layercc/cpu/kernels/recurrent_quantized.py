"""The LSTM step of onnxruntime's dynamic quantisation: integer products, cells in f32.

    i, f, o = f(x + s + b),  c ← f c + i g(x + s + b),  h ← o l(c)

as in `layercc.cpu.kernels.recurrent`. x and s, the products of W and R, are sums of products of
bytes (`PRODUCT` in `layercc.cpu.quantized`), brought to scale here. What W and R meet is quantised
by `quantize_rows`.

Bound by the recurrent product's weights, which are read once a step; a cell reads a few rows.
"""

from layercc.kernels.declaration import INT, kernel_family, optional, pointer


@kernel_family(noalias=("q.data", "totals", "scale", "zero"))
def quantize_rows():
    """q = clip(rint(x / scale) + zero, 0, 255), as DynamicQuantizeLinear chooses scale and zero
    from the range of a group's x, 0 included; `totals` are the sums of the rows of q.

    With a NaN in x, the scale is NaN. Tasks: groups, the outer dim of x and q.
    """
    from layercc.cpu.strided import row_of, strided
    from layercc.kernels.math import SCALAR, primitive
    from layercc.kernels.math_intrinsics import maximum, minimum, select

    rint, f32, i32, u8 = primitive("rint", "f32"), SCALAR["f32"], SCALAR["i32"], SCALAR["u8"]
    nothing, one, most = f32(0), f32(1), f32(255)

    def body(
        task: INT,
        x: strided("f32"),
        q: strided("u8"),
        totals: pointer("i32"),
        scale: pointer("f32"),
        zero: pointer("i32"),
        rows: INT,
        columns: INT,
    ):
        low, high = nothing, nothing
        for row in range(rows):
            source = row_of(x, task, 0, row)
            for j in range(columns):
                low, high = minimum(low, source[j]), maximum(high, source[j])
        step = (high - low) / most
        step = one if step == nothing else step
        level = rint(-low / step)
        level = select(level > nothing, level, nothing)
        level = select(level < most, level, most)
        scale[task], zero[task] = step, i32(level)
        for row in range(rows):
            source, target = row_of(x, task, 0, row), row_of(q, task, 0, row)
            total = i32(0)
            for j in range(columns):
                value = rint(source[j] / step) + level
                value = select(value > nothing, value, nothing)  # NaN becomes 0
                value = i32(select(value < most, value, most))
                target[j] = u8(value)
                total = i32(total + value)
            totals[task * rows + row] = total

    return body


@kernel_family(noalias=("y.data", "h.data", "c.data"))
def quantized_lstm_cell(activations: tuple, peeping: bool, coupled: bool, biased: bool):
    """As `recurrent.lstm_cell`, with `bias`, a row of Wb and Rb for each direction.

    Tasks: ceil(directions * batch / row_block).
    """
    from layercc.cpu.quantized import PRODUCT, product_row, real
    from layercc.cpu.recurrence import (
        LAYER,
        clear,
        place_of,
        rows_of_task,
        three_gates,
    )
    from layercc.cpu.strided import row_of, strided
    from layercc.kernels.gates import make_lstm_update
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    update = make_lstm_update("f32", activations, peeping, coupled)
    tensor = strided("f32")

    @jit
    def gate(x, s, wb, rb, j):
        value = real(x, j) + real(s, j)
        return value + (wb[j] + rb[j]) if biased else value

    def body(
        task: INT,
        sums: PRODUCT,
        projected: PRODUCT,
        bias: optional(tensor),
        peepholes: optional(tensor),
        y: tensor,
        h: tensor,
        c: tensor,
        step: INT,
        layer: LAYER,
    ):
        hidden = layer.hidden
        first, end = rows_of_task(layer, task)
        for row in range(first, end):
            direction, sample, time, inside = place_of(layer, row, step)
            target = row_of(y, direction, time, sample)
            if not inside:
                clear(target, hidden)
                continue
            x = product_row(projected, direction, time, sample)
            s = product_row(sums, direction, 0, sample)
            wb = row_of(bias, direction, 0, 0)
            rb = offset(wb, 4 * hidden)
            peeps = three_gates(row_of(peepholes, direction, 0, 0), hidden)
            state = row_of(h, direction, 0, sample)
            cell = row_of(c, direction, 0, sample)
            for j in range(hidden):
                i, o = gate(x, s, wb, rb, j), gate(x, s, wb, rb, hidden + j)
                f, g = gate(x, s, wb, rb, 2 * hidden + j), gate(x, s, wb, rb, 3 * hidden + j)
                out, cell[j] = update(i, o, f, g, peeps, j, cell[j])
                state[j] = out
                target[j] = out

    return body

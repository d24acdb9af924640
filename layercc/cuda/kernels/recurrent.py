# mypy: ignore-errors
"""Recurrent layers: all steps in one launch, or what follows the recurrent product of one step.

With x the projected input of a step (W x + Wb, and but for a GRU Rb), s the recurrent product (R h)
and rb its bias:

    RNN    h ← f(x + s)
    LSTM   i, f, o = f(x + s + p c),  c ← f c + i g(x + s),  h ← o l(c)      (o peeps at the new c)
    GRU    z, r = f(x + s + rb),  n = g(x + R(r h) + rb)  or  g(x + r (s + rb)),
           h ← (1 - z) n + z h

Samples do not know of each other, so `recurrent_layer` gives a block some samples of one direction
for all steps: the state stays in shared memory, and blocks never wait for each other. A thread has
a column of each gate, or a part of its depth; parts are summed in order. The weights are held in
registers where they fit, else read at each step, through the first-level cache. Layers whose
weights are too many for one multiprocessor go step by step, with a contraction and a `step_cells`
each. Bound by the weights, and by the latency of a step.

Samples shorter than a step keep their states and give zeros.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, INT, optional, pointer, record

#: Threads of a block of `recurrent_layer`, and of one of the others.
THREADS, CELL_THREADS = 512, 256
#: Hidden units that `recurrent_layer` has room for.
MOST_HIDDEN = {"RNN": 512, "GRU": 288, "LSTM": 256}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def strided(dtype: str):
    """A tensor seen as [directions, time, batch, columns], columns dense."""
    return record("Strided", data=pointer(dtype), outer=INT, inner=INT, row=INT)


#: The sizes of a layer. `lengths` are the steps of each sample, where these are limited; directions
#: are backward from number 1 - `first_backward` on.
LAYER = record(
    "Layer", lengths=optional(pointer("i32")), time=I32, batch=I32, hidden=I32, first_backward=I32
)


def helpers(limited: bool):
    """`row_of(tensor, direction, time, sample)` and `place_of(layer, direction, sample, step)`: the
    time that is read and written in a step, and whether the sample has such a step."""
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    @jit
    def row_of(tensor, direction, time, sample):
        place = direction * tensor.outer + time * tensor.inner + sample * tensor.row
        return offset(tensor.data, place)

    @jit
    def place_of(layer, direction, sample, step):
        steps = layer.time
        if limited:
            steps = layer.lengths[sample]
        inside = step < steps
        backward = direction + layer.first_backward != 0
        return (steps - 1 - step if backward and inside else step), inside

    return row_of, place_of


def _units(
    kind: str, dtype: str, activations: tuple, peeping: bool, coupled: bool, biased: bool,
    linear: bool,
):  # fmt: skip
    """`finish(x, s, bias, peepholes, j, hidden, h, c)` → (h, c): unit j behind its step, from its
    gates' inputs and products; `reset(x, s, bias, j, hidden, h)` → (z, r h) for a GRU that is not
    `linear`, which `finish` then takes instead of the first two products."""
    from layercc.kernels.expressions import build
    from layercc.kernels.gates import make_lstm_update
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR

    one = SCALAR[dtype](1)
    if kind == "LSTM":
        update = make_lstm_update(dtype, activations, peeping, coupled)

        @jit
        def finish(x, s, bias, peepholes, j, hidden, h, c):
            peeps = (peepholes, offset(peepholes, hidden), offset(peepholes, 2 * hidden))
            return update(x[0] + s[0], x[1] + s[1], x[2] + s[2], x[3] + s[3], peeps, j, c)

        return finish, None
    f = build(activations[0], contract=True)
    if kind == "RNN":

        @jit
        def finish(x, s, bias, peepholes, j, hidden, h, c):
            return f(x[0] + s[0]), c

        return finish, None
    g = build(activations[1], contract=True)

    @jit
    def gate(value, bias, at):
        if biased:
            value += bias[at]
        return value

    @jit
    def reset(x, s, bias, j, hidden, h):
        z = f(gate(x[0] + s[0], bias, j))
        return z, f(gate(x[1] + s[1], bias, hidden + j)) * h

    @jit
    def finish(x, s, bias, peepholes, j, hidden, h, c):
        z, inner = s[0], gate(s[2], bias, 2 * hidden + j)
        if linear:
            z = f(gate(x[0] + s[0], bias, j))
            inner *= f(gate(x[1] + s[1], bias, hidden + j))
        return (one - z) * g(x[2] + inner) + z * h, c

    return finish, reset


def _product(gates: int, first_gate: int, rows: int, held: int, most: int):
    """The text of `weights(r, unit, first, hidden, columns)`, those that a thread holds, and of
    `product(state, kept, r, unit, first, end, hidden, columns)`: for each gate and row of the
    block the sum over the depth from `first` on, of a unit's weights times the state."""
    names = [f"w{g}_{d}" for d in range(held) for g in range(gates)]
    column = "unit" if not first_gate else f"{first_gate} * hidden + unit"
    lines = ["def weights(r, unit, first, hidden, columns):"]
    for d in range(held):
        lines += [
            f"    inside = first + {d} < hidden and unit < hidden",
            f"    at = (first + {d}) * columns + {column}",
            *(f"    w{g}_{d} = element(r, at + {g} * hidden, inside)" for g in range(gates)),
        ]
    lines.append(f"    return ({', '.join(names)}{',' if names else ''})")
    lines.append("def product(state, kept, r, unit, first, end, hidden, columns):")
    sums = [f"s{g}_{row}" for g in range(gates) for row in range(rows)]
    lines += [f"    {name} = zero" for name in sums]
    if held:
        lines.append(f"    {', '.join(names)}, = kept")
        for d in range(0, held, 4):
            for row in range(rows):
                lines.append(
                    f"    {', '.join(f'h{row}_{d + e}' for e in range(4))} = "
                    f"load_vector(offset(state, {row * most + d} + first), 4)"
                )
            for e in range(d, d + 4):
                lines += [
                    f"    s{g}_{row} = multiply_add(w{g}_{e}, h{row}_{e}, s{g}_{row})"
                    for g in range(gates)
                    for row in range(rows)
                ]
    else:
        lines += ["    unit = min(unit, hidden - 1)", "    for k in range(first, end):"]
        lines += [f"        h{row} = state[{row * most} + k]" for row in range(rows)]
        lines.append(f"        at = k * columns + {column}")
        for g in range(gates):
            lines.append(f"        w = r[at + {g} * hidden]")
            lines += [
                f"        s{g}_{row} = multiply_add(w, h{row}, s{g}_{row})" for row in range(rows)
            ]
    return "\n".join([*lines, f"    return ({', '.join(sums)},)"])


def _passes(kind: str, gates: int, rows: int, apart: bool, most: int):
    """The text of what threads do with pairs of a row and a unit, of which each has up to `rows`:
    `ahead` reads their inputs, `put` writes a product, `reset_pass` and `cells_pass` apply gates.
    """
    pairs, every = range(rows), range(gates)
    lines = [
        "def ahead(projected, layer, direction, first_row, count, width, step):",
        "    hidden = layer.hidden",
    ]
    for i in pairs:
        lines += [
            f"    row, unit = pair({i}, width)",
            f"    {', '.join(f'x{i}_{g}' for g in every)}, = ({'zero, ' * gates})",
            "    if row < count and unit < hidden:",
            "        time, inside = place_of(layer, direction, first_row + row, step)",
            "        if inside:",
            "            source = row_of(projected, direction, time, first_row + row)",
            *(f"            x{i}_{g} = source[{g} * hidden + unit]" for g in every),
        ]
    lines.append(f"    return ({', '.join(f'x{i}_{g}' for i in pairs for g in every)},)")
    lines += [
        "def put(partial, sums):",
        *(f"    partial[{k * THREADS} + cuda.threadIdx.x] = sums[{k}]"
          for k in range((gates - apart) * rows)),
        "def put_last(partial, sums):",
        *(f"    partial[{k * THREADS} + cuda.threadIdx.x] = sums[{k}]" for k in range(rows)),
        "def whole(partial, gate, row, unit, width, parts):",
        f"    at = (gate * {rows} + row) * {THREADS} + unit",
        "    total = partial[at]",
        "    for part in range(1, parts):",
        "        total = total + partial[at + part * width]",
        "    return total",
        "def reset_pass(x, partial, state, reset_state, updates, bias, hidden, count, width,",
        "               parts):",
    ]  # fmt: skip
    for i in pairs:
        lines += [
            f"    row, unit = pair({i}, width)",
            "    if row < count and unit < hidden:",
            *(f"        s{g} = whole(partial, {g}, row, unit, width, parts)" for g in (0, 1)),
            "        s = (s0, s1)",
            f"        given = ({''.join(f'x[{i * gates + g}], ' for g in every)})",
            f"        at = row * {most} + unit",
            "        updates[at], reset_state[at] = reset(given, s, bias, unit, hidden, state[at])",
        ]
    lines += [
        "def cells_pass(x, partial, state, after, cells, updates, bias, peepholes, y, layer,",
        "               direction, first_row, count, width, parts, step):",
        "    hidden = layer.hidden",
    ]
    for i in pairs:
        if apart:
            s = "updates[at], zero, whole(partial, 0, row, unit, width, parts)"
        else:
            s = "".join(f"whole(partial, {g}, row, unit, width, parts), " for g in every)
        lines += [
            f"    row, unit = pair({i}, width)",
            "    if row < count and unit < hidden:",
            f"        at = row * {most} + unit",
            "        time, inside = place_of(layer, direction, first_row + row, step)",
            "        new, shown = state[at], zero",
            "        if inside:",
            f"            s = ({s})",
            f"            given = ({''.join(f'x[{i * gates + g}], ' for g in every)})",
            "            new, cell = finish(given, s, bias, peepholes, unit, hidden, new, "
            + ("cells[at])" if kind == "LSTM" else "zero)"),
            *(["            cells[at] = cell"] if kind == "LSTM" else []),
            "            shown = new",
            "        after[at] = new",
            "        if written:",
            "            row_of(y, direction, time, first_row + row)[unit] = shown",
        ]
    return "\n".join([*lines, ""])


@gpu_kernel_family(threads=THREADS)
def recurrent_layer(
    kind: str, dtype: str, activations: tuple, rows: int, held: int, limited: bool, peeping: bool,
    coupled: bool, biased: bool, linear: bool, written: bool,
):  # fmt: skip
    """All steps of a layer; states are updated in place.

    `r` is [directions, hidden, gates * hidden], R transposed. Threads are `parts` times `width`, a
    unit each of the width (a multiple of the warp's), with `depth` of the hidden units each; where
    that is `held` and not 0, a thread holds its weights. `bias` is Rb of a GRU, a row of 2 * gates
    * hidden for each direction; `peepholes` are as the job has them. `limited` by lengths, `linear`
    is before reset; y is written if that is `written`. Blocks: directions * `row_blocks`, each of
    `rows` samples.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, load_vector, quotient, rest
    from layercc.cuda.tile import multiply_add
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR

    scalar = SCALAR[dtype]
    zero = scalar(0)
    gates, most = GATES[kind], MOST_HIDDEN[kind]
    apart = kind == "GRU" and not linear
    is_lstm = kind == "LSTM"
    finish, reset = _units(kind, dtype, activations, peeping, coupled, biased, linear)
    row_of, place_of = helpers(limited)

    @jit
    def element(r, at, inside):
        value = zero
        if inside:
            value = r[at]
        return value

    @jit
    def pair(i, width):
        index = cuda.threadIdx.x + i * THREADS
        return quotient(index, width), rest(index, width)

    names = {
        "zero": zero, "element": element, "multiply_add": multiply_add, "offset": offset,
        "load_vector": load_vector, "pair": pair, "place_of": place_of, "row_of": row_of,
        "finish": finish, "reset": reset, "written": written, "cuda": cuda,
    }  # fmt: skip

    def made(text: str, *wanted: str):
        """Helpers of a text, in which each is a helper for those behind it."""
        for part in ("\n" + text).split("\ndef ")[1:]:
            name = part[: part.index("(")]
            exec("def " + part, names)
            names[name] = jit(names[name])
        return [names[name] for name in wanted]

    weights, product = made(_product(gates - apart, 0, rows, held, most), "weights", "product")
    last_weights, last_product = made(_product(1, 2, rows, held, most), "weights", "product")
    ahead, put, put_last, reset_pass, cells_pass = made(
        _passes(kind, gates, rows, apart, most),
        "ahead", "put", "put_last", "reset_pass", "cells_pass",
    )  # fmt: skip
    state_size = rows * most
    both_states, partial_size = 2 * state_size, (gates - apart) * rows * THREADS

    def body(
        projected: strided(dtype),
        r: pointer(dtype),
        bias: optional(pointer(dtype)),
        peepholes: optional(pointer(dtype)),
        y: optional(strided(dtype)),
        h: strided(dtype),
        c: optional(strided(dtype)),
        layer: LAYER,
        row_blocks: I32,
        width: I32,
        parts: I32,
        depth: I32,
    ):
        states = first_of(cuda.shared.array(both_states, scalar))
        cells = first_of(cuda.shared.array(state_size, scalar))
        reset_state = first_of(cuda.shared.array(state_size, scalar))
        updates = first_of(cuda.shared.array(state_size, scalar))
        partial = first_of(cuda.shared.array(partial_size, scalar))
        hidden = layer.hidden
        direction = quotient(cuda.blockIdx.x, row_blocks)
        first_row = rest(cuda.blockIdx.x, row_blocks) * rows
        count = min(layer.batch - first_row, rows)
        columns = gates * hidden
        r = offset(r, direction * hidden * columns)
        bias = offset(bias, direction * 2 * columns)
        peepholes = offset(peepholes, direction * 3 * hidden)
        unit = rest(cuda.threadIdx.x, width)
        first = quotient(cuda.threadIdx.x, width) * depth
        end = min(first + depth, hidden)

        for at in range(cuda.threadIdx.x, state_size, THREADS):
            row, j = at // most, at % most
            value = cell = zero
            if row < count and j < hidden:
                value = row_of(h, direction, 0, first_row + row)[j]
                if is_lstm:
                    cell = row_of(c, direction, 0, first_row + row)[j]
            states[at] = value
            states[state_size + at] = zero
            if is_lstm:
                cells[at] = cell
            if apart:
                reset_state[at] = zero
        kept = weights(r, unit, first, hidden, columns)
        if apart:
            last_kept = last_weights(r, unit, first, hidden, columns)
        cuda.syncthreads()
        for step in range(layer.time):
            state = offset(states, (step & 1) * state_size)
            after = offset(states, ((step & 1) ^ 1) * state_size)
            x = ahead(projected, layer, direction, first_row, count, width, step)
            put(partial, product(state, kept, r, unit, first, end, hidden, columns))
            cuda.syncthreads()
            if apart:
                reset_pass(
                    x, partial, state, reset_state, updates, bias, hidden, count, width, parts
                )
                cuda.syncthreads()
                put_last(
                    partial,
                    last_product(reset_state, last_kept, r, unit, first, end, hidden, columns),
                )
                cuda.syncthreads()
            cells_pass(
                x, partial, state, after, cells, updates, bias, peepholes, y, layer, direction,
                first_row, count, width, parts, step,
            )  # fmt: skip
            cuda.syncthreads()
        state = offset(states, (layer.time & 1) * state_size)
        for at in range(cuda.threadIdx.x, state_size, THREADS):
            row, j = at // most, at % most
            if row < count and j < hidden:
                row_of(h, direction, 0, first_row + row)[j] = state[at]
                if is_lstm:
                    row_of(c, direction, 0, first_row + row)[j] = cells[at]

    return body


@gpu_kernel_family(threads=CELL_THREADS)
def step_cells(
    kind: str, dtype: str, activations: tuple, limited: bool, peeping: bool, coupled: bool,
    biased: bool, linear: bool, written: bool,
):  # fmt: skip
    """What follows the product `sums`, [directions, 1, batch, gates * hidden], of step `step`.

    Of a GRU that is not `linear`, `sums` is of two gates, and what `step_reset` left of them;
    `products`, [directions, 1, batch, hidden], is that of r h. Else as `recurrent_layer`.
    Blocks: ceil(directions * batch * hidden / CELL_THREADS).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR

    zero = SCALAR[dtype](0)
    gates = GATES[kind]
    apart = kind == "GRU" and not linear
    is_lstm = kind == "LSTM"
    finish, _ = _units(kind, dtype, activations, peeping, coupled, biased, linear)
    row_of, place_of = helpers(limited)
    taken = _tuple_of(gates)

    def body(
        sums: strided(dtype),
        products: optional(strided(dtype)),
        projected: strided(dtype),
        bias: optional(pointer(dtype)),
        peepholes: optional(pointer(dtype)),
        y: optional(strided(dtype)),
        h: strided(dtype),
        c: optional(strided(dtype)),
        step: I32,
        n: I32,
        layer: LAYER,
    ):
        at = cuda.blockIdx.x * CELL_THREADS + cuda.threadIdx.x
        if at < n:
            hidden = layer.hidden
            j = rest(at, hidden)
            sample = rest(quotient(at, hidden), layer.batch)
            direction = quotient(quotient(at, hidden), layer.batch)
            time, inside = place_of(layer, direction, sample, step)
            shown = zero
            if inside:
                x = taken(row_of(projected, direction, time, sample), j, hidden)
                s = row_of(sums, direction, 0, sample)
                if apart:
                    given = (s[j], zero, row_of(products, direction, 0, sample)[j])
                else:
                    given = taken(s, j, hidden)
                state = row_of(h, direction, 0, sample)
                cell = zero
                if is_lstm:
                    cell = row_of(c, direction, 0, sample)[j]
                shown, cell = finish(
                    x, given, offset(bias, direction * 2 * gates * hidden),
                    offset(peepholes, direction * 3 * hidden), j, hidden, state[j], cell,
                )  # fmt: skip
                state[j] = shown
                if is_lstm:
                    row_of(c, direction, 0, sample)[j] = cell
            if written:
                row_of(y, direction, time, sample)[j] = shown

    return body


def _tuple_of(gates: int):
    """`taken(row, j, hidden)`: what a row has for unit j, a gate after another."""
    from layercc.kernels.helper import jit

    names: dict = {}
    parts = "".join(f"row[{g} * hidden + j], " for g in range(gates))
    exec(f"def taken(row, j, hidden):\n    return ({parts})", names)
    return jit(names["taken"])


@gpu_kernel_family(threads=CELL_THREADS)
def step_reset(dtype: str, activations: tuple, limited: bool, biased: bool):
    """First half of a step of a GRU whose reset gate is applied to h before its product: `sums`, of
    two gates, holds the products of z and r, and afterwards z and r h.

    Blocks: ceil(directions * batch * hidden / CELL_THREADS).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.intrinsics import offset

    _, reset = _units("GRU", dtype, activations, False, False, biased, False)
    row_of, place_of = helpers(limited)
    taken = _tuple_of(2)

    def body(
        sums: strided(dtype), projected: strided(dtype), bias: optional(pointer(dtype)),
        h: strided(dtype), step: I32, n: I32, layer: LAYER,
    ):  # fmt: skip
        at = cuda.blockIdx.x * CELL_THREADS + cuda.threadIdx.x
        if at < n:
            hidden = layer.hidden
            j = rest(at, hidden)
            sample = rest(quotient(at, hidden), layer.batch)
            direction = quotient(quotient(at, hidden), layer.batch)
            time, _ = place_of(layer, direction, sample, step)
            s = row_of(sums, direction, 0, sample)
            x = taken(row_of(projected, direction, time, sample), j, hidden)
            bias = offset(bias, direction * 6 * hidden)
            state = row_of(h, direction, 0, sample)[j]
            s[j], s[hidden + j] = reset(x, taken(s, j, hidden), bias, j, hidden, state)

    return body

# mypy: ignore-errors
"""The LSTM step of onnxruntime's dynamic quantisation: integer products, cells in f32.

    i, f, o = f(x + s + b),  c ← f c + i g(x + s + b),  h ← o l(c)

as in `layercc.cuda.kernels.recurrent`. x and s, the products of W and R, are exact sums of products
of bytes less their zero points (`layercc.cuda.kernels.byte_products`), brought to scale here. What
W and R meet is quantised before, as DynamicQuantizeLinear does it.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.recurrent import CELL_THREADS, LAYER, strided
from layercc.kernels.declaration import I32, optional, pointer, record

THREADS = 512

#: A product before it is brought to scale: `sums`, the scale of what was quantised, a number for
#: each direction (`step` apart), and those of the weights' columns, a row for each direction.
PRODUCT = record(
    "Product", sums=strided("i32"), scale=pointer("f32"), step=I32, b_scale=pointer("f32")
)


def _steps():
    """`levels(low, high)` → (scale, zero point) of a range with 0 in it; `quantised(x, scale,
    zero)`, clipped to 0..255, NaN as 0."""
    from layercc.kernels.helper import jit
    from layercc.kernels.math import SCALAR, primitive
    from layercc.kernels.math_intrinsics import select

    rint, f32 = primitive("rint", "f32"), SCALAR["f32"]
    nothing, one, most = f32(0), f32(1), f32(255)

    @jit
    def clipped(value):
        value = select(value > nothing, value, nothing)
        return select(value < most, value, most)

    @jit
    def levels(low, high):
        step = (high - low) / most
        step = select(step == nothing, one, step)
        return step, clipped(rint(-low / step))

    @jit
    def quantised(x, scale, zero):
        return clipped(rint(x / scale) + zero)

    return levels, quantised


@gpu_kernel_family(threads=THREADS)
def quantize_state():
    """q, dense, and scale and zero point of each direction's x, [directions, 1, batch, hidden], by
    the range of all its samples together. Blocks: directions."""
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.cuda.warps import over_block
    from layercc.kernels.accumulate import largest, smallest
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR

    levels, quantised = _steps()
    lowest, highest = over_block(smallest, "f32", THREADS), over_block(largest, "f32", THREADS)
    nothing, u8, i32 = SCALAR["f32"](0), SCALAR["u8"], SCALAR["i32"]

    def body(
        x: strided("f32"), q: pointer("u8"), scale: pointer("f32"), zero: pointer("i32"),
        batch: I32, hidden: I32,
    ):  # fmt: skip
        direction, n = cuda.blockIdx.x, batch * hidden
        source = offset(x.data, direction * x.outer)
        low = high = nothing
        for at in range(cuda.threadIdx.x, n, THREADS):
            value = source[quotient(at, hidden) * x.row + rest(at, hidden)]
            low, high = smallest(low, value), largest(high, value)
        step, level = levels(lowest(low), highest(high))
        if cuda.threadIdx.x == 0:
            scale[direction] = step
            zero[direction] = i32(level)
        for at in range(cuda.threadIdx.x, n, THREADS):
            value = source[quotient(at, hidden) * x.row + rest(at, hidden)]
            q[direction * n + at] = u8(i32(quantised(value, step, level)))

    return body


@gpu_kernel_family(threads=CELL_THREADS)
def quantize_input():
    """q, scale and zero point of a dense x, whose range is from low[0] to high[0].

    Blocks: ceil(n / CELL_THREADS), n the elements of x.
    """
    from numba import cuda

    from layercc.kernels.accumulate import largest, smallest
    from layercc.kernels.math import SCALAR

    levels, quantised = _steps()
    nothing, u8, i32 = SCALAR["f32"](0), SCALAR["u8"], SCALAR["i32"]

    def body(
        x: pointer("f32"), low: pointer("f32"), high: pointer("f32"), q: pointer("u8"),
        scale: pointer("f32"), zero: pointer("i32"), n: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * CELL_THREADS + cuda.threadIdx.x
        step, level = levels(smallest(nothing, low[0]), largest(nothing, high[0]))
        if at == 0:
            scale[0] = step
            zero[0] = i32(level)
        if at < n:
            q[at] = u8(i32(quantised(x[at], step, level)))

    return body


@gpu_kernel_family(threads=CELL_THREADS)
def quantized_cells(
    activations: tuple, limited: bool, peeping: bool, coupled: bool, biased: bool, written: bool
):
    """What follows the products of step `step`. `bias` is Wb and Rb, a row for each direction.

    Else as `recurrent.step_cells`. Blocks: ceil(directions * batch * hidden / CELL_THREADS).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.cuda.kernels.recurrent import helpers
    from layercc.kernels.gates import make_lstm_update
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR

    f32 = SCALAR["f32"]
    zero = f32(0)
    update = make_lstm_update("f32", activations, peeping, coupled)
    row_of, place_of = helpers(limited)

    @jit(contract=False)
    def real(sums, scale, b_scale, at):
        """No product of scales is fused into what follows: the roundings are onnxruntime's, and
        decide how what follows is quantised in its turn."""
        return f32(sums[at]) * (scale * b_scale[at])

    @jit(contract=False)
    def gate(x, x_scale, x_scales, s, s_scale, s_scales, bias, at, hidden):
        value = real(x, x_scale, x_scales, at) + real(s, s_scale, s_scales, at)
        if biased:
            value += bias[at] + bias[4 * hidden + at]
        return value

    def body(
        sums: PRODUCT,
        projected: PRODUCT,
        bias: optional(pointer("f32")),
        peepholes: optional(pointer("f32")),
        y: optional(strided("f32")),
        h: strided("f32"),
        c: strided("f32"),
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
                x = row_of(projected.sums, direction, time, sample)
                s = row_of(sums.sums, direction, 0, sample)
                x_scale = projected.scale[direction * projected.step]
                s_scale = sums.scale[direction * sums.step]
                x_scales = offset(projected.b_scale, direction * 4 * hidden)
                s_scales = offset(sums.b_scale, direction * 4 * hidden)
                bias = offset(bias, direction * 8 * hidden)
                peeps = offset(peepholes, direction * 3 * hidden)
                i = gate(x, x_scale, x_scales, s, s_scale, s_scales, bias, j, hidden)
                o = gate(x, x_scale, x_scales, s, s_scale, s_scales, bias, hidden + j, hidden)
                f = gate(x, x_scale, x_scales, s, s_scale, s_scales, bias, 2 * hidden + j, hidden)
                g = gate(x, x_scale, x_scales, s, s_scale, s_scales, bias, 3 * hidden + j, hidden)
                cell = row_of(c, direction, 0, sample)
                three = (peeps, offset(peeps, hidden), offset(peeps, 2 * hidden))
                shown, cell[j] = update(i, o, f, g, three, j, cell[j])
                row_of(h, direction, 0, sample)[j] = shown
            if written:
                row_of(y, direction, time, sample)[j] = shown

    return body

# mypy: ignore-errors
"""Windows summed back into images, an element of the output a thread.

    Y[n, o, g, c] = epilogue( Σ_t P[n, i, g, t, c] )     over taps t and pixels i with
                                                          o = i · stride + t · dilation - pad

Gathering, unlike adding to the output in place, sums in a fixed order: that of the taps.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.contraction import WINDOW, epilogue_parts, operand
from layercc.kernels.declaration import I32, pointer

THREADS = 256


@gpu_kernel_family(threads=THREADS)
def fold(dtype: str, expression: tuple, columns: tuple):
    """P is [pixels, groups, taps, channels of a group], Y [pixels, groups * channels of a group].

    Blocks: ceil(n / THREADS), n the elements of Y.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.helper import jit

    zero, scalar, int32 = SCALAR[dtype](0), SCALAR[dtype], SCALAR["i32"]
    located, finished = epilogue_parts(dtype, expression, columns, 0)

    @jit
    def met(axis, place, tap):
        """The pixel of P that a tap takes to a place of Y, or -1."""
        at = int32(place + axis.pad - tap * axis.dilation)
        found = int32(-1)
        if at >= 0 and rest(at, axis.stride) == 0 and quotient(at, axis.stride) < axis.inputs:
            found = quotient(at, axis.stride)
        return found

    def body(
        p: pointer(dtype), y: pointer(dtype), n: I32, groups: I32, group_channels: I32,
        window: WINDOW, operands: (operand(dtype, 0),) * len(columns),
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            c = rest(at, group_channels)
            q = quotient(at, group_channels)
            g = rest(q, groups)
            pixel = quotient(q, groups)
            w = rest(pixel, window.w.outputs)
            q = quotient(pixel, window.w.outputs)
            h = rest(q, window.h.outputs)
            q = quotient(q, window.h.outputs)
            d = rest(q, window.d.outputs)
            image = quotient(q, window.d.outputs) * window.d.inputs
            taps = window.d.taps * window.h.taps * window.w.taps
            total = zero
            for td in range(window.d.taps):
                from_d = met(window.d, d, td)
                for th in range(window.h.taps):
                    from_h = met(window.h, h, th)
                    row = ((image + from_d) * window.h.inputs + from_h) * window.w.inputs
                    for tw in range(window.w.taps):
                        from_w = met(window.w, w, tw)
                        if from_d >= 0 and from_h >= 0 and from_w >= 0:
                            tap = (td * window.h.taps + th) * window.w.taps + tw
                            place = ((row + from_w) * groups + g) * taps + tap
                            total = scalar(total + p[place * group_channels + c])
            _, _, _, starts = located(0, (), operands)
            column = g * group_channels + c
            y[at] = finished(total, starts, operands, pixel, column)

    return body

# mypy: ignore-errors
"""The steps of a pool over a window."""


def pool_steps(kind: str, kept: str, power: int):
    """What a pool (max, average or lp) of the compute type `kept` starts from, `term(value)` of an
    element, `join(total, term)`, and `finish(total, count)`; as helpers of kernels."""
    import numpy as np

    from layercc.kernels.accumulate import step
    from layercc.kernels.helper import jit
    from layercc.kernels.math import SCALAR, primitive

    scalar = SCALAR[kept]
    floating = kept[0] == "f"
    if kind == "max":
        start = scalar(-np.inf if floating else np.iinfo(_numpy_type(kept)).min)
    else:
        start = scalar(0)

    def same(value):
        return value

    def same_total(value, count):
        return value

    term, finish = jit(same), jit(same_total)
    join, _ = step("max" if kind == "max" else "sum", kept)
    if kind == "average":

        @jit
        def finish(value, count):
            return value / count

    if kind == "lp":
        absolute, powered = primitive("absolute", kept), primitive("power", kept)
        exponent = (np.float64 if kept == "f32" else scalar)(power)
        inverse = (np.float64 if kept == "f32" else scalar)(1 / power)
        root = primitive("sqrt", kept)

        if power == 1:
            term = absolute
        elif power == 2:

            @jit
            def term(value):
                return value * value

            @jit
            def finish(value, count):
                return root(value)

        else:

            @jit
            def term(value):
                return powered(absolute(value), exponent)

            @jit
            def finish(value, count):
                return powered(value, inverse)

    return start, term, join, finish


def _numpy_type(kept):
    """The NumPy type named `i8`, `u16`, `f32`, ..."""
    import numpy as np

    return getattr(np, {"f": "float", "i": "int", "u": "uint"}[kept[0]] + kept[1:])

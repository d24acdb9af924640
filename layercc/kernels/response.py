# mypy: ignore-errors
"""Local response normalization: by what an element is multiplied."""


def response_factor(kind: str, beta: float):
    """The helper `factor(total)` = total ^ -beta on the compute type `kind`."""
    from layercc.kernels.expressions import ExpressionBuilder, build

    steps = ExpressionBuilder(1)
    if beta in (0.5, 0.75):  # roots are much cheaper than powers
        root = steps("sqrt", 0, dtype=kind)
        if beta == 0.75:
            root = steps("multiply", root, steps("sqrt", root, dtype=kind), dtype=kind)
        power = steps("reciprocal", root, dtype=kind)
    else:
        power = steps("power", 0, steps.constant(-beta, "f64"), dtype=kind)
    return build(steps.expression((kind,), power))

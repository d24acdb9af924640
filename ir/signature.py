"""A node against the signature of its op."""

from __future__ import annotations

from ir.dtypes import DTYPE_SETS, DType
from ir.registry import Call


def check_signature(call: Call) -> None:
    """Number of inputs, required inputs and attributes, and dtypes against the op's definition.

    Raises OpError.
    """
    op, node = call.op, call.node
    parameters = op.input_parameters
    variadic = bool(parameters) and parameters[-1].variadic
    if len(node.inputs) > len(parameters) and not variadic:
        call.fail(f"{len(node.inputs)} inputs given, {len(parameters)} at most fit", "bad-arity")
    bound: dict[str, tuple[DType, str]] = {}
    for index, kind in enumerate(call.types):
        parameter = parameters[min(index, len(parameters) - 1)]
        if kind is None:
            continue
        variable = parameter.type
        allowed = DTYPE_SETS[op.constraints.get(variable, variable)]
        name = op.input_name(index)
        if kind.dtype not in allowed:
            fits = ", ".join(sorted(map(str, allowed)))
            call.fail(f"input {name!r} is {kind.dtype}; {fits} would fit", "bad-dtype")
        first = bound.setdefault(variable, (kind.dtype, name))
        if variable in op.constraints and first[0] is not kind.dtype:
            call.fail(
                f"inputs {first[1]!r} ({first[0]}) and {name!r} ({kind.dtype})"
                " must have the same element type",
                "bad-dtype",
            )
    for index, parameter in enumerate(parameters):
        needed = not (parameter.optional or parameter.variadic)
        if needed and not call.has(index):
            call.fail(f"input {parameter.name!r} is missing", "missing-input")
    for name, spec in op.attributes.items():
        if spec.required and name not in node.attributes:
            call.fail(f"attribute {name!r} is missing", "missing-attribute")

"""Lowering of ops that a function of a user's computes with whole arrays."""

from __future__ import annotations

from ir.array_function import ArrayFunction
from ir.graph import Node
from layercc.jobs.arrays import CallArrays, Raising
from layercc.kernels.functions import name_of
from layercc.lower.context import Context
from layercc.lower.registry import lowering


@lowering("own:arrays")
def call_arrays(context: Context, node: Node) -> None:
    """One call, or one for each block of what may be split."""
    call = context.call_of(node)
    op = call.op
    assert issubclass(op, ArrayFunction)
    settings = op.settings(call)
    inputs = tuple(context.tensor(name) if name else None for name in node.inputs)
    arguments: list[str | tuple] = []
    for each in op.arguments:
        if each in settings:
            arguments.append((settings[each],))
        elif each[0] == "x" and (int(each[1:]) >= len(inputs) or inputs[int(each[1:])] is None):
            arguments.append("none")
        else:
            arguments.append(each)
    kinds = op.infer(call)
    outputs = tuple(
        context.output(name) if name else context.scratch(kind.dtype, kind.shape)  # type: ignore[arg-type]
        for name, kind in zip(
            (*node.outputs, *[""] * (len(kinds) - len(node.outputs))), kinds, strict=True
        )
    )
    label = f"{op.function.__qualname__} ({op.origin})"
    file = op.origin.file if op.origin else ""
    check = Raising(str(node), str(node.source or ""), "", (), label, file)
    name = name_of(op.function)
    context.emit(CallArrays(name, tuple(arguments), inputs, outputs, op.split, check))

"""Lowering of linear quantization: pointwise expressions with scales spread over the tensor."""

from __future__ import annotations

from ir.diagnostics import UnsupportedError
from ir.dtypes import INTEGER_KINDS, DType
from ir.graph import Node
from ir.literals import integer_limits
from ir.registry import Call
from layercc.kernels.element_types import ELEMENT_TYPES
from layercc.kernels.expressions import ExpressionBuilder
from layercc.lower.context import Context, Tensor
from layercc.lower.pointwise import emit_built
from layercc.lower.reduction import emit_reduction, recipe_of
from layercc.lower.registry import lowering


def _spread(node: Node, call: Call, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor]:
    """`x` and a scale or zero point in shapes that broadcast."""
    if call.block_size:
        axis = call.axis_of(call.axis, len(x.shape))
        size, block = x.shape[axis], call.block_size
        if size % block:
            raise UnsupportedError(
                f"{node}: dim {axis} of {list(x.shape)} is no multiple of block_size={block}"
            )
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        blocked = x.reshaped((*before, size // block, block, *after))
        return blocked, parameter.reshaped((*before, size // block, 1, *after))
    if parameter.size == 1:
        return x, parameter.reshaped(())
    axis = call.axis_of(call.axis, len(x.shape))
    shape = tuple(size if i == axis else 1 for i, size in enumerate(x.shape))
    return x, parameter.reshaped(shape)


def _parameters(context: Context, node: Node, call: Call) -> list[Tensor]:
    """x, scale and (if given) zero point, in shapes that broadcast."""
    x = context.tensor(node.inputs[0])
    spread = [_spread(node, call, x, context.tensor(name)) for name in node.inputs[1:] if name]
    return [spread[0][0], *(parameter for _, parameter in spread)]


def _require_computable(node: Node, tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if str(tensor.dtype) not in ELEMENT_TYPES:
            raise UnsupportedError(f"{node}: elements of type {tensor.dtype} are not compiled")


@lowering("QuantizeLinear")
def quantize(context: Context, node: Node) -> None:
    """saturate(rint(x / scale) + zero point)."""
    call = context.call_of(node)
    inputs = _parameters(context, node, call)
    y = context.output(node.outputs[0])
    if y.dtype.kind not in INTEGER_KINDS or y.dtype.bits > 32:
        raise UnsupportedError(f"{node}: quantizing to {y.dtype} is not compiled")
    _require_computable(node, inputs)
    precision = call.element_type("precision", inputs[1].dtype)
    kind = "f64" if precision is DType.f64 else "f32"
    # sums that float32 would round are made in float64
    wide = "f64" if y.dtype.itemsize > 2 else kind
    steps = ExpressionBuilder(len(inputs))
    x = steps("identity", 0, dtype=kind)
    scale = steps("identity", 1, dtype=kind)
    whole = steps("rint", steps("divide", x, scale, dtype=kind), dtype=kind)
    whole = steps("identity", whole, dtype=wide)
    if len(inputs) == 3:
        zero = steps("identity", 2, dtype=wide)
        whole = steps("add", whole, zero, dtype=wide)
    low, high = (steps.constant(float(limit), wide) for limit in integer_limits(y.dtype))
    clipped = steps("clip", whole, low, high, dtype=wide)
    made = steps("identity", clipped, dtype=str(y.dtype))
    emit_built(context, steps, inputs, [y.reshaped(inputs[0].shape)], [made])


@lowering("DequantizeLinear")
def dequantize(context: Context, node: Node) -> None:
    """(x - zero point) * scale."""
    call = context.call_of(node)
    inputs = _parameters(context, node, call)
    y = context.output(node.outputs[0])
    _require_computable(node, [*inputs, y])
    wide = "f64" if inputs[0].dtype.itemsize > 2 else "f32"
    steps = ExpressionBuilder(len(inputs))
    value = steps("identity", 0, dtype=wide)
    if len(inputs) == 3:
        zero = steps("identity", 2, dtype=wide)
        value = steps("subtract", value, zero, dtype=wide)
    value = steps("identity", value, dtype="f32")
    scale = steps("identity", 1, dtype="f32")
    product = steps("multiply", value, scale, dtype="f32")
    made = steps("identity", product, dtype=str(y.dtype))
    emit_built(context, steps, inputs, [y.reshaped(inputs[0].shape)], [made])


@lowering("DynamicQuantizeLinear")
def dynamic_quantize(context: Context, node: Node) -> None:
    """The scale and zero point that the range of the input (with 0) asks for, then `quantize`."""
    x = context.tensor(node.inputs[0])
    y, scale, zero = (context.output(name) for name in node.outputs)
    axes = range(len(x.shape))
    low, high = (context.scratch(DType.f32, ()) for _ in range(2))
    emit_reduction(context, x, low, axes, recipe_of("ReduceMin", DType.f32))
    emit_reduction(context, x, high, axes, recipe_of("ReduceMax", DType.f32))

    steps = ExpressionBuilder(2)
    nothing = steps.constant(0.0, "f32")
    top = steps("largest", 1, nothing, dtype="f32")
    bottom = steps("smallest", 0, nothing, dtype="f32")
    extent = steps("subtract", top, bottom, dtype="f32")
    step = steps("divide", extent, steps.constant(255.0, "f32"), dtype="f32")
    empty = steps("equal", step, nothing, dtype="bool")
    chosen = steps("select", empty, steps.constant(1.0, "f32"), step, dtype="f32")
    emit_built(context, steps, [low, high], [scale], [chosen])

    steps = ExpressionBuilder(2)
    bottom = steps("smallest", 0, steps.constant(0.0, "f32"), dtype="f32")
    place = steps("divide", steps("negative", bottom, dtype="f32"), 1, dtype="f32")
    place = steps("rint", place, dtype="f32")
    bounds = steps.constant(0.0, "f32"), steps.constant(255.0, "f32")
    place = steps("clip", place, *bounds, dtype="f32")
    emit_built(context, steps, [low, scale], [zero], [steps("identity", place, dtype="u8")])

    steps = ExpressionBuilder(3)
    whole = steps("rint", steps("divide", 0, 1, dtype="f32"), dtype="f32")
    whole = steps("add", whole, steps("identity", 2, dtype="f32"), dtype="f32")
    bounds = steps.constant(0.0, "f32"), steps.constant(255.0, "f32")
    whole = steps("clip", whole, *bounds, dtype="f32")
    emit_built(context, steps, [x, scale, zero], [y], [steps("identity", whole, dtype="u8")])

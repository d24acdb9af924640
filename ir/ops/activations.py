"""Activation functions: pointwise ops, most with an attribute or two."""

from __future__ import annotations

from ir import scalar, symbolic
from ir.ops.pointwise import OneWayBroadcast, SameShape, pointwise
from ir.registry import Attr


def _number(default: float) -> Attr:
    return Attr("float", default)


pointwise("Relu", scalar.relu, types="numeric", on_dims=lambda x: symbolic.largest(x, 0))
pointwise("LeakyRelu", scalar.leaky_relu, attributes={"alpha": _number(0.01)})
pointwise("PRelu", scalar.prelu, "X: T, slope: T", types="numeric", base=OneWayBroadcast)
pointwise("ThresholdedRelu", scalar.thresholded_relu, attributes={"alpha": _number(1.0)})
pointwise("Elu", scalar.elu, attributes={"alpha": _number(1.0)}, flops=10)
pointwise("Celu", scalar.celu, attributes={"alpha": _number(1.0)}, flops=12)
pointwise(
    "Selu", scalar.selu, flops=11,
    attributes={
        "alpha": _number(1.67326319217681884765625),
        "gamma": _number(1.05070102214813232421875),
    },
)  # fmt: skip
pointwise("Sigmoid", scalar.sigmoid, flops=12)
pointwise(
    "HardSigmoid", scalar.hard_sigmoid, flops=4,
    attributes={"alpha": _number(0.2), "beta": _number(0.5)},
)  # fmt: skip
pointwise("HardSwish", scalar.hard_swish, flops=5)
pointwise("Softplus", scalar.softplus, flops=20)
pointwise("Softsign", scalar.softsign, flops=3)
pointwise("Swish", scalar.swish, attributes={"alpha": _number(1.0)}, flops=14)
pointwise(
    "SwiGLU", scalar.swiglu, "A: T, B: T",
    attributes={"alpha": _number(1.0)}, flops=15, base=SameShape,
)  # fmt: skip
pointwise("Mish", scalar.mish, flops=31)
pointwise("Gelu", scalar.gelu, attributes={"approximate": Attr("string", "none")}, flops=14)
pointwise(
    "Shrink", scalar.shrink, types="numeric", flops=2,
    attributes={"bias": _number(0.0), "lambd": _number(0.5)},
)  # fmt: skip

# onnxruntime's own, which its optimiser and exporters write
pointwise("com.microsoft.Gelu", scalar.gelu_erf, flops=14)
pointwise(
    "com.microsoft.FastGelu", scalar.fast_gelu, "X: T, bias: T?", flops=18, base=OneWayBroadcast
)
pointwise("com.microsoft.QuickGelu", scalar.quick_gelu, attributes={"alpha": _number(1.702)},
          flops=14)  # fmt: skip
pointwise("com.microsoft.BiasGelu", scalar.bias_gelu, "A: T, B: T", flops=15)

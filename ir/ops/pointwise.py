"""Pointwise ops: one line each. The scalar function is reference, CPU kernel and GPU kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ir import scalar
from ir.broadcasting import broadcast_shapes
from ir.dims import Dim, product
from ir.dtypes import DType
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


class Pointwise(Op):
    """Base of ops that compute each output element from one element of each input, broadcast."""

    flops_per_element = 1
    result_dtype: DType | None = None  # None: that of the first input

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        shapes = [kind.shape for kind in call.types if kind is not None]
        dtype = cls.result_dtype or call.dtype(0)
        return [TensorType(dtype, broadcast_shapes(call, *shapes))]

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> np.ndarray:  # type: ignore[override]
        assert cls.scalar is not None
        settings = {name: call.attribute(name) for name in cls.attributes}
        made = np.asarray(cls.scalar(*inputs, **settings))
        # a Python float in the function may have widened a small float type
        return made if made.dtype == object else made.astype(cls.infer(call)[0].dtype.value)

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.outputs[0].shape) * cls.flops_per_element


def pointwise(
    name: str,
    function: Callable[..., Any],
    inputs: str = "X: T",
    *,
    types: str = "float",
    attributes: Mapping[str, Attr] | None = None,
    result: DType | None = None,
    flops: int = 1,
    symbolic: bool = False,
) -> type[Op]:
    """Defines and registers the pointwise op `name`.

    `inputs` is a comma-separated list of parameters; `types` names the dtype set of `T`; `result`
    the output dtype where it differs from the input's; `flops` counts operations per element.
    """
    definition = type(
        name.rsplit(".", 1)[-1],
        (Pointwise,),
        {
            "name": name,
            "__doc__": function.__doc__,
            "scalar": staticmethod(function),
            "inputs": tuple(part.strip() for part in inputs.split(",")),
            "outputs": (f"Y: {result or 'T'}",),
            "constraints": {"T": types},
            "attributes": dict(attributes or {}),
            "result_dtype": result,
            "flops_per_element": flops,
            "symbolic": symbolic,
        },
    )
    return register(definition)


pointwise("Relu", scalar.relu, types="numeric")
pointwise("LeakyRelu", scalar.leaky_relu, attributes={"alpha": Attr("float", 0.01)})
pointwise("Add", scalar.add, "A: T, B: T", types="numeric", symbolic=True)

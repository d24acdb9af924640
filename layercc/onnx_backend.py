"""layercc as a backend of the onnx package: `onnx.backend.base.Backend`.

import layercc.onnx_backend as backend
rep = backend.prepare(model)          # onnx.ModelProto
(y,) = rep.run([x])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from onnx.backend.base import Backend, BackendRep, namedtupledict

from ir.diagnostics import InputError, LayerccError
from layercc.frontends.onnx.importer import from_onnx


class LayerccRep(BackendRep):
    """A compiled model, as the onnx package runs it."""

    def __init__(self, compiled: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.compiled = compiled
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self._result = namedtupledict("Outputs", self.outputs)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[np.ndarray, ...]:
        """Runs on one array, on arrays in the order of the model's inputs, or by input name.

        Returns a named tuple in the order of the model's outputs; `result["name"]` works too.
        """
        given = _by_name(inputs, self.inputs, optional=len(self.compiled.graph.defaults))
        found = self.compiled.run(given)
        return self._result(*(found[name] for name in self.outputs))


class LayerccBackend(Backend):
    """The interface of `onnx.backend.base.Backend`, for tools and tests written against it."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the model can be read: all ops known, nothing malformed."""
        try:
            from_onnx(model)
        except LayerccError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> LayerccRep:
        """Compiles a model for "CPU", "CUDA" or "CUDA:1". `kwargs` go to `layercc.compile`
        (precision, threads, ...)."""
        import layercc  # the public API is above this module in the import order

        graph = from_onnx(model)
        compiled = layercc.compile(graph, target=_target(device), **kwargs)
        return LayerccRep(compiled, graph.input_names, graph.output_names)

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[np.ndarray, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[np.ndarray, ...]:
        """Runs one node. `opset_version` chooses its opset, the newest by default."""
        names = [name for name in node.input if name]
        arrays = _by_name(inputs, names)
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        model = model_of_node(node, arrays, outputs_info, version)
        return cls.run_model(model, arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """CPU always; CUDA where there is a device, and a driver."""
        import layercc

        kind, _, number = device.partition(":")
        if kind.upper() == "CUDA" and (not number or number.isdecimal()):
            return layercc.CudaTarget(device.lower()).runs_here()
        return kind.upper() == "CPU"


def model_of_node(
    node: NodeProto,
    inputs: Mapping[str, np.ndarray],
    outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None,
    version: int,
) -> ModelProto:
    """A model of one node, with inputs typed like `inputs`."""
    helper = onnx.helper
    taken = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in inputs.items()
    ]
    made = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    for value, (dtype, shape) in zip(made, outputs_info or (), strict=False):
        code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        value.CopyFrom(helper.make_tensor_value_info(value.name, code, shape))
    graph = helper.make_graph([node], node.op_type, taken, made)
    imports = [helper.make_opsetid("", version)]
    if node.domain:
        imports.append(helper.make_opsetid(node.domain, 1))
    return helper.make_model(graph, opset_imports=imports)


def _by_name(inputs: Any, names: Sequence[str], optional: int = 0) -> dict[str, np.ndarray]:
    """Arrays by input name; the last `optional` ones may be left out."""
    if isinstance(inputs, Mapping):
        return {name: _array(array) for name, array in inputs.items()}
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if not len(names) - optional <= len(given) <= len(names):
        raise InputError(f"{len(given)} arrays given for inputs {', '.join(names)}")
    return {name: _array(array) for name, array in zip(names, given, strict=False)}


def _target(device: str) -> str:
    """The target of a device in onnx's words: "CPU", "CPU:0", "CUDA", "CUDA:1"."""
    kind = device.lower().partition(":")[0]
    return "cpu" if kind == "cpu" else device.lower()


def _array(given: Any) -> Any:
    """What may lie on a device stays as it is; anything else is an array of NumPy's."""
    on_device = hasattr(given, "__dlpack__") or hasattr(given, "__cuda_array_interface__")
    return given if on_device else np.asarray(given)


is_compatible = LayerccBackend.is_compatible
prepare = LayerccBackend.prepare
run_model = LayerccBackend.run_model
run_node = LayerccBackend.run_node
supports_device = LayerccBackend.supports_device

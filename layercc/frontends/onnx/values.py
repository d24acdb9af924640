"""Declared types of graph inputs and outputs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import GraphProto, TypeProto, ValueInfoProto

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dims import Dim, SymbolicDim, symbol
from ir.dtypes import DType, dtype_of
from ir.graph import Value
from ir.naming import Names
from ir.types import TensorType, format_shape
from layercc.frontends.onnx.limits import MAX_RANK, MAX_TENSOR_BYTES
from layercc.frontends.onnx.scope import Scope
from layercc.frontends.onnx.tensors import element_type

#: Texts that exporters write for "unknown": they do not say that two dims are equal.
_UNNAMED = {"", "?", "-1", "*", "None", "none", "unknown"}


class ValueReader:
    """Reads declared types; dims without a name get symbols of their own."""

    def __init__(self, graph: GraphProto, where: str) -> None:
        self.where = where
        used = {
            dim.dim_param
            for value in [*graph.input, *graph.output]
            for dim in value.type.tensor_type.shape.dim
        }
        self._symbols = Names(used, "_")

    def inputs(self, protos: Sequence[ValueInfoProto], names: Sequence[str]) -> list[Value]:
        """Inputs of the model: every one needs a dtype and a shape."""
        shapeless = [repr(proto.name) for proto in protos if not _has_shape(proto)]
        if shapeless:
            raise InvalidModelError(
                f"{self.where}: no shape is declared for input(s) {', '.join(shapeless)}; "
                'a shape such as ["N", 3, 224, 224], with names for dims that vary, would fit'
            )
        return [
            Value(
                name, self._type(self._tensor(proto, f"input {proto.name!r}"), proto.name, "input")
            )
            for proto, name in zip(protos, names, strict=True)
        ]

    def default(self, proto: ValueInfoProto, name: str, array: np.ndarray) -> Value:
        """An input that may be left out; its default says what is not declared."""
        tensor = self._tensor(proto, f"input {proto.name!r}")
        kind = TensorType(dtype_of(array), array.shape)
        if tensor.elem_type and _has_shape(proto):
            kind = self._type(tensor, proto.name, "input")
        elif tensor.elem_type:
            kind = kind.with_dtype(element_type(tensor.elem_type, f"input {proto.name!r}"))
        return Value(name, kind)

    def body_inputs(
        self,
        protos: Sequence[ValueInfoProto],
        names: Sequence[str],
        given: Sequence[TensorType | None],
    ) -> list[Value]:
        """Inputs of a subgraph: what the node around it hands in, `given`, says more than what
        is declared."""
        found = []
        for proto, name, kind in zip(protos, names, given, strict=True):
            tensor = self._tensor(proto, f"input {proto.name!r}")
            if kind is None and tensor.elem_type:
                kind = self._type(tensor, proto.name, "input")
            found.append(Value(name, kind or TensorType(DType.f32, ())))
        return found

    def output(self, proto: ValueInfoProto, name: str, scope: Scope) -> Value:
        """A graph output with its declared type; what is not declared is inferred."""
        tensor = self._tensor(proto, f"output {proto.name!r}")
        if tensor.elem_type and tensor.HasField("shape"):
            return Value(name, self._type(tensor, proto.name, "output"))
        inferred = scope.type_of(name)
        if inferred is not None and tensor.elem_type:
            declared = element_type(tensor.elem_type, f"output {proto.name!r}")
            return Value(name, inferred.with_dtype(declared))
        if inferred is None:
            dtype = (
                element_type(tensor.elem_type, f"output {proto.name!r}")
                if tensor.elem_type
                else DType.f32
            )
            inferred = TensorType.open_rank(dtype)
        return Value(name, inferred)

    def _tensor(self, proto: ValueInfoProto, what: str) -> TypeProto.Tensor:
        kind = proto.type.WhichOneof("value")
        if kind not in (None, "tensor_type"):
            raise UnsupportedError(
                f"{self.where}: {what} is a {kind.removesuffix('_type')}, not a tensor"
            )
        return proto.type.tensor_type

    def _type(self, tensor: TypeProto.Tensor, name: str, what: str) -> TensorType:
        where = f"{self.where}: {what} {name!r}"
        dtype = element_type(tensor.elem_type, where)
        if len(tensor.shape.dim) > MAX_RANK:
            raise InvalidModelError(f"{where} has {len(tensor.shape.dim)} dims; {MAX_RANK} at most")
        shape = tuple(
            self._dim(dim, name, axis, where) for axis, dim in enumerate(tensor.shape.dim)
        )
        if math.prod(d for d in shape if type(d) is int and d) * dtype.itemsize > MAX_TENSOR_BYTES:
            raise InvalidModelError(
                f"{where}: shape {format_shape(shape)} is absurd: more than "
                f"{MAX_TENSOR_BYTES} bytes"
            )
        return TensorType(dtype, shape)

    def _dim(self, dim: onnx.TensorShapeProto.Dimension, name: str, axis: int, where: str) -> Dim:
        if dim.HasField("dim_value") and dim.dim_value != -1:
            if dim.dim_value < 0:
                raise InvalidModelError(f"{where}: dim {axis} is {dim.dim_value}")
            return dim.dim_value
        text = dim.dim_param.strip()
        if text in _UNNAMED:
            return self._fresh_dim(name, axis)
        try:
            return symbol(text)
        except ValueError as error:
            raise InvalidModelError(f"{where}: dim {axis}: {error}") from None

    def _fresh_dim(self, name: str, axis: int) -> SymbolicDim:
        readable = re.sub(r"\W", "_", name)
        return symbol(self._symbols.fresh(f"{readable}_dim{axis}"))  # type: ignore[return-value]


def _has_shape(proto: ValueInfoProto) -> bool:
    kind = proto.type.WhichOneof("value")
    return kind not in (None, "tensor_type") or proto.type.tensor_type.HasField("shape")

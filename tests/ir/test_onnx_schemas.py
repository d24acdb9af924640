"""Op definitions agree with ONNX's own schemas: attributes, defaults, arity, element types."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

import ir.ops  # noqa: F401  fills the registry
from ir.dtypes import DTYPE_SETS, dtype_of
from ir.registry import Op, all_ops

#: (op, attribute): why it is not as in the schema.
ATTRIBUTES = {
    ("Constant", "value_string"): "no strings",
    ("Constant", "value_strings"): "no strings",
    ("Constant", "sparse_value"): "made dense on import",
    ("RNN", "activations"): "absent means Tanh in either direction",
    ("RotaryEmbedding", "num_heads"): "0 stands for absent",
}
#: (op, input): element types that ONNX allows and the definition does not.
ELEMENT_TYPES = {
    ("Col2Im", "input"): {"bool", "c64", "c128"},
    ("GridSample", "X"): {"bool", "c64", "c128"},
}
OWN_ATTRIBUTES = {"channels_last", "fully_masked"}


def _schema(op: type[Op]) -> Any:
    try:
        return onnx.defs.get_schema(op.name)
    except onnx.defs.SchemaError:
        return None


OPS = [op for op in all_ops() if _schema(op) is not None]
pytestmark = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


def _default(attribute: Any) -> Any:
    if not attribute.default_value.type:
        return None
    value = onnx.helper.get_attribute_value(attribute.default_value)
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value


def test_attributes(op: type[Op]) -> None:
    schema = _schema(op)
    for name, attribute in schema.attributes.items():
        if (op.name, name) in ATTRIBUTES:
            continue
        assert name in op.attributes
        assert op.attributes[name].required == attribute.required, name
        if not attribute.required:
            default = _default(attribute)
            expected = pytest.approx(default) if isinstance(default, float) else default
            assert op.attributes[name].default == expected, name
    assert set(op.attributes) <= set(schema.attributes) | OWN_ATTRIBUTES


def test_inputs_and_outputs(op: type[Op]) -> None:
    schema = _schema(op)
    assert len(op.output_parameters) == len(schema.outputs)
    assert len(op.input_parameters) == len(schema.inputs)
    for ours, theirs in zip(op.input_parameters, schema.inputs, strict=True):
        optional = theirs.option == onnx.defs.OpSchema.FormalParameterOption.Optional
        variadic = theirs.option == onnx.defs.OpSchema.FormalParameterOption.Variadic
        assert (ours.optional, ours.variadic) == (optional, variadic), theirs.name


def test_element_types(op: type[Op]) -> None:
    for ours, theirs in zip(op.input_parameters, _schema(op).inputs, strict=True):
        allowed = {str(dtype) for dtype in DTYPE_SETS[op.constraints.get(ours.type, ours.type)]}
        refused = _element_types(theirs.types) - allowed
        assert refused == ELEMENT_TYPES.get((op.name, theirs.name), set()), theirs.name


def _element_types(names: set[str]) -> set[str]:
    """Short names of `tensor(...)` types, of those element types that layercc has."""
    found = set()
    for name in names:
        if not name.startswith("tensor("):
            continue
        number = onnx.TensorProto.DataType.Value(name[7:-1].upper())
        try:
            found.add(str(dtype_of(onnx.helper.tensor_dtype_to_np_dtype(number))))
        except (TypeError, KeyError):
            continue  # strings, float6
    return found

"""ONNX import: sequences of tensors that are known while a model is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, helper

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.interpreter import interpret
from layercc.frontends.onnx import from_onnx, importer
from tests.frontends.onnx_models import model_of, run_onnxruntime

X = np.arange(30, dtype=np.float32).reshape(2, 5, 3)
CONSTANTS = {
    "zero": np.array(0), "one": np.array(1), "last": np.array(-1), "two": np.array(2),
    "sizes": np.array([1, 3, 1]), "far": np.array(7),
}  # fmt: skip


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


LISTED = [
    node("Neg", "x", "n"),
    node("SequenceConstruct", "x n", "s"),
]
CASES = {
    "squeezed": [
        node("SplitToSequence", "x", "s", axis=1, keepdims=0), node("SequenceAt", "s last", "y"),
    ],
    "ones": [node("SplitToSequence", "x", "s", axis=1), node("SequenceAt", "s one", "y")],
    "equal parts": [
        node("SplitToSequence", "x two", "s", axis=1), node("SequenceAt", "s two", "y"),
    ],
    "given parts": [
        node("SplitToSequence", "x sizes", "s", axis=-2), node("SequenceAt", "s one", "y"),
    ],
    "joined": [*LISTED, node("ConcatFromSequence", "s", "y", axis=1)],
    "stacked": [*LISTED, node("ConcatFromSequence", "s", "y", axis=-1, new_axis=1)],
    "inserted": [
        *LISTED, node("Abs", "n", "a"), node("SequenceInsert", "s a last", "t"),
        node("Identity", "t", "u"), node("ConcatFromSequence", "u", "y", axis=0),
    ],
    "appended to nothing": [
        node("SequenceEmpty", "", "s"), node("SequenceInsert", "s x", "t"),
        node("SequenceInsert", "t x", "u"), node("ConcatFromSequence", "u", "y", axis=0),
    ],
    "erased": [
        *LISTED, node("SequenceErase", "s zero", "t"), node("ConcatFromSequence", "t", "y", axis=0),
    ],
    "length": [*LISTED, node("SequenceLength", "s", "y")],
    "length of a split": [
        node("SplitToSequence", "x", "s", axis=1), node("SequenceLength", "s", "y"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_followed(name: str) -> None:
    model = model_of(CASES[name], {"x": X}, ["y"], 17, CONSTANTS)
    (found,) = interpret(from_onnx(model), {"x": X}).values()
    (expected,) = run_onnxruntime(model, {"x": X})
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "nodes",
    [
        [*LISTED, node("ReduceMax", "i", "m", keepdims=0), node("SequenceAt", "s m", "y")],
        [*LISTED, node("SequenceAt", "s far", "y")],
        [node("SplitToSequence", "x two", "s", axis=1), node("SequenceAt", "s last", "y")],
        [node("SequenceAt", "x zero", "y")],
        [*LISTED, node("Relu", "s", "y")],
    ],
    ids=["computed position", "outside", "from the end", "of a tensor", "no sequence op"],
)
def test_not_followed(nodes: list[NodeProto]) -> None:
    model = model_of(nodes, {"x": X, "i": np.array([0, 1])}, ["y"], 17, CONSTANTS)
    found = nodes[-1].op_type
    expected = "Relu of a sequence" if found == "Relu" else found
    with pytest.raises(UnsupportedError, match=expected):
        from_onnx(model)


def test_sequences_that_grow_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of n insertions has n² items in all."""
    monkeypatch.setattr(importer, "MAX_SEQUENCE_ITEMS", 100)
    nodes = [node("SequenceEmpty", "", "s0")]
    nodes += [node("SequenceInsert", f"s{i} x", f"s{i + 1}") for i in range(20)]
    nodes += [node("ConcatFromSequence", "s20", "y", axis=0)]
    with pytest.raises(InvalidModelError, match=r"SequenceInsert .* more than 100 items"):
        from_onnx(model_of(nodes, {"x": X}, ["y"], 17, CONSTANTS))

"""Pointwise references: against onnxruntime on special values, and rules it does not settle."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

import ir.ops
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.interpreter import interpret
from ir.primitives import erf
from ir.registry import all_ops
from ir.types import TensorType

SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5]
SPECIAL += [1e-40, -1e-40, 3e38, -3e38, 88.8, -88.8, 104.0, -104.0, 1e-5, -1e-5, 3.0, 20.0, -20.0]
ATTRIBUTES: dict[str, dict[str, Any]] = {"Gelu": {"approximate": "tanh"}, "Celu": {"alpha": 0.7}}
#: Ops on which onnxruntime itself departs from ONNX or from IEEE 754 at special values.
INACCURATE = {
    "Mish": "overflows in softplus",
    "Sign": "gives 0 for NaN, ONNX says nothing",
    "HardSwish": "gives NaN for -Inf as 0 * Inf; so does the reference of ONNX",
}


def run(op: str, *inputs: np.ndarray | None, **attributes: Any) -> np.ndarray:
    """The reference of one op, whose inferred type is checked on the way."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    arrays = {name: x for name, x in zip(names, inputs, strict=True) if x is not None}
    values = [Value(n, TensorType(dtype_of(x), x.shape)) for n, x in arrays.items()]
    node = Node(op, tuple(names), ("y",), attributes)
    graph = Graph("g", values, [Value("y", values[0].type)], [node])
    found = infer(graph)
    found.raise_for_errors()
    made = interpret(graph, arrays)["y"]
    assert found.types["y"] == TensorType(dtype_of(made), made.shape)
    return made


def onnxruntime_result(op: str, inputs: list[np.ndarray], **attributes: Any) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    domain, _, name = op.rpartition(".")
    node = helper.make_node(
        name, [f"x{i}" for i in range(len(inputs))], ["y"], domain=domain, **attributes
    )
    kinds = [helper.np_dtype_to_tensor_dtype(x.dtype) for x in inputs]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(f"x{i}", k, None) for i, k in enumerate(kinds)],
        [onnx.ValueInfoProto(name="y")],
    )
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options)
    except Exception as error:  # the runtime has no kernel for the op, or not for the dtype
        pytest.skip(f"onnxruntime: {str(error)[:80]}")
    return session.run(None, {f"x{i}": x for i, x in enumerate(inputs)})[0]


UNARY = [
    op.name
    for op in all_ops()
    if op.scalar is not None
    and len(op.input_parameters) == 1
    and DType.f32 in ir.dtypes.DTYPE_SETS[op.constraints.get("T", "any")]
    and not any(spec.required for spec in op.attributes.values())
]


@pytest.mark.parametrize("op", UNARY)
def test_unary_as_onnxruntime(op: str) -> None:
    x = np.array(SPECIAL + list(np.linspace(-4, 4, 101)), np.float32)
    attributes = ATTRIBUTES.get(op, {})
    theirs = onnxruntime_result(op, [x], **attributes)
    ours = run(op, x, **attributes)
    assert ours.dtype == theirs.dtype
    if op in INACCURATE:
        ours, theirs = ours[len(SPECIAL) :], theirs[len(SPECIAL) :]
    np.testing.assert_allclose(ours, theirs, rtol=3e-6, atol=1e-6)


NUMBERS = np.array([-7, -6, -1, 0, 1, 5, 7])


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float32"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "Less"])
def test_binary_as_onnxruntime(op: str, dtype: str) -> None:
    a, b = NUMBERS[:, None].astype(dtype), NUMBERS[NUMBERS != 0].astype(dtype)
    if op == "Pow" and dtype != "float32":
        b = np.abs(b)
    attributes = {"fmod": 1} if op == "Mod" and dtype == "float32" else {}
    theirs = onnxruntime_result(op, [a, b], **attributes)
    np.testing.assert_allclose(run(op, a, b, **attributes), theirs, rtol=1e-6)


def test_integer_division_truncates_toward_zero() -> None:
    a, b = np.array([-7, 7, -7, 7, -6, 0]), np.array([2, 2, -2, -2, 2, -3])
    assert run("Div", a, b).tolist() == [-3, 3, 3, -3, -3, 0]
    huge = np.array([2**62 + 1, -(2**62) - 1])  # no float64 holds these
    assert run("Div", huge, np.array([1, 1])).tolist() == huge.tolist()


def test_integer_power_is_exact() -> None:
    assert run("Pow", np.array([3, 2]), np.array([39, -1])).tolist() == [3**39, 0]


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("op", ["Gelu", "Sigmoid", "Mish", "Softplus", "Tanh", "Erf", "Swish"])
def test_half_types_are_rounded_once(op: str, half: Any) -> None:
    """What is computed in float32 and rounded is within half a unit of the float64 result."""
    x = np.linspace(-2, 6, 97).astype(half)  # Gelu cancels further left
    exact = run(op, x.astype(np.float64))
    once = run(op, x)
    assert once.dtype == half
    expected = exact.astype(half)
    differing = once != expected  # a tie in float32 may fall to the other side
    assert differing.mean() < 0.02
    spacing = np.abs(exact) * float(ml_dtypes.finfo(half).eps) + 1e-7
    assert (np.abs(once.astype(np.float64) - exact) <= spacing).all()


def test_erf_is_accurate_to_the_last_digit() -> None:
    """Values of Abramowitz and Stegun, table 7.1, and more digits from DLMF."""
    x = np.array([0.0, 0.5, 1.0, 2.0, -1.0, 1e-10])
    exact = [0, 0.5204998778130465, 0.8427007929497149, 0.9953222650189527, -0.8427007929497149]
    exact.append(1.1283791670955126e-10)
    np.testing.assert_allclose(erf(x), exact, rtol=2e-16)
    assert erf(np.float32(0.5)).dtype == np.float32


def test_clip_with_bounds_absent_crossed_or_nan() -> None:
    x = np.array([-2, 0, 3, math.nan], np.float32)
    low, high = np.float32(1), np.float32(-1)
    scalar = np.asarray
    np.testing.assert_array_equal(run("Clip", x, None, scalar(low)), [-2, 0, 1, math.nan])
    np.testing.assert_array_equal(run("Clip", x, scalar(high)), [-1, 0, 3, math.nan])
    np.testing.assert_array_equal(run("Clip", x, scalar(low), scalar(high)), [-1, -1, -1, math.nan])


def test_prelu_slope_broadcasts_one_way() -> None:
    x = -np.ones((2, 3, 4), np.float32)
    slope = np.arange(3, dtype=np.float32)[:, None]
    assert run("PRelu", x, slope)[0, :, 0].tolist() == [0, -1, -2]
    with pytest.raises(ValueError, match=r"slope.*f32\[2, 3, 4\].*broadcast"):
        run("PRelu", slope, x)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bit_shift_by_any_amount(dtype: str, direction: str) -> None:
    """Amounts outside the width leave only the sign fill, as exact integers would give."""
    limits = np.iinfo(dtype)
    bits = limits.bits
    x = np.array([limits.min, limits.max, 1, 5, 0], dtype)[:, None]
    amounts = [0, 1, 6, 7, 8, bits - 1, bits, 100] + ([-1] if limits.min < 0 else [])
    made = run("BitShift", x, np.array(amounts, dtype), direction=direction)
    for row, value in enumerate(x[:, 0].tolist()):
        for column, amount in enumerate(amounts):
            by = amount if 0 <= amount < bits else bits
            exact = value << by if direction == "LEFT" else value >> by
            wrapped = (exact - limits.min) % 2**bits + limits.min
            assert made[row, column] == wrapped, (value, amount)


@pytest.mark.parametrize(("negative", "positive"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_is_inf(negative: int, positive: int) -> None:
    x = np.array([-math.inf, math.inf, math.nan, 1], np.float32)
    made = run("IsInf", x, detect_negative=negative, detect_positive=positive)
    assert made.tolist() == [bool(negative), bool(positive), False, False]


@pytest.mark.parametrize("shape", [(0, 3), ()])
def test_empty_and_rank_0(shape: tuple[int, ...]) -> None:
    for name in UNARY:
        assert run(name, np.full(shape, 0.5, np.float32)).shape == shape, name

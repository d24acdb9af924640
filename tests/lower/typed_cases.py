"""Every op at every element type that its definition allows, as graphs of one node.

Inputs and attributes are those of the `onnx` package's node tests, cast to the element type in
question; ops without such tests have a line in `OWN`. A second shape is the first with its leading
dims twice as long, where the op's rules allow that, so that both share kernels.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

import ir.ops  # noqa: F401  fills the registry
from ir.control_flow import CONTROL_FLOW
from ir.diagnostics import LayerccError
from ir.dtypes import DTYPE_SETS, ONNX_DTYPES, DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.registry import Op, all_ops, find_op
from ir.types import TensorType
from tests.ir.onnx_node_cases import node_cases

#: Attributes that hold the element type of an output.
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type")
_CODES = {dtype: code for code, dtype in ONNX_DTYPES.items()}
#: Ops that say nothing of elements: they run graphs.
BODIES = frozenset({*CONTROL_FLOW, "layercc.Fused"})


@dataclass(frozen=True, eq=False)
class Case:
    """A node, and the arrays that its inputs are; `variable` (a type variable of the op's
    definition) stands for `dtype`."""

    node: Node
    arrays: Mapping[str, np.ndarray]
    variable: str = ""
    dtype: DType = DType.f32

    def __str__(self) -> str:
        shapes = ", ".join(str(TensorType(dtype_of(a), a.shape)) for a in self.arrays.values())
        return f"{self.node.op} at {self.variable}={self.dtype}: {shapes}"

    def graph(self) -> Graph:
        """The node as a graph. Raises LayerccError where its rules refuse the inputs."""
        return graph_of_cases([self])


def graph_of_cases(cases: list[Case], constant: bool = False) -> Graph:
    """The nodes side by side, with values of their own; `constant`: all inputs but the first are.

    Raises LayerccError where an op's rules refuse the inputs.
    """
    inputs, nodes, constants, known = [], [], {}, {}
    for number, case in enumerate(cases):
        first = next(iter(case.arrays), None)
        for name, array in case.arrays.items():
            if constant and name != first:
                constants[f"{name}_{number}"] = array
            else:
                kind = TensorType(dtype_of(array), array.shape)
                inputs.append(Value(f"{name}_{number}", kind))
            known[f"{name}_{number}"] = array
        renamed = {name: f"{name}_{number}" for name in (*case.node.inputs, *case.node.outputs)}
        nodes.append(replace(
            case.node,
            inputs=tuple(name and renamed[name] for name in case.node.inputs),
            outputs=tuple(name and renamed[name] for name in case.node.outputs),
            name=f"node_{number}",
        ))  # fmt: skip
    graph = Graph("typed", inputs, [], nodes, constants)
    found = infer(graph, values={value.name: known[value.name] for value in inputs})
    found.raise_for_errors()
    graph.outputs = [
        Value(name, found.types[name]) for node in nodes for name in node.outputs if name
    ]
    graph.types = dict(found.types)
    return graph


def arrays_of(cases: list[Case]) -> dict[str, np.ndarray]:
    """The arrays of `graph_of_cases`."""
    return {
        f"{name}_{number}": array
        for number, case in enumerate(cases)
        for name, array in case.arrays.items()
    }


def ops() -> list[type[Op]]:
    """All ops but those that run graphs."""
    return [op for op in all_ops() if op.name not in BODIES]


@functools.cache
def typed_cases(op: type[Op]) -> tuple[Case, ...]:
    """The op at each element type of each of its type variables, the others as they were, at two
    shapes (at one where it takes no tensor)."""
    found = []
    for variable in _variables(op):
        for dtype in sorted(DTYPE_SETS[op.constraints.get(variable, variable)], key=str):
            found += _two_shapes(op, variable, dtype)
    return tuple(found)


def untested(op: type[Op]) -> list[str]:
    """Element types that no case could be made of, as `variable=type`."""
    made = {(case.variable, case.dtype) for case in typed_cases(op)}
    return [
        f"{variable}={dtype}"
        for variable in _variables(op)
        for dtype in sorted(DTYPE_SETS[op.constraints.get(variable, variable)], key=str)
        if (variable, dtype) not in made
    ]


def _variables(op: type[Op]) -> list[str]:
    """Type variables of the signature, and names of sets, that stand for several types."""
    names = dict.fromkeys(p.type for p in (*op.input_parameters, *op.output_parameters))
    return [name for name in names if len(DTYPE_SETS[op.constraints.get(name, name)]) > 1]


def _two_shapes(op: type[Op], variable: str, dtype: DType) -> list[Case]:
    for case in _sources()[op.name]:
        first = _retyped(op, case, variable, dtype)
        if first is None or not _accepted(first):
            continue
        for second in _longer(first):
            if _accepted(second):
                return [first, second]
        for other in _sources()[op.name]:
            second_other = _retyped(op, other, variable, dtype)
            if second_other and str(second_other) != str(first) and _accepted(second_other):
                return [first, second_other]
        return [first]
    return []


def _accepted(case: Case) -> bool:
    try:
        case.graph()
    except LayerccError:
        return False
    return True


def _longer(case: Case) -> Iterator[Case]:
    """The case with some arrays repeated along an axis: those that are as long as the first one.
    Where a number or an attribute says how long the result is, with more of that."""
    shape = case.node.attributes.get("shape")
    if shape is not None:
        yield replace(case, node=replace(
            case.node, attributes={**case.node.attributes, "shape": (*shape, 2)}  # type: ignore
        ))  # fmt: skip
    if not case.arrays:
        return
    name, first = next(iter(case.arrays.items()))
    if first.ndim == 0 and not any(array.ndim for array in case.arrays.values()):
        yield replace(case, arrays={
            **case.arrays, name: np.asarray(first + np.ones_like(first), first.dtype)
        })  # fmt: skip
    for axis in range(first.ndim):
        like = {
            n for n, a in case.arrays.items() if a.ndim == first.ndim and a.shape == first.shape
        }
        size = first.shape[axis]
        same = {n for n, a in case.arrays.items() if a.ndim > axis and a.shape[axis] == size}
        for chosen in (same, like, {name}):
            yield replace(case, arrays={
                n: np.concatenate([a, a], axis) if n in chosen else a
                for n, a in case.arrays.items()
            })  # fmt: skip


def _retyped(op: type[Op], case: Case, variable: str, dtype: DType) -> Case | None:
    """The case with `dtype` for `variable`; None where no input or attribute tells it."""
    arrays, met = dict(case.arrays), False
    for index, name in enumerate(case.node.inputs):
        parameter = op.input_parameters[min(index, len(op.input_parameters) - 1)]
        if name and parameter.type == variable:
            arrays[name], met = cast_values(arrays[name], dtype), True
    node = case.node
    value = node.attributes.get("value")
    if not met and isinstance(value, np.ndarray):
        node = replace(node, attributes={**node.attributes, "value": cast_values(value, dtype)})
    elif not met:
        attribute = next((name for name in TYPE_ATTRIBUTES if name in op.attributes), None)
        if attribute is None or dtype not in _CODES:
            return None
        node = replace(node, attributes={**node.attributes, attribute: _CODES[dtype]})
    elif "fmod" in op.attributes and dtype.name[0] in "fb":
        node = replace(node, attributes={**node.attributes, "fmod": 1})
    first = next(iter(arrays), "")
    if op.name in ("Cast", "CastLike", "BitCast"):
        if node.attributes.get("to") == _CODES[dtype_of(arrays[first])]:
            return None  # nothing to do
        if op.name != "BitCast" and arrays[first].dtype.kind == "f":
            # ONNX does not say what an unsigned integer makes of -1.5, NaN or Inf
            arrays[first] = np.nan_to_num(np.abs(arrays[first]), nan=1, posinf=2)
    return Case(node, arrays, variable, dtype)


def cast_values(array: np.ndarray, dtype: DType) -> np.ndarray:
    """The values as `dtype`: floats become small integers other than 0, integers saturate."""
    array = np.asarray(array)
    source, name = dtype_of(array), dtype.name
    if source is dtype:
        return array
    if dtype is DType.bool:
        real = array.real if array.dtype.kind == "c" else array.astype(np.float64)
        return np.asarray(real > 0)
    if array.dtype.kind == "c" and name[0] != "c":
        array = array.real
    if name[0] == "c":
        made = np.array(array, dtype.value)
        if source.name[0] != "c":
            made.imag = np.roll(made.real, 1)
        return made
    if name[0] in "iu":
        if source.name[0] in "fb" and source is not DType.bool:
            array = np.rint(4 * array.astype(np.float64))
            array = np.where(array == 0, 1, np.abs(array) if name[0] == "u" else array)
        limits = ml_dtypes.iinfo(dtype.value)
        wide = array.astype(object)
        kept = np.clip(wide, int(limits.min), int(limits.max)) if wide.size else wide
        return np.asarray(kept).astype(np.int64 if name != "u64" else np.uint64).astype(dtype.value)
    return array.astype(np.float64).astype(np.float32).astype(dtype.value)


@functools.cache
def _sources() -> dict[str, list[Case]]:
    """Cases by op, those of common element types first, and then small ones."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in node_cases(op.name for op in ops()):
        (node,) = case.graph.nodes
        found[node.op].append(Case(node, {**case.inputs, **case.graph.constants}))
    for case in OWN:
        found[case.node.op].append(case)
    for cases in found.values():
        cases.sort(key=_rarity)
    return found


def _rarity(case: Case) -> tuple:
    """What makes a case a bad start: nothing in it, or zeros only (which may be the sizes of the
    result), element types that others cannot be cast from, a single number, attributes, size."""
    sizes = [array.size for array in case.arrays.values()]
    small = sum(dtype_of(array) in DTYPE_SETS["small"] for array in case.arrays.values())
    scalar = bool(sizes) and next(iter(case.arrays.values())).ndim == 0
    nothing = 0 in sizes or not any(array.any() for array in case.arrays.values())
    return nothing, small, scalar, len(case.node.attributes), sum(sizes)


def _own(op: str, *shapes: tuple[int, ...] | np.ndarray, **attributes: object) -> Case:
    """A case of random numbers; arrays are taken as they are."""
    rng = np.random.default_rng(len(op))
    arrays = {
        f"x{i}": shape if isinstance(shape, np.ndarray) else rng.standard_normal(shape, np.float32)
        for i, shape in enumerate(shapes)
    }
    definition = find_op(op)
    assert definition is not None
    return Case(Node(op, tuple(arrays), ("y",), attributes), arrays)  # type: ignore[arg-type]


_REGIONS = np.array([[0, 0, 0, 3, 4], [0, 1, 1, 4, 4]], np.float32)
_LEVELS = np.arange(24, dtype=np.int8)
_HALF = np.full(1, 0.01, np.float32)
#: Cases of ops that the `onnx` package has no tests of.
OWN = [
    _own("BitCast", np.arange(4, dtype=np.uint8), to=_CODES[DType.i8]),
    _own("BitCast", np.arange(4, dtype=np.int16), to=_CODES[DType.u16]),
    _own("DFT", (1, 6, 1), np.array(5), np.array(1)),
    _own("GlobalLpPool", (2, 3, 4, 5)),
    _own("MaxRoiPool", (1, 3, 6, 7), _REGIONS, pooled_shape=(2, 2)),
    _own("Multinomial", np.log(np.full((2, 3), 1 / 3, np.float32)), sample_size=4, seed=1.0),
    _own("RandomNormal", shape=(2, 3), seed=1.0),
    _own("RandomUniform", shape=(2, 3), seed=1.0),
    _own("RandomNormalLike", (2, 3), seed=1.0),
    _own("RandomUniformLike", (2, 3), seed=1.0),
    _own("com.microsoft.BiasGelu", (2, 5), (5,)),
    _own("com.microsoft.FastGelu", (2, 5), (5,)),
    _own("com.microsoft.FusedMatMul", (2, 3, 5), (5, 4), alpha=0.5),
    _own("com.microsoft.Gelu", (2, 5)),
    _own("com.microsoft.QuickGelu", (2, 5)),
    _own("com.microsoft.SkipLayerNormalization", (2, 3, 5), (2, 3, 5), (5,), (5,)),
    _own("com.microsoft.SkipSimplifiedLayerNormalization", (2, 3, 5), (2, 3, 5), (5,)),
    Case(
        Node("com.microsoft.DynamicQuantizeLSTM",
             ("x", "w", "r", "", "", "", "", "", "ws", "wz", "rs", "rz"), ("y",),
             {"hidden_size": 2}),
        {
            "x": np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 2, 3),
            "w": _LEVELS.reshape(1, 3, 8), "r": _LEVELS[:16].reshape(1, 2, 8),
            "ws": _HALF, "wz": np.zeros(1, np.int8), "rs": _HALF, "rz": np.zeros(1, np.int8),
        },
    ),
]  # fmt: skip

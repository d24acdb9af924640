"""Shape inference through subgraphs: of If, Loop and Scan, and of fused groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ir.dims import Dim, max_dim, symbols
from ir.dtypes import DType
from ir.graph import Graph
from ir.inferred import Inference
from ir.registry import Call
from ir.symbolic import as_dim
from ir.types import TensorType

#: Infers a subgraph inside its surroundings, given types and values of its own inputs.
#: Problems found are in the result's `diagnostics` only.
InferBody: TypeAlias = Callable[
    [Graph, Mapping[str, TensorType], Mapping[str, np.ndarray]], Inference
]
#: Carried value and axis: dims that were found to change from one iteration to the next.
Changing: TypeAlias = set[tuple[int, int]]
#: Outputs' types, their values where known, and the inferences that hold for the bodies.
Outcome: TypeAlias = tuple[tuple[TensorType, ...], Sequence[np.ndarray | None], list[Inference]]


def infer_if(call: Call, infer_body: InferBody, _: Changing) -> Outcome:
    """Types of the branch taken where the condition is known, else what both have in common."""
    condition = call.value(0)
    branches: list[Graph] = [call.then_branch, call.else_branch]
    if condition is not None and condition.dtype != object:
        branches = [branches[0 if condition.reshape(-1)[0] else 1]]
    bodies = [infer_body(branch, {}, {}) for branch in branches]
    found = [_output_types(call, g, body) for g, body in zip(branches, bodies, strict=True)]
    if len({len(types) for types in found}) > 1:
        call.fail("the branches have different numbers of outputs", "bad-arity")
    merged = []
    for alternatives in zip(*found, strict=True):
        first, last = alternatives[0], alternatives[-1]
        if first.dtype is not last.dtype or first.rank != last.rank:
            call.fail(
                f"the branches give {first} and {last}: which of them runs must be known",
                "data-dependent",
            )
        merged.append(
            first.with_shape(
                a if a == b else call.fresh_dim("branch")
                for a, b in zip(first.shape, last.shape, strict=True)
            )
        )
    values: list[np.ndarray | None] = []
    if len(branches) == 1:
        values = [bodies[0].values.get(name) for name in branches[0].output_names]
    return tuple(merged), values, bodies


def infer_loop(call: Call, infer_body: InferBody, changing: Changing) -> Outcome:
    """Types of a Loop: final values of what is carried along, then one stack for each scan output.

    A dim that the body changes becomes a new symbol, and the body is inferred again, until the
    types that go in are those that come out. These dims are entered into `changing`. Those that
    are there already, since the loops around this one had their bodies inferred before, are such
    symbols from the start: so a nest of loops is not inferred twice at each level.
    """
    body: Graph = call.body
    carried = [call.type(i) for i in range(2, len(call.types))]
    if len(body.inputs) != len(carried) + 2 or len(body.outputs) < len(carried) + 1:
        call.fail(
            f"the body has {len(body.inputs)} inputs and {len(body.outputs)} outputs;"
            f" {len(carried) + 2} and at least {len(carried) + 1} would fit",
            "bad-arity",
        )
    if _never_runs(call):
        items = items_of_loop(call, infer_body)
        stacks = [kind.with_shape((0, *kind.shape)) for kind in items]
        return (*carried, *stacks), [call.value(i) for i in range(2, len(call.types))], []
    counter, condition, *names = body.input_names
    carried, iterating = _with_changing(call, carried, changing)
    while True:
        given = {
            counter: TensorType(DType.i64, ()),
            condition: TensorType(DType.bool, ()),
            **dict(zip(names, carried, strict=True)),
        }
        # The body only runs while the condition holds.
        inner = infer_body(body, given, {condition: np.array(True)})
        found = _output_types(call, body, inner)
        settled = _settle(call, carried, found[1 : len(carried) + 1], changing, iterating)
        if settled == carried:
            break
        carried = settled
    trips = _trip_count(call, inner.values.get(body.output_names[0]))
    stacks = [
        kind.with_shape((trips, *_outside(call, kind.shape, iterating)))
        for kind in found[len(carried) + 1 :]
    ]
    return (*carried, *stacks), (), [inner]


def _with_changing(
    call: Call, carried: Sequence[TensorType], changing: Changing
) -> tuple[list[TensorType], set[Dim]]:
    """Types of carried values with new symbols where dims are known to change; these symbols."""
    iterating: set[Dim] = set()
    kinds = []
    for index, kind in enumerate(carried):
        shape = list(kind.shape)
        for axis in range(len(shape)):
            if (index, axis) in changing:
                shape[axis] = call.fresh_dim("loop")
                iterating.add(shape[axis])
        kinds.append(kind.with_shape(shape))
    return kinds, iterating


def _settle(
    call: Call,
    before: Sequence[TensorType],
    after: Sequence[TensorType],
    changing: Changing,
    iterating: set[Dim],
) -> list[TensorType]:
    """Types of carried values that hold before and after the body.

    Dims that differ become new symbols, which are added to `iterating`, as they are to `changing`
    by their places; those already there differ from one iteration to the next and stay as they are.
    """
    settled = []
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.dtype is not new.dtype or old.rank != new.rank:
            call.fail(
                f"the body turns carried value {index} from {old} into {new};"
                " the same dtype and rank would fit"
            )
        shape = []
        for axis, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)):
            if a != b and a not in iterating:
                a = call.fresh_dim("loop")
                iterating.add(a)
                changing.add((index, axis))
            shape.append(a)
        settled.append(old.with_shape(shape))
    return settled


def _outside(call: Call, shape: Sequence[Dim], iterating: set[Dim]) -> list[Dim]:
    """A shape made in the body, without the symbols that stand for one iteration only."""
    names = {str(dim) for dim in iterating}
    return [call.fresh_dim("loop") if symbols(dim) & names else dim for dim in shape]


def _never_runs(call: Call) -> bool:
    """Whether it is certain that a Loop makes no trip."""
    most, start = call.value(0), call.value(1)
    if start is not None and not start.reshape(-1)[0]:
        return True
    return most is not None and most.dtype != object and most.reshape(-1)[0] <= 0


def _trip_count(call: Call, goes_on: np.ndarray | None) -> Dim:
    """How often a Loop runs, where that is certain: its condition never turns false."""
    most, start = call.value(0), call.value(1)
    certain = not call.has(1) or (start is not None)
    if certain and call.has(0) and most is not None and goes_on is not None:
        if goes_on.dtype == object or not goes_on.reshape(-1)[0]:
            return call.fresh_dim("trips")
        return max_dim(as_dim(most.reshape(-1)[0]), 0)
    return call.fresh_dim("trips")


def infer_scan(call: Call, infer_body: InferBody, changing: Changing) -> Outcome:
    """Types of a Scan: final states, then one stack for each scan output; as `infer_loop`."""
    body: Graph = call.body
    states = len(call.types) - call.num_scan_inputs
    if states < 0 or len(body.inputs) != len(call.types) or len(body.outputs) < states:
        call.fail(
            f"the body has {len(body.inputs)} inputs and {len(body.outputs)} outputs for"
            f" {len(call.types)} inputs, of which {call.num_scan_inputs} are scanned",
            "bad-arity",
        )
    carried = [call.type(i) for i in range(states)]
    slices, length = _slices(call)
    if length == 0:
        stacks = _scan_stacks(call, items_of_scan(call, infer_body), length)
        return (*carried, *stacks), [call.value(i) for i in range(states)], []
    carried, iterating = _with_changing(call, carried, changing)
    while True:
        given = dict(zip(body.input_names, [*carried, *slices], strict=True))
        inner = infer_body(body, given, {})
        found = _output_types(call, body, inner)
        settled = _settle(call, carried, found[:states], changing, iterating)
        if settled == carried:
            break
        carried = settled
    items = [kind.with_shape(_outside(call, kind.shape, iterating)) for kind in found[states:]]
    return (*carried, *_scan_stacks(call, items, length)), (), [inner]


def _slices(call: Call) -> tuple[list[TensorType], Dim]:
    """What a Scan hands to its body of each scan input, and how many iterations there are."""
    slices: list[TensorType] = []
    length: Dim | None = None
    first = len(call.types) - call.num_scan_inputs
    for position in range(call.num_scan_inputs):
        kind = call.type(first + position)
        axis = call.axis_of((call.scan_input_axes or [0] * (position + 1))[position], kind.rank)
        slices.append(kind.with_shape((*kind.shape[:axis], *kind.shape[axis + 1 :])))
        length = kind.shape[axis] if length is None else length
        if isinstance(length, int) and isinstance(kind.shape[axis], int):
            if length != kind.shape[axis]:
                call.fail(f"scan inputs have {length} and {kind.shape[axis]} steps")
        elif isinstance(kind.shape[axis], int):
            length = kind.shape[axis]
    assert length is not None
    return slices, length


def _scan_stacks(call: Call, items: Sequence[TensorType], length: Dim) -> list[TensorType]:
    stacks = []
    for position, kind in enumerate(items):
        axis = (call.scan_output_axes or [0] * (position + 1))[position]
        shape = list(kind.shape)
        shape.insert(call.axis_of(axis, kind.rank + 1), length)
        stacks.append(kind.with_shape(shape))
    return stacks


def items_of_loop(call: Call, infer_body: InferBody) -> list[TensorType]:
    """Types of what a Loop would stack in its first iteration: those of the rows it has none of."""
    carried = range(2, len(call.types))
    types = [TensorType(DType.i64, ()), TensorType(DType.bool, ()), *map(call.type, carried)]
    values = [np.array(0, np.int64), np.array(True), *map(call.value, carried)]
    return _first_outputs(call, infer_body, types, values)[len(carried) + 1 :]


def items_of_scan(call: Call, infer_body: InferBody) -> list[TensorType]:
    """As `items_of_loop`, for a Scan over inputs of no slices."""
    states = range(len(call.types) - call.num_scan_inputs)
    types = [*map(call.type, states), *_slices(call)[0]]
    return _first_outputs(call, infer_body, types, [*map(call.value, states)])[len(states) :]


def _first_outputs(
    call: Call,
    infer_body: InferBody,
    types: Sequence[TensorType],
    values: Sequence[np.ndarray | None],
) -> list[TensorType]:
    """Types of a body's outputs in the first iteration, which need not come.

    So problems in the body are none, and what inference leaves open is as the body declares it.
    """
    names = call.body.input_names
    known = {name: v for name, v in zip(names, values, strict=False) if v is not None}
    found = infer_body(call.body, dict(zip(names, types, strict=True)), known).types
    kinds = []
    for value in call.body.outputs:
        # Symbols that a body declares say nothing of those around it.
        declared = [d if type(d) is int else call.fresh_dim("loop") for d in value.shape]
        kind = found.get(value.name, value.type.with_shape(declared))
        if kind.rank == len(declared):
            pairs = zip(kind.shape, declared, strict=True)
            kind = kind.with_shape(
                b if type(b) is int and type(a) is not int else a for a, b in pairs
            )
        kinds.append(kind)
    return kinds


def _output_types(call: Call, graph: Graph, inner: Inference) -> list[TensorType]:
    missing = [name for name in graph.output_names if name not in inner.types]
    if missing:
        reasons = "".join(f"\n  {problem}" for problem in inner.errors)
        codes = {problem.code for problem in inner.errors}
        code = "data-dependent" if codes == {"data-dependent"} else "shape-mismatch"
        call.fail(f"output {missing[0]!r} of {graph.name!r} could not be typed{reasons}", code)
    return [inner.types[name] for name in graph.output_names]


def infer_group(call: Call, infer_body: InferBody, _: Changing) -> Outcome:
    """Types of a fused group: those of its body's outputs, on the inputs of the node."""
    body: Graph = call.body
    types, values = {}, {}
    for name, kind, value in zip(body.input_names, call.types, call.values, strict=True):
        if kind is None:
            call.fail(f"input {name!r} of the group is absent", "missing-input")
        types[name] = kind
        if value is not None:
            values[name] = value
    inner = infer_body(body, types, values)
    for problem in inner.errors:
        call.fail(f"{problem.op} {problem.node!r} of it: {problem.message}", problem.code)
    outputs = body.output_names
    return tuple(inner.types[name] for name in outputs), (), [inner]


ShapeRule: TypeAlias = Callable[[Call, InferBody, Changing], Outcome]
#: Ops of which values decide which subgraph runs, or how often.
CONTROL_FLOW: dict[str, ShapeRule] = {"If": infer_if, "Loop": infer_loop, "Scan": infer_scan}
#: Ops whose shape rule needs the inference of subgraphs.
WITH_SUBGRAPHS: dict[str, ShapeRule] = {**CONTROL_FLOW, "layercc.Fused": infer_group}

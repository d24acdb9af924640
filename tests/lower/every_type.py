"""Runs the cases of `typed_cases`, compiled, and compares them with the reference interpreter."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import numpy as np

from ir.diagnostics import LayerccError
from ir.dtypes import DType, dtype_of
from ir.graph import Graph
from ir.interpreter import interpret
from ir.registry import Op, find_op
from layercc.cpu.isa import host_isa
from layercc.cpu.programs import program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import Plan
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.passes.fusion import group
from layercc.program import Program
from layercc.session.specialization import specialized
from layercc.weights import Weights
from tests.lower.typed_cases import Case, arrays_of, graph_of_cases

#: Relative error, and absolute one in units of the largest element, by element type of the result.
#: Kernels compute halves in f32 and round once; a unit in the last place of f16 is 1e-3.
TOLERANCES = {
    "f64": (1e-11, 1e-12), "f32": (2e-5, 2e-6), "f16": (2e-3, 1e-3), "bf16": (1.6e-2, 8e-3),
    "c64": (2e-5, 2e-6), "c128": (1e-11, 1e-12),
}  # fmt: skip
#: Nodes in a group of pointwise ops: one kernel computes them all.
_GROUP = 16


class Form(Enum):
    """What is known of a case before it runs."""

    SHAPES = "shapes"
    CONSTANTS = "all inputs but the first, which are constants"
    SIZES = "integers that say how large the result is"
    LEFT = "it does not compile"


@functools.cache
def form(case: Case) -> Form:
    """The first form in which the case compiles."""
    for found in (Form.SHAPES, Form.CONSTANTS, Form.SIZES):
        graph = graph_of_cases([case], found is Form.CONSTANTS)
        try:
            _program(graph, [case], found)
        except LayerccError:
            continue
        return found
    return Form.LEFT


def _program(graph: Graph, cases: Sequence[Case], known: Form) -> Program:
    arrays = arrays_of(cases)
    shapes = {name: arrays[name].shape for name in graph.input_names}
    prepared = run_passes(specialized(graph, decided(cases, known)))
    return program_of(lower(prepared, shapes), Weights(), host_isa())


def decided(cases: Sequence[Case], known: Form) -> dict[str, np.ndarray]:
    """The inputs of `graph_of_cases` whose values are known before it runs."""
    return {
        f"{name}_{i}": case.arrays[name]
        for i, case in enumerate(cases)
        for name in _sizes(case)
        if known is Form.SIZES
    }


def _sizes(case: Case) -> list[str]:
    """Inputs that are integers by definition, and those that are single numbers."""
    op = find_op(case.node.op)
    assert op is not None
    parameters = zip(case.node.inputs, op.input_parameters, strict=False)
    return [
        name
        for name, parameter in parameters
        if name
        and case.arrays[name].dtype.kind in "iu"
        and (parameter.type not in op.constraints or case.arrays[name].ndim == 0)
    ]


def compiled_types(cases: Iterable[Case]) -> dict[str, set[DType]]:
    """Element types at which all cases compile, by type variable."""
    found: dict[str, set[DType]] = defaultdict(set)
    left = {(case.variable, case.dtype) for case in cases if form(case) is Form.LEFT}
    for case in cases:
        if (case.variable, case.dtype) not in left:
            found[case.variable].add(case.dtype)
    return dict(found)


def differences(cases: Sequence[Case], fused: bool = False) -> list[str]:
    """Where compiled results depart from the reference's; `fused`: pointwise ops in one kernel."""
    found = []
    for known in (Form.SHAPES, Form.CONSTANTS, Form.SIZES):
        chosen = [case for case in cases if form(case) is known]
        if not chosen:
            continue
        graph, arrays = graph_of_cases(chosen, known is Form.CONSTANTS), arrays_of(chosen)
        with np.errstate(all="ignore"):
            wanted = interpret(graph, arrays)
        program = _program(grouped(graph) if fused else graph, chosen, known)
        plan = Plan(program, default_kernels(host_isa()))
        results = plan.run([np.ascontiguousarray(arrays[name]) for name in graph.input_names], 2)
        made = dict(zip(graph.output_names, results, strict=True))
        found += departures(chosen, made, wanted)
    return found


def departures(
    cases: Sequence[Case], made: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
) -> list[str]:
    """Where the outputs `made` of `graph_of_cases` depart from those `wanted`."""
    found = []
    for number, case in enumerate(cases):
        op = find_op(case.node.op)
        assert op is not None
        for name in filter(None, case.node.outputs):
            have, want = made[f"{name}_{number}"], wanted[f"{name}_{number}"]
            kinds = [dtype_of(array) for array in (*case.arrays.values(), want)]
            what = _difference(have, want, kinds) if op.deterministic else _types(have, want)
            found += [f"{case} → {name}: {what}"] * bool(what)
    return found


def grouped(graph: Graph) -> Graph:
    """The pointwise nodes of a graph in groups by their results' shape."""
    by_shape: dict[tuple, list] = defaultdict(list)
    for node in graph.nodes:
        by_shape[graph.types[node.outputs[0]].shape].append(node)
    made = graph.copy()
    made.nodes = [
        group(graph.types, "pointwise", some, [node.outputs[0] for node in some])
        for nodes in by_shape.values()
        for some in (nodes[i : i + _GROUP] for i in range(0, len(nodes), _GROUP))
    ]
    return made


def _types(have: np.ndarray, want: np.ndarray) -> str:
    if (have.shape, have.dtype) == (want.shape, want.dtype):
        return ""
    return f"{have.dtype}{list(have.shape)} instead of {want.dtype}{list(want.shape)}"


def _difference(have: np.ndarray, want: np.ndarray, kinds: list[DType]) -> str:
    """`kinds`: element types of the inputs and the result; the coarsest is the measure."""
    if (what := _types(have, want)) or np.array_equal(have, want):
        return what
    kind = dtype_of(want).name
    if kind not in TOLERANCES:
        both_nan = (have != have) & (want != want)
        return _shown(have, want, np.flatnonzero((have != want) & ~both_nan))
    wide = np.complex128 if kind[0] == "c" else np.float64
    have, want = have.astype(wide), want.astype(wide)
    relative, absolute = max(TOLERANCES[str(k)] for k in kinds if str(k) in TOLERANCES)
    finite = np.abs(want[np.isfinite(want)])
    bound = absolute * max(finite.max(initial=0), 1e-3)
    close = np.isclose(have, want, rtol=relative, atol=bound, equal_nan=True)
    return _shown(have, want, np.flatnonzero(~close))


def _shown(have: np.ndarray, want: np.ndarray, apart: np.ndarray) -> str:
    if not apart.size:
        return ""
    first = apart[0]
    return f"{apart.size} of {have.size} differ: {have.flat[first]!r}, not {want.flat[first]!r}"


def pointwise(op: type[Op]) -> bool:
    """Whether `differences` can take the op's cases `fused`."""
    return op.scalar is not None and len(op.output_parameters) == 1

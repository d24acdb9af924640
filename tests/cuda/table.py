"""The table of kernels: every op that has kernels on a GPU, as graphs with inputs.

The cases are those of `tests.lower.typed_cases`. `cases` gives them as entries that run as models,
on the stand-in device or on a real one; `run` runs one on the device that there is, with nothing
that falls back, and `departures` compares it with the reference interpreter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph
from ir.interpreter import interpret
from ir.registry import Op
from layercc.cuda.backend import CudaBackend
from layercc.cuda.target import CudaTarget
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.session.specialization import specialized
from layercc.target import Runnable
from layercc.tools.left_to_cpu import left_to_cpu
from tests.lower import every_type
from tests.lower.every_type import Form, decided, form, grouped, pointwise
from tests.lower.typed_cases import Case, arrays_of, graph_of_cases, ops, typed_cases

#: The element types, besides f32, at which a few cases are taken: the first that an op has.
_OTHERS = (DType.f16, DType.i32, DType.i64, DType.u8, DType.bool)


class Entry(NamedTuple):
    """A model of one op, or of many pointwise ones, and its inputs.

    It is the graph of `cases`, whose inputs named in `decided` are known when it is planned.
    """

    name: str
    graph: Graph
    inputs: dict[str, np.ndarray]
    cases: list[Case]
    decided: dict[str, np.ndarray]


def cases(chosen: Sequence[type[Op]] | None = None, every: bool = False) -> Iterator[Entry]:
    """The table, of all ops or those chosen: each at f32 and one other type at one small shape;
    with `every`, at all element types that it has on a GPU, at two shapes.

    Pointwise ops of one element type are an entry, each sixteen of them a kernel. What falls back
    is left out (`layercc.tools.left_to_cpu`).
    """
    together: dict[tuple[str, Form], list[Case]] = defaultdict(list)
    for op in ops() if chosen is None else chosen:
        for case in typed_cases(op) if every else _few(op):
            known = form(case)
            if known is not Form.LEFT and case.dtype not in left_to_cpu(op, case.variable):
                name = f"pointwise {case.dtype}" if pointwise(op) else op.name
                together[name, known].append(case)
    for (name, known), some in together.items():
        graph = graph_of_cases(some, known is Form.CONSTANTS)
        arrays = arrays_of(some)
        inputs = {name: np.ascontiguousarray(arrays[name]) for name in graph.input_names}
        graph = grouped(graph) if name.startswith("pointwise ") else graph
        suffix = "" if known is Form.SHAPES else f", {known.value}"
        yield Entry(f"{name}{suffix}", graph, inputs, some, decided(some, known))


def _few(op: type[Op]) -> list[Case]:
    """The op's first case at f32, or at its first type, and one at another type."""
    first: dict[DType, Case] = {}
    for case in typed_cases(op):
        first.setdefault(case.dtype, case)
    left = [case for case in first.values() if case.dtype not in left_to_cpu(op, case.variable)]
    by_type = {case.dtype: case for case in left}
    chosen = [by_type[t] for t in (DType.f32, *_OTHERS) if t in by_type]
    return (chosen or left)[:2]


def planned(entry: Entry, backend: CudaBackend) -> Runnable:
    """The plan of an entry.

    Raises UnsupportedError for what has no kernels on a GPU.
    """
    shapes = {name: array.shape for name, array in entry.inputs.items()}
    prepared = run_passes(specialized(entry.graph, entry.decided))
    return backend.plan(lower(prepared, shapes))


def run(entry: Entry, target: CudaTarget | None = None) -> dict[str, np.ndarray]:
    """The outputs of an entry on the device of `target`, by name.

    Raises UnsupportedError for what has no kernels on a GPU.
    """
    backend = (target or CudaTarget()).open(precision="highest", choices={})
    assert isinstance(backend, CudaBackend)
    made = planned(entry, backend).run(list(entry.inputs.values()), 1)
    return dict(zip(entry.graph.output_names, made, strict=True))


def departures(entry: Entry, made: Mapping[str, np.ndarray]) -> list[str]:
    """Where outputs depart from those of the reference interpreter: nowhere, if all is well."""
    known = {**arrays_of(entry.cases)}
    with np.errstate(all="ignore"):
        wanted = interpret(graph_of_cases(entry.cases), known)
    return every_type.departures(entry.cases, made, wanted)

"""What has kernels on a GPU: the tables of what has none, and every op on the stand-in device."""

from __future__ import annotations

import numpy as np
import pytest

from ir.diagnostics import LayerccError
from ir.dtypes import DType
from ir.interpreter import interpret
from ir.registry import Op, find_op
from layercc.cuda.architecture import architecture_named
from layercc.cuda.emit.registry import EMITTERS
from layercc.cuda.programs import program_of
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.session.specialization import specialized
from layercc.tools.left_to_cpu import LEFT_JOBS, LEFT_TO_CPU, all_jobs, left_to_cpu
from layercc.weights import Weights
from tests.cuda import table
from tests.lower.every_type import Form, decided, form, pointwise
from tests.lower.typed_cases import Case, arrays_of, graph_of_cases, ops, typed_cases

HOPPER = architecture_named("sm_90a")

#: Of NumPy, on references.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Casting complex", "ignore:overflow encountered", "ignore:invalid value"
)


def test_every_job_has_an_emitter_or_a_reason():
    names = {job.__name__ for job in all_jobs()}
    missing = {job.__name__ for job in all_jobs() if EMITTERS.of_kind(job) is None}
    assert missing == LEFT_JOBS.keys() and all(LEFT_JOBS.values())
    assert {"Contraction", "Gather", "ScatterND", "Pointwise"} <= names


def test_what_is_left_is_known():
    for row in LEFT_TO_CPU:
        assert row.why
        for name in row.ops:
            op = find_op(name)
            assert op is not None, name
            names = {p.type for p in (*op.input_parameters, *op.output_parameters)}
            assert any(left_to_cpu(op, variable) for variable in names), name


def refused(case: Case) -> str:
    """Why a case that runs on the CPU cannot be emitted for a GPU; empty if it can."""
    known = form(case)
    graph, arrays = graph_of_cases([case], known is Form.CONSTANTS), arrays_of([case])
    prepared = run_passes(specialized(graph, decided([case], known)))
    shapes = {name: arrays[name].shape for name in graph.input_names}
    try:
        program_of(lower(prepared, shapes), Weights(), HOPPER)
    except LayerccError as error:
        return str(error)
    return ""


WITH_KERNELS = [op for op in ops() if not pointwise(op)]  # of their own
each_op = pytest.mark.parametrize("op", WITH_KERNELS, ids=lambda op: op.name)


@each_op
def test_all_that_is_refused_is_said(op: type[Op]):
    """At every element type."""
    first: dict[tuple[str, DType], Case] = {}
    for case in typed_cases(op):
        first.setdefault((case.variable, case.dtype), case)
    for (variable, dtype), case in first.items():
        if form(case) is not Form.LEFT and dtype not in left_to_cpu(op, variable):
            assert not refused(case)


def departures(chosen: list[type[Op]]) -> list[str]:
    return [
        f"{entry.name}: {what}"
        for entry in table.cases(chosen)
        for what in table.departures(entry, table.run(entry))
    ]


@pytest.mark.usefixtures("stand_in")
@each_op
def test_op(op: type[Op]):
    """At f32 and one other type."""
    assert not departures([op])


@pytest.mark.usefixtures("stand_in")
def test_pointwise_ops():
    assert not departures([op for op in ops() if pointwise(op)])


def test_departures_are_seen():
    """Of what is all zeros."""
    for entry in table.cases([find_op("Gather"), find_op("Tanh")]):
        with np.errstate(all="ignore"):
            wanted = interpret(entry.graph, entry.inputs)
        assert not table.departures(entry, wanted)
        nothing = {name: np.zeros_like(array) for name, array in wanted.items()}
        assert len(table.departures(entry, nothing)) == len(entry.cases)

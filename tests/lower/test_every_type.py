"""Every op, compiled, at every element type that its definition allows, at two shapes.

This file has the table of exceptions and the ops that have kernels of their own; pointwise ops and
reductions, which need most kernels, have files beside it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from ir.dtypes import DType
from ir.registry import Op, find_op
from layercc.tools.left_to_numpy import LEFT_TO_NUMPY, left_to_numpy
from tests.lower.every_type import compiled_types, differences, pointwise
from tests.lower.typed_cases import ops, typed_cases, untested

REDUCTIONS = ("ir.ops.reductions", "ir.ops.searching")
OTHERS = [op for op in ops() if not pointwise(op) and op.__module__ not in REDUCTIONS]
#: Ops that depend on no tensor.
NO_INPUTS = {"Constant"}
#: Types that no conversion of BitCast reaches: no other type is as large.
ALONE = {"BitCast": ["T=c128", "any=c128"]}

#: Of NumPy, on references.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Casting complex", "ignore:overflow encountered", "ignore:invalid value"
)
each_op = pytest.mark.parametrize("op", OTHERS, ids=lambda op: op.name)


@pytest.mark.slow
@each_op
def test_op(op: type[Op]) -> None:
    assert not differences(typed_cases(op))


@pytest.mark.parametrize("op", ops(), ids=lambda op: op.name)
def test_cases_are_complete(op: type[Op]) -> None:
    """No element type is left out, and there are two shapes."""
    assert untested(op) == ALONE.get(op.name, [])
    count = Counter((case.variable, case.dtype) for case in typed_cases(op))
    assert set(count.values()) <= {1 if op.name in NO_INPUTS else 2}


@pytest.mark.parametrize("op", ops(), ids=lambda op: op.name)
def test_exceptions(op: type[Op]) -> None:
    """What has no kernels is what docs/ops.md says, no more and no less."""
    compiled = compiled_types(typed_cases(op))
    said = left_to_numpy(op)
    for variable, types in compiled.items():
        assert not types & said.get(variable, set()), "compiles: take it off the table"
    cases = {(case.variable, case.dtype) for case in typed_cases(op)}
    missing = {(v, t) for v, t in cases if t not in compiled.get(v, set())}
    assert missing == {(v, t) for v in said for t in said[v] if (v, t) in cases}


def test_exceptions_name_ops_and_types() -> None:
    for row in LEFT_TO_NUMPY:
        assert row.why
        for name in row.ops:
            op = find_op(name)
            assert op is not None, name
            for dtype in row.types or set(DType):
                if row.types is not None:
                    assert any(dtype in types for types in left_to_numpy(op).values())

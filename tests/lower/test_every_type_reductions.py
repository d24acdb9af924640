"""Every reduction and search, compiled, at every element type that its definition allows."""

from __future__ import annotations

import pytest

from ir.dtypes import DType
from ir.registry import Op, find_op
from tests.lower.every_type import differences
from tests.lower.test_every_type import REDUCTIONS
from tests.lower.typed_cases import ops, typed_cases

OPS = [op for op in ops() if op.__module__ in REDUCTIONS]
#: Ops and element types at which they do not compile as they should.
FAULTS = {
    (name, dtype): "no running sums and products of halves"
    for name in ("CumSum", "CumProd")
    for dtype in (DType.f16, DType.bf16)
}


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op(op: type[Op]) -> None:
    cases = [case for case in typed_cases(op) if (op.name, case.dtype) not in FAULTS]
    assert not differences(cases)


@pytest.mark.parametrize(
    "name, dtype",
    [
        pytest.param(*key, marks=pytest.mark.xfail(strict=True, reason=why))
        for key, why in FAULTS.items()
    ],
)
def test_fault(name: str, dtype: DType) -> None:
    op = find_op(name)
    assert op is not None
    assert not differences([case for case in typed_cases(op) if case.dtype is dtype])

"""Every pointwise op, compiled, at every element type that its definition allows, at two shapes.

Those of an element type are compiled together, sixteen in a kernel.
"""

from __future__ import annotations

import pytest

from ir.dtypes import DType
from tests.lower.every_type import differences, pointwise
from tests.lower.typed_cases import ops, typed_cases

CASES = [case for op in ops() if pointwise(op) for case in typed_cases(op)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Casting complex", "ignore:invalid value")
@pytest.mark.parametrize("dtype", sorted({case.dtype for case in CASES}, key=str), ids=str)
def test_pointwise_ops(dtype: DType) -> None:
    assert not differences([case for case in CASES if case.dtype is dtype], fused=True)

"""Every reduction and search, compiled, at every element type that its definition allows."""

from __future__ import annotations

import pytest

from ir.registry import Op
from tests.lower.every_type import differences
from tests.lower.test_every_type import REDUCTIONS
from tests.lower.typed_cases import ops, typed_cases

OPS = [op for op in ops() if op.__module__ in REDUCTIONS]


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op(op: type[Op]) -> None:
    assert not differences(typed_cases(op))

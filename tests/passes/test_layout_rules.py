"""The algebra of layouts: a Reshape of a permuted tensor is the permuted Reshape."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ir.dims import symbol
from ir.registry import Axes, all_ops
from layercc.lower.group import _ANCHORS
from layercc.lower.registry import lowered_ops
from layercc.passes.layout_rules import _FOLLOWERS, regroup
from layercc.passes.simplify_shapes import moves_only_ones, reshape_target


@st.composite
def reshapes(draw) -> tuple[list[int], list[int], tuple[int, ...]]:
    """Two shapes of as many elements, and a layout of the first."""
    factors = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=5))

    def grouped() -> list[int]:
        cuts = sorted(draw(st.sets(st.integers(1, len(factors)), max_size=4)))
        edges = [0, *cuts, len(factors)]
        dims = [math.prod(factors[a:b]) for a, b in pairwise(edges)]
        return dims if draw(st.booleans()) else [dim for dim in dims if dim != 1] or [1]

    source, result = grouped(), grouped()
    return source, result, tuple(draw(st.permutations(range(len(source)))))


@given(reshapes())
def test_regroup_is_the_reshape_on_storage(case) -> None:
    source, result, perm = case
    plan = regroup(source, result, perm)
    value = np.arange(math.prod(source)).reshape(source)
    if plan is None:
        return  # asks for the written order, in which the Reshape is plain
    stored = value.transpose(plan.before)
    np.testing.assert_array_equal(
        stored.reshape([int(dim) for dim in plan.shape]),
        value.reshape(result).transpose(plan.perm),
    )
    if plan.before != perm:
        assert not moves_only_ones(source, perm), "data moves only where it must"


@given(reshapes())
def test_reshape_target_gives_the_shape(case) -> None:
    source, result, _ = case
    target = reshape_target(source, result)
    assert target is not None
    assert np.zeros(source).reshape(target).shape == tuple(result)


def test_reshape_target_of_symbolic_dims() -> None:
    n, s = symbol("N"), symbol("S")
    assert reshape_target((n, s, 768), (n, s, 12, 64)) == [0, 0, 12, 64]
    assert reshape_target((n, s, 64), (n * s, 64)) == [-1, 64]
    assert reshape_target((n * s, 64), (n, s, 64)) is None
    assert reshape_target((4,), (0,)) is None


def test_regroup_of_symbolic_dims() -> None:
    n, h, w = symbol("N"), symbol("H"), symbol("W")
    tokens = regroup((n, 8, h, w), (n, 8, h * w), (0, 2, 3, 1))
    assert tokens is not None
    assert (tokens.before, tokens.shape, tokens.perm) == ((0, 2, 3, 1), (n, h * w, 8), (0, 2, 1))
    assert regroup((n, 8, h, w), (n, 8 * h * w), (0, 2, 3, 1)) is None


def test_there_is_a_lowering_for_each_contraction_with_an_epilogue() -> None:
    """What `fuse_epilogues` makes, lowering takes."""
    lowered_ops()  # imports all of them
    with_epilogue = {op.name for op in all_ops() if op.epilogue}
    assert with_epilogue == _ANCHORS.keys()
    assert all(op.contraction for op in all_ops() if op.epilogue)


def test_there_is_a_rule_for_each_way_to_name_axes() -> None:
    assert _FOLLOWERS.keys() == set(get_args(Axes)) == {op.axes for op in all_ops() if op.axes}

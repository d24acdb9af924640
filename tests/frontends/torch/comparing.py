"""Compiled and interpreted models beside PyTorch's eager mode."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.utils import _pytree as pytree  # noqa: E402

import layercc as lc  # noqa: E402
from layercc.frontends.torch.tensors import as_array  # noqa: E402

#: Element type → what results may differ by, relatively, and of the largest of them.
TOLERANCES = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "float64": 1e-10}


def random(*shape: int, dtype: Any = None, seed: int = 0) -> Any:
    """Normally distributed numbers, the same for the same arguments."""
    numbers = torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape))
    return numbers.to(dtype or torch.float32)


def check(
    module: Any,
    inputs: Sequence[Any],
    *others: Sequence[Any],
    dynamic: Any = None,
    compiled: bool = True,
    warns: bool = False,
) -> Any:
    """Compares a module with eager mode on its example `inputs`, and a dynamic one on `others`.

    `compiled`: by `lc.compile`; else by the reference interpreter. `warns`: whether NumPy is known
    to run a part of it. Returns the graph.
    """
    module = module.eval()
    graph = lc.from_torch(module, tuple(inputs), dynamic_shapes=dynamic)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if warns else "error", RuntimeWarning)
        run = lc.compile(graph) if compiled else interpreted(graph)
        for given in (inputs, *others):
            with torch.no_grad():
                expected = module(*copy.deepcopy(given))
            same(run(*given), expected)
    return graph


def interpreted(graph: Any) -> Any:
    """A callable that runs the reference implementations, structured as the module is."""

    def run(*arguments: Any, **keywords: Any) -> Any:
        arrays = graph.structure.flatten(arguments, keywords)
        found = lc.interpret(graph, dict(zip(graph.input_names, arrays, strict=True)))
        return graph.structure.restore([found[name] for name in graph.output_names])

    return run


def same(found: Any, expected: Any) -> None:
    """Asserts that two trees have one structure and about the same elements."""
    ours, our_tree = pytree.tree_flatten_with_path(found)
    theirs, their_tree = pytree.tree_flatten_with_path(expected)
    assert our_tree == their_tree
    for (path, a), (_, b) in zip(ours, theirs, strict=True):
        where = pytree.keystr(path)
        if not isinstance(b, torch.Tensor):
            assert a == b, where
            continue
        b = as_array(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        if a.dtype.kind in "biu":
            assert np.array_equal(a, b), where
            continue
        close = TOLERANCES[a.dtype.name]
        a, b = (part.astype(np.float64) for part in (a, b))
        finite = np.abs(b[np.isfinite(b)])
        largest = finite.max() if finite.size else 0
        np.testing.assert_allclose(a, b, close, close * max(largest, 1e-3), err_msg=where)

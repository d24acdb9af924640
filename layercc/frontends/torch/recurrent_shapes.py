"""Shapes of recurrent layers while a module is captured.

PyTorch finds them by unrolling the layer, which makes every number of steps a constant and takes
time for each. They follow from the arguments; so while a module is captured, functions that say so
stand in the places of the decompositions of `aten.lstm.input` and its kin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch._decomp import decomposition_table

_aten = torch.ops.aten


def _outputs(x: Any, states: Any, bidirectional: bool) -> tuple[Any, ...]:
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    return x.new_empty((*x.shape[:-1], width)), *(s.new_empty(s.shape) for s in states)


def _lstm(
    x: Any, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Any, ...]:  # fmt: skip
    return _outputs(x, hx, bidirectional)


def _one_state(
    x: Any, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Any, ...]:  # fmt: skip
    return _outputs(x, [hx], bidirectional)


_SHAPES = {
    _aten.lstm.input: _lstm,
    _aten.gru.input: _one_state,
    _aten.rnn_tanh.input: _one_state,
    _aten.rnn_relu.input: _one_state,
}


@contextlib.contextmanager
def without_unrolling() -> Iterator[None]:
    """Recurrent layers that are called inside, by any thread, have shapes and no values."""
    kept = {op: dict(op.py_kernels) for op in _SHAPES}
    decompositions = {op: decomposition_table.get(op) for op in _SHAPES}
    try:
        for op, shapes in _SHAPES.items():
            op.py_kernels.update(dict.fromkeys(op.py_kernels, shapes))
            op._dispatch_cache.clear()
            decomposition_table[op] = shapes
        yield
    finally:
        for op in _SHAPES:
            op.py_kernels.clear()
            op.py_kernels.update(kept[op])
            op._dispatch_cache.clear()
            if decompositions[op] is None:
                decomposition_table.pop(op, None)
            else:
                decomposition_table[op] = decompositions[op]

"""Writes Einsum in matrix products, sums, products and transposes.

Matches Einsum. An index that a term names twice becomes one by a Slice of the diagonal. Indices
that only one term has, and the output has not, are summed up first. Then terms are joined two at a
time, from the left: by a MatMul over the indices that only these two have, merged into one dim,
else by a Mul. A last Transpose brings the indices into the output's order. Sound because sums over
different indices may change places. The order of the products is that of the terms; no cheaper one
is looked for. f16 and bf16 are computed in f32, so that the result is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ir.dims import Dim
from ir.dims import product as size_of
from ir.graph import Graph, Node
from ir.inference import call_for
from ir.ops.algebra import parse_equation
from layercc.passes.editor import GraphEditor, Replacement, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.precision import in_f32, in_type_of
from layercc.passes.simplify_shapes import emit_reshape, emit_transpose


@graph_pass("simplify")
def decompose_einsum(graph: Graph) -> Graph:
    """Write Einsum in MatMul, ReduceSum, Mul and Transpose."""
    return rewrite(graph, {"Einsum": _einsum})


@dataclass(frozen=True)
class _Term:
    """A value and the index that each of its dims has."""

    name: str
    indices: tuple[str, ...]


class _NotExpressible(Exception):
    """A merged dim cannot be written in a Reshape to a constant shape."""


def _einsum(editor: GraphEditor, node: Node) -> Replacement:
    parsed, result = parse_equation(call_for(node, editor.types))
    try:
        terms = [
            _diagonals(editor, node, _Term(in_f32(editor, name), tuple(indices)))
            for name, indices in zip(node.inputs, parsed, strict=True)
        ]
        made = _Decomposition(editor, node, terms).run(result)
        return in_type_of(editor, made, node.inputs[0], node)
    except _NotExpressible:
        return None


def _diagonals(editor: GraphEditor, node: Node, term: _Term) -> _Term:
    """The term with every index once: the diagonal of two dims is every (n + 1)-th of n² elements.

    Raises _NotExpressible unless their size is known.
    """
    indices = term.indices
    twice = next((index for index in indices if indices.count(index) > 1), None)
    if twice is None:
        return term
    first = indices.index(twice)
    second = indices.index(twice, first + 1)
    others = [axis for axis in range(len(indices)) if axis not in (first, second)]
    shape = editor.shape(term.name)
    size = shape[first]
    if size != shape[second] or not isinstance(size, int) or size == 0:
        raise _NotExpressible
    name = emit_transpose(editor, term.name, [*others, first, second], node)
    flat = emit_reshape(editor, name, [*(shape[axis] for axis in others), size * size], node)
    if flat is None:
        raise _NotExpressible
    bounds = {"starts": 0, "ends": size * size, "axes": len(others), "steps": size + 1}
    given = [
        editor.add_constant(np.array([value], np.int64), f"{node.name}.{what}")
        for what, value in bounds.items()
    ]
    name = editor.emit("Slice", (flat, *given), like=node)
    kept = tuple(indices[axis] for axis in others)
    return _diagonals(editor, node, _Term(name, (*kept, twice)))


class _Decomposition:
    def __init__(self, editor: GraphEditor, node: Node, terms: Sequence[_Term]) -> None:
        self.editor = editor
        self.node = node
        self.sizes: dict[str, Dim] = {}
        for term in terms:
            for index, dim in zip(term.indices, editor.shape(term.name), strict=True):
                if self.sizes.get(index, 1) == 1 or (isinstance(dim, int) and dim != 1):
                    self.sizes[index] = dim
        self.terms = [self._without_broadcast(term) for term in terms]

    def run(self, result: Sequence[str]) -> str:
        first, *rest = self.terms
        first = self._summed(first, {*result, *(i for term in rest for i in term.indices)})
        while rest:
            second, *rest = rest
            needed = {*result, *(i for term in rest for i in term.indices)}
            second = self._summed(second, needed | set(first.indices))
            first = self._joined(first, second, needed)
            first = self._summed(first, needed)
        order = [first.indices.index(index) for index in result]
        return emit_transpose(self.editor, first.name, order, self.node)

    def _without_broadcast(self, term: _Term) -> _Term:
        """Without dims of size 1 that stand for a larger size."""
        dims = zip(term.indices, self.editor.shape(term.name), strict=True)
        kept = tuple(index for index, dim in dims if dim != 1 or self.sizes[index] == 1)
        return self._reshaped(term, [(index,) for index in kept], kept)

    def _summed(self, term: _Term, needed: set[str]) -> _Term:
        """The term after sums over indices that nobody needs."""
        axes = [axis for axis, index in enumerate(term.indices) if index not in needed]
        if not axes:
            return term
        constant = self.editor.add_constant(np.array(axes, np.int64), f"{self.node.name}.axes")
        name = self.editor.emit("ReduceSum", (term.name, constant), {"keepdims": 0}, like=self.node)
        return _Term(name, tuple(index for index in term.indices if index in needed))

    def _joined(self, a: _Term, b: _Term, needed: set[str]) -> _Term:
        if self._is_constant(a) and not self._is_constant(b):
            a, b = b, a  # weights on the right are packed when compiling
        shared = [index for index in a.indices if index in b.indices]
        inner = [index for index in shared if index not in needed]
        batch = [index for index in shared if index in needed]
        rows = [index for index in a.indices if index not in shared]
        columns = [index for index in b.indices if index not in shared]
        indices = (*batch, *rows, *columns)
        singles = [(index,) for index in batch]
        emit, like = self.editor.emit, self.node
        if not inner:
            left = self._arranged(a, [*singles, *_each(rows), *[() for _ in columns]])
            right = self._arranged(b, [*singles, *[() for _ in rows], *_each(columns)])
            return _Term(emit("Mul", (left.name, right.name), like=like), indices)
        row_dims, column_dims = self._dims(a, rows), self._dims(b, columns)
        unknown = sum(not isinstance(dim, int) for dim in (*row_dims, *column_dims))
        row_groups = _each(rows)
        if not rows or (batch and unknown < 2):  # else the dims could not be taken apart again
            row_groups = [tuple(rows)]
        left = self._arranged(a, [*singles, *row_groups, tuple(inner)])
        between = [()] * (len(row_groups) - 1) if batch else []
        right = self._arranged(b, [*singles, *between, tuple(inner), tuple(columns)])
        made = emit("MatMul", (left.name, right.name), like=like)
        dims = [*self.editor.shape(made)[: len(batch)], *row_dims, *column_dims]
        return _Term(self._with_shape(made, dims), indices)

    def _is_constant(self, term: _Term) -> bool:
        return self.editor.constant(term.name) is not None

    def _dims(self, term: _Term, indices: Sequence[str]) -> list[Dim]:
        shape = self.editor.shape(term.name)
        return [shape[term.indices.index(index)] for index in indices]

    def _arranged(self, term: _Term, groups: Sequence[tuple[str, ...]]) -> _Term:
        """The term with its indices in the order of `groups`, each of which becomes one dim."""
        order = tuple(index for group in groups for index in group)
        name = self._rearranged(
            term.name,
            lambda array: array.transpose([term.indices.index(index) for index in order]),
            lambda: emit_transpose(
                self.editor, term.name, [term.indices.index(index) for index in order], self.node
            ),
            order != term.indices,
        )
        return self._reshaped(_Term(name, order), groups, order)

    def _reshaped(
        self, term: _Term, groups: Sequence[tuple[str, ...]], order: tuple[str, ...]
    ) -> _Term:
        """The term with one dim for each group of indices; those of an empty group have size 1."""
        shape = [size_of(self._dims(term, group)) for group in groups]
        return _Term(self._with_shape(term.name, shape), order)

    def _with_shape(self, name: str, shape: Sequence[Dim]) -> str:
        def emitted() -> str:
            made = emit_reshape(self.editor, name, shape, self.node)
            if made is None:
                made = self._unsqueezed(name, shape)
            if made is None:
                raise _NotExpressible
            return made

        differs = tuple(shape) != tuple(self.editor.shape(name))
        return self._rearranged(
            name, lambda array: array.reshape([int(dim) for dim in shape]), emitted, differs
        )

    def _unsqueezed(self, name: str, shape: Sequence[Dim]) -> str | None:
        """An Unsqueeze to `shape`, where that only adds dims of size 1."""
        left = list(self.editor.shape(name))
        axes = []
        for axis, dim in enumerate(shape):
            if left and left[0] == dim:
                del left[0]
            elif dim == 1:
                axes.append(axis)
            else:
                return None
        if left:
            return None
        constant = self.editor.add_constant(np.array(axes, np.int64), f"{self.node.name}.axes")
        return self.editor.emit("Unsqueeze", (name, constant), like=self.node)

    def _rearranged(
        self,
        name: str,
        now: Callable[[np.ndarray], np.ndarray],
        emitted: Callable[[], str],
        differs: bool,
    ) -> str:
        """A constant rearranged now, any other value by a node; itself where nothing `differs`."""
        if not differs:
            return name
        array = self.editor.constant(name)
        if array is not None:
            return self.editor.add_constant(now(array), f"{name}.arranged")
        return emitted()


def _each(indices: Sequence[str]) -> list[tuple[str, ...]]:
    return [(index,) for index in indices]

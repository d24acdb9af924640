"""Calls that compute with sizes which are not known.

`ops.shape(x)[0]` of a `KerasTensor` is None, and a call that computes with it fails. So it is
recorded with numbers for what is open, several times with others, and what differs between the
records is taken apart: an integer is a polynomial in the open sizes, linear in each; a constant is
the same along an axis of such a size, or counts up along it. All else is refused. Keras itself
finds shapes in the same way, by two numbers for what is None.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from ir.dims import Dim, SymbolicDim, evaluate, symbol
from layercc.frontends.keras.registry import Refused

#: Two numbers for each open size, and a third to prove what was found: small ones, for tables of
#: positions; large ones, for windows.
_NUMBERS = (
    ((7, 11, 13), (17, 19, 23), (29, 31, 37)),
    ((211, 223, 239), (307, 317, 331), (401, 419, 431)),
)


@dataclass(frozen=True)
class Spread:
    """A constant that is repeated along axes of open sizes: `array` has 1 there, `shape` the
    sizes."""

    array: np.ndarray
    shape: tuple[Dim, ...]


@dataclass(frozen=True)
class Counting:
    """`start + step * i` along one axis of an open size, in a constant of that rank."""

    start: Any
    step: Any
    axis: int
    rank: int
    size: Dim
    dtype: np.dtype


@dataclass(frozen=True)
class Number:
    """A size as a number of some type."""

    size: Dim
    dtype: np.dtype


@dataclass(frozen=True)
class Beginning:
    """The first rows of a weight, as many as an open size, with axes of 1 in front."""

    weight: Any
    size: Dim
    axes: int


class Record(NamedTuple):
    """One run of a function on `KerasTensor`s: what it returned, and the calls in their order."""

    tensors: list[Any]  # inputs, then the results of calls
    outputs: Any
    nodes: list[Any]


class Call(NamedTuple):
    """A recorded call whose arguments and settings hold dims where they hang on sizes."""

    node: Any
    operation: Any
    args: Any
    kwargs: dict[str, Any]


def sized(
    record: Callable[[Mapping[str, int]], Record], names: Sequence[str], weights: Sequence[Any]
) -> tuple[Record, list[Call], Any]:
    """Records a function for several numbers of the open sizes `names`; the first record, its
    calls with dims, and its outputs with dims. `weights`: what constants may be made of. Raises
    Refused."""
    if len(names) > len(_NUMBERS[0]):
        raise Refused(f"it computes with the sizes {', '.join(names)}, of which none is known")
    refused: Refused | None = None
    for numbers in _NUMBERS:
        try:
            return _sized(record, names, weights, numbers)
        except Refused as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _sized(
    record: Callable[[Mapping[str, int]], Record],
    names: Sequence[str],
    weights: Sequence[Any],
    numbers: Sequence[Sequence[int]],
) -> tuple[Record, list[Call], Any]:
    numbers = numbers[: len(names)]
    points = [
        dict(zip(names, (row[i] for row, i in zip(numbers, bits, strict=True)), strict=True))
        for bits in itertools.product((0, 1), repeat=len(names))
    ]
    points.append(dict(zip(names, (row[2] for row in numbers), strict=True)))
    records = [record(point) for point in points]
    if len({len(one.nodes) for one in records}) != 1:
        raise Refused("what it calls hangs on sizes of its inputs")
    merge = _Merge(points, names, records, weights)
    calls = [merge.call(nodes) for nodes in zip(*(one.nodes for one in records), strict=True)]
    return records[0], calls, merge.tree([one.outputs for one in records])


class _Merge:
    def __init__(
        self,
        points: Sequence[Mapping[str, int]],
        names: Sequence[str],
        records: Sequence[Record],
        weights: Sequence[Any],
    ) -> None:
        self.points, self.names, self.weights = points, names, weights
        self.numbers = [{id(x): i for i, x in enumerate(one.tensors)} for one in records]

    def call(self, nodes: Sequence[Any]) -> Call:
        ops = [node.operation for node in nodes]
        if len({type(op) for op in ops}) != 1:
            raise Refused("what it calls hangs on sizes of its inputs")
        operation = ops[0]
        if not isinstance(operation, keras.layers.Layer):
            operation = self.settings(ops)
        args, kwargs = self.tree([(n.arguments.args, dict(n.arguments.kwargs)) for n in nodes])
        return Call(nodes[0], operation, args, kwargs)

    def settings(self, ops: Sequence[Any]) -> Any:
        """An op with dims in the place of settings that hang on sizes."""
        found = {}
        for name, value in vars(ops[0]).items():
            if name.startswith("_") or name == "name":
                continue
            if isinstance(value, bool | int | float | tuple | list | np.integer):
                found[name] = self.tree([getattr(op, name) for op in ops])
        view = object.__new__(type(ops[0]))
        vars(view).update(vars(ops[0]) | found)
        return view

    def tree(self, values: Sequence[Any]) -> Any:
        """One tree of those of all records."""
        first = values[0]
        if isinstance(first, list | tuple) and type(first).__name__ != "KerasTensor":
            if len({len(value) for value in values}) != 1:
                raise Refused("the number of its arguments hangs on sizes of its inputs")
            parts = [self.tree(part) for part in zip(*values, strict=True)]
            return parts if isinstance(first, list) else tuple(parts)
        if isinstance(first, dict):
            return {key: self.tree([value[key] for value in values]) for key in first}
        if isinstance(first, slice):
            return slice(
                *(
                    self.tree([getattr(v, part) for v in values])
                    for part in ("start", "stop", "step")
                )
            )
        return self.leaf(values)

    def leaf(self, values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, keras.KerasTensor):
            found = {numbers[id(x)] for numbers, x in zip(self.numbers, values, strict=True)}
            if len(found) != 1:
                raise Refused("which tensors it uses hangs on sizes of its inputs")
            return first
        if first is None or isinstance(first, str | keras.Variable):
            return first
        if isinstance(first, bool | int | np.integer) and not isinstance(first, bool):
            return self.dim([int(value) for value in values])
        if keras.ops.is_tensor(first) or isinstance(first, np.ndarray):
            return self.constant([keras.ops.convert_to_numpy(value) for value in values], first)
        if isinstance(first, bool | float) and any(value != first for value in values):
            raise Refused("a number that it computes hangs on sizes of its inputs")
        return first

    def dim(self, values: Sequence[int]) -> Dim:
        """An integer as a polynomial of the sizes, linear in each."""
        if all(value == values[0] for value in values):
            return values[0]
        corners = list(itertools.product((0, 1), repeat=len(self.names)))
        rows = [
            [
                np.prod([float(p[n]) for n, b in zip(self.names, powers, strict=True) if b])
                for powers in corners
            ]
            for p in self.points[:-1]
        ]
        factors = np.linalg.solve(np.array(rows), np.array(values[:-1], float))
        made: Any = 0
        for factor, powers in zip(factors, corners, strict=True):
            term: Any = round(factor)
            for name, power in zip(self.names, powers, strict=True):
                term = term * symbol(name) if power else term
            made = made + term
        dim: Dim = made
        if any(evaluate(dim, p) != value for p, value in zip(self.points, values, strict=True)):
            raise Refused("it computes a size that is no sum of products of those of its inputs")
        return dim

    def constant(self, arrays: Sequence[np.ndarray], given: Any) -> Any:
        """A constant, repeated or counting along axes whose sizes are open."""
        first = arrays[0]
        same = all(a.shape == first.shape and np.array_equal(a, first) for a in arrays)
        if same:
            return given
        if any(a.ndim != first.ndim for a in arrays):
            raise Refused("the rank of a constant hangs on sizes of its inputs")
        if not first.ndim:
            if all(float(a).is_integer() for a in arrays):
                return Number(self.dim([int(a) for a in arrays]), first.dtype)
            raise Refused("a number that it computes hangs on sizes of its inputs")
        shape = tuple(self.dim([a.shape[i] for a in arrays]) for i in range(first.ndim))
        open_axes = [i for i, dim in enumerate(shape) if isinstance(dim, SymbolicDim)]
        cut = tuple(slice(0, 1) if i in open_axes else slice(None) for i in range(first.ndim))
        kernel = first[cut]
        if all(np.array_equal(a, np.broadcast_to(kernel, a.shape)) for a in arrays):
            return Spread(kernel, shape)
        if len(open_axes) == 1 and kernel.size == 1 and first.size > 1:
            axis = open_axes[0]
            flat = [a.reshape(-1) for a in arrays]
            start, step = flat[0][0], flat[0][1] - flat[0][0]
            counted = [start + step * np.arange(a.size) for a in flat]
            if all(np.allclose(a, b, 1e-6, 0) for a, b in zip(flat, counted, strict=True)):
                size = shape[axis]
                return Counting(start, step, axis, first.ndim, size, first.dtype)
        rows = next((i for i, size in enumerate(first.shape) if size != 1), 0)
        for weight in self.weights if open_axes == [rows] else ():
            tables = [a.reshape(a.shape[rows:]) for a in arrays]
            if tuple(weight.shape[1:]) == tables[0].shape[1:]:
                table = keras.ops.convert_to_numpy(weight.value).astype(first.dtype)
                if all(np.array_equal(a, table[: len(a)]) for a in tables):
                    return Beginning(weight, shape[rows], rows)
        raise Refused("a constant that it computes hangs on sizes of its inputs")

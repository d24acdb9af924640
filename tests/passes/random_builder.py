"""Graphs in the making, one random step after the other.

All choices come from one `random.Random`: Hypothesis gives one that it can shrink, a seed one that
makes the same graph again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node, Value
from ir.inference import infer_types
from ir.types import TensorType


class Builder:
    """A graph in the making; each step adds an op to a value of rank 4, or to any value.

    Floats are of one type, `kind`; `moved` are the types that steps which only move elements take.
    """

    def __init__(self, random: random.Random, kind: DType = DType.f32) -> None:
        self.random = random
        self.kind = kind
        self.moved = frozenset({kind})
        self.rng = np.random.default_rng(random.randint(0, 99))
        shapes = [(1, 4, 5), (2, 6, 4), (2, 2, 7), (1, 1, 3)]
        batch, channels, side = random.choice(shapes)
        x = TensorType(kind, (batch, channels, side, side + 1))
        self.graph = Graph("random", [Value("x", x)])
        self.types = {"x": x}

    def flag(self) -> bool:
        return self.random.random() < 0.5

    def constant(self, shape: tuple[int, ...], dtype: object = None, values: object = None) -> str:
        """A constant of `kind` unless another type is given."""
        name = f"c{len(self.graph.constants)}"
        made = self.rng.uniform(-1, 1, shape) if values is None else np.array(values)
        kind = self.kind.value if dtype is None else np.dtype(dtype)
        self.graph.constants[name] = np.asarray(made).astype(kind).reshape(shape)
        return name

    def indices(self, *values: int) -> str:
        return self.constant((len(values),), "int64", values)

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """Adds a node; returns its first output."""
        names = tuple(f"v{len(self.types)}_{i}" for i in range(outputs))
        self.graph.nodes.append(Node(op, inputs, names, attributes))
        self.graph.outputs = []
        self.types = infer_types(self.graph).types
        assert names[0] in self.types, f"{op} on {[self.types.get(name) for name in inputs]}"
        return names[0]

    def names(self) -> list[str]:
        """Inputs and what nodes made, in order."""
        made = [name for node in self.graph.nodes for name in node.outputs]
        return [*self.graph.input_names, *made]

    def recent(self, kinds: frozenset[DType], rank: int | None = None) -> str | None:
        """A value of one of these types, not empty, and of this rank if one is given, or None.

        One of the last few: chains grow long.
        """
        fitting = [
            name
            for name in self.names()
            if self.types[name].dtype in kinds
            and rank in (None, self.types[name].rank)
            and 0 not in self.types[name].shape
        ]
        return self.random.choice(fitting[-4:]) if fitting else None

    def value(self, rank: int | None = None) -> str:
        """A float value, of this rank if one is given."""
        found = self.recent(frozenset({self.kind}), rank)
        assert found is not None  # x is one
        return found

    def any_value(self) -> str:
        """A value of a type that may be moved."""
        found = self.recent(self.moved)
        assert found is not None
        return found

    def alike(self, x: str) -> str:
        """A value or constant of the type of `x`, perhaps `x` itself."""
        same = [name for name, kind in self.types.items() if kind == self.types[x]]
        return self.random.choice(same)

    def grow(self, steps: Sequence[Step]) -> None:
        step = self.random.choice(steps)
        shapes = [self.types[name].shape for name in self.types]
        if len(self.graph.nodes) < 25 and all(np.prod(shape) < 20_000 for shape in shapes):
            step(self)

    def finish(self) -> Graph:
        read = {name for node in self.graph.nodes for name in node.inputs}
        made = [name for node in self.graph.nodes for name in node.outputs]
        made = [name for name in made if self.types[name].dtype is not DType.bool]
        ends = [name for name in made if name not in read or self.random.randint(0, 9) == 0]
        self.graph.outputs = [Value(name, self.types[name]) for name in ends]
        return self.graph


Step = Callable[[Builder], object]

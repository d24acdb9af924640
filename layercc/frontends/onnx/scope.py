"""A graph under construction: names, constants, and types as far as inference can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import AttributeProto

from ir.diagnostics import InvalidModelError
from ir.dims import Dim
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Value
from ir.inference import VALUE_LIMIT, Inference, extend
from ir.naming import Names
from ir.types import TensorType
from layercc.frontends.onnx.functions import Key
from layercc.frontends.onnx.sequences import TensorSequence


@dataclass(frozen=True)
class Frame:
    """How nodes are read: those of the model itself, or those of a function being inlined.

    `renamed`: names in the file → names in the IR, where they differ. `prefix`: put before names
    that a function defines. `bound`: attributes given to the function. `module`: whose code called
    it, if the file says so.
    """

    opsets: Mapping[str, int]
    renamed: dict[str, str] = field(default_factory=dict)
    bound: Mapping[str, AttributeProto] = field(default_factory=dict)
    prefix: str = ""
    calls: tuple[Key, ...] = ()
    module: str = ""

    def name(self, name: str) -> str:
        return self.renamed.get(name, name)


class Scope:
    """One graph or subgraph being built. Implements what lifting functions ask of it."""

    def __init__(self, name: str, names: Names, outer: Scope | None = None) -> None:
        self.graph = Graph(name)
        self.names = names
        self.outer = outer
        self.defined: set[str] = set()
        self.initialisers: set[str] = set()  # names as the file has them
        self.sequences: dict[str, TensorSequence] = {}
        self._known = Inference()
        if outer is not None:
            self._known.numbers = outer._known.numbers
        self._inferred = 0  # nodes seen by inference so far
        self._fixed: set[str] = set()  # defaults that lifting functions asked for

    def is_visible(self, name: str) -> bool:
        """Whether an enclosing graph defines `name`."""
        outer = self.outer
        while outer is not None:
            if name in outer.defined:
                return True
            outer = outer.outer
        return False

    def define(self, name: str, frame: Frame) -> str:
        """Enters a name that a graph or node defines; returns it as the IR has it: prefixed in
        functions, changed where it would hide a name of an enclosing graph."""
        if frame.prefix:
            new = self.names.fresh(f"{frame.prefix}/{name}")
        elif self.is_visible(name):
            new = self.names.fresh(name)
        else:
            new = name
        if new in self.defined:
            raise InvalidModelError(f"graph {self.graph.name!r}: value {name!r} is defined twice")
        if new != name:
            frame.renamed[name] = new
        self.defined.add(new)
        return new

    def add_default(self, name: str, array: np.ndarray) -> None:
        """An array for an input that may be left out. What it holds is not known."""
        self.graph.defaults[name] = array

    def fix_defaults(self) -> None:
        """Makes constants of the inputs whose default the nodes were read with."""
        graph, names = self.graph, self._fixed
        graph.constants |= {name: graph.defaults.pop(name) for name in names}
        graph.inputs = [value for value in graph.inputs if value.name not in names]

    def add_inputs(self, values: Iterable[Value]) -> None:
        for value in values:
            self.graph.inputs.append(value)
            self._known.types[value.name] = value.type

    # what lifting functions ask

    def fresh_name(self, hint: str) -> str:
        name = self.names.fresh(hint)
        self.defined.add(name)
        return name

    def add_constant(self, name: str, array: np.ndarray) -> None:
        self.graph.constants[name] = array
        self._known.types[name] = TensorType(dtype_of(array), array.shape)
        if array.size <= VALUE_LIMIT:
            self._known.values[name] = array

    def constant(self, name: str) -> np.ndarray | None:
        if name in self.graph.defaults:
            self._fixed.add(name)
            return self.graph.defaults[name]
        if name in self.graph.constants or self.outer is None:
            return self.graph.constants.get(name)
        return None if name in self.defined else self.outer.constant(name)

    def _is_default(self, name: str) -> bool:
        if name in self.defined or self.outer is None:
            return name in self.graph.defaults
        return self.outer._is_default(name)

    def sequence(self, name: str) -> TensorSequence | None:
        """The sequence of tensors that a name stands for, if it is none of a tensor."""
        if name in self.sequences or self.outer is None or name in self.defined:
            return self.sequences.get(name)
        return self.outer.sequence(name)

    def type_of(self, name: str) -> TensorType | None:
        """Type of a value as far as inference can tell from the nodes added so far."""
        if name not in self._known.types:
            self._infer()
        if name in self._known.types or self.outer is None or name in self.defined:
            return self._known.types.get(name)
        return self.outer.type_of(name)

    def shape_of(self, name: str) -> tuple[Dim, ...] | None:
        found = self.type_of(name)
        return None if found is None else found.shape

    def dtype_of(self, name: str) -> DType | None:
        found = self.type_of(name)
        return None if found is None else found.dtype

    def _infer(self) -> None:
        """Infers the nodes added since the last time, from what is known of what they read."""
        nodes = self.graph.nodes[self._inferred :]
        self._inferred = len(self.graph.nodes)
        outer, known = self.outer, self._known
        for name in {name for node in nodes for name in node.reads()} - self.defined:
            kind = None if outer is None else outer.type_of(name)
            if outer is None or kind is None:
                continue
            known.types[name] = kind
            constant = None if self._is_default(name) else outer.constant(name)
            if constant is not None and constant.size <= VALUE_LIMIT:
                known.values[name] = constant
        extend(known, nodes)

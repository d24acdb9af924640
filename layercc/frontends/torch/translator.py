"""The graph under construction, as translations of ATen ops see it."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import ir.ops  # noqa: F401  # fills the registry
from ir.diagnostics import LayerccError, Source
from ir.dims import Dim, SymbolicDim
from ir.dims.expression import only_atom, terms_of
from ir.dims.terms import Atom
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node
from ir.inference import VALUE_LIMIT, extend
from ir.inferred import Inference
from ir.naming import Names
from ir.types import TensorType
from layercc.frontends.torch.registry import Refused


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the graph: its name and type."""

    name: str
    type: TensorType

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.type.shape

    @property
    def rank(self) -> int:
        return len(self.type.shape)


class Translator:
    """Adds nodes and constants to a graph, typed as they come.

    `results` are the types that PyTorch gives to what the op at hand makes; `dtype` and `shape`
    those of the first.
    """

    def __init__(self, name: str) -> None:
        self.graph = Graph(name)  # nodes go here: a body, while one is made
        self.constants = self.graph.constants  # of all: bodies read them by name
        self.names = Names(separator="_")  # of values
        self.node_names = Names(separator="_")
        self.known = Inference()
        self.results: Sequence[TensorType] = ()
        self.used: frozenset[int] = frozenset()
        self.hint = ""
        self._source: Source | None = None
        self._begun = 0  # nodes before those of the op at hand
        self._homes: dict[str, tuple[str, int]] = {}  # symbol → an input and the axis it is of
        self._constants: dict[Any, Tensor] = {}  # small ones, by what they hold

    # --- what translations ask

    @property
    def dtype(self) -> DType:
        return self.results[0].dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.results[0].shape

    def wants(self, index: int) -> bool:
        """Whether anything reads a result of the op at hand, where it has several."""
        return index in self.used

    def emit(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns its output, or a tuple of so many.

        Inputs are tensors, arrays, or None for an absent optional one; attributes that are None
        are left out.
        """
        names = [self.operand(given).name if given is not None else "" for given in inputs]
        while names and not names[-1]:
            names.pop()
        own = self.names.fresh(f"{self.hint}.{_snake(op)}")
        made = [own, *(self.names.fresh(f"{own}.{i}") for i in range(1, outputs))]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        node = Node(op, tuple(names), tuple(made), attributes, "", self._source)
        self._add(node)
        tensors = tuple(Tensor(name, self.known.types[name]) for name in made)
        return tensors[0] if outputs == 1 else tensors

    def operand(self, given: Any) -> Tensor:
        """A tensor as it is, an array or a number as a constant."""
        return given if isinstance(given, Tensor) else self.constant(np.asarray(given))

    def constant(self, array: np.ndarray, role: str = "constant") -> Tensor:
        """An array as a constant; small ones that are equal are one."""
        key = None
        if array.size <= 64:
            key = (array.dtype, array.shape, array.tobytes())
            if key in self._constants:
                return self._constants[key]
        made = self.add_constant(self.names.fresh(f"{self.hint}.{role}"), array)
        if key is not None:
            self._constants[key] = made
        return made

    def ints(self, *values: int) -> Tensor:
        """Axes, sizes or starts that are known: a constant of one dim."""
        return self.constant(np.array(values, np.int64))

    def sizes(self, dims: Iterable[Dim]) -> Tensor:
        """A tensor i64[n] of dims, computed from shapes where they are symbolic."""
        dims = list(dims)
        if all(isinstance(dim, int) for dim in dims):
            return self.ints(*dims)  # type: ignore[arg-type]
        parts = [self._size(dim) for dim in dims]
        return parts[0] if len(parts) == 1 else self.emit("Concat", *parts, axis=0)

    def scalar_i64(self, value: Any) -> Tensor:
        """An axis, an index or a size as a tensor of rank 0."""
        return self.scalar(value, DType.i64)

    def scalar(self, value: Any, dtype: DType) -> Tensor:
        """A number, a dim or a tensor of one element as a tensor of rank 0 and the dtype."""
        if isinstance(value, Tensor):
            return self.cast(value, dtype)
        if isinstance(value, SymbolicDim):
            return self.cast(self.emit("Squeeze", self._size(value), self.ints(0)), dtype)
        if not isinstance(value, numbers.Number):
            raise Refused(f"{value!r} is no number")
        return self.constant(number(value, dtype))

    def cast(self, x: Tensor, dtype: DType) -> Tensor:
        """`x` in another element type, as PyTorch converts: floats to integers by truncation."""
        return x if x.dtype == dtype else self.emit("Cast", x, to=dtype.onnx)

    def value(self, x: Tensor) -> np.ndarray | None:
        """What a tensor holds, where that is known without running the model."""
        if x.name in self.constants:
            return self.constants[x.name]
        found = self.known.values.get(x.name)
        return None if found is None or found.dtype == object else found

    # --- what the importer asks

    def add_input(self, name: str, kind: TensorType) -> Tensor:
        """Enters the type of a graph input, and its symbols as sizes that can be computed."""
        self.known.types[name] = kind
        for axis, dim in enumerate(kind.shape):
            if isinstance(dim, SymbolicDim):
                self._homes.setdefault(str(dim), (name, axis))
        return Tensor(name, kind)

    def add_constant(self, name: str, array: np.ndarray) -> Tensor:
        self.constants[name] = array
        kind = self.known.types[name] = TensorType(dtype_of(array), array.shape)
        if array.size <= VALUE_LIMIT:
            self.known.values[name] = array
        return Tensor(name, kind)

    @contextlib.contextmanager
    def body(self, name: str) -> Iterator[Graph]:
        """Makes a subgraph: nodes go into it, and what they make is known inside only."""
        outer, homes = self.graph, dict(self._homes)
        types, values = set(self.known.types), set(self.known.values)
        self.graph = Graph(self.names.fresh(name))
        try:
            yield self.graph
            for index, node in enumerate(self.graph.nodes):
                if not node.name:  # of a translation that makes the body itself
                    own = self.node_names.fresh(node.outputs[0])
                    self.graph.nodes[index] = replace(node, name=own)
        finally:
            self.graph, self._homes = outer, homes
            for known, kept in ((self.known.types, types), (self.known.values, values)):
                for inner in [n for n in known if n not in kept and n not in self.constants]:
                    del known[inner]  # type: ignore[attr-defined]

    def begin(
        self,
        hint: str,
        results: Sequence[TensorType] = (),
        source: Source | None = None,
        used: Iterable[int] = (),
    ) -> None:
        """What follows translates one op, whose results are to be called `hint`; of several, those
        `used` are read."""
        self.hint, self.results, self._source = hint, results, source
        self.used = frozenset(used)
        self._begun = len(self.graph.nodes)

    def finish(self, made: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gives what an op made its name: the hint; `hint.1` and so on behind the first."""
        pending = self.graph.nodes[self._begun :]
        fresh = {name for node in pending for name in node.outputs}
        renamed: dict[str, str] = {}
        bases: dict[str, str] = {}
        for i, tensor in enumerate(made):
            if tensor and tensor.name in fresh and tensor.name not in renamed:
                base = f"{self.hint}.{i}" if i else self.hint
                bases[tensor.name] = base
                renamed[tensor.name] = self.names.fresh(base)
        for index, node in enumerate(pending, start=self._begun):
            known = (bases[name] for name in node.outputs if name in bases)
            own = self.node_names.fresh(next(known, node.outputs[0]))
            self.graph.nodes[index] = _renamed(node, renamed, own)
        self._move(renamed)
        return [
            Tensor(renamed.get(tensor.name, tensor.name), tensor.type) if tensor else tensor
            for tensor in made
        ]

    def rename(self, old: str, new: str) -> None:
        """Gives a value another name; the node that makes it keeps its own."""
        for index, node in enumerate(self.graph.nodes):
            if old in node.inputs or old in node.outputs:
                self.graph.nodes[index] = _renamed(node, {old: new}, node.name)
        self._move({old: new})

    def note_size(self, name: str, axis: int, dim: Dim) -> None:
        """Says where a symbolic dim that is no input's can be read."""
        if isinstance(dim, SymbolicDim):
            self._homes.setdefault(str(dim), (name, axis))

    # --- inside

    def _add(self, node: Node) -> None:
        self.graph.nodes.append(node)
        count = len(self.known.diagnostics)
        extend(self.known, [node])
        for problem in self.known.diagnostics[count:]:
            if problem.severity == "error":
                kinds = ", ".join(str(self.known.types.get(n, "absent")) for n in node.inputs)
                raise Refused(f"{node.op} of {kinds}: {problem.message}")
        for name in node.outputs:  # sizes that inference has no expression for
            kind = self.known.types.get(name)
            for axis, dim in enumerate(kind.shape if kind else ()):
                atom = only_atom(dim)
                if atom is not None and atom.kind == "symbol":
                    self.note_size(name, axis, dim)

    def _move(self, renamed: Mapping[str, str]) -> None:
        for old, new in renamed.items():
            self.known.types[new] = self.known.types.pop(old)
            if old in self.known.values:
                self.known.values[new] = self.known.values.pop(old)
            for symbol, (home, axis) in self._homes.items():
                if home == old:
                    self._homes[symbol] = new, axis

    def _size(self, dim: Dim) -> Tensor:
        """A dim as a tensor i64[1]."""
        if isinstance(dim, int):
            return self.ints(dim)
        if str(dim) in self._homes:
            return self._read(*self._homes[str(dim)])
        total: Tensor | None = None
        for monomial, coefficient in terms_of(dim).items():
            term = self.ints(coefficient) if coefficient != 1 or not monomial else None
            for atom in monomial:
                factor = self._atom(atom)
                term = factor if term is None else self.emit("Mul", term, factor)
            total = term if total is None else self.emit("Add", total, term)
        assert total is not None
        return total

    def _atom(self, atom: Atom) -> Tensor:
        if atom.kind == "symbol":
            return self._symbol(str(atom))
        parts = [self._size(arg) for arg in atom.args]
        if atom.kind == "floor":  # Div truncates
            rest = self.emit("Mod", *parts)
            return self.emit("Div", self.emit("Sub", parts[0], rest), parts[1])
        return self.emit({"mod": "Mod", "max": "Max", "min": "Min"}[atom.kind], *parts)

    def _symbol(self, name: str) -> Tensor:
        """A symbol: the dim of a tensor, or found from one that is a multiple of it plus a
        number."""
        if name in self._homes:
            return self._read(*self._homes[name])
        for text, (home, axis) in self._homes.items():
            terms = dict(terms_of(self.known.types[home].shape[axis]))
            offset = terms.pop((), 0)
            ((monomial, factor),) = terms.items() if len(terms) == 1 else [((), 0)]
            if len(monomial) == 1 and str(monomial[0]) == name and text != name:
                size = self._read(home, axis)
                if offset:
                    size = self.emit("Sub", size, self.ints(offset))
                return self.emit("Div", size, self.ints(factor)) if factor != 1 else size
        raise Refused(f"the size {name} cannot be computed from the inputs' shapes")

    def _read(self, name: str, axis: int) -> Tensor:
        """A dim of a tensor, as a tensor i64[1]."""
        tensor = Tensor(name, self.known.types[name])
        return self.emit("Shape", tensor, start=axis, end=axis + 1)


def number(value: Any, dtype: DType) -> np.ndarray:
    """A Python number as an array of rank 0, out of range as PyTorch converts it: to infinity."""
    if dtype.kind in ("signed", "unsigned"):
        return np.asarray(int(value)).astype(dtype.value)
    with np.errstate(over="ignore"):
        return np.asarray(value).astype(dtype.value)


def _renamed(node: Node, names: Mapping[str, str], own: str) -> Node:
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
        name=own,
    )


def _snake(op: str) -> str:
    plain = op.rpartition(".")[2]
    return "".join(
        f"_{c.lower()}" if c.isupper() and i and plain[i - 1].islower() else c.lower()
        for i, c in enumerate(plain)
    )


class TranslationError(LayerccError):
    """A translation made something else than PyTorch does: a fault of layercc."""

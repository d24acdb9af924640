"""How an op is defined, and the one table of all ops.

A definition is a subclass of `Op`, decorated with `register`. It holds everything `ir` knows of
the op: inputs, attributes, type constraints, shape rule, NumPy reference and cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np

from ir.diagnostics import Source, out_of_range
from ir.dims import Dim, SymbolicDim
from ir.dtypes import DTYPE_SETS, ONNX_DTYPES, DType
from ir.graph import Graph, Node
from ir.types import TensorType

#: The least and the greatest value, or a tuple of them for the places of the last dim.
Range = tuple[Dim | tuple[Dim, ...], Dim | tuple[Dim, ...]]


class OpError(Exception):
    """Raised by an op's own rules; inference turns it into a diagnostic that names the node."""

    def __init__(self, message: str, code: str = "shape-mismatch") -> None:
        super().__init__(message)
        self.code = code


#: By an attribute `axis`; as a reduction does, whose axes go; by an entry of the second input for
#: each; as Slice, Pad and Gather do; or as all from an axis to the last.
Axes = Literal["attribute", "reduction", "entries", "slice", "pad", "gather", "trailing"]

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Attr:
    """An attribute: its kind, and its default (`None`: absent unless given)."""

    kind: str  # "int" "float" "string" "ints" "floats" "strings" "tensor" "graph"
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input or output in an op's signature, parsed from `"X: T"`, `"B: T?"`, `"inputs: T*"`."""

    name: str
    type: str
    optional: bool = False
    variadic: bool = False

    @staticmethod
    def parse(text: str) -> Parameter:
        name, kind = (part.strip() for part in text.split(":"))
        return Parameter(name, kind.rstrip("?*"), kind.endswith("?"), kind.endswith("*"))


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one node. `flops`: arithmetic operations (a fused multiply-add counts as two);
    `bytes`: memory read and written once, if nothing stays in cache."""

    flops: Dim
    bytes: Dim


class Call:
    """One use of an op, as its rules see it: attributes as fields, input types, known values.

    `call.axis` is the attribute `axis`, or its default. `call.types[i]` is the type of input i
    (`None` where absent); `call.values[i]` its value where that is known before running: a NumPy
    array, of dtype object when it holds symbolic dims.
    """

    __slots__ = (
        "attributes",
        "dim_maker",
        "infer_body",
        "interpret",
        "node",
        "op",
        "outputs",
        "types",
        "values",
    )

    def __init__(
        self,
        op: type[Op],
        node: Node,
        types: Sequence[TensorType | None],
        values: Sequence[np.ndarray | None] = (),
        dim_maker: Callable[[str], SymbolicDim] | None = None,
    ) -> None:
        self.op = op
        self.node = node
        self.types = types
        self.values = values or [None] * len(types)
        self.outputs: Sequence[TensorType] = ()  # filled for `cost`
        self.attributes: Mapping[str, Any] = node.attributes
        self.dim_maker = dim_maker
        #: Set by the interpreter: runs a subgraph, `interpret(graph, {name: array}) -> tuple`.
        self.interpret: Callable[[Graph, Mapping[str, np.ndarray]], tuple[np.ndarray, ...]]
        #: Set by the interpreter: infers a subgraph (`ir.control_flow.InferBody`).
        self.infer_body: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        return self.attribute(name)

    def attribute(self, name: str) -> Any:
        """The attribute `name` of the node, or its default.

        For names that are no field or method of this class, `call.name` says the same.
        """
        if name in self.attributes:
            return self.attributes[name]
        try:
            spec = self.op.attributes[name]
        except KeyError:
            raise AttributeError(f"{self.op.name} has no attribute {name!r}") from None
        if spec.required:
            raise OpError(f"attribute {name!r} is missing", "missing-attribute")
        return spec.default

    def has(self, index: int) -> bool:
        """Whether input `index` is given."""
        return index < len(self.types) and self.types[index] is not None

    def type(self, index: int) -> TensorType:
        """Type of input `index`, which must be present."""
        found = self.types[index] if index < len(self.types) else None
        if found is None:
            raise OpError(f"input {self.op.input_name(index)!r} is missing", "missing-input")
        return found

    def shape(self, index: int) -> tuple[Dim, ...]:
        return self.type(index).shape

    def rank(self, index: int) -> int:
        return len(self.type(index).shape)

    def dtype(self, index: int) -> DType:
        return self.type(index).dtype

    def value(self, index: int) -> np.ndarray | None:
        """Value of input `index` if known before running (array; dtype object if symbolic)."""
        return self.values[index] if index < len(self.values) else None

    def known(self, index: int, why: str) -> np.ndarray:
        """As `value`, but fails with `data-dependent` when it is not known: `why` says what for."""
        value = self.value(index)
        if value is None:
            name = self.op.input_name(index)
            raise OpError(f"input {name!r} must be known before running: {why}", "data-dependent")
        return value

    def element_type(self, name: str, default: DType | None = None) -> DType:
        """The attribute `name` as a DType; it holds a number of ONNX's `TensorProto.DataType`.

        `default` stands for an absent attribute (and for 0, "undefined").
        """
        number = self.attribute(name)
        if not number and default is not None:
            return default
        found = ONNX_DTYPES.get(number)
        if found is None:
            raise OpError(f"attribute {name!r} is {number}, no supported element type", "bad-dtype")
        return found

    def axis_of(self, axis: int, rank: int) -> int:
        """A non-negative axis; fails if it is outside a tensor of this rank."""
        if not -rank <= axis < rank:
            raise OpError(f"axis {axis} is outside a tensor of rank {rank}", "bad-attribute")
        return axis % rank

    def check_ranges(self) -> None:
        """Fails with `bad-index` where a known value of an input is outside of its range."""
        for index, bounds in self.op.ranges(self).items():
            values = self.value(index)
            low, high = (np.asarray(bound, object) for bound in bounds)
            settled = all(isinstance(dim, int) for dim in [*low.flat, *high.flat])
            if values is None or values.dtype == object or not settled:
                continue
            low, high = low.astype(np.int64), high.astype(np.int64)
            wrong = np.argwhere((values < low) | (values > high))
            if len(wrong):
                at = tuple(wrong[0].tolist())
                lowest, highest = (int(np.broadcast_to(b, values.shape)[at]) for b in (low, high))
                self.fail(
                    f"{self.op.input_name(index)} {self.node.inputs[index]!r} "
                    f"{out_of_range(int(values[at]), at, lowest, highest)}",
                    "bad-index",
                )

    def fresh_dim(self, hint: str) -> SymbolicDim:
        """A new symbol for a dim that only running can tell."""
        assert self.dim_maker is not None
        return self.dim_maker(hint)

    def fail(self, message: str, code: str = "shape-mismatch") -> NoReturn:
        raise OpError(message, code)


class Op:
    """Base of op definitions. Class attributes are the signature; static methods the rules."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ("Y: T",)
    constraints: ClassVar[Mapping[str, str]] = {"T": "any"}  # type variable → name in DTYPE_SETS
    attributes: ClassVar[Mapping[str, Attr]] = {}
    #: The reference also works on object arrays of symbolic dims: shape values pass through.
    symbolic: ClassVar[bool] = False
    #: Computes output values from input *types* alone (Shape, Size); None for all other ops.
    symbolic_value: ClassVar[Callable[[Call], np.ndarray] | None] = None
    #: The scalar function of a pointwise op (see `ir.scalar`); None for all other ops.
    scalar: ClassVar[Callable[..., Any] | None] = None
    #: Whether two equal calls give equal results (false for random ops).
    deterministic: ClassVar[bool] = True
    #: Sums products of elements: a matrix product, convolution or transform.
    contraction: ClassVar[bool] = False
    #: A contraction that pointwise ops can be applied to before its results are written.
    epilogue: ClassVar[bool] = False
    #: Has weights among its operands, which it is worth having as constants whatever their size.
    weighted: ClassVar[bool] = False
    #: Gives the same for its two inputs in either order.
    commutative: ClassVar[bool] = False
    #: How the op refers to the axes of its first input, for passes that store them in another
    #: order (`layercc.passes.layout_rules`); None where it needs them in the order written.
    axes: ClassVar[Axes | None] = None
    #: Where a user defined the op (`layercc.own`); None for layercc's own.
    origin: ClassVar[Source | None] = None
    #: What a user has of the op: pickled models refer to it, by its module, where that has it.
    handle: ClassVar[Any] = None
    #: The version of the op's domain that it came with.
    since: ClassVar[int] = 1
    #: The name under which ops of a kind have one lowering; "": the op has one under its own name.
    lowered_as: ClassVar[str] = ""
    #: The graph of other ops that computes the same, for inputs of these types; None without one.
    body: ClassVar[Callable[[Call], Graph | None] | None] = None
    #: Compiled as its body, which takes the node's place.
    composite: ClassVar[bool] = False

    input_parameters: ClassVar[tuple[Parameter, ...]]
    output_parameters: ClassVar[tuple[Parameter, ...]]

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        """Types of the outputs. Raises OpError through `call.fail` when the inputs do not fit."""
        raise NotImplementedError

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        """For inputs whose values must lie in a range: the input's index → the range."""
        return {}

    @staticmethod
    def reference(call: Call, *inputs: Any) -> Any:
        """The op in NumPy: arrays in (None where absent), an array or a tuple of arrays out."""
        raise NotImplementedError

    @staticmethod
    def flops(call: Call) -> Dim:
        """Arithmetic operations of one call; `call.outputs` is filled. Default: data movement."""
        return 0

    @classmethod
    def input_name(cls, index: int) -> str:
        parameters = cls.input_parameters
        if index < len(parameters) and not parameters[index].variadic:
            return parameters[index].name
        return f"{parameters[-1].name}[{index - len(parameters) + 1}]" if parameters else str(index)

    @classmethod
    def cost(cls, call: Call) -> Cost:
        moved: Dim = 0
        for tensor in [*call.types, *call.outputs]:
            if tensor is not None:
                moved = moved + tensor.nbytes
        return Cost(cls.flops(call), moved)


_OPS: dict[str, type[Op]] = {}


def register(definition: type[Op], *, replaces: bool = False) -> type[Op]:
    """Class decorator: enters an op definition into the table under its `name`.

    ValueError if there is one of that name that it does not replace.
    """
    name = definition.__dict__.get("name") or definition.__name__
    if name in _OPS and not replaces:
        raise ValueError(f"op {name} is defined twice")
    definition.name = name
    definition.input_parameters = tuple(map(Parameter.parse, definition.inputs))
    definition.output_parameters = tuple(map(Parameter.parse, definition.outputs))
    for parameter in definition.input_parameters + definition.output_parameters:
        if parameter.type not in definition.constraints and parameter.type not in DTYPE_SETS:
            raise ValueError(f"op {name}: no constraint for type {parameter.type!r}")
    _OPS[name] = definition
    return definition


def find_op(name: str) -> type[Op] | None:
    """The definition of an op, or None."""
    return _OPS.get(name)


def all_ops() -> Iterator[type[Op]]:
    """Every op of layercc's, by name; what users have defined (`layercc.own`) is not among them."""
    return iter(sorted((op for op in _OPS.values() if op.origin is None), key=lambda op: op.name))


def user_ops() -> Iterator[type[Op]]:
    """Every op that a user has defined, by name."""
    return iter(sorted((op for op in _OPS.values() if op.origin), key=lambda op: op.name))


def handles_in(graph: Graph) -> list[Any]:
    """The handles of the ops in a graph, subgraphs included, that users have defined."""
    found: dict[str, Any] = {}
    for node in graph.nodes:
        op = find_op(node.op)
        if op is not None and op.handle is not None:
            found[op.name] = op.handle
        for body in node.subgraphs():
            found.update((handle.name, handle) for handle in handles_in(body))
    return list(found.values())

"""From an exported program to a graph: inputs, constants, a translation for each node, outputs."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import InputKind

import layercc.frontends.torch.ops  # noqa: F401  # fills the registry
from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dims import Dim, SymbolicDim, may_equal, symbol
from ir.dtypes import DType
from ir.graph import Value
from ir.structured import StructuredGraph
from ir.types import TensorType
from ir.verifier import verify
from layercc.frontends.torch.assumptions import assumptions
from layercc.frontends.torch.control_flow import CONTROL_FLOW
from layercc.frontends.torch.dims import as_dim, expression_of
from layercc.frontends.torch.dynamic_shapes import DynamicShapes
from layercc.frontends.torch.exporting import decomposed, exported
from layercc.frontends.torch.missing import Missing
from layercc.frontends.torch.own_ops import enter_custom_ops
from layercc.frontends.torch.paths import NodeHints, source_of
from layercc.frontends.torch.ranges import size_ranges
from layercc.frontends.torch.registry import IGNORED, TRANSLATIONS, Refused
from layercc.frontends.torch.signature import Leaf, ModuleSignature
from layercc.frontends.torch.state import refuse_writes
from layercc.frontends.torch.tensors import as_array, dtype_of
from layercc.frontends.torch.translator import Tensor, TranslationError, Translator
from layercc.frontends.torch.trees import paths_of
from layercc.frontends.torch.writes import translated_as

#: Arguments of ATen ops that say where and how a tensor lies in memory, not what it holds.
_PLACEMENT = ("layout", "device", "pin_memory", "memory_format", "non_blocking", "generator")
#: Ops that only say under which settings of PyTorch the nodes in their body ran.
_REGIONS = ("wrap_with_set_grad_enabled",)


def imported(module: Any, example_inputs: Any, dynamic_shapes: Any) -> StructuredGraph:
    """See `from_torch`."""
    enter_custom_ops()
    program, shapes = exported(module, example_inputs, dynamic_shapes)
    guards = getattr(program, "_guards_code", None) or ()  # not kept when it is decomposed
    return _Importer(module, decomposed(program), shapes, guards).run()


class _Importer:
    def __init__(
        self, module: Any, program: Any, shapes: DynamicShapes, guards: Sequence[str]
    ) -> None:
        self.module = None if module is program else module
        self.program = program
        self.sizes, self.guards = shapes, guards
        self.signature = program.graph_signature
        root = module_of_program(program) if self.module is None else type(module).__name__
        self.where = f"module {root}"
        self.t = Translator(root)
        self.values: dict[Any, Any] = {}  # nodes of the program → tensors, dims, tuples
        self.symbols: dict[Any, Dim] = {}  # symbols of PyTorch → ours
        self.conditions: list[Any] = []  # that the program holds for true
        self.missing = Missing()
        self.made: dict[tuple[Any, ...], str] = {}  # where a parameter's data lie → its constant

    def run(self) -> StructuredGraph:
        refuse_writes(self.program, self.module, self.where)
        leaves = self.add_inputs()
        nodes = self.program.graph.nodes
        self.hints = NodeHints(node for node in nodes if translated_as(node) in TRANSLATIONS)
        self.nodes(self.program.graph_module)
        self.missing.raise_for_any(self.where)
        graph, t = StructuredGraph(self.t.graph.name), self.t
        graph.inputs = t.graph.inputs
        outputs = self.add_outputs()
        graph.outputs, graph.nodes = t.graph.outputs, t.graph.nodes
        read = {name for node in graph.nodes for name in node.reads()} | set(graph.output_names)
        graph.constants = {n: a for n, a in t.graph.constants.items() if n in read}
        graph.types = {n: k for n, k in t.known.types.items() if n not in t.graph.constants}
        graph.types |= {n: t.known.types[n] for n in graph.constants}
        shapes = {name: node.meta["val"].shape for node, name in self.inputs}
        limits = self.program.range_constraints
        ranges = size_ranges(shapes, limits, self.symbols, self.sizes.least)
        sizes = {
            leaf.path: graph.inputs[leaf.number].shape for leaf in leaves if leaf.number is not None
        }
        kept = assumptions(self.conditions, self.guards, self.symbols, sizes)
        spec = self.program.call_spec
        graph.structure = ModuleSignature(
            self.positional, spec.in_spec, spec.out_spec, leaves, outputs, ranges, kept
        )
        verify(graph)
        return graph

    # --- inputs and constants

    def add_inputs(self) -> tuple[Leaf, ...]:
        """Enters inputs, parameters and buffers; the leaves of the arguments."""
        spec = self.program.call_spec.in_spec
        count = spec.child(0).num_children
        self.positional = self.parameter_names(count)
        paths = iter(_argument_paths(spec, self.positional))
        placeholders = [n for n in self.program.graph.nodes if n.op == "placeholder"]
        specs = list(zip(placeholders, self.signature.input_specs, strict=True))
        user = [(node, s, next(paths)) for node, s in specs if s.kind is InputKind.USER_INPUT]
        self.name_symbols([(node, path) for node, _, path in user])
        leaves: list[Leaf] = []
        self.t.names.take(path for _, _, path in user)
        results = paths_of(self.program.call_spec.out_spec)
        self.output_names = {path: self.t.names.fresh(_output_name(path)) for path in results}
        self.inputs: list[tuple[Any, str]] = []
        for node, _, path in user:
            meta = node.meta.get("val")
            if not isinstance(meta, torch.Tensor):
                leaves.append(self.constant_leaf(node, path, meta))
                continue
            name = path or "input"
            kind = self.type_of(meta)
            self.t.graph.inputs.append(Value(name, kind))
            self.values[node] = self.t.add_input(name, kind)
            leaves.append(Leaf(path, len(self.inputs)))
            self.inputs.append((node, name))
        for node, s in specs:
            if s.kind is not InputKind.USER_INPUT:
                self.values[node] = self.parameter(s)
        return tuple(leaves)

    def constant_leaf(self, node: Any, path: str, value: Any) -> Leaf:
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            raise UnsupportedError(
                f"{self.where}: argument {path!r} is a number that may differ from call to call; a "
                "tensor, or a number that is fixed, would fit"
            )
        self.values[node] = value
        return Leaf(path, None, value)

    def parameter_names(self, count: int) -> tuple[str, ...]:
        """Names of the arguments given by position."""
        if self.module is not None:
            names: list[str] = []
            for parameter in inspect.signature(self.module.forward).parameters.values():
                if parameter.kind is parameter.VAR_POSITIONAL:
                    names += [f"{parameter.name}.{i}" for i in range(count - len(names))]
                elif parameter.kind in (
                    parameter.POSITIONAL_ONLY,
                    parameter.POSITIONAL_OR_KEYWORD,
                ):
                    names.append(parameter.name)
            return tuple(names[:count])
        entry = self.program.module_call_graph[0].signature
        names = list(entry.forward_arg_names or ()) if entry is not None else []
        return tuple([*names, *(f"input.{i}" for i in range(count))][:count])

    def name_symbols(self, inputs: Sequence[tuple[Any, str]]) -> None:
        """Gives each symbol of PyTorch a name: that of the caller, else of an input and axis."""
        for ask in (True, False):
            for node, path in inputs:
                meta = node.meta.get("val")
                if not isinstance(meta, torch.Tensor):
                    continue
                for axis, size in enumerate(meta.shape):
                    expression = expression_of(size)
                    if isinstance(expression, int):
                        continue
                    given = self.sizes.renamed(path, axis) if ask else None
                    if ask and (given is None or not expression.is_Symbol):
                        continue
                    for own in expression.free_symbols:
                        made = given or symbol(f"{path.replace('.', '_')}_{axis}")
                        self.symbols.setdefault(own, made)

    def parameter(self, spec: Any) -> Any:
        """The constant of a parameter, a buffer or a tensor that the code holds, under its name."""
        if spec.kind not in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            return None
        name = str(spec.target)
        tensor = self.program.state_dict.get(name)
        if tensor is None:
            tensor = self.program.constants[name]
        what = f"{spec.kind.name.lower().replace('_', ' ')} {name!r}"
        key = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and key in self.made:
            known = self.made[key]
            return Tensor(known, self.t.known.types[known])
        made = self.t.add_constant(self.t.names.fresh(name), as_array(tensor, what))
        self.made[key] = made.name
        return made

    # --- nodes

    def nodes(self, graph_module: Any) -> Any:
        """Translates the nodes of a graph; what its output node returns."""
        for node in graph_module.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = getattr(graph_module, node.target)
            elif node.op == "call_function":
                self.node(node)
            elif node.op == "output":
                return node.args[0]
        return None

    def node(self, node: Any) -> None:
        target, meta = node.target, node.meta.get("val")
        if target is operator.getitem:
            held = self.values[node.args[0]]
            self.values[node] = held[node.args[1]]
            return
        if isinstance(meta, int | torch.SymInt):
            self.values[node] = self.size(node, meta)
            return
        if isinstance(meta, float | bool | torch.SymFloat | torch.SymBool):
            self.values[node] = meta
            return
        name = translated_as(node)
        if name in IGNORED:
            if name == "aten._assert_scalar.default" and isinstance(node.args[0], torch.fx.Node):
                self.conditions.append(node.args[0].meta.get("val"))
            return
        if getattr(target, "__name__", "") in _REGIONS:
            self.region(node)
            return
        if getattr(target, "__name__", "") in CONTROL_FLOW:
            self.control_flow(node, target.__name__, meta)
            return
        translation = TRANSLATIONS.get(name)
        if translation is None:
            self.missing.note(node, name)
            self.values[node] = self.stand_in(meta)
            return
        parts = [user for user in node.users if user.target is operator.getitem]
        used = [part.args[1] for part in parts if part.users]
        self.t.begin(self.hints.of(node), self.types_of(meta), source_of(node), used)
        try:
            made = translation(self.t, *self.resolved(node.args), **self.keywords(node))
            self.values[node] = self.checked(node, name, made, meta)
        except Refused as reason:
            self.missing.note(node, f"{name} ({reason})")
            self.values[node] = self.stand_in(meta)

    def control_flow(self, node: Any, name: str, meta: Any) -> None:
        known = self.missing.count
        try:
            emit = CONTROL_FLOW[name](self, *self.resolved(node.args))
            if self.missing.count > known:  # in a body, which has no types then
                self.values[node] = self.stand_in(meta)
                return
            self.t.begin(self.hints.of(node), self.types_of(meta), source_of(node))
            self.values[node] = self.checked(node, name, emit(), meta)
        except Refused as reason:
            self.missing.note(node, f"{name} ({reason})")
            self.values[node] = self.stand_in(meta)

    def body_of(self, graph_module: Any, operands: Sequence[Any]) -> list[Any]:
        """See `control_flow.Bodies`."""
        placeholders = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
        self.values |= dict(zip(placeholders, operands, strict=True))
        made = self.resolved(self.nodes(graph_module))
        return list(made) if isinstance(made, list | tuple) else [made]

    def placeholders_of(self, graph_module: Any) -> list[Any]:
        """See `control_flow.Bodies`."""
        metas = [n.meta.get("val") for n in graph_module.graph.nodes if n.op == "placeholder"]
        return [self.type_of(m) if isinstance(m, torch.Tensor) else None for m in metas]

    def region(self, node: Any) -> None:
        """Translates the body of a region in place."""
        body = next(
            self.values[a]
            for a in node.args
            if isinstance(self.values.get(a), torch.fx.GraphModule)
        )
        start = next(i for i, a in enumerate(node.args) if self.values.get(a) is body) + 1
        placeholders = [n for n in body.graph.nodes if n.op == "placeholder"]
        for inner, outer in zip(placeholders, node.args[start:], strict=True):
            self.values[inner] = self.resolved(outer)
        self.values[node] = self.resolved(self.nodes(body))

    def size(self, node: Any, meta: Any) -> Any:
        """A size as a dim; one that cannot be said as such is refused where it is read."""
        try:
            return as_dim(meta, self.symbols)
        except Refused as reason:
            self.missing.note(node, f"{node.target} ({reason})")
            return 1

    def resolved(self, given: Any) -> Any:
        """Arguments of a node with the nodes among them replaced by their values."""
        if isinstance(given, torch.fx.Node):
            return self.values[given]
        if isinstance(given, list | tuple):
            return [self.resolved(item) for item in given]
        if isinstance(given, torch.dtype):
            return dtype_of(given)
        if isinstance(given, torch.SymInt):
            return as_dim(given, self.symbols)
        return given

    def keywords(self, node: Any) -> dict[str, Any]:
        return {
            name: self.resolved(value)
            for name, value in node.kwargs.items()
            if name not in _PLACEMENT
        }

    # --- types

    def type_of(self, meta: Any) -> TensorType:
        """The type of a tensor as PyTorch has it; sizes that come from data are new symbols."""
        dims: list[Dim] = []
        for size in meta.shape:
            try:
                dims.append(as_dim(size, self.symbols))
            except Refused:
                dims.append(symbol(self.t.names.fresh("size")))
        return TensorType(dtype_of(meta.dtype), tuple(dims))

    def types_of(self, meta: Any) -> list[TensorType]:
        parts = meta if isinstance(meta, list | tuple) else [meta]
        return [
            self.type_of(part) if isinstance(part, torch.Tensor) else TensorType(DType.f32, ())
            for part in parts
        ]

    def checked(self, node: Any, name: str, made: Any, meta: Any) -> Any:
        """What a translation made, under its final name; verified against PyTorch's own types."""
        single = isinstance(made, Tensor)
        tensors = [made] if single else list(made or ())
        final = self.t.finish(tensors)
        metas = [meta] if single else list(meta or ())
        for tensor, theirs in zip(final, metas, strict=False):
            if tensor is None or not isinstance(theirs, torch.Tensor):
                continue
            self.bind_sizes(tensor, theirs)
            kind = self.type_of(theirs)
            fits = tensor.dtype == kind.dtype and tensor.rank == kind.rank
            if not fits or not all(map(may_equal, tensor.shape, kind.shape)):
                raise TranslationError(
                    f"{self.where}: {name} {self.t.hint!r} is translated to {tensor.type}; "
                    f"PyTorch makes {kind}"
                )
        return final[0] if single else final

    def bind_sizes(self, tensor: Tensor, meta: Any) -> None:
        """Sizes that data decide become the dims that inference made for them."""
        for axis, size in enumerate(meta.shape[: tensor.rank]):
            expression = expression_of(size)
            if isinstance(expression, int) or not expression.is_Symbol:
                continue
            if expression not in self.symbols:
                self.symbols[expression] = tensor.shape[axis]
                self.t.note_size(tensor.name, axis, tensor.shape[axis])

    def stand_in(self, meta: Any) -> Any:
        """A value in place of one that has no translation, so that the others are looked at."""
        if isinstance(meta, list | tuple):
            return [self.stand_in(part) for part in meta]
        if not isinstance(meta, torch.Tensor):
            return meta
        name, kind = self.t.names.fresh("missing"), self.type_of(meta)
        self.t.known.types[name] = kind
        return Tensor(name, kind)

    # --- outputs

    def add_outputs(self) -> tuple[Leaf, ...]:
        """Names the outputs by their places in the result; the leaves of the result."""
        node = next(n for n in self.program.graph.nodes if n.op == "output")
        leaves: list[Leaf] = []
        t = self.t
        taken = set(t.graph.input_names)
        for given, (path, name) in zip(node.args[0], self.output_names.items(), strict=True):
            value = self.resolved(given)
            is_size = isinstance(value, SymbolicDim)
            if not is_size and not isinstance(value, Tensor):
                leaves.append(Leaf(path, None, value))
                continue
            t.begin(name)
            tensor = t.scalar(value, DType.i64) if is_size else value
            if tensor.name in taken or tensor.name in t.graph.constants:
                tensor = t.emit("Identity", tensor)
            t.rename(tensor.name, name)
            self.replace(tensor.name, Tensor(name, tensor.type))
            taken.add(name)
            leaves.append(Leaf(path, len(t.graph.outputs), is_size=is_size))
            t.graph.outputs.append(Value(name, tensor.type))
        if not t.graph.outputs:
            raise InvalidModelError(f"{self.where} returns no tensors")
        return tuple(leaves)

    def replace(self, old: str, new: Tensor) -> None:
        for node, value in self.values.items():
            if isinstance(value, Tensor) and value.name == old:
                self.values[node] = new
            elif isinstance(value, list):
                self.values[node] = [
                    new if isinstance(v, Tensor) and v.name == old else v for v in value
                ]


def _argument_paths(spec: Any, positional: Sequence[str]) -> list[str]:
    """Paths of the leaves of (args, kwargs), by the names of the arguments."""
    return [*paths_of(spec.child(0), positional), *paths_of(spec.child(1))]


def _output_name(path: str) -> str:
    """What the output at a place in the result is called."""
    return f"output.{path}" if path[:1].isdigit() else path or "output"


def module_of_program(program: Any) -> str:
    """The class of the module that a program was exported from."""
    for node in program.graph.nodes:
        stack: Mapping[str, Any] = node.meta.get("nn_module_stack") or {}
        for path, kind in stack.values():
            if not path:
                return str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    return "ExportedProgram"

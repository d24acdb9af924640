"""`torch.compile(model, backend="layercc")`: what TorchDynamo captures, run by layercc.

Dynamo hands over graphs, keeps the guards, and breaks a graph where it has to. It finds this
function by the entry point `torch_dynamo_backends`.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ir.diagnostics import InvalidModelError, UnsupportedError
from layercc.compiler import compile as compile_model
from layercc.frontends.torch import from_torch, torch_module


def backend(graph_module: Any, example_inputs: Sequence[Any], **options: Any) -> Callable[..., Any]:
    """A callable that does what a graph of Dynamo does, on tensors that it takes and gives without
    copies.

    The model is compiled when it is first called. Parameters and buffers of modules are constants
    of it; it is compiled again for others, or once they are written. Sizes that Dynamo calls
    dynamic are symbols. `options` are those of `lc.compile` (`torch.compile(..., options={...})`).

    Its call raises UnsupportedError if a gradient is asked for. PyTorch runs a graph that
    from_torch refuses; a RuntimeWarning says why.
    """
    return _Graph(graph_module, options.get("options") or {})


class _Graph:
    def __init__(self, graph_module: Any, options: dict[str, Any]) -> None:
        self.graph_module, self.options = graph_module, options
        nodes = graph_module.graph.nodes
        self.inputs = [_Input(node) for node in nodes if node.op == "placeholder"]
        homes: dict[Any, tuple[int, int]] = {}  # symbol → a tensor and the axis that it is of
        for number, entry in enumerate(self.inputs):
            for axis, expression in enumerate(entry.shape):
                homes.setdefault(expression, (number, axis))
        self.fixed = [i for i, entry in enumerate(self.inputs) if entry.is_fixed]
        sizes = {i: homes.get(entry.size) for i, entry in enumerate(self.inputs) if entry.is_size}
        self.sizes = {i: home for i, home in sizes.items() if home is not None}
        #: Numbers that may differ from call to call; each set of them has a model of its own.
        self.numbers = [i for i, e in enumerate(self.inputs) if e.is_float]
        self.numbers += [i for i in sizes if i not in self.sizes]
        others = {*self.fixed, *sizes, *self.numbers}
        self.tensors = [i for i in range(len(self.inputs)) if i not in others]
        self.models: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self.seen: list[tuple[Any, int]] = []  # tensors that are constants, and their versions
        self.lock = threading.Lock()

    def __call__(self, *given: Any) -> Any:
        if torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in given):
            raise UnsupportedError(
                "the backend layercc has no gradients; a call under torch.no_grad() or "
                "torch.inference_mode() would fit"
            )
        fixed = [(given[i], _version(given[i])) for i in self.fixed]
        key = tuple(_number(given[i]) for i in self.numbers)
        with self.lock:
            if not _alike(fixed, self.seen):
                self.models.clear()
                self.seen = fixed
            model = self.models.get(key)
            if model is None:
                model = self.models[key] = self._compiled(given)
        return model(*given)

    def _compiled(self, given: Sequence[Any]) -> Callable[..., Any]:
        inside = _OfTensors(self, given)
        examples = tuple(given[i] for i in self.tensors)
        dims = [self.inputs[i].dynamic_dims() for i in self.tensors]
        shapes = (tuple(dims),) if any(dims) else None  # forward has the one parameter *tensors
        try:
            graph = from_torch(inside, examples, shapes)
        except (UnsupportedError, InvalidModelError) as error:
            warnings.warn(f"PyTorch runs a graph: {error}", RuntimeWarning, stacklevel=2)
            return self.graph_module  # type: ignore[no-any-return]
        module = torch_module(compile_model(graph, **self.options))
        return lambda *given: module(*(given[i] for i in self.tensors))


class _Input:
    """What is known of an input of a graph: a tensor that changes, one that a module holds, or a
    size."""

    def __init__(self, node: Any) -> None:
        example = node.meta.get("example_value")
        self.name = node.name
        argument = node.meta.get("grapharg")
        self.is_float = bool(getattr(argument, "pass_arg_as_tensor", False))
        self.is_size = isinstance(example, torch.SymInt | int)
        self.size = _expression(example) if self.is_size else None
        tensor = node.meta.get("tensor_dict") or {}
        self.is_fixed = "_dynamo_static_input_type" in tensor or node.type is torch.nn.Parameter
        plain = self.is_size or self.is_fixed or self.is_float or example is None
        self.shape = () if plain else tuple(map(_expression, example.shape))

    def dynamic_dims(self) -> dict[int, Any]:
        dynamic = torch.export.Dim.AUTO
        return {axis: dynamic for axis, e in enumerate(self.shape) if not isinstance(e, int)}


class _OfTensors(torch.nn.Module):
    """A graph as a function of those inputs that change."""

    def __init__(self, graph: _Graph, given: Sequence[Any]) -> None:
        super().__init__()
        self._graph = graph
        self._given = {i: given[i] for i in graph.numbers}
        floats = {graph.inputs[i].name: given[i] for i in graph.numbers if graph.inputs[i].is_float}
        self._module = _with_floats(graph.graph_module, floats)
        self._names = {i: graph.inputs[i].name for i in graph.fixed}
        for i, name in self._names.items():
            self.register_buffer(name, given[i].detach())
        self.eval()

    def forward(self, *tensors: Any) -> Any:
        graph = self._graph
        found = dict(zip(graph.tensors, tensors, strict=True)) | self._given
        found |= {i: getattr(self, name) for i, name in self._names.items()}
        found |= {i: found[tensor].shape[axis] for i, (tensor, axis) in graph.sizes.items()}
        return self._module(*(found[i] for i in range(len(graph.inputs))))


def _with_floats(graph_module: Any, floats: dict[str, Any]) -> Any:
    """A graph with numbers in place of what it reads from tensors: Dynamo hands a Python float that
    changes over as a tensor."""
    if not floats:
        return graph_module
    changed = copy.deepcopy(graph_module)
    for node in changed.graph.nodes:
        if node.op == "call_method" and node.target == "item" and node.args[0].name in floats:
            node.replace_all_uses_with(_number(floats[node.args[0].name]))
            changed.graph.erase_node(node)
    changed.recompile()
    return changed


def _number(given: Any) -> Any:
    return given.item() if isinstance(given, torch.Tensor) else given


def _expression(size: Any) -> Any:
    node = getattr(size, "node", None)
    return size if node is None else node.expr


def _version(tensor: Any) -> int:
    """How often a tensor has been written; those of inference mode are not counted."""
    return -1 if tensor.is_inference() else tensor._version


def _alike(a: Sequence[tuple[Any, int]], b: Sequence[tuple[Any, int]]) -> bool:
    return len(a) == len(b) and all(
        x is y and version == other for (x, version), (y, other) in zip(a, b, strict=True)
    )

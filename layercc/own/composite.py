"""Composites: ops that stand for what a function makes of tensors of the builder."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ir.cost import graph_cost
from ir.diagnostics import LayerccError
from ir.graph import Graph
from ir.inference import infer
from ir.interpreter import interpret
from ir.naming import Names
from ir.registry import Call, Op, OpError
from ir.types import TensorType
from layercc.layers.layer import Lambda, Layer
from layercc.layers.model import Model
from layercc.layers.tensor import Placeholder, SymbolicTensor, tensors_in
from layercc.layers.weight import Weight
from layercc.own.parameters import Parameters, described, python_function, source_of
from layercc.own.pointwise import check_attributes

#: Bodies that an op keeps; types of models with many shapes make many.
_MOST_BODIES = 64


@dataclass(frozen=True)
class Body:
    """What a composite stands for: inputs, then what its layers hold as weights."""

    graph: Graph
    weights: tuple[Weight, ...]
    names: tuple[str, ...]  # of the weights, as a layer of the op calls them


class OwnComposite(Op):
    """Base of composites."""

    composite = True
    function: ClassVar[Callable[..., Any]]
    parameters: ClassVar[Parameters]
    _bodies: ClassVar[dict[Any, Body]]

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        check_attributes(call, cls.parameters)
        return [value.type for value in cls.body(call).outputs]

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> tuple[np.ndarray, ...]:  # type: ignore[override]
        body = cls.body(call)
        given = [x for x in inputs if x is not None]
        made = interpret(body, dict(zip(body.input_names, given, strict=True)))
        return tuple(made[name] for name in body.output_names)

    @classmethod
    def flops(cls, call: Call) -> Any:  # type: ignore[override]
        body = cls.body(call)
        return graph_cost(body, infer(body)).flops

    @classmethod
    def body(cls, call: Call) -> Graph:  # type: ignore[override]
        own, weights = cls.parted(call.types)
        for item, kind in zip(cls.parameters.inputs, own, strict=False):
            if kind is None and not item.optional:
                call.fail(f"input {item.name!r} is missing", "missing-input")
        made = cls.built(own, cls.parameters.settings(call.attributes))
        wanted = [weight.type for weight in made.weights]
        if list(weights) != wanted:
            what = ", ".join(f"{w.name} {w.type}" for w in made.weights) or "none"
            seen = ", ".join(map(str, weights)) or "none"
            call.fail(
                f"layers in {described(cls.function)} have the weights {what}; behind the inputs "
                f"stand {seen}"
            )
        return made.graph

    @classmethod
    def parted(
        cls, types: Sequence[TensorType | None]
    ) -> tuple[tuple[TensorType | None, ...], tuple[TensorType | None, ...]]:
        """The types of what the function takes, and of weights."""
        items = cls.parameters.inputs
        count = len(types) if items[-1].variadic else len(items)
        own = (*types[:count], *[None] * (count - len(types)))
        return own, tuple(types[count:])

    @classmethod
    def built(cls, kinds: Sequence[TensorType | None], settings: Mapping[str, Any]) -> Body:
        """What the function makes of inputs of these types. Fails with OpError."""
        key = tuple(kinds), tuple(settings.items())
        if key not in cls._bodies:
            # as if it were no part of what the builder is in the middle of
            made = contextvars.Context().run(_built, cls, kinds, settings)
            if len(cls._bodies) >= _MOST_BODIES:
                cls._bodies.clear()
            cls._bodies[key] = made
        return cls._bodies[key]


def _built(
    cls: type[OwnComposite], kinds: Sequence[TensorType | None], settings: Mapping[str, Any]
) -> Body:
    function = cls.function
    names = [item.name for item in cls.parameters.inputs]
    given = [
        None
        if kind is None
        else Placeholder(kind, names[i] if i < len(names) else f"{names[-1]}{i}")
        for i, kind in enumerate(kinds)
    ]
    layer = _FunctionLayer(function, settings)
    try:
        results = layer(*given)
        weights = tuple(layer.weights)
        wanted = [results] if isinstance(results, SymbolicTensor) else results
        if not isinstance(wanted, list | tuple) or len(tensors_in(wanted)) != len(wanted):
            raise TypeError(f"it returns {results!r}; a tensor or a tuple of tensors would fit")
        inputs = [x for x in given if x is not None]
        model = Model([*inputs, *weights], list(wanted), name=python_function(function).__name__)
    except LayerccError as error:
        text = "; ".join(getattr(d, "message", str(d)) for d in getattr(error, "diagnostics", ()))
        raise OpError(f"in {described(function)}: {text or error}") from error
    except Exception as error:  # whatever a user's function raises
        raise OpError(
            f"{described(function)} is no function of the builder's tensors: "
            f"{type(error).__name__}: {error}",
            "bad-function",
        ) from error
    graph = Graph(model.name, model.inputs, model.outputs, model.nodes, model.constants)
    graph.types = model.types
    return Body(graph, weights, layer.names_of(weights))


class _FunctionLayer(Lambda):
    """The function of a composite as a layer."""

    def __init__(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        super().__init__(python_function(function), name=python_function(function).__name__)
        self.settings = settings
        self.parts: list[Layer] = []

    def own(self, layer: Layer, name: str) -> Layer:
        self.parts.append(layer)
        return super().own(layer, name)

    def names_of(self, weights: Sequence[Weight]) -> tuple[str, ...]:
        """Names that tell the weights apart: behind those of their layers, where they need it."""
        names = [weight.name for weight in weights]
        homes = {id(w): part.name for part in self.parts for w in part.weights}
        longer = [
            name if names.count(name) == 1 else f"{homes.get(id(weight), '')}.{name}"
            for name, weight in zip(names, weights, strict=True)
        ]
        taken = Names(separator="_")
        return tuple(map(taken.fresh, longer))

    def call(self, *arguments: Any, **options: Any) -> Any:
        return self.function(*arguments, **self.settings)


def weights_of(
    definition: type[Op], layer: Layer, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> list[SymbolicTensor]:
    """The weights of the layers in a composite, as weights of `layer`; of other ops, none."""
    if not issubclass(definition, OwnComposite):
        return []
    body = _body_of(definition, layer, inputs, attributes)
    return [
        layer.weight(name, w.keras_shape, w.initializer, w.layout)
        for w, name in zip(body.weights, body.names, strict=True)
    ]


def results_of(
    definition: type[Op], layer: Layer, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> int:
    """How many tensors an op gives for these inputs."""
    if not issubclass(definition, OwnComposite):
        return len(definition.output_parameters)
    return len(_body_of(definition, layer, inputs, attributes).graph.outputs)


def _body_of(
    definition: type[OwnComposite],
    layer: Layer,
    inputs: Sequence[Any],
    attributes: Mapping[str, Any],
) -> Body:
    kinds = [x.type if isinstance(x, SymbolicTensor) else None for x in inputs]
    own, _ = definition.parted(kinds)
    for item, kind in zip(definition.parameters.inputs, own, strict=False):
        if kind is None and not item.optional:
            layer.fail(f"input {item.name!r} is missing", "missing-input")
    try:
        return definition.built(own, definition.parameters.settings(attributes))
    except OpError as error:
        layer.fail(str(error), error.code)
        raise


def composite_class(
    name: str,
    function: Callable[..., Any],
    parameters: Parameters,
    declared: tuple[str, ...],
    constraints: dict[str, str],
    since: int,
) -> type[OwnComposite]:
    """The op of a function of tensors."""
    # inputs are of any types, and weights stand behind them
    inputs = tuple(
        f"{text.partition(':')[0]}: any{text[-1] if text[-1] in '?*' else ''}"
        if constraints["T"] == "any"
        else text
        for text in declared
    )
    behind = () if parameters.inputs[-1].variadic else ("weights: any*",)
    return type(
        name.rpartition(".")[2],
        (OwnComposite,),
        {
            "name": name,
            "__doc__": function.__doc__,
            "function": staticmethod(python_function(function)),
            "inputs": inputs + behind,
            "outputs": ("outputs: any*",),
            "constraints": constraints,
            "attributes": dict(parameters.attributes),
            "parameters": parameters,
            "origin": source_of(function),
            "since": since,
            "_bodies": {},
        },
    )

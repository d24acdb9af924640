"""The compiled model: a callable on NumPy arrays.

A model is optimized once, then planned for each set of input shapes it meets. Some models compute
shapes or choose branches from the *values* of integer inputs (a sample rate, a target length):
such inputs are found when first met, and the model is optimized for each of their values.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np

from ir.diagnostics import Diagnostic, InputError, LayerccError
from ir.dims import evaluate, symbols, unify
from ir.dtypes import DTYPE_SETS
from ir.graph import Graph, Value
from ir.inference import infer
from ir.types import format_shape
from layercc.lower import Weights, check_supported, lower
from layercc.passes import run_passes
from layercc.runtime.native import default_kernels
from layercc.runtime.plan import Plan
from layercc.runtime.threads import resolve_threads

_SELECTORS = DTYPE_SETS["int"] | DTYPE_SETS["bool"]
#: Elements an input may have to be one whose values choose shapes.
_SELECTOR_LIMIT = 64


class _Variant:
    """The model optimized for one set of selector values, and its plans by input shapes."""

    def __init__(self, graph: Graph, values: Mapping[str, np.ndarray]) -> None:
        self.graph = run_passes(graph)
        self.source = graph
        self.values = values
        self.weights = Weights(self.graph)
        self.plans: dict[tuple[tuple[int, ...], ...], Plan] = {}


class CompiledModel:
    """A graph compiled for this machine; call it with arrays.

    `graph` is the model as given. Calls may come from several threads at once. A new set of input
    shapes is planned on first use, in milliseconds; nothing is compiled for it unless it needs a
    kernel not met before.
    """

    def __init__(self, graph: Graph, threads: int | None = None) -> None:
        self.graph = graph
        self.threads = resolve_threads(threads)
        self._lock = threading.RLock()
        self._names = graph.input_names
        self._dtypes = [value.dtype.value for value in graph.inputs]
        self._selectors: list[int] = []
        self._variants: dict[tuple[bytes, ...], _Variant] = {}
        self._plans: dict[tuple[tuple[int, ...], ...], Plan] = {}  # of the variant without values
        self._plan_ahead()

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        """Runs the model: arrays by position or by input name.

        Returns one array, or a tuple in `graph.outputs` order. Takes anything with `__array__` or
        `__dlpack__`. Raises InputError when the arrays do not fit the inputs.
        """
        if named or len(arrays) != len(self._names):
            arrays = self._by_position(arrays, named)
        outputs = self._run(arrays)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Runs the model on arrays by input name; returns arrays by output name."""
        outputs = self._run(self._by_position((), inputs))
        return dict(zip(self.graph.output_names, outputs, strict=True))

    def plan(self, shapes: Mapping[str, tuple[int, ...]]) -> Plan:
        """The plan for these input shapes, made now if need be.

        Raises InputError when they do not fit the inputs.
        """
        arrays = [np.empty(shapes[name], dtype) for name, dtype in zip(self._names, self._dtypes)]
        return self._plan_for(self._checked(arrays))

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledModel, (self.graph, self.threads)

    def _run(self, arrays: tuple[Any, ...]) -> list[np.ndarray]:
        ready = []
        for array, dtype in zip(arrays, self._dtypes, strict=True):
            if (
                type(array) is not np.ndarray
                or array.dtype != dtype
                or not array.flags.c_contiguous
            ):
                ready = self._converted(arrays)
                break
            ready.append(array)
        plan = self._plans.get(tuple([array.shape for array in ready]))
        if plan is None:
            plan = self._plan_for(self._checked(ready))
        return plan.run(ready, self.threads)

    # Inputs

    def _by_position(self, arrays: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        if len(arrays) > len(self._names):
            raise InputError(
                f"{len(arrays)} arrays given for {len(self._names)} input(s): {self._signature()}"
            )
        given = dict(zip(self._names, arrays, strict=False))
        for name, array in named.items():
            if name not in self._names:
                raise InputError(f"there is no input {name!r}; the inputs are {self._signature()}")
            if name in given:
                raise InputError(f"input {name!r} is given twice")
            given[name] = array
        missing = [name for name in self._names if name not in given]
        if missing:
            raise InputError(
                f"no array given for {', '.join(map(repr, missing))}; "
                f"the inputs are {self._signature()}"
            )
        return tuple(given[name] for name in self._names)

    def _converted(self, arrays: tuple[Any, ...]) -> list[np.ndarray]:
        return [
            _as_array(array, value) for array, value in zip(arrays, self.graph.inputs, strict=True)
        ]

    def _checked(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The arrays, if their shapes fit the declared inputs. Raises InputError."""
        bindings: dict[str, int] = {}
        for array, value in zip(arrays, self.graph.inputs, strict=True):
            try:
                bindings = unify(value.shape, array.shape, bindings)
            except ValueError as error:
                raise InputError(
                    f"input {value.name!r} is {format_shape(array.shape)}, "
                    f"{format_shape(value.shape)} would fit: {error}"
                ) from None
        return arrays

    def _signature(self) -> str:
        return ", ".join(map(str, self.graph.inputs))

    # Plans

    def _plan_ahead(self) -> None:
        """Plans for the declared shapes, symbols standing for 1, so that kernels are there early."""
        free = {name: 1 for value in self.graph.inputs for d in value.shape for name in symbols(d)}
        shapes = tuple(
            tuple(evaluate(dim, free) for dim in value.shape) for value in self.graph.inputs
        )
        try:
            self._make_plan(self._variant(()), shapes)
        except LayerccError:
            if not free and not self._may_select():
                raise

    def _may_select(self) -> bool:
        return any(value.dtype in _SELECTORS for value in self.graph.inputs)

    def _plan_for(self, arrays: list[np.ndarray]) -> Plan:
        shapes = tuple(array.shape for array in arrays)
        with self._lock:
            while True:
                key = tuple(arrays[i].tobytes() for i in self._selectors)
                variant = self._variants.get(key)
                try:
                    if variant is None:
                        variant = self._variant(
                            key, {self._names[i]: arrays[i] for i in self._selectors}
                        )
                    plan = variant.plans.get(shapes)
                    return plan if plan is not None else self._make_plan(variant, shapes)
                except LayerccError:
                    if not self._add_selectors(arrays):
                        raise

    def _variant(
        self, key: tuple[bytes, ...], values: Mapping[str, np.ndarray] | None = None
    ) -> _Variant:
        values = {name: array.copy() for name, array in (values or {}).items()}
        variant = _Variant(specialize(self.graph, values), values)
        self._variants[key] = variant
        return variant

    def _make_plan(self, variant: _Variant, shapes: tuple[tuple[int, ...], ...]) -> Plan:
        by_name = dict(zip(self._names, shapes, strict=True))
        chosen = variant
        if any(node.op == "If" for node in variant.graph.nodes):
            # A branch depends on shapes: the model is optimized for these shapes alone.
            chosen = _Variant(with_input_shapes(variant.source, by_name), variant.values)
        check_supported(chosen.graph)
        program = lower(chosen.graph, by_name, chosen.values, chosen.weights)
        plan = Plan(program, default_kernels())
        variant.plans[shapes] = plan
        if not self._selectors:
            self._plans[shapes] = plan
        return plan

    def _add_selectors(self, arrays: list[np.ndarray]) -> bool:
        """Finds inputs whose values decide shapes or branches; whether any is new."""
        values = {self._names[i]: arrays[i] for i in self._selectors}
        shapes = {name: a.shape for name, a in zip(self._names, arrays, strict=True)}
        blamed = infer(self.graph, shapes, values).errors
        found = selectors(self.graph, blamed)
        new = [
            index
            for index, value in enumerate(self.graph.inputs)
            if value.name in found
            and index not in self._selectors
            and value.dtype in _SELECTORS
            and arrays[index].size <= _SELECTOR_LIMIT
        ]
        if new:
            self._selectors = sorted([*self._selectors, *new])
            self._variants.clear()
            self._plans.clear()
        return bool(new)


def specialize(graph: Graph, values: Mapping[str, np.ndarray]) -> Graph:
    """The graph with readers of some inputs given constants instead. The inputs stay declared."""
    if not values:
        return graph
    renamed = {name: f"{name}.value" for name in values}
    result = graph.copy()
    for name, array in values.items():
        result.constants[renamed[name]] = np.asarray(array)
    result.nodes = [
        node.with_inputs(renamed.get(name, name) for name in node.inputs) for node in graph.nodes
    ]
    return result


def with_input_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph with the shapes of its inputs declared to be `shapes`."""
    result = graph.copy()
    result.inputs = [
        Value(value.name, value.type.with_shape(shapes[value.name])) for value in graph.inputs
    ]
    result.types = {}
    return result


def selectors(graph: Graph, blamed: list[Diagnostic]) -> set[str]:
    """Inputs from which the data-dependent inputs of the blamed nodes, or branch conditions, come."""
    wanted = {d.node for d in blamed if d.code == "data-dependent"}
    flow = graph.as_networkx()
    found: set[str] = set()
    for index, node in enumerate(graph.nodes):
        if node.name in wanted or node.op == "If":
            sources = {index} | nx.ancestors(flow, index)
            names = {name for i in sources for name in graph.nodes[i].inputs}
            found |= names & set(graph.input_names)
    return found


def _as_array(given: Any, value: Value) -> np.ndarray:
    """A dense array of the input's dtype. Only a change that loses nothing is made silently."""
    if hasattr(given, "__dlpack__") and not isinstance(given, np.ndarray):
        given = np.from_dlpack(given)
    array = np.asarray(given)
    dtype = value.dtype.value
    if array.dtype != dtype:
        python_scalar = not hasattr(given, "dtype")
        if not np.can_cast(array.dtype, dtype, "same_kind" if python_scalar else "safe"):
            raise InputError(
                f"input {value.name!r} is {value.dtype}; an array of {array.dtype} was given"
            )
        array = array.astype(dtype)
    return np.ascontiguousarray(array).reshape(array.shape)

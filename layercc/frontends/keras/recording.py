"""Calls of Keras layers on `KerasTensor`s, recorded by Keras, that leave no trace in the model."""

from __future__ import annotations

import collections
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from layercc.frontends.keras.registry import Refused

#: Operators of `keras.Variable` that compute at once, even with a `KerasTensor`.
_OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul",
    "lt", "le", "gt", "ge", "and", "or", "xor",
)  # fmt: skip


def operations_of(model: Any) -> Iterable[Any]:
    """The layers of a model, in layers too, and the ops of its functional graphs."""
    for layer in model._flatten_layers():
        yield layer
        yield from getattr(layer, "_operations", ())


@contextmanager
def recording(model: Any) -> Iterator[None]:
    """What is called inside is recorded in `_keras_history`. Afterwards, layers know nothing of it,
    and names that Keras makes go on where they were."""
    before = {id(op): op for op in operations_of(model)}
    counts = {key: (len(op._inbound_nodes), len(op._outbound_nodes)) for key, op in before.items()}
    names = global_state.get_global_attribute("object_name_uids")
    saved = None if names is None else dict(names)
    try:
        with _operators_left_to_keras_tensors():
            yield
    finally:
        for op in operations_of(model):
            inbound, outbound = counts.get(id(op), (0, 0))
            del op._inbound_nodes[inbound:], op._outbound_nodes[outbound:]
        if saved is not None:
            made = collections.defaultdict(int, saved)
            global_state.set_global_attribute("object_name_uids", made)


class _Ops:
    """`keras.ops` in the form of a back end's module, with modules of its own."""

    __name__ = "keras.ops"
    _parts = ("numpy", "nn", "core", "image", "math", "linalg")

    @staticmethod
    def digitize(x: Any, bins: Any) -> Any:
        return keras.ops.digitize(x, np.asarray(bins))

    def __getattr__(self, name: str) -> Any:
        if name in self._parts:
            return self if name != "image" else keras.ops.image
        found = getattr(keras.ops, name, None)
        return getattr(keras.backend, name) if found is None else found


@contextmanager
def computing_in_ops(layer: Any) -> Iterator[None]:
    """Preprocessing layers compute by the module of a back end that they hold; here by
    `keras.ops`, which can be recorded."""
    if type(getattr(layer, "backend", None)).__name__ != "DynamicBackend":
        yield
        return
    own = layer.backend
    object.__setattr__(layer, "backend", _Ops())
    try:
        yield
    finally:
        object.__setattr__(layer, "backend", own)


@contextmanager
def _operators_left_to_keras_tensors() -> Iterator[None]:
    """`variable * tensor` is `tensor.__rmul__(variable)` for a `KerasTensor`."""
    cls = keras.Variable
    originals = {}
    for operator in _OPERATORS:
        name = f"__{operator}__"
        original = getattr(cls, name, None)
        if original is None:
            continue
        originals[name] = (name in vars(cls), original)
        setattr(cls, name, _leaving(original))
    try:
        yield
    finally:
        for name, (own, original) in originals.items():
            if own:
                setattr(cls, name, original)
            else:
                delattr(cls, name)


def _leaving(original: Any) -> Any:
    def operator(self: Any, other: Any) -> Any:
        if isinstance(other, keras.KerasTensor):
            return NotImplemented
        return original(self, other)

    return operator


def functional_of(layer: Any) -> Any:
    """The graph of a functional or a built sequential model; None for any other layer."""
    graph = getattr(layer, "_functional", None) if isinstance(layer, keras.Sequential) else layer
    if graph is None or not hasattr(graph, "_nodes_by_depth"):
        return None
    overridden = "call" in {
        name for cls in type(layer).__mro__ if not cls.__module__.startswith("keras.")
        for name in vars(cls)
    }  # fmt: skip
    return None if overridden else graph


def history(x: Any, values: Container[int]) -> list[Any]:
    """The recorded calls that a tensor hangs on, but for what has values, in order."""
    found: dict[int, Any] = {}
    stack: list[tuple[Any, bool]] = [(x, False)]
    seen: set[int] = set()
    while stack:
        tensor, expanded = stack.pop()
        if id(tensor) in values:
            continue
        operation, index, _ = tensor._keras_history
        if operation is None:
            raise Refused("a tensor comes from outside of the call")
        node = operation._inbound_nodes[index]
        if expanded:
            found.setdefault(id(node), node)
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        stack.append((tensor, True))
        stack += [(source, False) for source in reversed(node.input_tensors)]
    return list(found.values())


def is_own_mask(mask: Any, args: Sequence[Any]) -> bool:
    """Whether a mask is what the first argument has on it."""
    if mask is None or not args:
        return False
    own = [getattr(x, "_keras_mask", None) for x in keras.tree.flatten(args[0])]
    given = keras.tree.flatten(mask)
    return len(own) == len(given) and all(a is b for a, b in zip(own, given, strict=True))

"""Calls of Keras layers on `KerasTensor`s, recorded by Keras, that leave no trace in the model."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

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

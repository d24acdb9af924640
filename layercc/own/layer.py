"""A user's op as a layer of the builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor, as_tensor, emit


class OwnLayer(Layer):
    """Applies a user's op to tensors; `applied` is the op, as `lc.op` gives it."""

    def __init__(self, applied: Any, attributes: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.applied, self.attributes = applied, attributes

    def call(self, *inputs: Any) -> Any:
        if len(inputs) == 1 and isinstance(inputs[0], list | tuple):
            inputs = tuple(inputs[0])  # as Keras gives several
        like = next((x.dtype for x in inputs if isinstance(x, SymbolicTensor)), None)
        tensors = [x if x is None else as_tensor(x, like) for x in inputs]
        weights, results = self.applied.emitted(self, tensors, self.attributes)
        tensors += [None] * (self.applied.count - len(tensors) if weights else 0)
        return emit(self.applied.name, *tensors, *weights, results=results, **self.attributes)


def layer_class(name: str) -> type[OwnLayer]:
    """The class of the layers of one op: they are called after it."""
    return type(name, (OwnLayer,), {"__doc__": f"Applies the op {name}."})

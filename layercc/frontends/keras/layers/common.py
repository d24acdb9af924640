"""What translations of layers share: names, weights, dtypes, activations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ir.dtypes import DType, dtype_of
from layercc.layers.activations import ACTIVATIONS


def float_of(layer: Any) -> DType | None:
    """The float type in which a layer computes; None for one that computes in integers."""
    name = str(layer.compute_dtype)
    return dtype_of(name) if "float" in name else None


def arrays(layer: Any) -> list[np.ndarray]:
    """The weights of a layer, in Keras' order."""
    return [keras.ops.convert_to_numpy(weight.value) for weight in layer.weights]


def options(t: Any, layer: Any, weights: bool = True) -> dict[str, Any]:
    """The arguments that every layer of the builder takes."""
    given = arrays(layer) if weights and layer.weights else None
    return {"name": t.name_of(layer), "dtype": float_of(layer), "weights": given}


def activation(t: Any, function: Any) -> Any:
    """An activation as the builder takes it: its name, or a function of a tensor."""
    if function is None or function is keras.activations.linear:
        return None
    name = getattr(function, "__name__", "")
    if name in ACTIVATIONS and keras.activations.get(name) is function:
        return name
    return lambda x: t.function(function, x)


def sizes(value: Any) -> Any:
    """Plain ints of what Keras keeps as lists, tuples and NumPy's ints."""
    if isinstance(value, list | tuple):
        return tuple(sizes(part) for part in value)
    return int(value) if isinstance(value, np.integer) else value

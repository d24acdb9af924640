"""Initial values of weights, by their Keras names.

Formulas: Glorot and Bengio 2010 (glorot), He et al. 2015 (he), LeCun et al. 1998 (lecun),
Saxe et al. 2014 (orthogonal); fans and scales as Keras counts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType

#: A Keras name, a number (constant), an array, or a function of (shape, dtype) that gives one.
Initializer = str | float | np.ndarray | Callable[..., Any]

# name → (scale, which fan, distribution) of Keras' VarianceScaling
_SCALED = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "he_normal": (2.0, "fan_in", "normal"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "lecun_normal": (1.0, "fan_in", "normal"),
    "variance_scaling": (1.0, "fan_in", "normal"),
}


def initialise(
    initializer: Initializer, shape: Sequence[int], dtype: DType, random: np.random.Generator
) -> np.ndarray:
    """An array of `shape` and `dtype`. Raises ValueError for a name that Keras does not have."""
    shape = tuple(shape)
    if isinstance(initializer, str):
        return _by_name(initializer.lower(), shape, random).astype(dtype.value, copy=False)
    if callable(initializer):
        made = np.asarray(initializer(shape, dtype=dtype.value))
        if made.shape != shape:
            raise ValueError(f"initializer gave shape {made.shape}, {shape} was asked for")
        return made.astype(dtype.value, copy=False)
    return np.broadcast_to(np.asarray(initializer, dtype.value), shape)


def _by_name(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if name in _SCALED:
        scale, mode, distribution = _SCALED[name]
        fan_in, fan_out = fans(shape)
        fan = fan_in if mode == "fan_in" else (fan_in + fan_out) / 2
        variance = scale / max(1.0, fan)
        if distribution == "uniform":
            return _uniform(shape, math.sqrt(3 * variance), random)
        # the factor restores the variance that truncation at two deviations takes away
        return _truncated_normal(shape, math.sqrt(variance) / 0.87962566103423978, random)
    if name in ("zeros", "zero"):
        return np.zeros(shape, np.float32)
    if name in ("ones", "one"):
        return np.ones(shape, np.float32)
    if name in ("uniform", "random_uniform"):
        return _uniform(shape, 0.05, random)
    if name in ("normal", "random_normal"):
        return 0.05 * random.standard_normal(shape, np.float32)
    if name == "truncated_normal":
        return _truncated_normal(shape, 0.05, random)
    if name in ("orthogonal", "orthogonal_initializer"):
        return _orthogonal(shape, random)
    if name == "identity" and len(shape) == 2:
        return np.eye(*shape, dtype=np.float32)
    known = [*_SCALED, "zeros", "ones", "random_uniform", "random_normal", "truncated_normal"]
    raise ValueError(f"no initializer {name!r}; there are {', '.join(known)}, orthogonal, identity")


def fans(shape: Sequence[int]) -> tuple[float, float]:
    """Inputs and outputs of one unit, for a weight in Keras order (spatial..., in, out)."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _uniform(shape: tuple[int, ...], limit: float, random: np.random.Generator) -> np.ndarray:
    values = random.random(shape, np.float32)
    values *= 2 * limit
    values -= limit
    return values


def _truncated_normal(
    shape: tuple[int, ...], deviation: float, random: np.random.Generator
) -> np.ndarray:
    """Normal values, those beyond two deviations drawn again."""
    values = random.standard_normal(shape, np.float32)
    flat = values.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        flat[outside] = random.standard_normal(outside.size, np.float32)
        outside = outside[np.abs(flat[outside]) > 2]
    flat *= np.float32(deviation)
    return flat.reshape(shape)


def _orthogonal(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    drawn = random.standard_normal((max(rows, columns), min(rows, columns)), np.float32)
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diagonal(r))  # makes the distribution uniform over orthogonal matrices
    return (q if rows >= columns else q.T).reshape(shape)

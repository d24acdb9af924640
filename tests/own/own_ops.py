"""Ops that tests define with `lc.op`: one of each kind, and some at the edges."""

# mypy: ignore-errors

from __future__ import annotations

import math

import numba
import numpy as np

import layercc as lc

SCALE = 2.0


def doubled(x):
    return SCALE * x


@lc.op(domain="tests", version=3)
def swish(x, beta: float = 1.0):
    return x / (1 + np.exp(-beta * x))


@lc.op(domain="tests", types={"": "numeric", "chosen": "bool"})
def gated(x, y, chosen, low=0.5, flip=False):
    """A mask, a helper, a truth value as attribute."""
    z = np.where(chosen, doubled(x), low * y)
    return -z if flip else z


@lc.op(domain="tests")
def steep(x, y=None, k=2):
    """Branches on values, and on whether an input is there."""
    if y is None:
        return x * k
    if x > y:
        return math.exp(-x) * k
    return y


@lc.op(domain="tests", types="numeric", dtype="bool")
def near(x, *others):
    found = x == x
    for other in others:
        found = found & (np.abs(x - other) < 1)
    return found


@lc.op(domain="tests", types={"": "int"})
def scrambled(x, y):
    return ((x << 3) ^ (y >> 1)) // 3 % 7 + (x & y)


@lc.op(domain="tests")
def squashed(x):
    return swish(x, 0.5) * math.tanh(x)


@lc.op(domain="tests")
def kinked(x, slope=0.1):
    """Branches, has an attribute, and calls another op."""
    if x > 0:
        return swish(x)
    return x * slope


@lc.op(domain="tests", composite=True)
def block(x, units=3):
    y = lc.Dense(units)(x)
    return lc.activations.silu(lc.LayerNormalization()(y)) + swish(y, beta=0.5)


@lc.op(domain="tests", composite=True)
def swiglu(x, gate, up, bias=None):
    y = lc.activations.silu(x @ gate) * (x @ up)
    return y if bias is None else y + bias


trained = lc.Sequential([lc.Input((4,)), lc.Dense(3), lc.Dense(2)], name="trained")


@lc.op(domain="tests", composite=True)
def tower(x, units=4):
    """Layers of several kinds: a composite twice, and a model that has its weights."""
    y = block(block(lc.Dense(units)(x)), units=units)
    return trained(y)


@lc.op(domain="tests", composite=True)
def halves(x):
    return lc.emit("Split", x, results=2, axis=-1, num_outputs=2)


@lc.op(domain="tests", shape=lambda x, w: (x[0], w[1]), parallel=("x", "out"))
@numba.njit
def product(x, w, out, scale=1.0, skip_first=False):
    for i in range(x.shape[0]):
        for j in range(w.shape[1]):
            total = 0.0
            for k in range(int(skip_first), x.shape[1]):
                total += x[i, k] * w[k, j]
            out[i, j] = total * scale


@numba.njit
def is_taken(indices, row, upto, column):
    found = False
    for k in range(upto):
        found = found or indices[row, k] == column
    return found


@lc.op(
    domain="tests",
    shape=lambda x, k: ((x[0], k), (x[0], k)),
    dtype=("x", "i64"),
    outputs=("values", "indices"),
)
def largest(x, values, indices, k=2):
    if k > x.shape[1]:
        raise ValueError("k is more than there are columns")
    for i in range(x.shape[0]):
        for j in range(k):
            best = -1
            for c in range(x.shape[1]):
                if not is_taken(indices, i, j, c) and (best < 0 or x[i, c] > x[i, best]):
                    best = c
            values[i, j] = x[i, best]
            indices[i, j] = best


@lc.op(domain="tests", shape=lambda x: (x[0],))
def beyond(x, out):
    for i in range(x.shape[0] + 1):
        out[i] = x[i, 0]


@lc.op(domain="tests", shape="x")
def running_sums(x, out):
    total = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total[i] += x[i, j]
            out[i, j] = total[i]

"""Ops that tests define with `lc.op`: one of each kind, and some at the edges."""

# mypy: ignore-errors

from __future__ import annotations

import math

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


@lc.op(domain="tests", composite=True)
def block(x, units=3):
    y = lc.Dense(units)(x)
    return lc.activations.silu(lc.LayerNormalization()(y)) + swish(y, beta=0.5)


@lc.op(domain="tests", composite=True)
def swiglu(x, gate, up, bias=None):
    y = lc.activations.silu(x @ gate) * (x @ up)
    return y if bias is None else y + bias


@lc.op(domain="tests", composite=True)
def halves(x):
    return lc.emit("Split", x, results=2, axis=-1, num_outputs=2)

"""Packed weights live as long as the constant, and as the model, whichever goes first."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from layercc.weights import Weights


def test_each_form_is_packed_once() -> None:
    weights, constant = Weights(), np.arange(6.0)
    made = weights.packed(constant, "twice", lambda array: array * 2)
    assert weights.packed(constant, "twice", lambda array: array * 3) is made
    assert weights.packed(constant, "thrice", lambda array: array * 3) is not made


def test_they_go_with_the_constant() -> None:
    weights, constant = Weights(), np.arange(6.0)
    made = weakref.ref(weights.packed(constant, "twice", lambda array: array * 2))
    del constant
    gc.collect()
    assert made() is None


def test_they_go_with_the_model() -> None:
    """A graph that is compiled again and again does not keep what was packed for all of these."""
    weights, constant = Weights(), np.arange(6.0)
    made = weakref.ref(weights.packed(constant, "twice", lambda array: array * 2))
    del weights
    gc.collect()
    assert made() is None
    del constant
    gc.collect()

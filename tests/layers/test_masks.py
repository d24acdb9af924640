"""Masks, from the layers that make them to those that heed them, beside Keras."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is not installed")

import layercc as lc  # noqa: E402
from ir.diagnostics import ShapeError  # noqa: E402
from layercc import layers  # noqa: E402

pytestmark = pytest.mark.keras

#: Indices: padding at the end, in between, at the front, and nothing but padding.
INDICES = np.array(
    [[1, 2, 3, 1, 2, 0, 0], [1, 0, 0, 3, 0, 2, 1], [0, 0, 1, 2, 3, 3, 0], [0] * 7], np.int32
)
STEPS = np.random.default_rng(0).standard_normal((4, 7, 3)).astype(np.float32)
STEPS[0, 2], STEPS[1, :3], STEPS[2, 6], STEPS[3] = 0, 0, 0, 0

Network = Callable[[Any, Any], Any]


def embedded(L: Any, x: Any) -> Any:
    return L.Embedding(4, 6, mask_zero=True)(x)


def recurrent(kind: str, **arguments: Any) -> Network:
    return lambda L, x: getattr(L, kind)(5, **arguments)(embedded(L, x))


def bidirectional(mode: str | None, **arguments: Any) -> Network:
    return lambda L, x: L.Bidirectional(L.LSTM(5, **arguments), merge_mode=mode)(embedded(L, x))


def with_initial_state(L: Any, x: Any) -> Any:
    state = L.Dense(5)(L.Flatten()(L.Embedding(4, 2)(x)))
    rnn = L.GRU(5, return_state=True)
    return rnn(embedded(L, x), initial_state=state, mask=None)


def stacked(L: Any, x: Any) -> Any:
    y = L.SimpleRNN(5, return_sequences=True)(embedded(L, x))
    return L.GRU(4)(L.Dropout(0.5)(L.LayerNormalization()(y)))


def merged(kind: str) -> Network:
    def network(L: Any, x: Any) -> Any:
        one, two = embedded(L, x), L.Masking(0.25)(L.Embedding(4, 6)(x))
        both = getattr(L, kind)()([one, two])
        return [both, L.LSTM(3)(both)]

    return network


def concatenated(axis: int) -> Network:
    def network(L: Any, x: Any) -> Any:
        joined = L.Concatenate(axis=axis)([embedded(L, x), L.Embedding(4, 6)(x), embedded(L, x)])
        return L.GRU(3)(joined)

    return network


def attention(L: Any, x: Any) -> Any:
    first = embedded(L, x)
    query, value = L.Dense(6)(first), L.Dense(6)(first)
    both = L.Attention()([query, value])
    return [both, L.AdditiveAttention()([L.Dense(6)(first), L.Dense(6)(first)]), L.GRU(3)(both)]


def heads(L: Any, x: Any) -> Any:
    first = embedded(L, x)
    return [
        L.MultiHeadAttention(2, 3)(L.Dense(6)(first), L.Dense(6)(first)),
        L.MultiHeadAttention(2, 3)(L.Dense(6)(first), L.Dense(6)(first), use_causal_mask=True),
        L.MultiHeadAttention(2, 3, dropout=0.5)(L.Dense(6)(first), L.Dense(6)(first)),
        L.GroupQueryAttention(3, 4, 2)(L.Dense(6)(first), L.Dense(6)(first)),
    ]


def pooled(L: Any, x: Any) -> Any:
    return [
        L.GlobalAveragePooling1D(keepdims=keepdims)(L.Dense(3)(embedded(L, x)))
        for keepdims in (False, True)
    ]


def distributed(L: Any, x: Any) -> Any:
    return L.LSTM(3)(L.TimeDistributed(L.Dense(4))(embedded(L, x)))


def lost(L: Any, x: Any) -> Any:
    return L.LSTM(3)(L.Reshape((7, 6))(embedded(L, x)))


def masking(L: Any, x: Any) -> Any:
    return L.LSTM(4, return_sequences=True)(L.Masking()(x))


NETWORKS: dict[str, tuple[Network, np.ndarray]] = {
    **{
        f"{kind}{arguments}": (recurrent(kind, **arguments), INDICES)
        for kind, arguments in (
            ("LSTM", {}),
            ("GRU", {"return_sequences": True}),
            ("LSTM", {"return_sequences": True, "return_state": True, "go_backwards": True}),
            ("SimpleRNN", {"return_sequences": True, "zero_output_for_mask": True}),
            ("GRU", {"go_backwards": True, "zero_output_for_mask": True}),
        )
    },
    "last": (bidirectional("concat"), INDICES),
    "sequences": (bidirectional("sum", return_sequences=True), INDICES),
    "both": (bidirectional(None, return_sequences=True), INDICES),
    **{kind: (merged(kind), INDICES) for kind in ("Add", "Multiply", "Maximum", "Minimum")},
    "features": (concatenated(-1), INDICES),
    "steps": (concatenated(1), INDICES),
    **{
        network.__name__: (network, INDICES)
        for network in (with_initial_state, stacked, heads, pooled, distributed, lost)
    },
    "attention": (attention, INDICES[:3]),
    "masking": (masking, STEPS),
}


def run(L: Any, network: Network, x: np.ndarray) -> tuple[Any, Any]:
    tensor = L.Input(x.shape[1:], dtype=x.dtype.name)
    return tensor, network(L, tensor)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:Layer 'reshape")
def test_masked_network_equals_keras(name: str) -> None:
    network, x = NETWORKS[name]
    theirs = keras.Model(*run(keras.layers, network, x))
    ours = layers.Model(*run(layers, network, x))
    for model in (theirs, ours):  # which order their layers differently: same shape, same weights
        model.set_weights(
            [
                np.random.default_rng(w.shape).standard_normal(w.shape).astype(np.float32) * 0.5
                for w in model.get_weights()
            ]
        )
    expected = theirs(x)
    expected = expected if isinstance(expected, list | tuple) else [expected]
    found = lc.interpret(ours, {ours.input_names[0]: x})
    for output, reference in zip(ours.output_names, expected, strict=True):
        reference = keras.ops.convert_to_numpy(reference)
        np.testing.assert_allclose(found[output], reference, rtol=2e-5, atol=2e-5)


def test_a_masked_recurrence_compiles() -> None:
    """Masked steps repeat what is before them; with no step that counts, the result is zeros."""
    x = layers.Input((None,), dtype="int32")
    y = layers.GRU(5, return_sequences=True)(layers.Embedding(4, 6, mask_zero=True)(x))
    model = layers.Model(x, y)
    fn = lc.compile(model)
    for indices in (INDICES, INDICES[:1, :5], np.zeros((0, 3), np.int32)):
        found = fn(indices)
        expected = lc.interpret(model, {"x": indices})
        np.testing.assert_allclose(found, *expected.values(), rtol=1e-5, atol=1e-6)
    whole = fn(INDICES)
    np.testing.assert_array_equal(whole[0, 5:], whole[0, [4, 4]])
    np.testing.assert_array_equal(whole[3], 0)


def test_masks_survive_a_model_within_a_model() -> None:
    x = layers.Input((7, 6))
    inner = layers.Model(x, layers.Dense(6)(x))
    ids = layers.Input((7,), dtype="int32")
    plain = layers.Embedding(4, 6, mask_zero=True)
    gru = layers.GRU(3)
    whole = layers.Model(ids, gru(inner(plain(ids))))
    assert any(node.op == "TopK" for node in whole.nodes)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    x, mask = layers.Input((7, 3)), layers.Input((7, 3), dtype="bool")
    with pytest.raises(ShapeError, match=r"the mask is bool\[N, 7, 3\]; \[batch, steps\]"):
        layers.LSTM(4)(x, mask=mask)

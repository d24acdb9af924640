"""Attention on the stand-in device, against its reference in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.running import check_node

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def qkv(batch, heads, queries, keys, size, value_size=None, kv_heads=None):
    kv = kv_heads or heads
    sizes = ((heads, queries, size), (kv, keys, size), (kv, keys, value_size or size))
    return [some(batch, *rest) for rest in sizes]


def check(inputs, attributes=None, outputs=1, error=1e-6):
    check_node("Attention", inputs, attributes or {}, outputs=outputs, error=error)


@pytest.mark.parametrize(
    ("sizes", "kv_heads"),
    [((1, 1, 1, 1, 1), 1), ((2, 3, 5, 7, 11), 3), ((1, 2, 3, 70, 16), 1), ((2, 2, 3, 0, 4), 2)],
)
def test_sizes(sizes, kv_heads):
    check(qkv(*sizes, kv_heads=kv_heads))


def test_many_columns():
    check(qkv(1, 1, 2, 5, 4, 70))
    check(qkv(1, 1, 2, 5, 4, 300))


def test_packed_heads():
    inputs = [some(2, 5, 12), some(2, 7, 12), some(2, 7, 12)]
    check(inputs, {"q_num_heads": 3, "kv_num_heads": 3})


def test_masks():
    q, k, v = qkv(2, 3, 5, 37, 8)
    seen = RNG.random((2, 1, 5, 37)) < 0.5
    seen[0, 0, 2] = False  # a query that sees nothing
    v_hidden = v.copy()
    check([q, k, v_hidden, seen])
    added = some(5, 37)
    added[1] = -np.inf
    added[3, 4] = -np.inf
    check([q, k, v, added])


def test_causal_windows_and_caps():
    inputs = qkv(1, 2, 40, 40, 8)
    check(inputs, {"is_causal": 1})
    check(inputs, {"softcap": 2.0, "scale": 0.3})


@pytest.mark.parametrize("shown", [0, 1, 2, 3])
def test_scores(shown):
    q, k, v = qkv(1, 2, 5, 37, 8)
    mask = RNG.random((5, 37)) < 0.7
    check([q, k, v, mask], {"qk_matmul_output_mode": shown, "softcap": 3.0}, outputs=4)


def test_past_and_lengths():
    q, k, v = qkv(2, 2, 3, 4, 8)
    past = [some(2, 2, 6, 8), some(2, 2, 6, 8)]
    check([q, k, v, None, *past], {"is_causal": 1}, outputs=3)
    lengths = np.array([2, 4])
    check([q, k, v, None, None, None, lengths], {"is_causal": 1})


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize(
    ("shape", "attributes"),
    [((2, 3, 5, 8), {}), ((2, 3, 5, 10), {"rotary_embedding_dim": 4}),
     ((2, 5, 24), {"num_heads": 3}), ((1, 1, 1, 2), {}), ((2, 3, 0, 8), {})],
)  # fmt: skip
def test_rotary_embedding(shape, attributes, interleaved):
    size = shape[-1] // attributes.get("num_heads", 1)
    half = attributes.get("rotary_embedding_dim", size) // 2
    length = shape[-2]
    x, attributes = some(*shape), attributes | {"interleaved": interleaved}
    positions = RNG.integers(-9, 9, (shape[0], length))
    check_node(
        "RotaryEmbedding", [x, some(9, half), some(9, half), positions], attributes, error=3e-7
    )
    caches = [some(shape[0], length, half) for _ in range(2)]
    check_node("RotaryEmbedding", [x, *caches], attributes, error=3e-7)

"""Attention and RotaryEmbedding against their references, in all variants and odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support import reference_node, run_node

RNG = np.random.default_rng(5)

pytestmark = pytest.mark.every_isa


def normal(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def qkv(
    batch: int, heads: int, queries: int, keys: int, size: int, value_size: int = 0,
    *, kv_heads: int = 0, packed: bool = False, dtype: Any = np.float32,
) -> tuple[list[np.ndarray | None], dict]:  # fmt: skip
    """Q, K, V and the attributes that say how many heads they have."""
    kv_heads, value_size = kv_heads or heads, value_size or size
    if not packed:
        return [
            normal(batch, heads, queries, size, dtype=dtype),
            normal(batch, kv_heads, keys, size, dtype=dtype),
            normal(batch, kv_heads, keys, value_size, dtype=dtype),
        ], {}
    return [
        normal(batch, queries, heads * size, dtype=dtype),
        normal(batch, keys, kv_heads * size, dtype=dtype),
        normal(batch, keys, kv_heads * value_size, dtype=dtype),
    ], {"q_num_heads": heads, "kv_num_heads": kv_heads}


def check(inputs: list, attributes: dict, outputs: int = 1, tolerance: float = 3e-6) -> None:
    made = run_node("Attention", inputs, attributes, outputs)
    wanted = reference_node("Attention", inputs, attributes, outputs)
    for got, expected in zip(made, wanted, strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("packed", [False, True], ids=["4d", "3d"])
@pytest.mark.parametrize(
    "sizes, kv_heads",
    [
        ((1, 1, 1, 1, 1), 1),
        ((2, 3, 5, 7, 11), 3),
        ((1, 2, 197, 197, 64), 2),
        ((2, 6, 13, 67, 8, 37), 2),
        ((1, 4, 1, 129, 64), 1),
        ((1, 1, 30, 1100, 16, 300), 1),
        ((2, 2, 3, 0, 4), 2),
        ((0, 2, 3, 4, 5), 2),
    ],
    ids=str,
)
def test_sizes(sizes: tuple[int, ...], kv_heads: int, packed: bool) -> None:
    inputs, attributes = qkv(*sizes, kv_heads=kv_heads, packed=packed)
    check(inputs, attributes)


MASKS: list[tuple[str, Any]] = [
    ("bool over keys", lambda: RNG.random((2, 1, 1, 70)) < 0.5),
    ("bool, a row without keys", lambda: np.arange(31)[:, None] + np.zeros(70) != 4),
    ("a head each", lambda: normal(1, 3, 31, 70)),
    ("a batch each", lambda: normal(2, 1, 31, 70)),
    ("keys alone", lambda: normal(70)),
    ("shorter than the keys", lambda: normal(31, 66)),
    ("shorter by panels", lambda: normal(31, 3)),
    ("one number", lambda: normal()),
    ("one bool", lambda: np.array(True)),
    ("f64", lambda: normal(31, 70, dtype=np.float64)),
]


@pytest.mark.parametrize("mask", [make for _, make in MASKS], ids=[name for name, _ in MASKS])
def test_masks(mask: Any) -> None:
    inputs, attributes = qkv(2, 3, 31, 70, 8)
    check([*inputs, mask()], attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {"is_causal": 1},
        {"left_window_size": 5},
        {"left_window_size": 3, "right_window_size": 2},
        {"is_causal": 1, "left_window_size": 70, "right_window_size": 9},
        {"scale": 0.3, "softcap": 2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("keys", [40, 150, 700])
def test_windows(attributes: dict, keys: int) -> None:
    inputs, more = qkv(1, 2, 150, keys, 8)
    check(inputs, attributes | more)


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("packed", [False, True], ids=["4d", "3d"])
def test_cache_and_all_outputs(mode: int, packed: bool) -> None:
    inputs, attributes = qkv(2, 4, 5, 7, 8, 9, kv_heads=2, packed=packed)
    past = [normal(2, 2, 61, 8), normal(2, 2, 61, 9)]
    mask = np.where(RNG.random((5, 68)) < 0.3, -np.inf, 0).astype(np.float32)
    attributes |= {"qk_matmul_output_mode": mode, "is_causal": 1, "softcap": 1.5}
    check([*inputs, mask, *past], attributes, outputs=4)


def test_lengths() -> None:
    inputs, attributes = qkv(3, 2, 5, 90, 8)
    lengths = np.array([90, 3, 66])
    check([*inputs, None, None, None, lengths], attributes | {"is_causal": 1})


@pytest.mark.parametrize(
    "dtype, tolerance", [(np.float64, 1e-12), (np.float16, 2e-3)], ids=["f64", "f16"]
)
def test_other_types(dtype: Any, tolerance: float) -> None:
    inputs, attributes = qkv(1, 2, 33, 70, 16, packed=True, dtype=dtype)
    check(inputs, attributes, tolerance=tolerance)


def test_nan_and_infinity() -> None:
    """NaN in a query or an infinite score spoil their own rows, and only these."""
    inputs, attributes = qkv(1, 2, 30, 70, 8)
    q = inputs[0]
    assert q is not None
    q[0, 0, 3, 1] = np.nan
    q[0, 1, 5, 2] = np.inf
    (y,) = run_node("Attention", inputs, attributes)
    assert np.isnan(y[0, 0, 3]).all()
    assert np.isnan(y[0, 1, 5]).all()
    assert np.isnan(y).sum() == 16


def test_large_scores() -> None:
    """Powers of unshifted scores would overflow; keys come in several blocks."""
    inputs, attributes = qkv(1, 1, 7, 1300, 8)
    check(inputs, attributes | {"scale": 40.0}, tolerance=2e-4)


def test_threads_agree() -> None:
    inputs, attributes = qkv(1, 12, 128, 128, 64, packed=True)
    one, two, three = (run_node("Attention", inputs, attributes, threads=t)[0] for t in (1, 2, 3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("packed", [False, True], ids=["4d", "3d"])
@pytest.mark.parametrize("indexed", [False, True], ids=["cache by token", "cache by position"])
@pytest.mark.parametrize("turned", [0, 6], ids=["whole", "part"])
def test_rotary(interleaved: int, packed: bool, indexed: bool, turned: int) -> None:
    batch, heads, length, size = 2, 3, 5, 14
    x = normal(batch, length, heads * size) if packed else normal(batch, heads, length, size)
    half = (turned or size) // 2
    rows = (50,) if indexed else (batch, length)
    positions = RNG.integers(-50, 50, (batch, length)) if indexed else None
    inputs = [x, normal(*rows, half), normal(*rows, half), positions]
    attributes = {"interleaved": interleaved, "rotary_embedding_dim": turned}
    attributes |= {"num_heads": heads} if packed else {}
    (got,) = run_node("RotaryEmbedding", inputs, attributes)
    (wanted,) = reference_node("RotaryEmbedding", inputs, attributes)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)

"""Attention on the stand-in device, against its reference in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from layercc.cuda.architecture import architecture_named
from layercc.cuda.codegen.compiler import compile_kernel
from layercc.cuda.kernels.attention_tiles import attention_tiles
from tests.cuda.instructions import loops_of, share
from tests.cuda.running import check_node, distance, on_device
from tests.support import named, one_node, reference_node

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


def kernels(stand_in) -> set[str]:
    """The families of attention that were launched."""
    names = (name.removeprefix("layercc_").rpartition("_")[0] for name in stand_in.launched)
    return {name for name in names if name.startswith("attention")}


@pytest.mark.parametrize(
    ("sizes", "kv_heads"),
    [((1, 1, 1, 1, 1), 1), ((2, 3, 5, 7, 11), 3), ((1, 2, 3, 70, 16), 1), ((2, 2, 3, 0, 4), 2)],
)
@pytest.mark.sampled(2)
def test_sizes(sizes, kv_heads):
    check(qkv(*sizes, kv_heads=kv_heads))


@pytest.mark.parametrize(
    ("sizes", "kv_heads"),
    [((1, 2, 17, 70, 16), 1), ((2, 2, 65, 130, 8), 2), ((1, 1, 16, 1, 4), 1), ((1, 1, 20, 0, 8), 1),
      ((1, 2, 19, 67, 81, 150), 2)],
)  # fmt: skip
@pytest.mark.sampled(2)
def test_tiles(sizes, kv_heads, stand_in):
    """Several blocks of queries, keys and columns; a depth that is put down on the way."""
    check(qkv(*sizes, kv_heads=kv_heads))
    assert {"attention_tiles"} == kernels(stand_in)


def test_tiles_of_masks(stand_in):
    """By numbers; and by choice, by the place, and by lengths, with caps on scores."""
    q, k, v = qkv(1, 3, 21, 70, 68, 8)
    added = some(21, 70) * 3
    added[1] = -np.inf  # a query that sees nothing
    added[3, 4] = -np.inf
    check([q, k, v, added])
    q, k, v = qkv(2, 1, 67, 102, 68, 8)
    seen = RNG.random((2, 1, 67, 101)) < 0.5
    seen[0, 0, 2] = False
    lengths = np.array([70, 101])
    attributes = {"is_causal": 1, "softcap": 2.0, "scale": 0.3, "left_window_size": 50}
    check([q, k, v, seen, None, None, lengths], attributes)
    assert {"attention_tiles"} == kernels(stand_in)


@pytest.mark.parametrize(("precision", "error"), [("high", 3e-5), ("medium", 1e-2)])
def test_precisions(precision, error):
    """Fewer pieces, and they are not what the highest precision computes."""
    inputs = qkv(1, 2, 33, 70, 32)
    graph = one_node("Attention", inputs, {}, 1)
    (found,) = on_device(graph, named(inputs), precision=precision).values()
    (exact,) = reference_node("Attention", inputs)
    assert error / 100 < distance(found, exact) <= error


def test_what_is_not_finite():
    """Pieces of infinity are not all numbers: such rows are computed again without them."""
    q, k, v = qkv(1, 1, 20, 70, 8)
    q[0, 0, 3, 2], k[0, 0, 5] = np.nan, np.abs(k[0, 0, 5])
    k[0, 0, 5, 1], v[0, 0, 7, 3] = np.inf, -np.inf
    q[..., 1] = -np.abs(q[..., 1])  # a score of -inf, which is no weight
    inputs = [q, k, v]
    (found,) = on_device(one_node("Attention", inputs), named(inputs)).values()
    (exact,) = reference_node("Attention", inputs)
    assert np.isnan(exact[0, 0, 3]).all() and np.isinf(exact[0, 0, :, 3]).sum() == 19
    assert distance(found, exact) <= 1e-6


def test_f64():
    inputs = [x.astype("f8") for x in qkv(1, 2, 17, 40, 8)]
    graph = one_node("Attention", inputs, {"softcap": 3.0})
    (found,) = on_device(graph, named(inputs)).values()
    assert distance(found, *reference_node("Attention", inputs, {"softcap": 3.0})) <= 1e-14


@pytest.mark.parametrize(("dtype", "error"), [("f2", 1e-3), (ml_dtypes.bfloat16, 6e-3)])
@pytest.mark.sampled(2)
def test_halves(dtype, error, stand_in):
    """In their own type: nothing is converted before."""
    for queries in (17, 5) if dtype == "f2" else (17,):
        q, k, v = qkv(1, 2, queries, 40, 8)
        inputs = [x.astype(dtype) for x in (q, k, v, some(queries, 40))]
        graph = one_node("Attention", inputs)
        (found,) = on_device(graph, named(inputs)).values()
        exact = [x.astype("f8") for x in inputs]
        assert found.dtype == inputs[0].dtype
        assert distance(found, *reference_node("Attention", exact)) <= error
    assert all("attention" in name for name in stand_in.launched)


def test_types_that_differ():
    """Computed in f32, in which numbers of all of them are."""
    q, k, v = (x.astype("f2") for x in qkv(1, 2, 17, 40, 68, 8))
    mask = np.where(RNG.random((17, 40)) < 0.3, -1e30, 0).astype("f4")  # not of f16
    inputs = [q, k, v, mask]
    (found,) = on_device(one_node("Attention", inputs), named(inputs)).values()
    assert distance(found, *reference_node("Attention", inputs)) <= 1e-3


def test_a_sample_gives_the_same_alone_and_in_a_batch():
    q, k, v = qkv(3, 2, 33, 70, 8)
    whole = on_device(one_node("Attention", [q, k, v]), named([q, k, v]))["y0"]
    part = [x[1:2] for x in (q, k, v)]
    one = on_device(one_node("Attention", part), named(part))["y0"]
    np.testing.assert_array_equal(one, whole[1:2])


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
    inputs = qkv(1, 2, 15, 40, 8)
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


def test_matrix_instructions():
    """Of the instructions of the inner loop, that of Q K, at least 28 % are products, and of all
    that are executed for a block of keys as many."""
    key = attention_tiles.key("f32", "bf16", 3, 64, 64, True, "", False, False, False)
    code = compile_kernel(key, architecture_named("sm_80"), None).code.decode()
    loops = loops_of(code)
    inner = min(loops, key=len)
    assert share(inner) >= 0.28
    whole = max(loops, key=len)
    rest = [each for each in whole if each not in inner]
    assert share([*rest, *inner * 4]) >= 0.28  # 4 steps for a head of 64

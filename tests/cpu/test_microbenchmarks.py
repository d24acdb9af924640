"""Kernels that measure compute what they say, so that their operations are really carried out."""

# mypy: ignore-errors

import numpy as np
import pytest

from layercc.cpu.kernels.microbenchmarks import (
    chain_count,
    chain_elements,
    chain_operations,
    chain_type,
    chain_words,
    multiply_add_chains,
    repeated_copy,
    repeated_sum,
)
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.tiles import BF16_PAIRS, PAIRS, QUADS
from layercc.kernels.element_types import SCALAR
from tests.cpu.native_calls import ENTRY, argument_words

pytestmark = pytest.mark.every_isa


def call(key, isa, tasks, *values):
    kernel = default_kernels(isa).get(key)
    words = argument_words(kernel.signature, values)
    for task in range(tasks):
        ENTRY(kernel.address)(task, words.ctypes.data)


def stepped(element, x, a, b):
    """The step of a chain, by NumPy; words of floats and integers alike are 4 bytes, or f64."""
    if element == PAIRS:
        product = x.view(np.int16).astype(np.int32) * a.view(np.int16).astype(np.int32)
        return product.reshape(*x.shape, 2).sum(-1, dtype=np.int32) + b
    if element == QUADS:
        product = a.view(np.uint8).astype(np.int32) * b.view(np.int8).astype(np.int32)
        return x + product.reshape(-1, 4).sum(-1, dtype=np.int32).view(np.uint32)
    if element == BF16_PAIRS:
        wide = [(half.view(np.uint16).astype(np.uint32) << 16).view(np.float32) for half in (a, b)]
        return x + (wide[0] * wide[1]).reshape(-1, 2).sum(-1)
    return x * a + b


def words_of(element, shape, rng):
    """Random words of small integers, such that floats stay exact."""
    if element in (PAIRS, QUADS):
        return rng.integers(0, 1 << 32, shape, np.uint32).view(SCALAR[chain_type(element)])
    if element == BF16_PAIRS:
        halves = rng.integers(-3, 4, (*shape, 2)).astype(np.float32).view(np.uint32) >> 16
        return halves.astype(np.uint16).view(np.float32)[..., 0]
    return rng.integers(-3, 4, shape).astype(SCALAR[element])


@pytest.mark.parametrize("name", ["f32", "f64", "i8", "bf16"])
@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_chains(isa, name, rounds):
    element = chain_elements(isa).get(name)
    if element is None:
        pytest.skip(f"{isa.name} has no products of {name}")
    tasks = 3
    rng = np.random.default_rng(rounds)
    lanes = chain_words(isa, element) // chain_count(isa)
    a, b = words_of(element, (2, lanes), rng)
    first = words_of(element, (tasks, chain_count(isa), lanes), rng)
    if element == BF16_PAIRS:
        first = rng.integers(-3, 4, first.shape).astype(np.float32)
    expected = first
    for _ in range(rounds):
        expected = stepped(element, expected, a, b)
    operands = np.concatenate([a, b])
    sums = np.full(first.size + lanes, 7, first.dtype)
    sums[: first.size] = first.ravel()
    call(multiply_add_chains.key(element), isa, tasks, operands, sums, rounds)
    np.testing.assert_array_equal(sums[: first.size].reshape(first.shape), expected)
    np.testing.assert_array_equal(sums[first.size :], 7)


def test_operations(isa):
    """A multiplication and an addition for each product of each word."""
    lanes = chain_count(isa) * isa.vector_bytes // 4
    products = {"f32": 1, "bf16": 2, "i8": 4 if chain_elements(isa)["i8"] == QUADS else 2}
    for name, element in chain_elements(isa).items():
        expected = lanes if name == "f64" else 2 * lanes * products[name]
        assert chain_operations(isa, element) == expected


@pytest.mark.parametrize("count", [0, 1, 31, 1031])
@pytest.mark.parametrize("rounds", [1, 5])
def test_sum(isa, count, rounds):
    tasks = 3
    x = np.random.default_rng(count).integers(0, 1 << 64, (tasks, count), np.uint64)
    y = np.full(tasks + 1, 7, np.uint64)
    call(repeated_sum.key(), isa, tasks, x, y, count, rounds)
    np.testing.assert_array_equal(y[:tasks], x.sum(1) * np.uint64(rounds))
    assert y[tasks] == 7


@pytest.mark.parametrize("count", [0, 1, 31, 1031])
@pytest.mark.parametrize("rounds", [1, 5])
def test_copy(isa, count, rounds):
    tasks = 3
    x = np.random.default_rng(count).integers(0, 1 << 64, (tasks, count), np.uint64)
    y = np.full(x.size + 1, 7, np.uint64)
    call(repeated_copy.key(), isa, tasks, x, y, count, rounds)
    np.testing.assert_array_equal(y[: x.size].reshape(x.shape), x + np.uint64(rounds - 1))
    assert y[x.size] == 7

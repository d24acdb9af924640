"""Intervals cover what they should, whatever the distribution; warm-up is found where it ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from layercc.statistics import calls_needed, interval, warm_up_calls

RANDOM = {
    "normal": lambda random, n: random.standard_normal(n),
    "lognormal": lambda random, n: random.lognormal(0, 2, n),
    "bimodal": lambda random, n: random.standard_normal(n) + 50 * (random.random(n) < 0.3),
    "few values": lambda random, n: random.integers(0, 3, n).astype(float),
}


@pytest.mark.parametrize("distribution", RANDOM)
@pytest.mark.parametrize(("q", "count"), [(0.5, 7), (0.5, 40), (0.9, 60), (0.99, 600)])
def test_an_interval_covers_as_often_as_it_says(distribution: str, q: float, count: int) -> None:
    draw, random = RANDOM[distribution], np.random.default_rng(7)
    true = np.quantile(draw(random, 400_000), q, method="inverted_cdf")
    found = [interval(draw(random, count), q) for _ in range(400)]
    assert found[0].confidence >= 0.95
    # 95 % of 400, less three standard deviations; discrete values are covered more often
    assert sum(i.low <= true <= i.high for i in found) >= 366


def test_the_confidence_is_that_of_the_binomial_distribution() -> None:
    values = [9.0, 1.0, 5.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 10.0]
    found = interval(values)
    assert (found.low, found.high) == (2.0, 9.0)
    # between the second and the ninth of ten: two to eight are below the median
    assert found.confidence == pytest.approx(sum(math.comb(10, k) for k in range(2, 9)) / 2**10)


@pytest.mark.parametrize(("count", "confidence"), [(1, 0.0), (2, 0.5), (5, 0.9375), (6, 0.96875)])
def test_few_values_give_all_of_their_range(count: int, confidence: float) -> None:
    found = interval(np.arange(count))
    assert (found.low, found.high) == (0, count - 1)
    assert found.confidence == pytest.approx(confidence)


def test_of_no_values_nothing_is_known() -> None:
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_calls_that_a_quantile_needs() -> None:
    """Wilks' numbers; with one less, the largest value is above the quantile too rarely."""
    for q, count in {0.5: 5, 0.9: 29, 0.95: 59, 0.99: 299, 0.999: 2995}.items():
        assert calls_needed(q) == count
        assert 1 - q**count >= 0.95 > 1 - q ** (count - 1)


def _noise(count: int, seed: int = 0) -> np.ndarray:
    return 1 + 0.01 * np.random.default_rng(seed).standard_normal(count)


@pytest.mark.parametrize("seed", range(5))
def test_steady_times_need_little_warm_up(seed: int) -> None:
    found = warm_up_calls(_noise(400, seed))
    assert found is not None and found <= 80


@pytest.mark.parametrize("slower", [1.2, 3.0, 0.5])
def test_a_step_ends_the_warm_up(slower: float) -> None:
    times = _noise(400)
    times[:100] *= slower
    found = warm_up_calls(times)
    assert found is not None and 100 <= found <= 150


def test_one_slow_first_call_of_few() -> None:
    assert warm_up_calls([5.0, *[1.0] * 11]) == 1


def test_decay_ends_where_noise_hides_it() -> None:
    times = _noise(400) + 2 * np.exp(-np.arange(400) / 20)
    found = warm_up_calls(times)
    assert found is not None and 60 <= found <= 160


def test_spikes_are_no_warm_up() -> None:
    times = _noise(400)
    times[::23] *= 30
    found = warm_up_calls(times)
    assert found is not None and found <= 80


@pytest.mark.parametrize(
    "times",
    [
        _noise(400) + np.arange(400) / 400,  # drifts
        np.concatenate([_noise(300), 2 * _noise(100)]),  # has just changed
        [5.0, 1.0, 1.0],  # too few
        [],
    ],
    ids=["drift", "late step", "few", "none"],
)
def test_what_is_not_known_to_be_steady(times: list[float]) -> None:
    assert warm_up_calls(times) is None


def test_times_that_are_all_the_same() -> None:
    assert warm_up_calls([0.25] * 100) == 0

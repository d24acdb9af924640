"""Initial weights have the spread that their names promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ir.dtypes import DType
from layercc.layers.initializers import initialise

SHAPE = (3, 3, 40, 60)  # fan in: 9 * 40, fan out: 9 * 60

SCALED = {
    # name: variance, bound
    "glorot_uniform": (1 / 450, math.sqrt(3 / 450)),
    "glorot_normal": (1 / 450, math.inf),
    "he_uniform": (2 / 360, math.sqrt(6 / 360)),
    "he_normal": (2 / 360, math.inf),
    "lecun_uniform": (1 / 360, math.sqrt(3 / 360)),
    "lecun_normal": (1 / 360, math.inf),
    "random_uniform": (0.05**2 / 3, 0.05),
    "random_normal": (0.05**2, math.inf),
    "truncated_normal": ((0.05 * 0.8796) ** 2, 0.1),
}


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return initialise(name, shape, DType.f32, np.random.default_rng(0))


@pytest.mark.parametrize("name", SCALED)
def test_spread(name: str) -> None:
    variance, bound = SCALED[name]
    values = draw(name, SHAPE)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert np.abs(values).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(30, 7), (7, 30), (9, 9), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    values = draw("orthogonal", shape).reshape(-1, shape[-1])
    short = values.T if values.shape[0] > values.shape[1] else values
    np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=2e-6)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="'gloriot'; there are glorot_uniform"):
        draw("gloriot", (2, 2))

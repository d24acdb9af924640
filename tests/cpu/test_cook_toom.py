"""The matrices of short convolutions, in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from layercc.cpu.cook_toom import POINTS, TAPS, Transforms, cook_toom, transforms


def assert_convolves(made: Transforms, taps: int) -> None:
    """Output i is the sum of the inputs i + k times the taps k, exactly, and of nothing else."""
    products = len(made.inputs)
    assert len(made.outputs) == products - taps + 1
    for i, row in enumerate(made.outputs):
        for j in range(products):
            for k in range(taps):
                terms = zip(row, made.inputs, made.filters, strict=True)
                found = sum(a * b[j] * g[k] for a, b, g in terms)
                assert found == (j == i + k)


@pytest.mark.parametrize("outputs", POINTS)
def test_they_convolve(outputs):
    made = transforms(outputs)
    assert len(made.outputs) == outputs
    assert_convolves(made, TAPS)


@pytest.mark.parametrize("taps", [1, 2, 3, 5])
@pytest.mark.parametrize("points", ["0", "0 1", "0 1 -1 2 -1/2", "1/3 -7/5 2 0 9 -4 5/8 1"])
def test_any_points_convolve(points, taps):
    given = [Fraction(point) for point in points.split()]
    if taps <= len(given) + 1:
        assert_convolves(cook_toom(given, taps), taps)


@pytest.mark.parametrize("outputs", POINTS)
def test_float32_holds_what_runs_apply(outputs):
    """Only filters, which are transformed in float64, have factors that are rounded."""
    made = transforms(outputs)
    for matrix in (made.inputs, made.outputs):
        for value in (value for row in matrix for value in row):
            assert Fraction(float(np.float32(float(value)))) == value


@pytest.mark.parametrize("outputs", POINTS)
def test_no_product_leaves_out_an_output_that_its_pixel_and_weight_meet(outputs):
    """So what is not finite in a pixel, or a weight, reaches every output whose direct sum has it:
    there is a product with factors other than 0 of all three."""
    made = transforms(outputs)
    for i, row in enumerate(made.outputs):
        for k in range(TAPS):
            terms = zip(row, made.inputs, made.filters, strict=True)
            assert any(a and b[i + k] and g[k] for a, b, g in terms)

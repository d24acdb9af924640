"""Cook–Toom matrices: short convolutions by fewer multiplications, derived in exact fractions.

F(m, r) gives m outputs of a filter of r taps, y[i] = Σ_k d[i + k] g[k], from m + r - 1 products:

    y = Aᵀ ((G g) ⊙ (Bᵀ d))

It evaluates polynomials at m + r - 2 points and at infinity (Toom–Cook, transposed: Winograd,
"Arithmetic Complexity of Computations", 1980; Lavin & Gray, "Fast Algorithms for Convolutional
Neural Networks", CVPR 2016). In two dims it is applied along either. A is powers of the points, G
powers over products of differences, a row of Bᵀ the polynomial that vanishes at all other points.

A product may be scaled at will: what A and B are multiplied by, G is divided by. Here A and B are
integers over powers of two, so that float32 holds them exactly, and all that is not lies in G,
which is applied in float64. Points decide how exact results are (Barabasz, Anderson, Soodhalter and
Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks",
TOMS 2020): small integers and their reciprocals, in pairs of p and -p that share half of their
arithmetic. Among such sets those below gave the least error in float32
(`python -m benchmarks.winograd --points`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Matrix = tuple[tuple[Fraction, ...], ...]

#: Taps of the filters.
TAPS = 3
#: Outputs of a tile along one dim → points besides infinity.
POINTS: dict[int, tuple[Fraction, ...]] = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), *(Fraction(s * n, d) for n, d in ((2, 3), (3, 2)) for s in (1, -1))),
    6: (Fraction(0), *(Fraction(s * n, d) for n, d in ((1, 2), (1, 1), (2, 1)) for s in (1, -1))),
}
#: What `transforms` is there for.
SIZES = tuple(POINTS)


@dataclass(frozen=True)
class Transforms:
    """The matrices of F(outputs, taps), products as rows of `inputs` and `filters`.

    `inputs` is Bᵀ, [products, products]; `filters` is G, [products, taps]; `outputs` is Aᵀ,
    [outputs, products].
    """

    inputs: Matrix
    filters: Matrix
    outputs: Matrix


def cook_toom(points: Sequence[Fraction], taps: int = TAPS) -> Transforms:
    """F(m, taps) with these points and infinity, of which m follows. Points must differ."""
    products = len(points) + 1
    count = products - taps + 1
    inputs, filters, outputs = [], [], []
    for index, point in enumerate(points):
        others = [*points[:index], *points[index + 1 :]]
        row, by = _shortened([*_vanishing(others), Fraction(0)])
        column, by_column = _shortened([point**i for i in range(count)])
        scale = by * by_column * math.prod((point - other for other in others), start=Fraction(1))
        inputs.append(row)
        outputs.append(column)
        filters.append(tuple(point**k / scale for k in range(taps)))
    row, by = _shortened(_vanishing(points))
    inputs.append(row)
    outputs.append(tuple(Fraction(i == count - 1) for i in range(count)))
    filters.append(tuple(Fraction(k == taps - 1) / by for k in range(taps)))
    return Transforms(tuple(inputs), tuple(filters), tuple(zip(*outputs, strict=True)))


@functools.cache
def transforms(outputs: int) -> Transforms:
    """F(outputs, 3) with the points of this file."""
    return cook_toom(POINTS[outputs])


def _vanishing(points: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x - point), lowest first."""
    made = [Fraction(1)]
    for point in points:
        made = [
            (made[i - 1] if i else Fraction(0)) - (point * made[i] if i < len(made) else 0)
            for i in range(len(made) + 1)
        ]
    return made


def _shortened(row: Sequence[Fraction]) -> tuple[tuple[Fraction, ...], Fraction]:
    """The row times a factor, and the factor: the integers of least size along the row, over the
    power of two that leaves the largest between 1 and 2."""
    whole = math.lcm(*(value.denominator for value in row))
    common = math.gcd(*(int(value * whole) for value in row))
    largest = max(abs(int(value * whole)) for value in row) // common
    factor = Fraction(whole, common) / (1 << (largest.bit_length() - 1))
    return tuple(value * factor for value in row), factor

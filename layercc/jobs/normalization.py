"""Elements in proportion to others along an axis, in a row, or in neighbouring channels."""

from __future__ import annotations

from dataclasses import dataclass

from layercc.buffers import Tensor
from layercc.jobs.job import Job


@dataclass(frozen=True, eq=False)
class Softmax(Job):
    """y = exp(x - m) / s along `axis`, where m is the largest x and s = Σ exp(x - m).

    With `logarithm`, y = x - m - log s. x has elements.
    """

    x: Tensor
    y: Tensor
    axis: int
    logarithm: bool


@dataclass(frozen=True, eq=False)
class NormalizeRows(Job):
    """Rows, which are the dims of x from `axis` on, over their deviation.

        y[r, k] = (x[r, k] - m[r]) * f[r] * scale[k] + bias[k]
        f[r] = 1 / sqrt(mean_k (x[r, k] - m[r])^2 + epsilon)

    m is the row's mean with `centered`, else 0. m goes to `means` and f to `inverses`, where they
    are given, both in one type. Scale, bias and y are of one type.
    """

    x: Tensor
    scale: Tensor
    bias: Tensor | None
    y: Tensor
    axis: int
    epsilon: float
    centered: bool
    means: Tensor | None = None
    inverses: Tensor | None = None


@dataclass(frozen=True, eq=False)
class LocalResponse(Job):
    """y[c] = x[c] / (bias + alpha * Σ_d x[c + d]^2) ^ beta along `axis`; -before <= d <= after.

    Beyond the ends x is 0. x has elements.
    """

    x: Tensor
    y: Tensor
    axis: int
    before: int
    after: int
    alpha: float
    beta: float
    bias: float

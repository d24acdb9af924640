"""Where along an axis the best elements lie, and what has come together up to each of them."""

from __future__ import annotations

from dataclasses import dataclass

from layercc.buffers import Tensor
from layercc.jobs.job import Job


@dataclass(frozen=True, eq=False)
class Search(Job):
    """y, of i64, says where along `axis` the largest element of x lies, or the smallest.

    Of equal elements the first counts, or the last with `last`; NaN beats every number. x has
    elements.
    """

    x: Tensor
    y: Tensor
    axis: int
    largest: bool
    last: bool = False


@dataclass(frozen=True, eq=False)
class TopK(Job):
    """The largest elements along `axis`, or the smallest, in order, and where they are (i64).

    As many as `values` has along the axis. Of equal elements the first comes first; NaN counts as
    the largest.
    """

    x: Tensor
    values: Tensor
    indices: Tensor
    axis: int
    largest: bool


@dataclass(frozen=True, eq=False)
class Cumulate(Job):
    """y[k] = Σ_{j <= k} x[j] along `axis`, or with `product` the product.

    j < k with `exclusive`, from the end with `reverse`. Totals are kept in the type `accumulator`;
    each is rounded where it is stored. The axis may be one that only a run knows: then it is an
    i64 scalar, which is in range, negative ones counted from the end.
    """

    x: Tensor
    y: Tensor
    axis: int | Tensor
    accumulator: str
    product: bool
    exclusive: bool
    reverse: bool

"""Scaled dot-product attention, and rotary position embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from layercc.buffers import Tensor
from layercc.jobs.job import Job
from layercc.jobs.movement import strides_of

#: What is shown of the scores on their way to weights; see `Attention`.
Stage = Literal["products", "capped", "biased", "weights"]


@dataclass(frozen=True, eq=False)
class Heads:
    """A tensor seen as [batch, heads, sequence, size], the size dense; strides in elements."""

    tensor: Tensor
    shape: tuple[int, int, int, int]
    batch: int
    head: int
    row: int

    @classmethod
    def apart(cls, tensor: Tensor) -> Self:
        """A tensor of the shape [batch, heads, sequence, size]."""
        batch, heads, length, size = tensor.shape
        return cls(tensor, (batch, heads, length, size), *strides_of(tensor.shape)[:3])

    @classmethod
    def packed(cls, tensor: Tensor, heads: int) -> Self:
        """A tensor of the shape [batch, sequence, heads * size]."""
        batch, length, hidden = tensor.shape
        size = hidden // heads if heads else 0
        return cls(tensor, (batch, heads, length, size), length * hidden, size, hidden)


@dataclass(frozen=True, eq=False)
class Attention(Job):
    """Y[b, h, i, :] = Σ_j P[i, j] V[b, h', j, :]

        P[i, :] = softmax_j(biased[i, j])
        biased[i, j] = capped[i, j] + mask[b, h, i, j], -inf where query i may not see key j
        capped[i, j] = softcap * tanh(products[i, j] / softcap), or products[i, j] if softcap is 0
        products[i, j] = scale * Q[b, h, i, :] · K[b, h', j, :]

    The heads of q are a multiple of those of k and v, as many for each: h' = h // multiple. All
    tensors but the lengths (i64, in range) and a mask of bool are of one type; where that is f16 or
    bf16, sums and scores are kept in f32, and only y and `scores` are rounded.

    The mask's last dim is dense and may be shorter than there are keys: those beyond are not seen.
    Its other dims are broadcast to [batch, heads, queries]. A mask of bool says which keys are
    seen; any other is added.

    Query i is at place i + `past`, or with lengths at i + lengths[b] - queries, and then sees the
    first lengths[b] keys only. It sees as many keys as `before` and `after` say before and after
    its own place; None is for all. A query that sees no key, or has -inf in the mask for all that
    it sees, has rows of `empty` in y and weights: 0 or NaN.

    `shown` says what goes to `scores`, [batch, heads, queries, keys]; P is "weights".
    """

    q: Heads
    k: Heads
    v: Heads
    y: Heads
    mask: Tensor | None
    lengths: Tensor | None
    scale: float
    softcap: float
    past: int
    before: int | None
    after: int | None
    empty: float
    scores: Tensor | None = None
    shown: Stage = "products"


@dataclass(frozen=True, eq=False)
class Rotary(Job):
    """Turns pairs of elements of each row (Su et al., arXiv 2104.09864).

        y[a] = cos x[a] - sin x[b],   y[b] = sin x[a] + cos x[b]

    (a, b) are neighbours if `interleaved`, else `turned` / 2 apart; elements from `turned` on stay
    as they are. Cosines and sines are [entries, turned / 2], of which `positions`, [batch,
    sequence], choose one for each row (in range, negative ones counted from the end); without
    positions they are [batch, sequence, turned / 2]. y lies as x does.
    """

    x: Heads
    y: Tensor
    cosines: Tensor
    sines: Tensor
    positions: Tensor | None
    interleaved: bool
    turned: int

"""Losses that PyTorch does not define by others."""

from __future__ import annotations

from typing import Any

from ir.dtypes import DType
from layercc.frontends.torch.registry import translates
from layercc.frontends.torch.reshaping import reshaped, unsqueezed
from layercc.frontends.torch.translator import Tensor, Translator


@translates("multilabel_margin_loss_forward")
def multilabel_margin_loss(
    t: Translator, x: Tensor, target: Tensor, reduction: int
) -> tuple[Tensor, Any]:
    """Sum over true classes j and others i of `max(0, 1 - (x_j - x_i)) / classes`. The true classes
    stand in `target` up to the first number below 0.

    (The decomposition that PyTorch 2.13 has gives other numbers than its kernel.)
    """
    alone = x.rank == 1
    if alone:
        x, target = unsqueezed(t, x, 0), unsqueezed(t, target, 0)
    zero = t.scalar_i64(0)
    ended = t.emit("CumSum", t.cast(t.emit("Less", target, zero), DType.i64), t.scalar_i64(1))
    valid = t.emit("Equal", ended, zero)
    places = t.emit("Max", target, zero)
    wanted = unsqueezed(t, t.emit("GatherElements", x, places, axis=1), 2)
    classes = t.emit("Range", zero, t.scalar_i64(x.shape[1]), t.scalar_i64(1))
    named = t.emit(
        "And", t.emit("Equal", unsqueezed(t, places, 2), classes), unsqueezed(t, valid, 2)
    )
    is_true = t.emit("ReduceMax", t.cast(named, DType.u8), t.ints(1), keepdims=1)
    others = t.emit("Equal", is_true, t.scalar(0, DType.u8))
    counts = t.emit("And", unsqueezed(t, valid, 2), others)
    margin = t.emit("Sub", t.scalar(1, x.dtype), t.emit("Sub", wanted, unsqueezed(t, x, 1)))
    loss = _positive(t, margin, counts)
    total = t.emit("ReduceSum", loss, t.ints(1, 2), keepdims=0)
    return _reduced(t, t.emit("Div", total, t.scalar(x.shape[1], x.dtype)), reduction, alone), None


@translates("multi_margin_loss")
def multi_margin_loss(
    t: Translator,
    x: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1,
    weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """Sum over classes i other than the target j of `max(0, margin - x_j + x_i) ** p / classes`,
    times the target's weight.

    (The decomposition that PyTorch 2.13 has makes NaN of what its kernel takes for no loss.)
    """
    alone = x.rank == 1
    if alone:
        x = unsqueezed(t, x, 0)
    target = reshaped(t, target, (x.shape[0], 1))
    classes = t.emit("Range", t.scalar_i64(0), t.scalar_i64(x.shape[1]), t.scalar_i64(1))
    others = t.emit("Not", t.emit("Equal", target, classes))
    wanted = t.emit("GatherElements", x, target, axis=1)
    rest = t.emit("Add", t.emit("Sub", t.scalar(margin, x.dtype), wanted), x)
    loss = _positive(t, rest, others)
    loss = t.emit("Mul", loss, loss) if p == 2 else loss
    if weight is not None:
        loss = t.emit("Mul", loss, t.emit("Gather", weight, target, axis=0))
    total = t.emit("ReduceSum", loss, t.ints(1), keepdims=0)
    return _reduced(t, t.emit("Div", total, t.scalar(x.shape[1], x.dtype)), reduction, alone)


def _positive(t: Translator, margin: Tensor, counts: Tensor) -> Tensor:
    """Margins above 0 that count; 0 for others, NaN among them, as PyTorch's kernels have it."""
    zero = t.scalar(0, margin.dtype)
    return t.emit("Where", t.emit("And", t.emit("Greater", margin, zero), counts), margin, zero)


def _reduced(t: Translator, losses: Tensor, reduction: int, alone: bool) -> Tensor:
    """Losses of samples: as they are, their mean or their sum; `alone`: of a single one."""
    if reduction == 0:
        return reshaped(t, losses, t.shape) if alone else losses
    return t.emit("ReduceMean" if reduction == 1 else "ReduceSum", losses, keepdims=0)

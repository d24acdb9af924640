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
    counts = t.cast(t.emit("And", unsqueezed(t, valid, 2), others), x.dtype)
    margin = t.emit("Sub", t.scalar(1, x.dtype), t.emit("Sub", wanted, unsqueezed(t, x, 1)))
    loss = t.emit("Mul", t.emit("Relu", margin), counts)
    total = t.emit("ReduceSum", loss, t.ints(1, 2), keepdims=0)
    total = t.emit("Div", total, t.scalar(x.shape[1], x.dtype))
    if reduction == 0:
        return (reshaped(t, total, ()) if alone else total), None
    return t.emit("ReduceMean" if reduction == 1 else "ReduceSum", total, keepdims=0), None

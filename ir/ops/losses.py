"""Losses over class scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType

_ATTRIBUTES = {"ignore_index": Attr("int", None), "reduction": Attr("string", "mean")}


class ClassLoss(Op):
    """Base of losses of scores [N, C, d...] and labels [N, d...], weighted by class if asked."""

    constraints = {"T": "float", "Tind": "index"}
    attributes = _ATTRIBUTES

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        scores, labels = call.shape(0), call.shape(1)
        names = call.op.input_name(0), call.op.input_name(1), call.op.input_name(2)
        if len(scores) < 2:
            call.fail(f"{names[0]} is {call.type(0)}; [N, C, ...] would fit")
        wanted = (scores[0], *scores[2:])
        if len(labels) != len(wanted) or not all(map(may_equal, labels, wanted)):
            fits = ", ".join(map(str, wanted))
            call.fail(
                f"{names[0]} is {call.type(0)} and {names[1]} is {call.type(1)}; [{fits}] would fit"
            )
        if call.has(2) and not (call.rank(2) == 1 and may_equal(call.shape(2)[0], scores[1])):
            call.fail(f"{names[2]} is {call.type(2)}; [{scores[1]}], one a class, would fit")
        if call.reduction not in ("none", "mean", "sum"):
            call.fail(f"reduction={call.reduction!r}; none, mean or sum would fit", "bad-attribute")
        return [call.type(0).with_shape(labels if call.reduction == "none" else ())]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return call.type(0).size


def _loss(call: Call, log_probabilities: np.ndarray, labels: Any, weight: Any) -> np.ndarray:
    classes = log_probabilities.shape[1]
    kept = np.ones(labels.shape, bool)
    if call.ignore_index is not None:
        kept = labels != call.ignore_index
    wrong = labels[kept & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        call.fail(f"label {wrong[0]} is outside the {classes} classes", "bad-index")
    safe = np.where(kept, labels, 0)
    losses = -np.take_along_axis(log_probabilities, safe[:, None], axis=1)[:, 0]
    factors = np.where(kept, 1.0 if weight is None else widened(weight)[safe], 0.0)
    losses = np.where(kept, losses * factors, 0)
    if call.reduction == "mean":
        return np.asarray(losses.sum() / factors.sum())
    return np.asarray(losses.sum()) if call.reduction == "sum" else losses


@register
class NegativeLogLikelihoodLoss(ClassLoss):
    """`-weight[label] * input[label]`; the mean divides by the sum of the weights."""

    inputs = ("input: T", "target: Tind", "weight: T?")
    outputs = ("loss: T",)

    @staticmethod
    def reference(call: Call, x: Any, target: Any, weight: Any = None) -> np.ndarray:
        return _loss(call, widened(x), target, weight).astype(x.dtype)


@register
class SoftmaxCrossEntropyLoss(ClassLoss):
    """NegativeLogLikelihoodLoss of the log of the softmax over axis 1, which is output 1."""

    inputs = ("scores: T", "labels: Tind", "weights: T?")
    outputs = ("output: T", "log_prob: T")

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        return [*super().infer(call), call.type(0)]

    @staticmethod
    def reference(
        call: Call, scores: Any, labels: Any, weights: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        x = widened(scores)
        shifted = x - x.max(axis=1, keepdims=True, initial=-np.inf)
        log_prob = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = _loss(call, log_prob, labels, weights)
        return loss.astype(scores.dtype), log_prob.astype(scores.dtype)

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return 4 * call.type(0).size

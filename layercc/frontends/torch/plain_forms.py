"""Functions and layers of PyTorch whose own code `torch.export` cannot run, in forms that it can.

While a module is captured these stand in their places. They compute the same, without looking at
values: what PyTorch checks of targets and variances is left out.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F

from ir.diagnostics import UnsupportedError


def _gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """`torch.nn.functional.gaussian_nll_loss` without its error for a variance below 0."""
    if not isinstance(var, torch.Tensor):
        var = var * torch.ones_like(input)
    elif var.size() != input.size() and input.size()[:-1] == var.size():
        var = var.unsqueeze(-1)
    var = var.clamp(min=eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return {"mean": torch.mean, "sum": torch.sum}.get(reduction, lambda x: x)(loss)


def _adaptive_log_softmax(self: Any, input_: Any, target_: Any) -> Any:
    """`nn.AdaptiveLogSoftmaxWithLoss`: every cluster of classes scores every row, where PyTorch
    picks the rows whose target is in it."""
    alone = target_.dim() == 0
    x, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if alone else (input_, target_)
    place, found = target, x.new_zeros(target.shape)
    for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
        inside = (target >= low) & (target < high)
        scores = F.log_softmax(self.tail[i](x), dim=1)
        own = (target - low).clamp(0, high - low - 1)
        found = torch.where(inside, scores.gather(1, own.unsqueeze(1)).squeeze(1), found)
        place = torch.where(inside, self.shortlist_size + i, place)
    head = F.log_softmax(self.head(x), dim=1)
    output = found + head.gather(1, place.unsqueeze(1)).squeeze(1)
    loss = (-output).mean()
    return nn.modules.adaptive._ASMoutput(output.squeeze(0) if alone else output, loss)


def _adaptive_predict(self: Any, input: Any) -> Any:
    return self.log_prob(input).argmax(dim=1)


def _cross_map_lrn(self: Any, input: Any) -> Any:
    """`nn.CrossMapLRN2d`: `x * (k + alpha / size * sum of squares) ** -beta`. The sum is over the
    channels around each, and channel 0, which PyTorch never takes out of its running sum."""
    if input.dim() != 4:
        raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
    reach = int((self.size - 1) / 2 + 1)  # the channel itself and those after it
    square, width = input * input, 2 * reach - 1
    padded = F.pad(square.unsqueeze(1), (0, 0, 0, 0, reach - 1, reach - 1))
    sums = F.avg_pool3d(padded, (width, 1, 1), stride=1).squeeze(1) * width
    sums = torch.cat([sums[:, :reach], sums[:, reach:] + square[:, :1]], 1)
    return (sums * (self.alpha / self.size) + self.k).pow(-self.beta) * input


def _ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: Any = 0, zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """`torch.ctc_loss`: the forward variables of Graves et al., Connectionist Temporal
    Classification (2006), section 4.1, in log space, a scan over time.

    Labels are the targets with blanks between and around them; those beyond a target's length are
    computed and not read, for nothing flows from a label to one before it.
    """
    alone = log_probs.dim() == 2
    if alone:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.unsqueeze(0) if targets.dim() == 1 else targets
    steps, batch, classes = log_probs.shape
    lengths, sizes = (
        torch.as_tensor(given, dtype=torch.int64).reshape(-1)
        for given in (input_lengths, target_lengths)
    )
    targets = targets.long()
    if targets.dim() == 1:  # one after the other
        places = (sizes.cumsum(0) - sizes).unsqueeze(1) + torch.arange(targets.shape[0])
        targets = targets[places.clamp(max=targets.shape[0] - 1)]
    targets = targets.clamp(0, classes - 1)
    blanks = torch.full_like(targets, blank)
    labels = F.pad(torch.stack([blanks, targets], 2).flatten(1), (0, 1), value=blank)
    # a label can be reached from the one two before it, if it differs: never from blank to blank
    skips = F.pad(labels[:, 2:] != labels[:, :-2], (2, 0))
    emitted = log_probs.gather(2, labels.unsqueeze(0).expand(steps, -1, -1))
    none = -math.inf
    start = torch.where(torch.arange(labels.shape[1]) == 0, 0.0, none).to(log_probs.dtype)

    def step(state: Any, seen: Any) -> Any:
        time, before = state
        ways = [before, F.pad(before, (1, -1), value=none)]
        ways.append(torch.where(skips, F.pad(before, (2, -2), value=none), none))
        after = torch.stack(ways).logsumexp(0) + seen
        state = time + 1, torch.where((time < lengths).unsqueeze(1), after, before)
        return state, seen[:, :1].clone()

    initial = torch.zeros((), dtype=torch.int64), start.expand(batch, -1).clone()
    (_, last), _ = scan(step, initial, emitted)
    ends = last.gather(1, 2 * sizes.unsqueeze(1)).squeeze(1)
    others = last.gather(1, (2 * sizes.unsqueeze(1) - 1).clamp(min=0)).squeeze(1)
    losses = -torch.logaddexp(ends, torch.where(sizes > 0, others, none))
    if zero_infinity:
        losses = torch.where(losses == math.inf, 0.0, losses)
    if reduction in (1, "mean"):
        return (losses / sizes.clamp(min=1)).mean()
    if reduction in (2, "sum"):
        return losses.sum()
    return losses.squeeze(0) if alone else losses


def _no_packing(*_: Any, **__: Any) -> Any:
    raise UnsupportedError(PACKED)


#: Why packed sequences are refused.
PACKED = (
    "packed sequences: how many rows each step has hangs on data; a padded tensor would fit, and "
    "in a recurrent layer that runs forwards its outputs up to each length are the same"
)
#: Where each is, its name there, and what stands in its place.
_FORMS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (torch._VF, "_pack_padded_sequence", _no_packing),
    (torch, "ctc_loss", _ctc_loss),
    (F, "gaussian_nll_loss", _gaussian_nll_loss),
    (nn.AdaptiveLogSoftmaxWithLoss, "forward", _adaptive_log_softmax),
    (nn.AdaptiveLogSoftmaxWithLoss, "predict", _adaptive_predict),
    (nn.CrossMapLRN2d, "forward", _cross_map_lrn),
)


_capturing: ContextVar[bool] = ContextVar("capturing", default=False)


@contextlib.contextmanager
def plain_forms() -> Iterator[None]:
    """Meanwhile, the functions and layers above compute by their plain forms, in this thread."""
    held = [getattr(home, name) for home, name, _ in _FORMS]
    token = _capturing.set(True)
    try:
        for (home, name, form), own in zip(_FORMS, held, strict=True):
            setattr(home, name, _either(form, own))
        yield
    finally:
        _capturing.reset(token)
        for (home, name, _), own in zip(_FORMS, held, strict=True):
            setattr(home, name, own)


def _either(form: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """The plain form in a thread that captures a module; in others PyTorch's own."""

    @functools.wraps(own)
    def call(*args: Any, **keywords: Any) -> Any:
        return (form if _capturing.get() else own)(*args, **keywords)

    return call

"""An LSTM whose products are of bytes."""

from __future__ import annotations

from dataclasses import dataclass

from layercc.buffers import Tensor
from layercc.jobs.recurrence import GATES, RecurrentLayer


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """scale * (tensor - zero): constants of [directions, depth, gates * hidden], i8 or u8.

    Scales (f32) and zero points (the tensor's type) are [directions], or one for each column.
    """

    tensor: Tensor
    scale: Tensor
    zero: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizedRecurrence(RecurrentLayer):
    """An LSTM as `Recurrence`, in f32, whose products are exact sums of products of bytes.

    What W and R meet is quantised to u8 as DynamicQuantizeLinear does it, by its own range: x
    whole, h before each step, that of all samples of a direction together.
    """

    w: QuantizedWeights
    r: QuantizedWeights

    @property
    def gates(self) -> int:
        return GATES["LSTM"]

"""Recurrent layers: RNN, GRU, LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.jobs.job import Job
from layercc.kernels.expressions import Expression

Kind = Literal["RNN", "GRU", "LSTM"]
Direction = Literal["forward", "reverse", "bidirectional"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True, eq=False, kw_only=True)
class RecurrentLayer(Job):
    """What recurrent layers have in common.

    x is [time, batch, features], y [time, directions, batch, hidden], and states are [directions,
    batch, hidden]; with `batch_first` the batch is the first dim of each. `states` is where the
    last states go, h and for an LSTM c; `initial` are the first ones, None for zeros. y and states
    are None where nobody reads them. Bias is [directions, 2 * gates * hidden], first Wb, then Rb;
    `peepholes`, P for the gates i, o, f of an LSTM, are [directions, 3 * hidden].

    Sample b has lengths[b] steps (i32, in range), or all. Behind them y is 0, and states stay as
    they are. A backward direction goes from a sample's last step to its first; of two directions
    the second is backward.

    `activations` are, for each direction, the functions of its gates (f; f, g; f, g, l), each an
    expression of one number, in which it is clipped where the layer clips.
    """

    x: Tensor
    bias: Tensor | None
    lengths: Tensor | None
    initial: tuple[Tensor | None, ...]
    y: Tensor | None
    states: tuple[Tensor | None, ...]
    hidden: int
    direction: Direction
    activations: tuple[tuple[Expression, ...], ...]
    batch_first: bool = False
    peepholes: Tensor | None = None
    coupled: bool = False

    @property
    def dtype(self) -> DType:
        """The type that is computed in."""
        return self.x.dtype

    @property
    def time(self) -> int:
        return self.x.shape[1 if self.batch_first else 0]

    @property
    def batch(self) -> int:
        return self.x.shape[0 if self.batch_first else 1]

    @property
    def features(self) -> int:
        return self.x.shape[2]

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    @property
    def gates(self) -> int:
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """Rows of W and R of one direction."""
        return self.gates * self.hidden


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence(RecurrentLayer):
    """A layer whose gates are in the order of ONNX, the rows of W and R one gate after another.

        RNN:   h ← f(W x + R h + Wb + Rb)

        GRU:   z, r = f(W x + R h + Wb + Rb)
               h ← (1 - z) g(W x + Wb + n) + z h
               n = R (r h) + Rb, or with `linear_before_reset` r (R h + Rb)

        LSTM:  i, f = f(W x + R h + Wb + Rb + P c);   f = 1 - i if `coupled`
               c ← f c + i g(W x + R h + Wb + Rb)
               h ← o l(c),   o = f(W x + R h + Wb + Rb + P c)

    w is [directions, gates * hidden, features], r [directions, gates * hidden, hidden]. Constants
    among these two may be of any floating type; all other tensors but the lengths are of x's.
    """

    kind: Kind
    w: Tensor
    r: Tensor
    linear_before_reset: bool = False

    @property
    def gates(self) -> int:
        return GATES[self.kind]

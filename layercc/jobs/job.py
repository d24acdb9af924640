"""What all jobs have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ir.diagnostics import InputError, out_of_range


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be computed at concrete sizes, said without a target.

    A job names tensors, sizes, strides and expressions; no kernel, tile, chunk or packing. A target
    emits it (`layercc.cpu.emit`).
    """


@dataclass(frozen=True)
class Check:
    """An input whose values are checked while they are used: whose it is, and its shape."""

    node: str  # with its op, as in messages
    source: str  # where the node came from, if that is known
    input: str  # the op's name for it, then the value's
    shape: tuple[int, ...]

    def error(self, position: int, value: int, low: int, high: int) -> InputError:
        """The error for a value outside of `low`..`high`; `position` in row-major order."""
        at = tuple(map(int, np.unravel_index(position, self.shape)))
        message = f"{self.node}: {self.input} {out_of_range(value, at, low, high)}"
        return InputError(message + (f"\n  from {self.source}" if self.source else ""))

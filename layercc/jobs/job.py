"""What all jobs have in common."""

from __future__ import annotations

from dataclasses import dataclass


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

"""All jobs of a graph at one set of input shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from layercc.jobs.job import Job


@dataclass(frozen=True, slots=True)
class Port:
    """A model input or output at fixed shape."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NodeJob:
    """A job, and whose it is: the node by its name, and with its op as messages have it."""

    job: Job
    name: str
    label: str


@dataclass(eq=False)
class Workload:
    """What is to be computed, in order, from `inputs` to `outputs`, said without a target.

    Jobs name buffers: inputs and outputs by their slots, constants by their arrays. Where all
    others lie is the target's business.
    """

    graph: str  # its name
    inputs: list[Port]
    outputs: list[Port]
    jobs: list[NodeJob] = field(default_factory=list)

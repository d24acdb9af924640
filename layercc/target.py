"""What a target is: where models run, as the rest of layercc sees it.

A target takes the jobs of a graph at fixed shapes and makes something that runs. Nothing else knows
how: a new target is a class of these, and what it needs.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from layercc.jobs.workload import Workload
    from layercc.limits import Limits
    from layercc.recording import Recording


class Runnable(ABC):
    """A workload made ready. Safe to run from several threads at once."""

    @abstractmethod
    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        """Runs on dense arrays of the workload's inputs, in order; new arrays of its outputs.

        Raises InputError where a value of an input cannot be used.
        """

    def record(
        self, inputs: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], Recording]:
        """As `run`, with the same outputs to the bit; also tells which calls took how long.

        Unless a target knows better, the run is one call.
        """
        from layercc.recording import CallInfo, Recording

        begun = time.perf_counter()
        outputs = self.run(inputs, threads)
        seconds = time.perf_counter() - begun
        call = CallInfo("the whole run", kernel=type(self).__name__)
        return outputs, Recording.of_one_call(call, begun, seconds)

    @property
    def nbytes(self) -> int:
        """Bytes that go with it, more or less: not those that plans of one model share."""
        return 0


class DeviceMemory(ABC):
    """Memory of a target's own, in which arrays of callers may lie; they have `shape`, `dtype` and
    `size` as those of NumPy."""

    @abstractmethod
    def stream(self, given: Any) -> Any:
        """The stream that a caller means, the usual one for None. Raises TypeError for what is
        none."""

    @abstractmethod
    def taken(self, given: Any, stream: Any) -> Any | None:
        """An array that lies there, without a copy, for work on a stream; None for any other.

        Raises InputError for one that lies on another device, or is not dense.
        """

    @abstractmethod
    def host(self, array: Any, stream: Any) -> np.ndarray:
        """A copy for the host of an array that was taken; waits for it."""

    @abstractmethod
    def put(self, array: np.ndarray, stream: Any) -> Any:
        """A copy there of an array of the host's, as a caller gets it."""


class DeviceRunnable(Runnable):
    """A workload made ready on a target that has memory of its own."""

    @abstractmethod
    def run_there(self, inputs: Sequence[Any], stream: Any, stay: bool) -> list[Any]:
        """As `run`, on arrays of which some were taken from there, on a stream. If results are to
        `stay` there, they may not be computed yet."""


class Backend(ABC):
    """A target at work for one model: keeps what the model's plans share."""

    @property
    def memory(self) -> DeviceMemory | None:
        """The memory in which its arrays may lie besides the host's, if there is such."""
        return None

    @abstractmethod
    def plan(self, workload: Workload) -> Runnable:
        """Makes a workload ready to run.

        Raises UnsupportedError that names the nodes, all of them, whose jobs the target cannot do:
        these run where `Target.fallback` says. Raises MemoryLimitError where memory does not
        suffice.
        """


class Target(ABC):
    """Where a model is to run; a value, pickled with the model."""

    @abstractmethod
    def open(self, *, precision: str, choices: Mapping[str, str]) -> Backend:
        """The target at work for a model, under some of its `layercc.options.Options`."""

    def fallback(self) -> Target | str | None:
        """Where nodes run whose jobs this target cannot do, by its name or itself; None: on their
        NumPy reference."""
        return None

    def runs_here(self) -> bool:
        """Whether this machine can run what the target makes."""
        return True

    def limits(self, threads: int) -> Limits | None:
        """What the device reaches at most on `threads` threads, measured when first asked for, and
        best while no model runs; None where that is not known."""
        return None

    def hindrance(self) -> str:
        """Why this machine cannot run it, if more can be said of it than that."""
        return ""

    @property
    def multiplies_halves(self) -> bool:
        """Whether it multiplies f16 and bf16 as they are, in Conv and MatMul: elsewhere passes have
        them computed in f32."""
        return False

    @property
    def takes_threads(self) -> bool:
        """Whether a caller may say how many threads run a model."""
        return True

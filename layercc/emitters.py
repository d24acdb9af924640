"""Which function of a target emits which jobs.

The jobs of `layercc/jobs/NAME.py` are emitted by `NAME.py` in a folder of the target, which is
imported when the first of them is met: with the kernels that it names, for what a model is made of
only.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ir.diagnostics import UnsupportedError
from layercc.jobs.job import Job
from layercc.jobs.workload import Workload

AnyJob = TypeVar("AnyJob", bound=Job)
AnyBuilder = TypeVar("AnyBuilder")


class Emitters(Generic[AnyBuilder]):
    """The emitters in the package `folder`, functions of a builder and a job."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[type[Job], Callable[[AnyBuilder, Any], None]] = {}

    def emitter(
        self, kind: type[AnyJob]
    ) -> Callable[[Callable[[AnyBuilder, AnyJob], None]], Callable[[AnyBuilder, AnyJob], None]]:
        """Decorator: the function appends the kernel calls of jobs of this type."""

        def register(
            function: Callable[[AnyBuilder, AnyJob], None],
        ) -> Callable[[AnyBuilder, AnyJob], None]:
            self._known[kind] = function
            return function

        return register

    def of(self, job: Job) -> Callable[[AnyBuilder, Any], None] | None:
        """The function that emits a job, if there is one."""
        return self.of_kind(type(job))

    def of_kind(self, kind: type[Job]) -> Callable[[AnyBuilder, Any], None] | None:
        """The function that emits jobs of a type, if there is one."""
        if kind not in self._known:
            package, _, family = kind.__module__.rpartition(".")
            if package == "layercc.jobs" and importlib.util.find_spec(f"{self._folder}.{family}"):
                importlib.import_module(f"{self._folder}.{family}")
        return self._known.get(kind)

    def require(self, workload: Workload) -> None:
        """Raises UnsupportedError that names all nodes of which jobs have no emitter."""
        missing = [each for each in workload.jobs if self.of(each.job) is None]
        if missing:
            kinds = Counter(type(each.job).__name__ for each in missing)
            listed = ", ".join(f"{kind} ×{count}" for kind, count in sorted(kinds.items()))
            nodes = list(dict.fromkeys(each.name for each in missing))
            raise UnsupportedError(
                f"graph {workload.graph!r}: no kernels for {listed}", nodes=nodes
            )

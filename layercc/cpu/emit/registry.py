"""Which function emits which jobs.

The jobs of `layercc/jobs/NAME.py` are emitted by `layercc/cpu/emit/NAME.py`, which is imported when
the first of them is met: with the kernels that it names, for what a model is made of only.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from layercc.jobs.job import Job

if TYPE_CHECKING:
    from layercc.cpu.emit.builder import Builder

AnyJob = TypeVar("AnyJob", bound=Job)
Emitter = Callable[["Builder", Any], None]

_EMITTERS: dict[type[Job], Emitter] = {}


def emitter(
    kind: type[AnyJob],
) -> Callable[[Callable[[Builder, AnyJob], None]], Callable[[Builder, AnyJob], None]]:
    """Decorator: the function appends the kernel calls of jobs of this type."""

    def register(function: Callable[[Builder, AnyJob], None]) -> Callable[[Builder, AnyJob], None]:
        _EMITTERS[kind] = function
        return function

    return register


def emitter_of(job: Job) -> Emitter | None:
    """The function that emits a job, if there is one."""
    kind = type(job)
    if kind not in _EMITTERS:
        package, _, family = kind.__module__.rpartition(".")
        if package == "layercc.jobs" and importlib.util.find_spec(f"{__package__}.{family}"):
            importlib.import_module(f"{__package__}.{family}")
    return _EMITTERS.get(kind)

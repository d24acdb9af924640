"""Which function emits which jobs."""

from __future__ import annotations

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
    return _EMITTERS.get(type(job))


def emitted_jobs() -> frozenset[type[Job]]:
    """The types of jobs that have an emitter."""
    return frozenset(_EMITTERS)

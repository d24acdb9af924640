"""Emission of contractions, by the algorithm that is chosen for them."""

from __future__ import annotations

from layercc.cpu.algorithms.choice import choose, shape_class
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import emitter
from layercc.jobs.contraction import Contraction


@emitter(Contraction)
def contraction(builder: Builder, job: Contraction) -> None:
    """The choice is recorded in the calls."""
    chosen = choose(builder, job)
    with builder.by(chosen.algorithm.name, shape_class(job), chosen.too_large):
        chosen.algorithm.emit(builder, job)

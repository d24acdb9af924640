"""Emission of contractions, by the algorithm that is chosen for them."""

from __future__ import annotations

from layercc.algorithms import shape_class
from layercc.cuda.algorithms.choice import choose
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.byte_products import BYTES, byte_product
from layercc.cuda.emit.registry import emitter
from layercc.jobs.contraction import Contraction


@emitter(Contraction)
def contraction(builder: Builder, job: Contraction) -> None:
    """The choice is recorded in the calls."""
    of_bytes = job.x.dtype in BYTES and job.weights.tensor.dtype in BYTES
    chosen = None if of_bytes else choose(builder, job)
    countable("a product", job.group_count * job.rows * job.columns)
    if not job.group_count * job.rows * job.columns:
        return
    if chosen is None:
        byte_product(builder, job)
        return
    countable("an operand of a product", max(job.x.size, job.depth * job.taps * job.columns))
    with builder.by(chosen.name, shape_class(job)):
        chosen.emit(builder, job)

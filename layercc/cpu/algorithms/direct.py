"""Direct contraction: the sum as it stands, read in place through the window.

Fits whatever has elements that kernels multiply. Costs its multiplications and additions, and for
each tap of the window the look-up of where a row lies.
"""

from __future__ import annotations

from layercc.cpu.algorithms.algorithm import Algorithm, rows_of
from layercc.cpu.algorithms.panels import Product, multiply_groups, packed
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import Strided
from layercc.jobs.contraction import Contraction
from layercc.kernels.element_types import MULTIPLIED
from layercc.limits import Limits

#: Terms of a sum that the look-up of a row costs as much as.
LOOK_UP = 12


def fits(job: Contraction, precision: str) -> bool:
    """At every precision."""
    return str(job.x.dtype) in MULTIPLIED


def cost(job: Contraction, limits: Limits) -> float:
    """Multiplications and additions at the peak, and look-ups."""
    terms = job.taps * (job.depth + LOOK_UP)
    return 2 * rows_of(job) * job.group_count * job.columns * terms / limits.flops["f32"]


def emit(builder: Builder, job: Contraction) -> None:
    """One call; more where there are over two dims of groups."""
    weights, groups = packed(builder, job, str(job.x.dtype))
    product = Product(
        x=Strided(job.x, 0, 0, job.x_row),
        weights=weights,
        y=Strided(job.y, 0, 0, job.y_row),
        rows=job.rows,
        columns=job.columns,
        depth=job.depth,
        window=job.window,
        epilogue=job.epilogue,
    )
    multiply_groups(builder, product, groups)


ALGORITHMS = (Algorithm("direct", fits, cost, emit),)

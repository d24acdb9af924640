"""Windows summed back into images, as transposed convolutions do (col2im)."""

from __future__ import annotations

from dataclasses import dataclass, field

from layercc.buffers import Tensor
from layercc.jobs.contraction import Epilogue
from layercc.jobs.job import Job
from layercc.jobs.windows import Axes


@dataclass(frozen=True, eq=False)
class Fold(Job):
    """Y[i, p, g, c] = epilogue(Σ_{q, t: q meets p in t} products[i, q, g, t, c])

    `window` moves over y: its inputs are the pixels q of the products and its outputs those p of y.
    """

    products: Tensor  # [pixels, groups, taps, channels]
    y: Tensor  # [images, spatial..., groups * channels]
    window: Axes
    groups: int = 1
    epilogue: Epilogue = field(default_factory=Epilogue)

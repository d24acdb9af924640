"""How far results are off."""

from __future__ import annotations

import numpy as np


def error(outputs: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """max|a - b| / max|b|, the largest over the outputs; NaN anywhere gives infinity."""
    worst = 0.0
    for found, wanted in zip(outputs, reference, strict=True):
        gap = np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)
        scale = np.max(np.abs(wanted), initial=0.0) or 1.0
        worst = max(worst, float("inf") if np.isnan(gap) else float(gap / scale))
    return worst

"""Bounds on dimensions, whose text is untrusted; ValueError for whatever exceeds one."""

from __future__ import annotations

MAX_TEXT = 1000  # characters
MAX_TERMS = 64
MAX_DEGREE = 32
MAX_ATOM_DEPTH = 16  # functions within functions
MAX_NESTING = 48  # parentheses
MAX_BITS = 256  # of a coefficient
CACHE_SIZE = 4096  # results that each cached function keeps


class DimTooComplex(ValueError):
    """A dimension exceeds one of these bounds."""

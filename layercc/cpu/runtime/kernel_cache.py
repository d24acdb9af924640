"""Compiled CPU kernels on disk: `layercc.kernels.cache`, under names that tell instruction sets."""

from __future__ import annotations

from pathlib import Path

from layercc.cpu.families import family_of
from layercc.cpu.isa import Isa
from layercc.kernels import cache
from layercc.kernels.declaration import KernelKey

#: The source file that makes object code.
COMPILER = str(Path(__file__).parents[1] / "numba_target.py")


def entry_name(key: KernelKey, isa: Isa) -> str | None:
    """The digest of all that the object code of ``key`` depends on; see `cache.entry_name`."""
    return cache.entry_name(key, family_of(key), repr(isa), COMPILER)

"""What two runs of a benchmark must have in common for their times to be compared."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from typing import Any

import numpy as np

from ir.graph import Graph
from ir.text import print_with_weights
from layercc.cores import usable_cores
from layercc.processor import processor_name

#: Packages that make layercc's code.
_PACKAGES = ("layercc", "numpy", "numba", "llvmlite")


def machine(options: Any = None) -> dict[str, str | int]:
    """The machine as the system names it, and the instruction set that `Options` ask for."""
    target = getattr(options, "target", None)
    resolved = getattr(target, "resolved", lambda: target)()
    return {
        "processor": processor_name(),
        "processors": os.cpu_count() or 1,
        "usable cores": usable_cores(),
        "instruction set": str(getattr(resolved, "name", resolved) or ""),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of what makes layercc's code."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found


def digest(graph: Graph) -> str:
    """Of the graph with its weights: the same for the same model, wherever its file lies."""
    text, weights = print_with_weights(graph)
    found = hashlib.sha256(text.encode())
    for name, array in sorted(weights.items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:32]

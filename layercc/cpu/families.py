"""The families of the CPU's kernels.

Emitters import those that they name. A process that is only given a key imports them all.
"""

from __future__ import annotations

import importlib
import pkgutil

from layercc.cpu import kernels
from layercc.kernels import declaration
from layercc.kernels.declaration import KernelFamily, KernelKey


def family_of(key: KernelKey) -> KernelFamily:
    """The family ``key`` belongs to, layercc's own or a user's.

    Raises KeyError where its module was never imported.
    """
    try:
        return declaration.family_of(key)
    except KeyError:
        for module in pkgutil.iter_modules(kernels.__path__):
            importlib.import_module(f"{kernels.__name__}.{module.name}")
        return declaration.family_of(key)

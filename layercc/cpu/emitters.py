"""Brings all emitters: importing this file enters them in `layercc.cpu.emit.registry`.

The package of emitters does not do so itself, since algorithms, which emitters choose from, import
the builder that is part of it.
"""

from __future__ import annotations

import importlib
import pkgutil

from layercc.cpu import emit

for _module in pkgutil.iter_modules(emit.__path__):
    importlib.import_module(f"{emit.__name__}.{_module.name}")

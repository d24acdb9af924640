"""Emission: jobs become kernel calls. Each family of jobs has a file, which picks kernels, packs
weights and splits tasks."""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

"""ONNX in and out: `from_onnx` reads a model into `ir.Graph`, `to_onnx` writes one.

Each is loaded when its name is first used: a process that reads models has no use for the writer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "from_onnx": "layercc.frontends.onnx.importer",
    "to_onnx": "layercc.frontends.onnx.exporter",
}

if TYPE_CHECKING:
    from layercc.frontends.onnx.exporter import to_onnx
    from layercc.frontends.onnx.importer import from_onnx

__all__ = ["from_onnx", "to_onnx"]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value

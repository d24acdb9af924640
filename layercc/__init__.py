"""layercc: a compiler from graphs of neural-network layers to fast native callables.

    import layercc as lc
    fn = lc.compile("model.onnx")
    y = fn(x)

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Module → the public names that it gives. The builder's layers come on top: see `__getattr__`.
_PUBLIC = {
    "ir": (
        "DType", "Diagnostic", "Graph", "InputError", "InvalidModelError", "LayerccError",
        "MemoryLimitError", "Node", "Report", "ShapeError", "TensorType", "UnsupportedError",
        "Value", "check", "interpret", "parse_graph", "print_graph",
    ),
    "layercc.compiler": ("compile",),
    "layercc.cpu.target": ("CpuTarget",),
    "layercc.cuda.target": ("CudaTarget",),
    "layercc.frontends.keras": ("from_keras",),
    "layercc.frontends.onnx": ("from_onnx", "to_onnx"),
    "layercc.frontends.torch": ("from_torch", "torch_module"),
    "layercc.own.definition": ("op",),
    "layercc.own.parameters": ("OpDefinitionError",),
    "layercc.session.model": ("CompiledModel",),
    "layercc.tools.benchmark": ("benchmark",),
    "layercc.tools.compare": ("compare",),
}  # fmt: skip
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

if TYPE_CHECKING:
    from ir import (
        Diagnostic,
        DType,
        Graph,
        InputError,
        InvalidModelError,
        LayerccError,
        MemoryLimitError,
        Node,
        Report,
        ShapeError,
        TensorType,
        UnsupportedError,
        Value,
        check,
        interpret,
        parse_graph,
        print_graph,
    )
    from layercc.compiler import compile
    from layercc.cpu.target import CpuTarget
    from layercc.cuda.target import CudaTarget
    from layercc.frontends.keras import from_keras
    from layercc.frontends.onnx import from_onnx, to_onnx
    from layercc.frontends.torch import from_torch, torch_module
    from layercc.layers import *  # noqa: F403
    from layercc.own.definition import op
    from layercc.own.parameters import OpDefinitionError
    from layercc.session.model import CompiledModel
    from layercc.tools.benchmark import benchmark
    from layercc.tools.compare import compare

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None and not name.startswith("_"):
        layers = importlib.import_module("layercc.layers")
        if name in layers.__all__:
            module = "layercc.layers"
    if module is None:
        raise AttributeError(f"module 'layercc' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    layers = importlib.import_module("layercc.layers")
    return sorted({*_HOME, *layers.__all__, "__version__", "layers"})

"""ONNX in and out: `from_onnx` reads a model into `ir.Graph`, `to_onnx` writes one."""

from __future__ import annotations

from layercc.frontends.onnx.exporter import to_onnx
from layercc.frontends.onnx.importer import from_onnx

__all__ = ["from_onnx", "to_onnx"]

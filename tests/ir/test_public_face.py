"""What `import ir` brings, and what it must not bring."""

from __future__ import annotations

import subprocess
import sys

import ir


def test_every_name_is_there_and_the_registry_is_full() -> None:
    assert all(hasattr(ir, name) for name in ir.__all__)
    assert ir.find_op("Conv") is not None
    assert len(list(ir.all_ops())) > 20


def test_importing_ir_imports_no_compiler_and_no_framework() -> None:
    heavy = ("numba", "llvmlite", "onnx", "torch", "networkx", "safetensors", "rich")
    code = f"import sys, ir; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

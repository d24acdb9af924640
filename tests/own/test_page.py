"""What docs/own-layers.md shows works."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("keras", reason="Keras is not installed")
pytest.importorskip("onnx")

PAGE = Path(__file__).parents[2] / "docs" / "own-layers.md"
pytestmark = [pytest.mark.torch, pytest.mark.keras]


def test_python_blocks():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 6
    names: dict[str, object] = {"__name__": "own_layers_page"}
    for number, block in enumerate(blocks, 1):
        file = f"docs/own-layers.md, Python block {number}"
        linecache.cache[file] = (len(block), None, block.splitlines(True), file)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, file, "exec"), names)


def test_the_three_examples_are_short():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks[:3]:
        function = block[block.index("@lc.op") :]
        assert len(function.strip().splitlines()) < 10

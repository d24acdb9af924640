"""What README and docs/gpu.md show of GPUs, on the stand-in device: blocks marked `py`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import layercc as lc
from ir.graph import Graph

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)


#: What `resnet50.onnx` stands for: as large images, but few of their elements are read.
SMALL = """
graph small(x: f32[N,3,224,224], w: f32[3,1000]) -> (y) {
  p = MaxPool(x) {kernel_shape=[1, 1], strides=[224, 224]}
  f = Flatten(p)
  y = MatMul(f, w)
}
"""


def small() -> Graph:
    graph = lc.parse_graph(SMALL)
    graph.inputs.pop()
    graph.constants["w"] = np.ones((3, 1000), np.float32)
    return graph


@pytest.mark.parametrize(("page", "least"), [("README.md", 1), ("docs/gpu.md", 3)])
def test_blocks(page, least, stand_in, tmp_path, monkeypatch, capsys):
    lc.to_onnx(small(), path=tmp_path / "resnet50.onnx")
    monkeypatch.chdir(tmp_path)
    names = {"np": np, "lc": lc, "images": np.ones((8, 3, 224, 224), np.float32)}
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(blocks) >= least
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert stand_in.launched
    (found,) = names["outputs"].values()
    assert found.shape == (8, 1000)
    if page != "README.md":
        assert "gpu." in capsys.readouterr().out


def test_files_that_are_named_exist():
    text = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w.]+\.md)\)", text)
    assert linked and all((ROOT / "docs" / name).exists() for name in linked)
    named = re.findall(r"`((?:layercc|tests|benchmarks|docs)/[\w./]+)`", text)
    assert named and all((ROOT / name).exists() for name in named)

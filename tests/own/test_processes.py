"""Ops of all forms, through several front ends, in other processes: from the cache, and edited."""

# mypy: ignore-errors

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

MINE = """
import layercc as lc

SHIFT = 1.0


@lc.op(domain="mine")
def shifted(x, by: float = 2.0):
    return (x + SHIFT) * by


@lc.op(domain="mine", shape="x")
def reversed_rows(x, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, x.shape[1] - 1 - j] + 0.0


@lc.op(domain="mine", composite=True)
def pair(x):
    return lc.activations.relu(x - 3.0) * 1.0
"""

PROGRAM = """
import json
import pickle
import sys

import numpy as np

import layercc as lc
import mine
from layercc.own.bindings import Translation, bind

x = np.arange(6, dtype=np.float32).reshape(2, 3)


def outputs(model):
    fn = lc.compile(model, threads=1)
    return [each.tolist() for each in fn(x)]


tensor = lc.Input((3,), name="x")
outs = [mine.shifted(tensor, by=3.0), mine.reversed_rows(tensor), mine.pair(tensor)]
model = lc.Model(tensor, outs)
found = {"builder": outputs(model)}
lc.to_onnx(model, path="model.onnx")
found["onnx"] = outputs("model.onnx")
fn = lc.compile(model, threads=1)
with open("model.pickle", "wb") as file:
    pickle.dump(fn, file)
if "torch" in sys.argv:
    import torch

    class Shift(torch.nn.Module):
        by = 3.0

        def forward(self, x):
            return (x + 1) * 3

    class Reverse(torch.nn.Module):
        def forward(self, x):
            return x.flip(1)

    class Pair(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x - 3)

    class All(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleList([Shift(), Reverse(), Pair()])

        def forward(self, x):
            return tuple(part(x) for part in self.parts)

    for cls, op in ((Shift, mine.shifted), (Reverse, mine.reversed_rows), (Pair, mine.pair)):
        bind("torch", cls, Translation(op.name, op.py_func, op.parameters, op))
    graph = lc.from_torch(All(), (torch.from_numpy(x),))
    assert {node.op.partition(".")[0] for node in graph.nodes} == {"mine"}
    found["torch"] = outputs(graph)
if "keras" in sys.argv:
    import keras

    class Shifted(keras.layers.Layer):
        by = 3.0

    class Reversed(keras.layers.Layer):
        pass

    class Paired(keras.layers.Layer):
        pass

    for cls, op in ((Shifted, mine.shifted), (Reversed, mine.reversed_rows), (Paired, mine.pair)):
        cls.call = lambda self, x: x + 0
        bind("keras", cls, Translation(op.name, op.py_func, op.parameters, op))
    x_keras = keras.Input((3,))
    y_keras = [cls()(x_keras) for cls in (Shifted, Reversed, Paired)]
    graph = lc.from_keras(keras.Model(x_keras, y_keras))
    assert {node.op.partition(".")[0] for node in graph.nodes} == {"mine"}
    found["keras"] = outputs(graph)
found["numba"] = "numba" in sys.modules
print(json.dumps(found))
"""

UNPICKLING = """
import json
import pickle

import numpy as np

fn = pickle.load(open("model.pickle", "rb"))
print(json.dumps([each.tolist() for each in fn(np.arange(6, dtype=np.float32).reshape(2, 3))]))
"""

EDITS = [("(x + SHIFT)", "(x - SHIFT)"), ("+ 0.0", "+ 10.0"), ("* 1.0", "* 100.0")]


def run(folder, program, *arguments):
    environment = {
        **os.environ,
        "LAYERCC_CACHE_DIR": str(folder / "kernels"),
        "PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (folder / "program.py").write_text(program)
    made = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def wanted(shift=1.0, offset=0.0, factor=1.0):
    x = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    return [
        [[(value + shift) * 3 for value in row] for row in x],
        [[value + offset for value in reversed(row)] for row in x],
        [[max(value - 3, 0.0) * factor for value in row] for row in x],
    ]


def entries(folder):
    return {file.name for file in (folder / "kernels").glob("*.kernel")}


def write_mine(folder, text):
    (folder / "mine.py").write_text(text)
    os.utime(folder / "mine.py", (1, 1))  # a clock that stands still hides nothing


def test_from_the_cache_and_edited(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("keras", reason="Keras is not installed")
    write_mine(tmp_path, MINE)
    first = run(tmp_path, PROGRAM, "torch", "keras")
    assert [first[each] for each in ("builder", "onnx", "torch", "keras")] == [wanted()] * 4
    before = entries(tmp_path)
    second = run(tmp_path, PROGRAM, "torch", "keras")
    assert second == {**first, "numba": False}
    assert entries(tmp_path) == before  # nothing was compiled
    assert run(tmp_path, UNPICKLING) == wanted()  # which imports mine
    text = MINE
    for old, new in EDITS:
        assert old in text
        text = text.replace(old, new)
    write_mine(tmp_path, text)
    third = run(tmp_path, PROGRAM)
    assert third["builder"] == third["onnx"] == wanted(-1.0, 10.0, 100.0)
    assert len(entries(tmp_path) - before) >= 3  # one for each form

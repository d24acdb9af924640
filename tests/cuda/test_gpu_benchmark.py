"""The script that is run on a GPU, on the stand-in device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks import gpu, gpu_kernels, prebuilt
from ir.registry import find_op
from tests.cuda import table

TEXT = "graph g(x: f32[5,3]) -> (y) {\n y = Relu(x)\n}"


@pytest.fixture
def small(monkeypatch, stand_in):
    """Two small kernel cases, an entry of the table, and a tiny network."""
    monkeypatch.setattr(gpu_kernels, "CASES", {"one": TEXT, "two": TEXT.replace("Relu", "Softmax")})
    monkeypatch.setattr(gpu, "MODELS", ("tiny",))
    monkeypatch.setattr(gpu, "BATCHES", (1, 2))
    monkeypatch.setattr(table, "ops", lambda: [find_op("Softmax")])


def report(tmp_path, *options, code=0):
    out = tmp_path / "results.json"
    folder = ["--prebuilt", str(tmp_path / "none")]
    names = ["--models", "tiny"]
    assert gpu.main(["--out", str(out), "--rounds", "2", *folder, *names, *options]) == code
    return json.loads(out.read_text())


def test_kernels_come_first(small, tmp_path):
    found = report(tmp_path, "--peers", "none")
    assert found["device"] == "Stand-in" and found["capability"] == [9, 0]
    assert found["driver"] == "13.0" and found["versions"]["numpy"] != "none"
    one, two, softmax, *rows = found["rows"]
    assert one["kernel"] == "one" and two["kernel"] == "two" and softmax["op"] == "Softmax"
    assert one["right"] and two["right"] and softmax["right"]
    assert [row["runtime"] for row in rows[:3]] == ["layercc", "torch eager", "onnxruntime"]
    assert len(rows) == 2 * 3 * 4 and len({json.dumps([*row.values()][:4]) for row in rows}) == 24
    ours = [row for row in rows if row["runtime"] == "layercc"]
    assert [(row["batch"], row["precision"]) for row in ours] == [
        (1, "highest"), (1, "medium"), (2, "highest"), (2, "medium"), (1, "high"), (2, "high"),
    ]  # fmt: skip
    for row in ours:
        assert "failure" not in row and row["error"] < gpu_kernels.MOST_ERROR
        assert row["device"] == pytest.approx(1e-3) and row["call"] > 0 and row["host"] > 0
        assert row["beyond"] == row["call"] - row["device"] and row["launches"] == 3
        assert row["share"] == pytest.approx(row["limit"] / 1e-3)


@pytest.mark.torch
def test_peers_run_the_same_graph(small, tmp_path, monkeypatch):
    """On the CPU, but otherwise as on a card."""
    torch = pytest.importorskip("torch")
    asked = []

    def compiled(module, **options):
        asked.append(options["mode"])
        return module

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(gpu.Bench, "layercc", lambda *given: {"error": 0, "call": 1})
    monkeypatch.setattr(gpu, "PRECISIONS", ("highest", "medium"))
    before = torch.get_float32_matmul_precision()
    try:
        rows = report(tmp_path, "--peers", "cpu", "--no-table")["rows"]
    finally:
        torch.set_float32_matmul_precision(before)
    assert {row["runtime"] for row in rows} == {"layercc", *gpu.PEERS}
    for row in rows:
        assert "failure" not in row and row["error"] < 1e-2 and row["call"] > 0, row
    assert {*asked} == {"max-autotune"} and torch.backends.cudnn.allow_tf32


def test_what_is_missing_is_said(small, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.Bench, "layercc", lambda *given: {})
    rows = report(tmp_path, "--peers", "cuda", "--no-table")["rows"]
    failures = {row["runtime"]: row["failure"] for row in rows if row["runtime"] in gpu.PEERS}
    assert {*failures} == {*gpu.PEERS}
    for failure in failures.values():
        assert "sees no device" in failure or "has no CUDA" in failure or "No module" in failure


def test_a_kernel_that_is_wrong_is_told(small, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_kernels, "MOST_ERROR", -1.0)
    monkeypatch.setattr(gpu, "network_rows", lambda *given: iter(()))
    found = report(tmp_path, code=1)
    assert [row["right"] for row in found["rows"]] == [False, False, True]


def test_a_kernel_that_falls_back_or_fails_is_wrong(small, monkeypatch, tmp_path):
    text = "graph g(x: f32[4,4]) -> (y) {\n y = Det(x)\n}"
    monkeypatch.setattr(gpu_kernels, "CASES", {"falls back": text, "one": TEXT})
    monkeypatch.setattr(gpu, "network_rows", lambda *given: iter(()))
    first, second, _ = report(tmp_path, code=1)["rows"]
    assert "NumPy runs what cannot be compiled" in first["failure"] and second["right"]


def test_it_stops_in_time(small, tmp_path, monkeypatch):
    found = report(tmp_path, "--seconds", "-1")
    assert not found["rows"] and found["stopped"]


def test_no_row_takes_forever(small, tmp_path, monkeypatch):
    def endless(self, *given):
        while True:
            time.sleep(0.001)

    monkeypatch.setattr(gpu.Bench, "layercc", endless)
    monkeypatch.setattr(gpu.Bench, "torch", lambda *given: {})
    monkeypatch.setattr(gpu.Bench, "onnxruntime", lambda *given: {})
    rows = report(tmp_path, "--no-table", "--row-seconds", "0.01")["rows"]
    ours = [row for row in rows if row["runtime"] == "layercc"]
    assert len(ours) == 6 and all("TimeoutError" in row["failure"] for row in ours)
    assert not any("failure" in row for row in rows if row not in ours)


def test_prebuilt_kernels_run_without_a_compiler(small, tmp_path, monkeypatch, capsys):
    """In a process that cannot import Numba, LLVM, and what else a machine may lack."""
    folder = tmp_path / "kernels"
    assert gpu.main(["--prebuild", str(folder), "--models", "tiny"]) == 0
    assert "tiny: " in capsys.readouterr().out
    script = """
import sys
for name in ("numba", "llvmlite", "onnx", "networkx", "torch"):
    sys.modules[name] = None
from benchmarks import gpu
gpu.BATCHES, gpu.PRECISIONS = (1, 2), ("highest",)
sys.exit(gpu.main(sys.argv[1:]))
"""
    out = tmp_path / "results.json"
    options = ["--stand-in", "--no-table", "--prebuilt", str(folder), "--out", str(out)]
    environment = os.environ | {"LAYERCC_CACHE": "0"}
    subprocess.run([sys.executable, "-c", script, *options], check=True, env=environment)
    found = json.loads(out.read_text())
    assert found["prebuilt"] == "used"
    ours = [row for row in found["rows"] if row["runtime"] == "layercc"]
    assert [row["batch"] for row in ours] == [1, 2]
    for row in ours:
        assert "failure" not in row and row["error"] < gpu_kernels.MOST_ERROR, row


def test_kernels_of_other_sources_are_not_used(tmp_path, monkeypatch):
    folder = prebuilt.Folder(tmp_path)
    assert "no prebuilt kernels" in folder.fault()
    folder.begin("sm_90a", "none")
    assert not folder.fault()
    (tmp_path / "old.kernel").touch()
    folder.begin("sm_90a", "none")
    assert (tmp_path / "old.kernel").exists()
    monkeypatch.setattr(prebuilt, "sources", lambda: "others")
    assert folder.fault() == "prebuilt of other sources"
    folder.begin("sm_90a", "none")
    assert not (tmp_path / "old.kernel").exists()

"""The script that is run on a GPU, on the stand-in device."""

from __future__ import annotations

import json

import pytest

from benchmarks import gpu

pytestmark = pytest.mark.usefixtures("stand_in")


@pytest.fixture
def small(monkeypatch):
    """Two small kernel cases and no networks."""
    text = "graph g(x: f32[5,3]) -> (y) {\n y = Relu(x)\n}"
    monkeypatch.setattr(gpu, "CASES", {"one": text, "two": text.replace("Relu", "Softmax")})
    monkeypatch.setattr(gpu, "MODELS", ())


def test_a_row_is_written_for_each_kernel(small, tmp_path):
    out = tmp_path / "results.json"
    assert gpu.main(["--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["device"] == "Stand-in" and report["capability"] == [9, 0]
    assert [row["kernel"] for row in report["rows"] if row["right"]] == ["one", "two"]


def test_a_kernel_that_is_wrong_is_told(small, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "MOST_ERROR", -1.0)
    assert gpu.main([]) == 1


def test_a_kernel_that_falls_back_or_fails_is_wrong(small, monkeypatch, tmp_path):
    text = "graph g(x: f32[4,4]) -> (y) {\n y = Det(x)\n}"
    monkeypatch.setattr(gpu, "CASES", {"falls back": text, "one": gpu.CASES["one"]})
    out = tmp_path / "results.json"
    assert gpu.main(["--out", str(out)]) == 1
    first, second = json.loads(out.read_text())["rows"]
    assert "NumPy runs what cannot be compiled" in first["failure"] and second["right"]


def test_it_stops_in_time(small, tmp_path):
    out = tmp_path / "results.json"
    assert gpu.main(["--seconds", "-1", "--out", str(out)]) == 0
    assert not out.exists()


def test_the_device_is_timed():
    row = gpu.run_network(gpu.NETWORKS["mlp"], 1, "cuda", 1)
    assert row["error"] < gpu.MOST_ERROR and row["device"] == pytest.approx(1e-3 / 20)
    assert row["launches"] == 4  # three products, and softmax

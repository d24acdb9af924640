"""`layercc compare` and the pieces that its report is made of."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import layercc as lc
from ir.dtypes import DType
from layercc.tools.cli import main
from layercc.tools.compare.comparison import bars
from layercc.tools.compare.difference import compare_arrays
from layercc.tools.compare.tolerance import FACTOR, tolerance, variance
from tests.tools.networks import cnn

ROOT = Path(__file__).parents[2]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments])


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, and one of which a weight differs."""
    monkeypatch.chdir(tmp_path)
    graph, other = cnn(), cnn()
    lc.to_onnx(graph, path="lenet.onnx")
    weight = other.constants["conv2.weight"].copy()
    weight[1, 2, 0, 1] *= -1
    other.constants["conv2.weight"] = weight
    lc.to_onnx(other, path="lenet2.onnx")
    return tmp_path


def test_examples_in_help_work(models: Path) -> None:
    shown = invoke("--help").output.partition("Example")[2].splitlines()
    lines = [line.split()[2:] for line in shown if line.startswith("    layercc compare")]
    assert len(lines) >= 4
    for words in lines:
        result = invoke(*words)
        assert result.exit_code == int("lenet2.onnx" in words), result.output


def test_exit_codes(models: Path) -> None:
    assert invoke("lenet.onnx", "lenet.onnx").exit_code == 0
    differs = invoke("lenet.onnx", "lenet2.onnx")
    assert differs.exit_code == 1
    assert "the first layer that departs is Conv 'conv2'" in differs.output
    assert "explained by the weights: 'conv2.weight'" in differs.output
    for words in (
        ["lenet.onnx", "nowhere.onnx"],
        ["lenet.onnx", "--against", "abacus"],
        ["lenet.onnx", "--against", "threads=no"],
        ["lenet.onnx", "--input", "x=1,5"],
        ["lenet.onnx", "--input", "z=1"],
    ):
        assert invoke(*words).exit_code == 2, words


def test_models_of_other_inputs_are_a_usage_error(models: Path) -> None:
    graph = lc.parse_graph("graph g(y: f32[4]) -> (z: f32[4]) {\n  z = Relu(y)\n}")
    lc.to_onnx(graph, path="other.onnx")
    result = invoke("lenet.onnx", "other.onnx")
    assert result.exit_code == 2
    assert "do not fit together" in " ".join(result.stderr.split())


def test_a_malformed_file(models: Path) -> None:
    (models / "broken.onnx").write_bytes(b"no protobuf")
    result = invoke("lenet.onnx", "broken.onnx")
    assert result.exit_code == 1 and result.stderr.startswith("error: ")


def test_json(models: Path) -> None:
    result = invoke("lenet.onnx", "lenet2.onnx", "--json")
    assert result.exit_code == 1
    data = json.loads(result.output)
    assert data["same"] is False and data["verdict"] == "layer"
    assert data["culprit"]["node"] == "conv2" and data["culprit"]["op"] == "Conv"
    assert data["culprit"]["local"]["kind"] == "error"
    assert [weight["constant"] for weight in data["weights"]] == ["conv2.weight"]
    assert data["weights"][0]["nodes"] == [{"node": "conv2", "op": "Conv"}]
    assert [layer["value"] for layer in data["layers"]][:2] == ["conv1", "norm1"]
    assert data["inputs"] == {"x": [1, 3, 11, 11]}


def test_arrays_from_files_and_every_layer(models: Path) -> None:
    np.save("digit.npy", np.ones((1, 3, 11, 11), np.float32))
    result = invoke("lenet.onnx", "--input", "x=digit.npy", "--all", "--passes")
    assert result.exit_code == 0, result.output
    assert not re.search(r"[0-9] more", result.output)
    assert all(f"\n{name} " in result.output for name in ("conv1", "pool", "logits"))
    assert "passes: " in result.output and "kernels: " in result.output


def test_pages_show_what_commands_print(models: Path) -> None:
    """The samples of docs/compare.md, but for figures, which differ between machines."""
    text = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    exec(compile(block, "docs/compare.md", "exec"), {})
    samples = re.findall(r"^```text\n\$ layercc compare (.*?)\n(.*?)^```$", text, re.M | re.S)
    assert len(samples) >= 2
    for command, sample in samples:
        shown = [_without_figures(line) for line in sample.splitlines()]
        output = invoke(*shlex.split(command)).output
        printed = [_without_figures(line) for line in output.splitlines()]
        assert [line for line in shown if line not in printed and line != "..."] == []


def _without_figures(line: str) -> str:
    line = line.partition(", the worst local error")[0]
    line = re.sub(r"-?\b[0-9][0-9.]*(e[-+]?[0-9]+)?%?", "0", line)
    line = re.sub(r"[▁▂▃▄▅▆▇█]+", "", line)
    return " ".join(line.replace("─", "").split())


# --- how arrays differ


def test_errors_are_relative_to_an_element_and_its_neighbours() -> None:
    b = np.array([1000.0, 1.0, -1.0, 1e-9, 0.5], np.float32)
    a = b.copy()
    a[0] += 1e-3
    assert not compare_arrays(a, b, 1e-5).departs
    a[3] += 1e-3
    found = compare_arrays(a, b, 1e-5)
    assert (found.kind, found.index, found.count) == ("error", (3,), 1)
    assert str(found).endswith("in 1 of 5 elements: 0.0010000011 and not 9.9999997e-10 at [3]")


def test_masks_do_not_hide_errors() -> None:
    b = np.full(64, -3e38, np.float32)
    b[:2] = 1.0
    a = b.copy()
    a[1] = 1.01
    assert compare_arrays(a, b, 1e-4).index == (1,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_patterns_of_nan_and_infinities(value: float) -> None:
    b = np.arange(6, dtype=np.float32).reshape(2, 3)
    b[0, 0] = value
    assert compare_arrays(b.copy(), b, 1e-6).kind == "same"
    a = b.copy()
    a[1, 2] = value
    found = compare_arrays(a, b, 1e-6)
    assert (found.kind, found.index, found.count) == ("nan", (1, 2), 1)
    assert compare_arrays(b, a, 1e-6).kind == "nan"
    assert np.isfinite(found.norm)


def test_shapes_dtypes_and_empty_arrays() -> None:
    a = np.zeros((2, 3), np.float32)
    assert compare_arrays(a, a.reshape(3, 2), 1.0).said == "shape [2, 3] and not [3, 2]"
    assert compare_arrays(a, a.astype(np.float64), 1.0).said == "dtype f32 and not f64"
    assert not compare_arrays(a, a.astype(np.float64), 1.0, dtype=a.dtype).departs
    assert not compare_arrays(a[:0], a[:0], 0.0).departs
    assert not compare_arrays(a, -a, 0.0).departs


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, np.bool_])
def test_integers_are_exact(dtype: type) -> None:
    b = np.array([1, 0, 1], dtype)
    a = b.copy()
    assert not compare_arrays(a, b, 0.0).departs
    a[1] = 1
    found = compare_arrays(a, b, 0.0)
    assert found.kind == "error" and found.index == (1,)


def test_large_integers_are_told_apart() -> None:
    b = np.array([2**62, 2**63 - 1], np.int64)
    assert compare_arrays(b - 1, b, 0.0).count == 2


def test_complex_numbers() -> None:
    b = np.array([1 + 2j, 3 - 1j], np.complex64)
    assert compare_arrays(b * np.complex64(1 + 1e-3j), b, 1e-5).kind == "error"
    assert not compare_arrays(b.copy(), b, 1e-6).departs


@pytest.mark.parametrize("dtype", [DType.f16, DType.bf16, DType.f32, DType.f64])
def test_rounding_is_within_tolerance(dtype: DType) -> None:
    """A sum of 1000 terms in the element type's own arithmetic; not a hundredth of an element."""
    random = np.random.default_rng(4)
    x, w = (random.standard_normal(shape).astype(dtype.value) for shape in ((9, 1000), (1000, 7)))
    exact = x.astype(np.float64) @ w.astype(np.float64)
    wide = np.float64 if dtype is DType.f64 else np.float32
    made = (x.astype(wide) @ w.astype(wide)).astype(dtype.value)
    bound = tolerance(variance(dtype, 1000))
    assert not compare_arrays(made, exact, bound, dtype=made.dtype).departs
    if dtype in (DType.f32, DType.f64):
        made[2, 3] *= dtype.value.type(1.01)
        assert compare_arrays(made, exact, bound, dtype=made.dtype).index == (2, 3)


def test_tolerance_grows_with_the_root_of_what_is_summed() -> None:
    eps = float(np.finfo(np.float32).eps)
    assert tolerance(variance(DType.f32, 8)) == pytest.approx(FACTOR * eps * 3)
    assert tolerance(variance(DType.i32, 8)) == 0


def test_bars() -> None:
    assert bars([0.0, 1e-9, 1e-5, 2.0, float("inf"), None]) == "▁▁▄██ "
    assert len(bars([1e-3] * 1000)) <= 72


def test_a_report_with_a_layer_that_cannot_be_compared(models: Path) -> None:
    from layercc.tools.compare import compare

    found = compare("lenet.onnx")
    found.layers[2] = replace(found.layers[2], local=None, accumulated=None, note="refused")
    text = found.text(every_layer=True)
    assert re.search(r"relu1 +Relu +\? +\? +\? +refused", text)

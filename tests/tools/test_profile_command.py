"""`layercc profile`, with the real compiler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from layercc.tools.cli import main

MODEL = """
graph tiny(x: f32[N, 4], y: f32[N, 4]) -> (s) {
  const w: f32[4, 4] = random(1)
  a = MatMul(x, w)
  b = Relu(a)
  z = Add(b, y)
  s = Softmax(z)
}"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "tiny.graph"
    path.write_text(MODEL)
    return str(path)


def profile(model: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["profile", model, "--seconds", "0.005", *arguments])


@pytest.mark.parametrize(("by", "row"), [("layer", "a"), ("kind", "contraction"), ("call", "a")])
def test_tables(model: str, by: str, row: str) -> None:
    result = profile(model, "--by", by, "--threads", "1", "--input", "x=3,4", "--input", "y=3,4")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("tiny, ")
    assert lines[0].endswith(", 1 thread, x=[3, 4], y=[3, 4]")
    assert any(line.split()[0] == row for line in lines[4:])


def test_page(model: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    result = profile(model, "--html", str(file), "--input", "x=3,4", "--input", "y=3,4")
    assert result.exit_code == 0, result.output
    assert f"wrote {file}" in result.output
    page = file.read_text(encoding="utf-8")
    assert "<html" in page and '"accounted":' in page


def test_json(model: str) -> None:
    result = profile(model, "--json", "--input", "x=3,4", "--input", "y=3,4", "--threads", "2")
    assert result.exit_code == 0, result.output
    data = json.loads(result.output)
    assert data["inputs"] == {"x": [3, 4], "y": [3, 4]}
    assert data["threads"] == 2
    (call,) = (call for call in data["calls"] if call["op"] == "MatMul" and call["flops"])
    assert call["flops"] == 2 * 3 * 4 * 4
    assert call["sources"] == ["a", "b", "z"]


def test_the_rest_of_many_rows(model: str) -> None:
    assert " more" not in profile(model, "--by", "call").output
    result = profile(model, "--by", "call", "--top", "1")
    assert result.exit_code == 0, result.output
    count = len(json.loads(profile(model, "--json").output)["calls"])
    assert count >= 2
    assert f"\n{count - 1} more" in result.output


def test_a_trace(model: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    result = profile(model, "--trace", str(path))
    assert result.exit_code == 0, result.output
    assert f"wrote {path}" in result.output
    events = json.loads(path.read_text())["traceEvents"]
    assert {"M", "X"} <= {event["ph"] for event in events}
    # beside JSON, nothing else is printed
    json.loads(profile(model, "--json", "--trace", str(path)).output)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "colour"], "'colour' is not one of"),
        (["--top", "0"], "x>=1"),
        (["--seconds", "0"], "x>0"),
        (["--threads", "0"], "x>=1"),
        (["--input", "x=3,5"], "[3, 5] does not fit"),
        (["--trace", "."], "is a directory"),
        (["--html", "."], "is a directory"),
    ],
)
def test_usage_errors(model: str, arguments: list[str], said: str) -> None:
    result = profile(model, *arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())

"""The command line: exit codes, JSON, messages. Compilation is stood in for by the reference
interpreter, except in the last test."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import ir
from layercc.kernels.declaration import KernelKey
from layercc.passes import PIPELINE
from layercc.program import KernelCall, Program
from layercc.tools.cli import main
from layercc.tools.options import dims

GOOD = """
graph tiny(x: f32[N, 4]) -> (y) {
  const w: f32[4] = [1, -2, 3, -4]
  a = Add(x, w)
  y = Relu(a)
}"""
BAD = """
graph bad(x: f32[N, 4]) -> (y: f32[N, 3]) {
  const w: f32[5, 3] = fill(1)
  y = MatMul(x, w)
}"""


class Reference:
    """Has what commands use of a compiled model, and computes with `ir.interpret`."""

    def __init__(self, graph: ir.Graph, precision: str, threads: int | None) -> None:
        self.graph, self.precision, self.threads = graph, precision, threads or 1

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return ir.interpret(self.graph, inputs)

    def plan(self, shapes: dict[str, tuple[int, ...]], values: Any = None) -> Any:
        calls = [KernelCall(KernelKey(op, ("f32",)), 1, {}, flops=2000) for op in ("add", "add")]
        calls[1].node, calls[1].algorithm, calls[1].shape_class = "n", "direct", "f32,f32 rows"
        weights = [np.zeros(16, np.float32)]
        return types.SimpleNamespace(program=Program([], [], calls, weights, arena_bytes=128))

    def profile(self, *arrays: Any, **named: Any) -> Any:
        raise ir.LayerccError("the reference has no kernels")


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("layercc.compiler")
    stand_in.compile = Reference  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "layercc.compiler", stand_in)


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "tiny.graph"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.graph"
    path.write_text(BAD)
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


COMMANDS = [
    "bench", "check", "compare", "compile", "demo", "doctor", "inspect", "profile", "report", "run",
]  # fmt: skip
#: Those whose examples are tried where they are tested.
TRIED_ELSEWHERE = {"bench", "compare", "demo", "doctor", "profile"}


def test_help_lists_the_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"layercc {name}" in result.output.partition("Example")[2]
    assert "--json" in result.output


def examples(command: str) -> list[list[str]]:
    """The command lines that the help of a command shows, without `layercc`."""
    shown = invoke(command, "--help").output.partition("Example")[2].splitlines()
    return [line.split()[1:] for line in shown if line.startswith(f"    layercc {command}")]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in TRIED_ELSEWHERE])
def test_examples_in_help_work(
    reference: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All but those that take their time, and those of `compare` (`test_compare_command.py`)."""
    monkeypatch.chdir(tmp_path)
    dims = ("N", "C", "H", "W")
    given, made = (onnx.helper.make_tensor_value_info(n, 1, dims) for n in "xy")
    relu = onnx.helper.make_node("Relu", ["x"], ["y"])
    for file in ("lenet.onnx", "resnet50.onnx"):
        onnx.save(
            onnx.helper.make_model(onnx.helper.make_graph([relu], "g", [given], [made])), file
        )
    np.save("digit.npy", np.zeros((1, 1, 28, 28), np.float32))
    assert examples(name)
    for words in examples(name):
        result = invoke(*words)
        assert result.exit_code == 0, f"layercc {' '.join(words)}: {result.output}"


def test_help_imports_nothing_heavy() -> None:
    heavy = ("numpy", "numba", "onnx", "networkx", "rich")
    code = (
        "import sys, layercc.tools.cli as cli\n"
        "try: cli.main(['--help'])\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "No such command"),
        (["check"], "Missing argument 'MODEL'"),
        (["inspect"], "Missing argument 'MODEL'"),
        (["check", "no/such/file.onnx"], "does not exist"),
        (["check", "MODEL", "--input", "x"], "NAME=VALUE would fit"),
        (["check", "MODEL", "--input", "x=1,,4"], "a list such as N,3,224,224 would fit"),
        (["check", "MODEL", "--input", "x=1,4", "--input", "x=2,4"], "given twice"),
        (["inspect", "MODEL", "--after", "magic"], "no pass is called 'magic'; there are"),
        (["run", "MODEL", "--input", "x=N,4"], "integers >= 0 or a .npy file would fit"),
        (["run", "MODEL", "--input", "z=1,4"], "no input 'z'; the inputs are x"),
        (["run", "MODEL", "--input", "x=1,5"], "declared f32[N, 4]; [1, 5] does not fit"),
        (["run", "MODEL", "--input", "x=no.npy"], "cannot read no.npy"),
        (["run", "MODEL", "--threads", "0"], "x>=1"),
        (
            ["bench", "MODEL", "--against", "abacus"],
            "unknown runtime abacus; there are onnxruntime",
        ),
    ],
)
def test_usage_errors(reference: None, model: str, arguments: list[str], said: str) -> None:
    result = invoke(*(model if word == "MODEL" else word for word in arguments))
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_check_of_a_good_model(model: str) -> None:
    result = invoke("check", model, "--input", "x=2*B,4")
    assert result.exit_code == 0
    assert "f32[2*B, 4]" in result.output


def test_check_of_a_bad_model(bad: str) -> None:
    result = invoke("check", bad)
    assert result.exit_code == 1
    assert "error[shape-mismatch] in MatMul 'y'" in result.output


def test_check_as_json(model: str, bad: str) -> None:
    assert json.loads(invoke("check", model, "--json").output)["ok"] is True
    result = invoke("check", bad, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["diagnostics"][0]["node"] == "y"


def test_check_of_an_unknown_input_is_a_usage_error(model: str) -> None:
    result = invoke("check", model, "--input", "y=1")
    assert result.exit_code == 2
    assert "there is no input 'y'" in result.output


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.graph", b"graph g(", "line 1, column 9: expected"),
        ("broken.graph", b"\xff\xfe", "cannot read"),
        ("broken.onnx", b"no protobuf at all", "broken.onnx"),
    ],
)
@pytest.mark.parametrize("command", ["check", "inspect", "run"])
def test_a_malformed_file(
    tmp_path: Path, command: str, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    result = invoke(command, str(tmp_path / name))
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert said in result.stderr


def test_a_folder_and_an_onnx_file_are_models_too(tmp_path: Path) -> None:
    graph = ir.parse_graph(GOOD)
    ir.save_text(graph, tmp_path / "saved")
    assert invoke("check", str(tmp_path / "saved")).exit_code == 0
    assert invoke("check", str(tmp_path)).exit_code == 1
    kind = onnx.TensorProto.FLOAT
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "small",
            [onnx.helper.make_tensor_value_info("x", kind, ["N", 3])],
            [onnx.helper.make_tensor_value_info("y", kind, ["N", 3])],
        )
    )
    onnx.save(proto, tmp_path / "small.onnx")
    result = invoke("inspect", str(tmp_path / "small.onnx"))
    assert result.exit_code == 0
    assert "y: f32[N, 3] = Relu(x)" in result.output


def test_inspect_prints_the_text_form(model: str) -> None:
    result = invoke("inspect", model)
    assert result.output == ir.print_graph(ir.parse_graph(GOOD))
    after = invoke("inspect", model, "--after", "all")
    assert after.exit_code == 0
    assert "layercc.Fused" in after.output
    assert json.loads(invoke("inspect", model, "--json").output)["text"] == result.output
    assert "# tiny.graph:4" in invoke("inspect", model, "--sources").output


def test_inspect_lists_the_passes() -> None:
    result = invoke("inspect", "--passes")
    assert [line.split()[0] for line in result.output.splitlines()] == [p.name for p in PIPELINE]
    assert [row["name"] for row in json.loads(invoke("inspect", "--passes", "--json").output)] == [
        each.name for each in PIPELINE
    ]


def test_compile_shows_kernels_and_memory(reference: None, model: str) -> None:
    result = invoke("compile", model)
    assert result.exit_code == 0, result.output
    assert "1 for 2 calls" in result.output
    assert "128 B in one arena" in result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["layers", "of", "shape", "layers", "work", "algorithm"] in lines
    assert ["f32,f32", "rows", "1", "2.00", "kFLOP", "direct"] in lines
    data = json.loads(invoke("compile", model, "--json", "--input", "x=3,4").output)
    assert data["inputs"] == {"x": [3, 4]}
    assert data["kernels"] == [
        {"kernel": str(KernelKey("add", ("f32",))), "calls": 2, "flops": 4000}
    ]
    choice = {"shape_class": "f32,f32 rows", "algorithm": "direct", "too_large": "",
              "layers": 1, "flops": 2000}  # fmt: skip
    assert data["algorithms"] == [choice]
    assert (data["arena_bytes"], data["constant_bytes"]) == (128, 64)


def test_run_on_a_file_and_write_the_output(reference: None, model: str, tmp_path: Path) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.save(tmp_path / "x.npy", x)
    folder = tmp_path / "made" / "here"
    result = invoke("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output", str(folder))
    assert result.exit_code == 0, result.output
    assert np.array_equal(np.load(folder / "y.npy"), np.maximum(x + np.array([1, -2, 3, -4]), 0))


def test_run_on_random_inputs_depends_on_the_seed_alone(reference: None, model: str) -> None:
    def run(seed: str) -> Any:
        return json.loads(invoke("run", model, "--input", "x=3,4", "--seed", seed, "--json").output)

    assert run("1") == run("1") != run("2")
    assert run("1")[0]["shape"] == [3, 4]


def test_numbers_that_json_lacks_become_null(reference: None, model: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((1, 4), np.nan, np.float32))
    result = invoke("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--json")
    assert json.loads(result.output)[0]["max"] is None
    empty = json.loads(invoke("run", model, "--input", "x=0,4", "--json").output)
    assert (empty[0]["shape"], empty[0]["mean"]) == ([0, 4], None)


def test_pickled_input_is_refused(reference: None, model: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    result = invoke("run", model, "--input", f"x={tmp_path / 'x.npy'}")
    assert result.exit_code == 2
    assert "cannot read" in result.stderr


BENCH = ("--against", "none", "--seconds", "0.005")


def test_bench_alone(reference: None, model: str) -> None:
    result = invoke("bench", model, *BENCH)
    assert result.exit_code == 0, result.output
    assert "tiny, 1 thread" in result.output
    data = json.loads(invoke("bench", model, *BENCH, "--threads", "2", "--json").output)
    assert data["threads"] == 2
    (point,) = data["points"]
    assert [timing["runtime"] for timing in point["timings"]] == ["layercc"]
    assert point["timings"][0]["median"]["value"] > 0


def test_bench_over_batches_and_against_a_file(reference: None, model: str, tmp_path: Path) -> None:
    file = str(tmp_path / "old.json")
    sweep = ("bench", model, *BENCH, "--batch", "1,3")
    first = invoke(*sweep, "--save", file, "--iterations", "20", "--warmup", "2")
    assert first.exit_code == 0, first.output
    data = json.loads(Path(file).read_text())
    assert [point["inputs"]["x"] for point in data["points"]] == ["float32[1, 4]", "float32[3, 4]"]
    assert all(p["timings"][0]["warm_up"]["made"] == 2 for p in data["points"])
    assert all(p["timings"][0]["calls"] >= 20 for p in data["points"])
    again = invoke(*sweep, "--against-file", file)
    assert again.exit_code == 0, again.output
    assert "new/old" in again.output and "against the run of" in again.output
    found = json.loads(invoke(*sweep, "--against-file", file, "--json", "--no-probe").output)
    assert [change["batch"] for change in found["against"]["changes"]] == [1, 3]
    other = invoke("bench", model, *BENCH, "--batch", "2", "--against-file", file)
    assert other.exit_code == 2 and "nothing in common to compare" in other.stderr


def test_bench_in_streams(reference: None, model: str) -> None:
    data = json.loads(invoke("bench", model, *BENCH, "--streams", "2", "--json").output)
    assert (data["streams"], data["threads"]) == (2, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "abacus"], "unknown runtime abacus; there are onnxruntime"),
        (["--batch", "1,x"], "'1,x': a list of sizes such as 1,2,4 would fit"),
        (["--batch", "0"], "a list of sizes"),
        (["--plot", "a.gif"], "a name that ends in .svg, .png, .pdf, .html would fit"),
        (["--against-file", __file__], "cannot read"),
        (["--input", "x=3,5", "--batch", "2"], "does not fit"),
    ],
)
def test_bench_refuses(options: list[str], said: str, reference: None, model: str) -> None:
    result = invoke("bench", model, *BENCH, *options)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_bench_names_the_package_that_is_missing(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke("bench", model, "--against", "inductor", "--against", "openvino")
    assert result.exit_code == 2
    assert "inductor, openvino: not installed; pip install torch openvino" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N,3,224,-1", ["N", 3, 224, -1]),
        ("", []),
        ("5", [5]),
        ("max(A, B),2*N + 1", ["max(A, B)", "2*N + 1"]),
    ],
)
def test_dims(text: str, expected: list[Any]) -> None:
    assert dims(text) == expected


def test_the_real_compiler_behind_run(model: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    result = invoke("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)[0]["max"] == 4.0

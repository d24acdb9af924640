"""What the page is made of, without a browser: modules, links, JSON data, the file."""

from __future__ import annotations

import hashlib
import json
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner

import ir
import ir.ops
from benchmarks.networks import NETWORKS
from ir.checking import check
from layercc.passes import run_passes
from layercc.tools.cli import main
from layercc.tools.report import describing
from layercc.tools.report.data import page_data
from layercc.tools.report.graph_data import Constants
from layercc.tools.report.links import became
from layercc.tools.report.modules import LIMIT, Module, modules, path_of
from layercc.tools.report.page import SCRIPTS, STATIC, VENDOR, json_in_html, page, write_page
from tests.tools.report_samples import BAD, CLASSIFIER, HOSTILE, LOOP, sample_profile


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("/encoder/layer.0/attention/MatMul", ("encoder", "layer.0", "attention", "MatMul")),
        ("layer1.0.conv1", ("layer1.0", "conv1")),
        ("model/dense_1/MatMul", ("model", "dense_1", "MatMul")),
        ("encoder.layer.11.output", ("encoder", "layer.11", "output")),
        ("p2o.Conv.12", ("p2o", "Conv.12")),
        ("conv2d_3", ("conv2d_3",)),
        ("7", ("7",)),
        ("/", ("/",)),
        ("...", ("...",)),
        ("a//b", ("a", "b")),
    ],
)
def test_paths(name: str, parts: tuple[str, ...]) -> None:
    assert path_of(name) == parts


def test_a_layer_told_apart_goes_before_the_name() -> None:
    assert path_of("node_MatMul_7", "encoder.layer.0.fc") == (
        "encoder",
        "layer.0",
        "fc",
        "node_MatMul_7",
    )


def test_paths_are_of_bounded_depth() -> None:
    assert len(path_of("a/" * 10_000 + "b")) < 20
    chain = [f"{'m/' * (depth + 1)}op" for depth in range(3000)]
    tree = modules(list(map(path_of, chain)), [], [False] * 3000, [False] * 3000)
    assert sorted(tree.nodes()) == list(range(3000))


def shape_of(module: Module, names: list[str]) -> list[Any]:
    """Modules as `[name, items...]`, nodes by name."""
    return [
        [item.name, *shape_of(item, names)] if isinstance(item, Module) else names[item]
        for item in module.items
    ]


def tree_of(names: list[str], constant: list[str] | None = None) -> list[Any]:
    chain = [(i, i + 1) for i in range(len(names) - 1)]
    apart = [name in (constant or []) for name in names]
    return shape_of(modules(list(map(path_of, names)), chain, [False] * len(names), apart), names)


def test_modules_by_path() -> None:
    names = ["/m/a/Conv", "/m/a/Relu", "/m/b/c/Conv", "/m/b/c/Relu", "/m/d/Add"]
    # what all names share is dropped, `b/c` is one module, one of a single node is that node
    assert tree_of(names) == [["a", *names[:2]], ["b/c", *names[2:4]], names[4]]


def test_a_module_may_end_with_a_node_of_its_name() -> None:
    names = ["x", "dense.mat_mul", "dense.add", "dense"]
    assert tree_of(names) == ["x", ["dense", "dense.mat_mul", "dense.add", "dense"]]


def test_what_is_computed_of_constants_is_put_aside() -> None:
    names = ["w1", "w2", "w3", "conv", "relu"]
    assert tree_of(names, names[:3]) == [["constants", "w1", "w2", "w3"], "conv", "relu"]
    assert tree_of(names, names[:2]) == names


@pytest.mark.parametrize("told", [True, False])
def test_long_runs_are_cut_where_few_values_cross(told: bool) -> None:
    """Residual blocks of four nodes: only between them does one value cross. It helps to be `told`
    where a run may begin, and is not needed here."""
    names, edges, starts = [], [], []
    for block in range(30):
        first = 4 * block
        names += [f"{op}_{block}" for op in ("conv", "bn", "mul", "add")]
        edges += [(first - 1, first), (first - 1, first + 3)] if block else []
        edges += [(first + i, first + i + 1) for i in range(3)]
        starts += [told, False, False, False]
    found = shape_of(modules(list(map(path_of, names)), edges, starts, [False] * 120), names)
    assert 8 <= len(found) <= LIMIT
    for run in found:
        assert run[1].startswith("conv_") and run[-1].startswith("add_"), run
        assert run[0] == f"{run[1]} … {run[-1]}"
    assert [name for run in found for name in run[1:]] == names


@pytest.mark.parametrize("count", [1, LIMIT, LIMIT + 1, 997, 20_000])
def test_no_level_is_long(count: int) -> None:
    names = [f"n{i}" for i in range(count)]
    chain = [(i, i + 1) for i in range(count - 1)]
    tree = modules(list(map(path_of, names)), chain, [False] * count, [False] * count)
    assert list(tree.nodes()) == list(range(count))
    pending = [tree]
    while pending:
        module = pending.pop()
        assert len(module.items) <= LIMIT
        pending += [item for item in module.items if isinstance(item, Module)]


def test_every_family_of_ops_has_a_colour() -> None:
    families = {module.name for module in pkgutil.iter_modules(ir.ops.__path__)}
    used = {op.__module__.rpartition(".")[2] for op in ir.registry.all_ops()}
    assert set(describing.KINDS) == families & used
    style = (STATIC / "style.css").read_text()
    for kind in {*describing.KINDS.values(), "other"}:
        assert f'[data-kind="{kind}"]' in style


@pytest.mark.parametrize(
    "dtype",
    [np.float32, np.float16, np.int8, np.uint64, np.bool_, ml_dtypes.bfloat16, ml_dtypes.int4],
)
def test_statistics(dtype: type) -> None:
    """Against NumPy in one go; the sums are made in parts."""
    random = np.random.default_rng(5)
    array = (np.abs(random.standard_normal((1031, 2053))) % 7).astype(dtype)
    array[0, :7] = 0
    found = dict(describing.statistics(array))
    if dtype is np.bool_:
        assert found == {}
        return
    wide = array.astype(np.float64)
    for name, value in (
        ("min", wide.min()),
        ("max", wide.max()),
        ("mean", wide.mean()),
        ("deviation", wide.std()),
    ):
        assert float(found[name]) == pytest.approx(value, rel=2e-3, abs=1e-3), name
    assert int(found["zeros"].split()[0]) == (array == 0).sum()


def test_statistics_have_a_limit() -> None:
    constants = Constants(most=100)
    first, second, third = (np.arange(size, dtype=np.float32) for size in (60, 50, 40))
    assert constants.of(first)["statistics"]
    assert constants.of(second)["statistics"] == []
    assert constants.of(third)["statistics"] and constants.of(first)["statistics"]


@pytest.mark.parametrize("dtype", [ml_dtypes.int4, ml_dtypes.float8_e4m3fn, np.complex64, object])
def test_elements_of_any_type(dtype: Any) -> None:
    array = np.array([1, 0, 2], dtype=dtype)
    assert len(describing.constant(array)["elements"].split(", ")) == 3


def test_tasks_of_a_call_are_drawn_as_one() -> None:
    graph = ir.parse_graph(CLASSIFIER.replace("N, 3", "2, 3").replace("N, 10", "2, 10"))
    profile = sample_profile(graph)
    whole = profile["events"]
    profile["events"] = [
        {**event, "start": event["start"] + part * step, "end": event["start"] + (part + 1) * step}
        for event in whole
        for step in [(event["end"] - event["start"]) / 4]
        for part in range(4)
    ]
    data, _ = page_data(graph, profile=profile)
    joined = data["profile"]["events"]
    assert [(e["call"], e["thread"]) for e in joined] == [(e["call"], e["thread"]) for e in whole]
    assert [e["end"] for e in joined] == pytest.approx([e["end"] for e in whole])


def test_statistics_of_what_is_not_finite() -> None:
    array = np.full(100, np.nan, np.float32)
    assert describing.statistics(array) == [["NaN or infinite", "100"]]
    array[:50] = 2.0
    array[50] = np.inf
    found = dict(describing.statistics(array))
    assert (found["mean"], found["deviation"], found["NaN or infinite"]) == ("2", "0", "50")
    assert describing.statistics(np.zeros(0, np.float32)) == []


def test_what_became_of_nodes() -> None:
    graph = ir.parse_graph(CLASSIFIER)
    after = run_passes(graph)
    found = {
        node.name: [(n.op, n.name) for n in later]
        for node, later in zip(graph.nodes, became(graph, after), strict=True)
    }
    assert found["/stem/conv/Conv"] == found["/stem/bn/BatchNormalization"]  # folded into it
    assert found["/stem/conv/Conv"][0][0] == "Conv"
    assert found["/stem/act/Relu"] == [("Relu", "/stem/act/Relu")]
    assert found["/debug/Relu"] == []  # nobody needs it
    assert all(found[name] for name in found if name != "/debug/Relu")


def test_every_node_of_a_network_became_something() -> None:
    graph = NETWORKS["resnet18"].build()
    after = run_passes(graph)
    assert all(became(graph, after))


def numbers_in(tree: dict[str, Any]) -> list[int]:
    found = []
    for item in tree["items"]:
        if isinstance(item, int):
            found.append(item)
        else:
            found += ([item["node"]] if "node" in item else []) + numbers_in(item)
    return found


@pytest.mark.parametrize("text", [CLASSIFIER, BAD, HOSTILE, LOOP])
def test_data_hangs_together(text: str) -> None:
    graph = ir.parse_graph(text)
    data, report = page_data(graph)
    json.loads(json_in_html(data))
    for side in ("before", "after"):
        found = data[side]
        if found is None:
            assert data["after_missing"]
            continue
        assert sorted(numbers_in(found["tree"])) == list(range(len(found["nodes"])))
        for number, node in enumerate(found["nodes"]):
            for value in node["inputs"]:
                if value >= 0 and node["op"] != "layercc.Fused":
                    assert number in found["values"][value]["readers"]
            for value in node["outputs"]:
                assert value < 0 or found["values"][value]["maker"] >= 0
        for value in found["values"]:
            for reader in value["readers"]:
                assert found["nodes"][reader]["op"] != "layercc.Fused"
    assert len(data["problems"]) == len(report.diagnostics)
    assert data["profile"] is None and data["profile_missing"]


def test_sums_of_modules_are_those_of_the_table() -> None:
    graph = ir.parse_graph(CLASSIFIER)
    data, report = page_data(graph, {"image": (3, 3, 32, 32)})
    tree, totals = data["before"]["tree"], report.totals
    assert tree["parameters"][1] == totals.parameters
    assert tree["work"][1] == totals.flops
    assert tree["activations"][1] == totals.activation_bytes
    inner = [item for item in tree["items"] if isinstance(item, dict)]
    assert {item["name"] for item in inner} == {"stem", "block", "head"}
    for module in inner:
        assert module["work"][1] == sum(
            data["before"]["nodes"][node]["work"][1] for node in numbers_in(module)
        )


def test_symbolic_amounts_can_be_sorted() -> None:
    data, _ = page_data(ir.parse_graph(CLASSIFIER))
    text, number = data["before"]["tree"]["work"]
    assert "N" in text and number > 0


def test_nodes_within_a_fused_group_make_and_read_its_values() -> None:
    data, _ = page_data(ir.parse_graph(CLASSIFIER))
    after = data["after"]
    fused = [number for number, n in enumerate(after["nodes"]) if n["op"] == "layercc.Fused"]
    assert fused
    for number in fused:
        for value in after["nodes"][number]["outputs"]:
            assert after["nodes"][after["values"][value]["maker"]]["around"] == number


def test_problems_name_their_node() -> None:
    data, report = page_data(ir.parse_graph(BAD))
    problem = next(p for p in data["problems"] if p["severity"] == "error")
    assert data["before"]["nodes"][problem["node"]]["name"] == "/head/fc/MatMul"
    assert problem["reads"] == [["flat", "f32[N, 4096]"], ["head.w", "f32[1024, 10]"]]
    assert problem["advice"].startswith("The model would fit")
    assert problem["advice"] not in problem["message"]
    assert problem["way"][0][0] == "image" and problem["way"][-1][0] == "flat"
    assert data["after"] is None and not report.ok


def test_problems_in_subgraphs_name_their_node() -> None:
    graph = ir.parse_graph(LOOP.replace("f32[4, 4] = fill(1)", "f32[5, 4] = fill(1)"))
    data, _ = page_data(graph)
    names = [data["before"]["nodes"][p["node"]]["name"] for p in data["problems"] if p["node"] >= 0]
    assert names


def test_calls_of_a_profile_name_their_nodes() -> None:
    graph = ir.parse_graph(CLASSIFIER.replace("N, 3", "2, 3").replace("N, 10", "2, 10"))
    profile = sample_profile(graph)
    data, _ = page_data(graph, profile=profile)
    for call, (own, optimized) in zip(profile["calls"], data["calls"], strict=True):
        assert data["after"]["nodes"][optimized]["name"] == call["node"]
        assert own < 0 or data["before"]["nodes"][own]["name"] in call["sources"]
    assert any(own >= 0 for own, _ in data["calls"])


# --- the file


def test_text_cannot_leave_its_script_element() -> None:
    nasty = "</script><script>x()</script><!-- \u2028\u2029 \ud800 & ]]>"
    text = json_in_html({"a": [nasty, float("nan"), float("inf")], nasty: 1})
    assert not re.search("[<>&\u2028\u2029\ud800]", text)
    found = json.loads(text)
    assert found["a"] == [nasty, None, None] and found[nasty] == 1


def test_the_page_asks_for_nothing() -> None:
    data, _ = page_data(ir.parse_graph(HOSTILE))
    html = page(data)
    outside = re.sub(r"<script.*?</script>|<style>.*?</style>", "", html, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?(?!data:)\w+:""", outside)
    assert outside.count("<script") == outside.count("onerror") == 0
    style = (STATIC / "style.css").read_text()
    assert "url(" not in style and "@import" not in style


def test_every_script_is_in_the_policy_by_its_digest() -> None:
    data, _ = page_data(ir.parse_graph(HOSTILE))
    html = page(data)
    programs = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(programs) == len(SCRIPTS) + 2
    assert len(re.findall("sha256-", html[: html.index("<style>")])) == len(programs) + 1
    assert sorted(SCRIPTS) == sorted(path.name for path in STATIC.glob("*.js"))


def test_scripts_can_stand_in_a_page() -> None:
    """Nothing in them ends a script element, or begins what only another one ends."""
    for path in [*STATIC.glob("*.js"), *VENDOR.glob("*.js")]:
        text = path.read_text(encoding="utf-8").lower()
        assert "</script" not in text and "<!--" not in text and "\r" not in text, path.name


def test_own_scripts_make_no_html_of_strings() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", ".html("):
            assert word not in text, (path.name, word)
        assert not re.search(r"\beval\(|new Function|https?://(?!www\.w3\.org)", text), path.name


def test_vendored_files_are_as_published() -> None:
    table = tomllib.loads((VENDOR / "libraries.toml").read_text(encoding="utf-8"))["library"]
    listed = {name: digest for library in table for name, digest in library["files"].items()}
    there = {path.name for path in VENDOR.iterdir()} - {"libraries.toml"}
    assert there == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    for library in table:
        assert any("LICENSE" in name for name in library["files"]), library["name"]
        assert library["version"] in library["origin"]
        assert library["license"].startswith(("MIT", "ISC", "BSD", "Apache-2.0", "EPL-2.0"))


def test_the_page_is_small(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", ir.parse_graph(CLASSIFIER))
    assert (tmp_path / "page.html").stat().st_size < 3e6


# --- the command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("good", CLASSIFIER), ("bad", BAD), ("hostile", HOSTILE)):
        (tmp_path / f"{name}.graph").write_text(text, encoding="utf-8")
    return tmp_path


def data_of(file: Path) -> dict[str, Any]:
    html = file.read_text(encoding="utf-8")
    start = html.index('id="data">') + len('id="data">')
    found: dict[str, Any] = json.loads(html[start : html.index("</script>", start)])
    return found


def test_command_without_a_profile(files: Path) -> None:
    model = str(files / "good.graph")
    result = CliRunner().invoke(
        main, ["report", model, "--no-profile", "--input", "image=2,3,32,32"]
    )
    assert result.exit_code == 0, result.output
    data = data_of(files / "good.html")
    assert "--no-profile" in data["profile_missing"]
    assert data["before"]["values"][data["before"]["inputs"][0]]["type"] == "f32[2, 3, 32, 32]"
    inputs = data["after"]["inputs"]
    assert data["after"]["values"][inputs[0]]["type"] == "f32[2, 3, 32, 32]"


def test_a_model_with_errors_gets_its_page(files: Path) -> None:
    page = files / "page.html"
    result = CliRunner().invoke(main, ["report", str(files / "bad.graph"), "-o", str(page)])
    assert result.exit_code == 1
    data = data_of(page)
    assert "inner dims must be equal" in data["profile_missing"]
    assert [p["code"] for p in data["problems"]] == ["shape-mismatch", "dead-node"]


def test_inputs_that_do_not_fit(files: Path) -> None:
    arguments = ["report", str(files / "good.graph"), "--no-profile", "--input", "picture=1,2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2


def test_command_with_a_profile_from_a_file(files: Path) -> None:
    graph = ir.parse_graph(CLASSIFIER.replace("N, 3", "2, 3").replace("N, 10", "2, 10"))
    profile = files / "profile.json"
    profile.write_text(json.dumps(sample_profile(graph)))
    arguments = ["report", str(files / "good.graph"), "--profile", str(profile), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["profiled"] is True
    assert len(data_of(files / "good.html")["calls"]) > 3
    for text in ("[]", "{", "{}", '{"calls": [{"node": "x"}]}'):
        profile.write_text(text)
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2 and "profile.json" in result.output, text


def test_a_page_that_cannot_be_written(files: Path) -> None:
    arguments = ["report", str(files / "good.graph"), "--no-profile"]
    result = CliRunner().invoke(main, [*arguments, "-o", str(files / "no" / "page.html")])
    assert result.exit_code == 2 and "cannot write" in result.output


def test_reports_agree_with_check(files: Path) -> None:
    data, _ = page_data(ir.parse_graph(BAD))
    assert [p["code"] for p in data["problems"]] == [
        found.code for found in check(ir.parse_graph(BAD)).diagnostics
    ]

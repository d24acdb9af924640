"""Profiles: what they hold, that it adds up, and what they are written as."""

# mypy: ignore-errors

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

import layercc as lc
from layercc.limits import Limits
from layercc.profiling.measure import Subject, measure
from layercc.profiling.tables import BY, rich
from layercc.recording import CallInfo, Recording
from tests.numpy_target import NumpyTarget
from tests.profiling.models import compiled, floats, inputs_of, lenet

QUICK = 0.01


@pytest.fixture(scope="module", params=[1, 2])
def profile(request):
    return compiled("lenet", request.param).profile(*inputs_of("lenet", 2), seconds=QUICK)


def test_what_it_holds(profile) -> None:
    data = json.loads(json.dumps(profile.to_dict(), allow_nan=False))
    assert set(data) == {
        "graph", "device", "threads", "inputs", "seconds", "around", "between", "total",
        "accounted", "runs", "limits", "arena_bytes", "constant_bytes", "calls", "layers", "kinds",
        "memory", "events",
    }  # fmt: skip
    assert data["inputs"] == {"x": [2, 28, 28, 1]}
    assert data["threads"] == profile.threads and data["runs"] >= 1
    assert (
        data["limits"]["threads"] == profile.threads and data["limits"]["device"] == data["device"]
    )
    for call in data["calls"]:
        assert set(call) == {
            "node", "layer", "sources", "op", "kind", "kernel", "algorithm", "shape_class",
            "dtype", "tasks", "start", "seconds", "p90", "busy", "flops", "bytes", "limit_share",
            "share",
        }  # fmt: skip
        assert (call["limit_share"] is None) == (not call["flops"] and not call["bytes"])
        assert 0 <= call["busy"] <= 1
    layers = [group["layer"] for group in data["layers"]]
    assert layers == [
        "conv2d", "max_pooling2d", "conv2d_1", "average_pooling2d", "dense", "dense_1",
    ]  # fmt: skip
    kinds = {group["kind"] for group in data["kinds"]}
    assert kinds >= {"contraction", "pooling", "normalization"}


def test_it_adds_up(profile) -> None:
    seconds = sum(row.seconds for row in profile.calls)
    assert profile.total == pytest.approx(seconds + profile.between + profile.around)
    shares = [profile.share(row.seconds) for row in profile.calls]
    shares += [profile.share(profile.between), profile.share(profile.around)]
    assert sum(shares) == pytest.approx(1)
    for groups in (profile.layers, profile.kinds):
        assert sum(group.seconds for group in groups) == pytest.approx(seconds)
        assert sum(group.calls for group in groups) == len(profile.calls)
        assert sum(group.flops for group in groups) == sum(r.call.flops for r in profile.calls)
        assert sum(group.bytes for group in groups) == sum(r.call.bytes for r in profile.calls)
    assert [group.seconds for group in profile.kinds] == sorted(
        (group.seconds for group in profile.kinds), reverse=True
    )


def test_memory(profile) -> None:
    """Inside of the arena, and apart where alive together."""
    assert profile.memory
    for each in profile.memory:
        assert each.offset >= 0 and each.offset + each.bytes <= profile.arena_bytes
        assert 0 <= each.first <= each.last < len(profile.calls)
    for a, b in itertools.combinations(profile.memory, 2):
        together = a.first <= b.last and b.first <= a.last
        apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
        assert apart or not together or not a.bytes or not b.bytes
    alive = profile.alive_bytes()
    assert len(alive) == len(profile.calls)
    assert 0 < max(alive) <= profile.arena_bytes
    for index, nbytes in enumerate(alive):
        assert nbytes == sum(e.bytes for e in profile.memory if e.first <= index <= e.last)


def check_trace(trace: dict) -> None:
    """The rules of the trace event format for the events that are used."""
    json.dumps(trace, allow_nan=False)
    named, spans = set(), {}
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str) and event["name"]
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
            key = "sort_index" if event["name"] == "thread_sort_index" else "name"
            assert set(event["args"]) == {key}
            if event["name"] == "thread_name":
                named.add(event["tid"])
        elif event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] >= 0
            assert all(isinstance(v, (str, int, float)) for v in event["args"].values())
            spans.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
        else:
            assert event["ph"] == "C"
            assert event["ts"] >= 0
            assert all(isinstance(v, int) for v in event["args"].values())
    assert set(spans) <= named
    for of_thread in spans.values():
        of_thread.sort()
        for (_, end), (start, _) in itertools.pairwise(of_thread):
            assert start >= end - 1e-6  # one after another


def test_trace(profile) -> None:
    trace = profile.chrome_trace()
    check_trace(trace)
    complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    calls = [event for event in complete if event["tid"] == 1]
    assert [event["name"] for event in calls] == [row.layer for row in profile.calls]
    assert len(complete) == len(calls) + len(profile.events)
    assert sum(e["args"]["tasks"] for e in complete if e["tid"] > 1) == sum(
        row.call.tasks for row in profile.calls
    )
    assert calls[0]["args"]["kernel"] == profile.calls[0].call.kernel
    counted = [event["args"]["bytes"] for event in trace["traceEvents"] if event["ph"] == "C"]
    assert counted == profile.alive_bytes()


@pytest.mark.parametrize("name", ["partitioned", "loop"])
def test_partitioned(name: str) -> None:
    profile = compiled(name, 2).profile(*inputs_of(name, 3), seconds=QUICK)
    check_trace(profile.chrome_trace())
    json.dumps(profile.to_dict(), allow_nan=False)
    assert "fallback" in {group.name for group in profile.kinds}
    for a, b in itertools.combinations(profile.memory, 2):
        together = a.first <= b.last and b.first <= a.last
        assert not together or a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset


@pytest.mark.parametrize("size", [0, 1, 7])
def test_shapes(size: int) -> None:
    profile = compiled("wide", 2).profile(*inputs_of("wide", size), seconds=QUICK)
    assert profile.inputs == {"x": (size, 256)}
    check_trace(profile.chrome_trace())
    str(profile)
    if size == 0:
        assert profile.calls == [] and profile.accounted == 0


def test_work_of_a_convolution() -> None:
    n, h, w, c, m = 2, 9, 7, 5, 6
    fn = lc.compile(
        lc.parse_graph(
            f"graph g(x: f32[{n}, {c}, {h}, {w}]) -> (y) {{"
            f" const w: f32[{m}, {c}, 3, 3] = random(1)  const b: f32[{m}] = random(2)"
            " y = Conv(x, w, b) {pads = [1, 1, 1, 1]} }"
        )
    )
    profile = fn.profile(floats(n, c, h, w), seconds=QUICK)
    (layer,) = (group for group in profile.layers if group.name == "y")
    flops = 2 * n * h * w * m * c * 9
    assert layer.flops >= flops  # taps that were joined are padded
    products = [r for r in profile.calls if r.call.kernel.startswith("contraction")]
    for row in products:
        call = row.call
        least = 4 * (n * h * w * (c + m) + m * c * 9 + m)
        assert (call.op, call.kind, call.dtype, row.layer) == (
            "Conv", "contraction", "f32", "y",
        )  # fmt: skip
        assert least <= call.bytes <= 4 * least  # weights are padded to whole panels
    assert len(products) == 1


def test_work_of_a_matrix_product() -> None:
    profile = compiled("wide", 1).profile(*inputs_of("wide", 7), seconds=QUICK)
    products = [row.call for row in profile.calls if row.call.op == "MatMul"]
    assert [call.flops for call in products] == [2 * 7 * 256 * 256] * 2
    # x, w and y, the row of zeros that is read outside of x
    assert all(0 <= call.bytes - 4 * (2 * 7 * 256 + 256 * 256) <= 4096 * 2 for call in products)


def test_bytes_of_what_is_touched_in_part() -> None:
    """A few rows of a large table, and a part of a large result."""
    fn = lc.compile(
        lc.parse_graph(
            "graph g(t: f32[1000, 64], i: i64[3], a: f32[8, 64]) -> (y, z) {"
            " y = Gather(t, i) {axis = 0}  z = Concat(t, a) {axis = 0} }"
        )
    )
    profile = fn.profile(floats(1000, 64), np.array([1, 2, 3]), floats(8, 64), seconds=QUICK)
    moved = {row.call.node: row.call.bytes for row in profile.calls if row.call.kind == "indexing"}
    assert moved == {"y": 2 * 3 * 64 * 4 + 3 * 8}
    copies = [row.call.bytes for row in profile.calls if row.call.kind == "movement"]
    assert sorted(copies) == [2 * 8 * 64 * 4, 2 * 1000 * 64 * 4]


#: A machine of round figures.
ABACUS = Limits("abacus", 1, {"f32": 1e12}, {"memory": 1e10})


def subject(seconds: float, **fields) -> Subject:
    """What takes no time and says that it took some."""

    def record() -> Recording:
        made = Recording.of_one_call(CallInfo("a", flops=10**9, bytes=10, kind="k"), 0.0, seconds)
        return Recording(made.read, 0.0, 2 * seconds, made.calls)

    given = {"graph": "g", "layers": {"a": ""}, "device": "d", "threads": 1, "inputs": {}} | fields
    return Subject(lambda: None, lambda: None, record, **given)


def test_limits() -> None:
    profile = measure(subject(0.002, limits=ABACUS), QUICK)
    (call,) = profile.to_dict()["calls"]
    assert call["limit_share"] == pytest.approx(0.5)
    assert profile.to_dict()["layers"][0]["limit_share"] == pytest.approx(0.5)
    assert profile.to_dict()["limits"] == ABACUS.to_dict()
    assert "50%" in str(profile)
    assert profile.between == pytest.approx(0.002)
    assert measure(subject(0.002), QUICK).to_dict()["layers"][0]["limit_share"] is None


def test_a_target_with_limits(monkeypatch) -> None:
    fn = lc.compile(lc.parse_graph("graph g(x: f32[4]) -> (y) { y = Relu(x) }"), threads=1)
    asked = []
    target = type(fn.options.target)
    monkeypatch.setattr(target, "limits", lambda self, threads: asked.append(threads) or ABACUS)
    assert fn.profile(floats(4), seconds=QUICK).device == "abacus"
    assert asked == [1]


@pytest.mark.parametrize("by", BY)
def test_tables(profile, by: str) -> None:
    from rich.console import Console

    text = profile.table(by)
    lines = text.splitlines()
    assert f"sequential, {profile.device}" in lines[0]
    count = {"layer": len(profile.layers), "kind": len(profile.kinds), "call": len(profile.calls)}
    start = next(i for i, line in enumerate(lines) if line.startswith("─"))
    assert lines[start + count[by] + 1].startswith("between calls")
    short = profile.table(by, top=1).splitlines()
    assert short[start + 2].startswith(f"{count[by] - 1} more")
    assert ("busy" in text) == (by == "call" and profile.threads > 1)
    for width in (60, 140):
        console = Console(width=width, force_terminal=True, color_system=None)
        with console.capture() as capture:
            console.print(rich(profile, by, None, width))
        shown = capture.get()
        assert max(map(len, shown.splitlines())) <= width
        assert ("bytes" in shown) == (width > 100)


def test_of_a_table_that_there_is_not(profile) -> None:
    with pytest.raises(ValueError, match="by='colour'; there are layer, kind, call"):
        profile.table("colour")
    with pytest.raises(ValueError, match="top=0"):
        profile.table(top=0)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ([], {}),
        ([floats(1, 28, 28, 1)] * 2, {}),
        ([floats(1, 28, 28, 2)], {}),
        ([np.zeros((1, 28, 28, 1))], {}),
        ([], {"nothing": floats(1)}),
    ],
)
def test_errors_are_those_of_a_call(arrays, named) -> None:
    fn = compiled("lenet", 1)
    with pytest.raises(lc.LayerccError) as called:
        fn(*arrays, **named)
    with pytest.raises(lc.LayerccError) as profiled:
        fn.profile(*arrays, **named)
    assert type(profiled.value) is type(called.value)
    assert str(profiled.value) == str(called.value)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan])
def test_seconds_must_be_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match="a positive number would fit"):
        compiled("wide", 1).profile(*inputs_of("wide", 1), seconds=seconds)


def test_inputs_by_name_defaults_and_foreign_arrays() -> None:
    graph = lc.parse_graph("graph g(x: f32[N], y: f32[N]) -> (z) { z = Add(x, y) }")
    profile = lc.compile(graph).profile([1.0, 2.0], y=np.ones(2, np.float32), seconds=QUICK)
    assert profile.inputs == {"x": (2,), "y": (2,)}


@pytest.mark.filterwarnings("ignore:.*NumPy runs:RuntimeWarning")
def test_a_third_target() -> None:
    fn = lc.compile(lenet(), target=NumpyTarget())
    profile = fn.profile(*inputs_of("lenet", 1), seconds=QUICK)
    check_trace(profile.chrome_trace())
    assert {"NumPy", "NumpyPlan"} == {row.call.kernel for row in profile.calls}


def test_a_machine_that_cannot_run_the_model(monkeypatch) -> None:
    target = lc.CpuTarget()
    monkeypatch.setattr(type(target), "runs_here", lambda self: False)
    fn = lc.compile(lc.parse_graph("graph g(x: f32[4]) -> (y) { y = Relu(x) }"), target=target)
    with pytest.raises(lc.LayerccError, match="cannot run"):
        fn.profile(floats(4))


def test_unlike_runs_are_told_apart() -> None:
    """Where runs differ in their calls, the most frequent ones count."""
    kinds = itertools.cycle(["a", "a", "b"])
    given = subject(0.001)

    def record() -> Recording:
        return Recording.of_one_call(CallInfo(next(kinds)), 0.0, 0.001)

    profile = measure(Subject(**{**vars(given), "record": record}), QUICK)
    assert [row.layer for row in profile.calls] == ["a"]

"""Algorithms of contractions: which is chosen, that each gives the same, and that the choice, so
each sample's result, does not depend on the batch."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import layercc as lc
from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Graph, Value
from layercc.buffers import Buffer, Tensor, scratch
from layercc.cpu.algorithms import choice
from layercc.cpu.algorithms.choice import algorithms, choose, shape_class
from layercc.cpu.emit.builder import Builder
from layercc.cpu.isa import host_isa
from layercc.cpu.target import CpuTarget
from layercc.jobs.contraction import Contraction, Matrices
from layercc.jobs.windows import Axes, Axis
from layercc.lower.convolution import filter_groups, filter_matrices
from layercc.lower.matmul import batch_dims
from layercc.options import Options, Precision
from layercc.program import Program
from layercc.session.model import CompiledModel
from layercc.weights import Weights
from tests.support import one_node, reference_node

NAMES = (
    "depthwise", "direct", "joined_taps", "narrow_groups", "pairs", "quads",
    "winograd_2x2", "winograd_4x4", "winograd_6x6",
)  # fmt: skip

#: For lower precisions than the highest. No case has the last one.
WINOGRAD = ("winograd_2x2", "winograd_4x4", "winograd_6x6")

rng = np.random.default_rng


def floats(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return rng(math.prod(shape)).standard_normal(shape).astype(dtype)


def levels(dtype: type, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng(1).integers(limits.min, limits.max, shape, dtype, endpoint=True)


def conv(dims, channels, filters, kernel, group=1, batch=2, **attributes):
    """A case: op, inputs, attributes."""
    x, w = floats(batch, *dims, channels), floats(filters, channels // group, *kernel)
    return "Conv", [x, w], {"channels_last": 1, "group": group, **attributes}


def quantized(op, x, w, x_zero=None, w_zero=None, **attributes):
    return op, [x, w, x_zero, w_zero], attributes


u8, i8 = np.uint8, np.int8
INTEGERS = [levels(np.int32, 3, 5), levels(np.int32, 5, 7)]
BYTES = [levels(u8, 5, 7), levels(i8, 7, 9)]

#: The algorithm that is chosen, what it computes, and which inputs are constants.
CASES = {
    "few channels": ("joined_taps", conv((11, 13), 3, 5, (3, 5), pads=[1, 2, 1, 2]), (1,)),
    "one channel, strides": ("joined_taps", conv((9, 11), 1, 17, (5, 5), strides=[2, 3]), (1,)),
    "few channels, 3-D": ("joined_taps", conv((3, 5, 7), 2, 3, (3, 3, 3)), (1,)),
    "few channels, one tap": ("direct", conv((7, 5), 3, 5, (1, 1)), (1,)),
    "few channels, dilated": ("direct", conv((11, 13), 3, 5, (3, 3), dilations=[1, 2]), (1,)),
    "many channels, one pixel": ("direct", conv((3, 3), 17, 19, (3, 3)), (1,)),
    "many channels, many pixels": (
        "winograd_4x4", conv((23, 25), 72, 37, (3, 3), pads=[1] * 4), (1,)),
    "many channels, some pixels": (
        "winograd_2x2", conv((10, 10), 130, 70, (3, 3), 1, 1, pads=[1] * 4), (1,)),
    "many channels, known to a run": ("direct", conv((23, 25), 40, 37, (3, 3)), ()),
    "groups of several channels": ("direct", conv((5, 7), 6, 9, (3, 3), group=3), (1,)),
    "a few channels a group": (
        "narrow_groups", conv((7, 5), 12, 12, (3, 3), group=3, pads=[1] * 4), (1,)),
    "one channel a group": ("depthwise", conv((7, 5), 13, 13, (3, 3), group=13), (1,)),
    "several filters a channel": ("depthwise", conv((7, 5), 5, 15, (3, 3), group=5), (1,)),
    "weights known to a run": ("depthwise", conv((7, 5), 13, 13, (3, 3), group=13), ()),
    "too many taps for depthwise": ("direct", conv((67, 65), 3, 3, (65, 64), group=3), (1,)),
    "a matrix product": ("direct", ("MatMul", [floats(3, 5, 17), floats(17, 19)], {}), (1,)),
    "products of groups": ("direct", ("MatMul", [floats(2, 3, 5), floats(2, 5, 7)], {}), ()),
    "integers of 32 bits": ("direct", ("MatMul", INTEGERS, {}), ()),
    "bytes": ("quads", quantized("MatMulInteger", levels(u8, 3, 5, 7), levels(i8, 7, 9)), (1,)),
    "bytes, a zero point": (
        "quads", quantized("MatMulInteger", levels(i8, 5, 7), levels(i8, 7, 9), i8(3)), (1,)),
    "bytes, filters": (
        "quads", quantized("ConvInteger", levels(u8, 2, 3, 7, 5), levels(u8, 9, 3, 3, 3), u8(7),
                           u8(128), pads=[1] * 4), (1, 3)),
    "weights with zero points": (
        "pairs", quantized("MatMulInteger", *BYTES, None, i8(1)), (1, 3)),
    "bytes known to a run": ("pairs", quantized("MatMulInteger", *BYTES), ()),
}  # fmt: skip


def compiled(
    graph: Graph, choices: Mapping[str, str] | None = None, precision: Precision = "high"
) -> CompiledModel:
    return CompiledModel(graph, Options(CpuTarget(), precision, 2, choices or {}))


def graph_and_inputs(case, constants) -> tuple[Graph, dict[str, np.ndarray]]:
    op, inputs, attributes = case
    graph = one_node(op, inputs, attributes, constants=constants)
    given = {f"x{i}": array for i, array in enumerate(inputs) if array is not None}
    return graph, {name: given[name] for name in graph.input_names}


def chosen(fn: CompiledModel, inputs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The algorithms of a model's layers, by class of shapes."""
    plan = fn.plan({name: array.shape for name, array in inputs.items()}, inputs)
    return {call.shape_class: call.algorithm for call in plan.program.calls if call.algorithm}


#: How many times as large the errors of an algorithm are as those of the direct sum.
ERRORS = {"winograd_4x4": 4, "winograd_6x6": 16}


def excess(found: np.ndarray, case, algorithm: str) -> float:
    """How far a result is beyond the rounding of float32 sums (see tests/lower/test_contraction);
    of integers, any difference."""
    op, inputs, attributes = case
    if found.dtype.kind in "iu":
        (wanted,) = reference_node(op, inputs, attributes, exact=False)
        return float(np.max(np.abs(found.astype(np.int64) - wanted), initial=0))
    (wanted,) = reference_node(op, inputs, attributes)
    (squares,) = reference_node(op, [a.astype(np.float64) ** 2 for a in inputs], attributes)
    terms = math.prod(inputs[1].shape[1:]) if op == "Conv" else inputs[1].shape[-2]
    bound = 2 * np.finfo(found.dtype).eps * np.sqrt(min(terms, 256) * squares)
    bound *= ERRORS.get(algorithm, 1)
    return float(np.max(np.abs(found - wanted) - bound, initial=0.0))


def test_all_are_found():
    assert tuple(each.name for each in algorithms()) == NAMES
    assert {expected for expected, _, _ in CASES.values()} == set(NAMES) - {WINOGRAD[-1]}


@pytest.mark.parametrize("name", CASES)
def test_the_cheapest_is_chosen_and_a_table_overrules(name):
    """Whatever the table says of this class of shapes, the result is right; where it names an
    algorithm that fits, that one computes it."""
    expected, case, constants = CASES[name]
    graph, inputs = graph_and_inputs(case, constants)
    fn = compiled(graph)
    ((kind, default),) = chosen(fn, inputs).items()
    assert default == expected
    assert excess(fn.run(inputs)["y0"], case, default) <= 0
    taken = set()
    for other in set(NAMES) - {default}:
        asked = compiled(graph, {kind: other})
        (used,) = chosen(asked, inputs).values()
        assert used in (other, default)
        if used == other:
            taken.add(other)
            assert excess(asked.run(inputs)["y0"], case, used) <= 0
    assert taken == ALTERNATIVES.get(name, set())
    assert set(chosen(compiled(graph, {"another": "direct"}), inputs).values()) == {default}


#: What else fits the cases above.
ALTERNATIVES = {
    "many channels, one pixel": {"winograd_2x2", "winograd_4x4", "winograd_6x6"},
    "many channels, many pixels": {"direct", "winograd_2x2", "winograd_6x6"},
    "many channels, some pixels": {"direct", "winograd_4x4", "winograd_6x6"},
    "few channels": {"direct"},
    "one channel, strides": {"direct"},
    "few channels, 3-D": {"direct"},
    "few channels, one tap": {"joined_taps"},
    "a few channels a group": {"direct"},
    "one channel a group": {"direct"},
    "several filters a channel": {"direct"},
    "weights known to a run": {"direct"},
    "bytes": {"pairs"},
    "bytes, a zero point": {"pairs"},
    "bytes, filters": {"pairs"},
}


def test_lower_precisions_admit_more():
    case, constants = conv((66, 66), 32, 64, (3, 3), 1, 1, pads=[1] * 4), (1,)
    graph, inputs = graph_and_inputs(case, constants)
    exact = compiled(graph, precision="highest")
    ((kind, name),) = chosen(exact, inputs).items()
    assert name == "winograd_2x2"
    # a table overrules that few layers should not have larger errors, not what none may have
    for asked, taken in ("winograd_4x4", "winograd_4x4"), ("winograd_6x6", name):
        assert chosen(compiled(graph, {kind: asked}, "highest"), inputs) == {kind: taken}
    (wanted,) = reference_node(*case)
    error = np.linalg.norm(exact.run(inputs)["y0"] - wanted) / np.linalg.norm(wanted)
    for precision in ("high", "medium"):
        fn = compiled(graph, precision=precision)
        assert chosen(fn, inputs) == {kind: "winograd_6x6"}
        found = np.linalg.norm(fn.run(inputs)["y0"] - wanted) / np.linalg.norm(wanted)
        assert error < found < 1e-5


def test_choices_are_part_of_a_models_options():
    _, case, constants = CASES["few channels"]
    graph, inputs = graph_and_inputs(case, constants)
    (kind,) = chosen(compiled(graph), inputs)
    fn = compiled(graph, {kind: "direct"})
    assert fn.options.choices == ((kind, "direct"),)
    assert hash(fn.options) == hash(Options(CpuTarget(), "high", 2, {kind: "direct"}))
    assert chosen(pickle.loads(pickle.dumps(fn)), inputs) == {kind: "direct"}


def test_a_name_that_no_algorithm_has_is_refused():
    _, case, constants = CASES["few channels"]
    graph, inputs = graph_and_inputs(case, constants)
    (kind,) = chosen(compiled(graph), inputs)
    with pytest.raises(ValueError, match=r"no algorithm 'drect' for .*; there are .*direct"):
        chosen(compiled(graph, {kind: "drect"}), inputs)


# Nothing hangs on the batch


def constant(dtype: DType, *shape: int) -> Tensor:
    array = np.zeros(shape, dtype.value)
    return Tensor(Buffer("constant", array.nbytes, array=array), dtype, shape)


def conv_job(batch: int, random: np.random.Generator) -> Contraction:
    """A convolution of random sizes, but for the batch."""
    integers = bool(random.integers(0, 2))
    groups = int(random.choice([1, 1, 2, 5]))
    channels, columns = map(int, random.integers(1, 20, 2) if random.integers(2) else (1, 1))
    taps, strides, dilations = (map(int, random.integers(1, high, 2)) for high in (8, 3, 3))
    inputs = map(int, random.integers(20, 60, 2))
    axes = [
        Axis(size, (size - (tap - 1) * dilation - 1) // stride + 1, tap, stride, 0, dilation)
        for size, tap, stride, dilation in zip(inputs, taps, strides, dilations, strict=True)
    ]
    bytes_ = random.choice([DType.u8, DType.i8])  # of unsigned ones, 0 is no zero point
    kinds = (DType.u8, bytes_, DType.i32) if integers else (DType.f32,) * 3
    filters = groups * columns
    window = Axes(h=axes[0], w=axes[1])
    shape = (batch, axes[0].inputs, axes[1].inputs, channels * groups)
    weight = constant(kinds[1], filters, channels, axes[0].taps, axes[1].taps)
    return Contraction(
        x=scratch(kinds[0], shape),
        x_row=channels * groups,
        weights=filter_matrices(weight, groups),
        y=scratch(kinds[2], (batch, axes[0].outputs, axes[1].outputs, filters)),
        y_row=filters,
        rows=batch * window.outputs,
        columns=columns,
        depth=channels,
        groups=filter_groups(groups, channels, weight),
        window=window,
    )


def wide_conv_job(batch: int, random: np.random.Generator) -> Contraction:
    """A convolution that Winograd's algorithms fit."""
    channels, filters = map(int, random.integers(16, 300, 2))
    sizes = map(int, random.integers(3, 60, 2))
    axes = [Axis(size, size, 3, 1, 1) for size in sizes]
    window = Axes(h=axes[0], w=axes[1])
    weight = constant(DType.f32, filters, channels, 3, 3)
    return Contraction(
        x=scratch(DType.f32, (batch, axes[0].inputs, axes[1].inputs, channels)),
        x_row=channels,
        weights=filter_matrices(weight, 1),
        y=scratch(DType.f32, (batch, axes[0].outputs, axes[1].outputs, filters)),
        y_row=filters,
        rows=batch * window.outputs,
        columns=filters,
        depth=channels,
        window=window,
    )


def product_job(batch: int, random: np.random.Generator) -> Contraction:
    """A product of random sizes, of a batch of matrices or by one for all."""
    rows, depth, columns = map(int, random.integers(1, 200, 3))
    heads = int(random.integers(1, 4))
    kinds = [(DType.f32, DType.f32), (DType.u8, DType.i8)][int(random.integers(0, 2))]
    x = scratch(kinds[0], (batch, heads, rows, depth))
    single = bool(random.integers(0, 2))
    shape = (depth, columns) if single else (batch, heads, depth, columns)
    weights = constant(kinds[1], depth, columns) if single else scratch(kinds[1], shape)
    return Contraction(
        x=x,
        x_row=depth,
        weights=Matrices(weights, columns, ((columns, 1),)),
        y=scratch(kinds[0], (batch, heads, rows, columns)),
        y_row=columns,
        rows=batch * heads * rows if single else rows,
        columns=columns,
        depth=depth,
        groups=() if single else batch_dims(x.shape, shape),
    )


def relative_costs(builder: Builder, job: Contraction) -> dict[str, float]:
    """What the algorithms that fit cost, over the cheapest."""
    costs = {
        each.name: each.cost(job, builder.limits)
        for each in algorithms()
        if each.fits(job, builder.precision)
    }
    return {name: cost / min(costs.values()) for name, cost in costs.items()}


#: Jobs, and what is chosen for some of them at the precision "high".
JOBS = {
    conv_job: {"depthwise", "direct", "joined_taps", "pairs", "quads"},
    wide_conv_job: {"direct", "winograd_2x2", "winograd_4x4", "winograd_6x6"},
    product_job: {"direct", "pairs", "quads"},
}


@pytest.mark.parametrize("make", JOBS)
def test_the_choice_does_not_vary_with_the_batch(make):
    builder = Builder(Program([], []), Weights(), host_isa(), "high")
    seen = set()
    for seed in range(300):
        jobs = [make(batch, rng(seed)) for batch in (1, 2, 7)]
        (name,) = {choose(builder, job).algorithm.name for job in jobs}
        first, *others = (relative_costs(builder, job) for job in jobs)  # inf: never chosen
        assert all(other == pytest.approx(first, rel=1e-9) for other in others)
        (kind,) = {shape_class(job) for job in jobs}
        seen.add(name)
        builder.choices = {kind: "pairs"}  # so tables may tell of any batch
        assert len({choose(builder, job).algorithm.name for job in jobs}) == 1
        builder.choices = {}
    assert seen == JOBS[make]


# Memory for weights


def layer(size: int, channels: int, filters: int, batch: int = 1) -> Contraction:
    """A convolution of 3 × 3 that Winograd's algorithms fit."""
    weight = constant(DType.f32, filters, channels, 3, 3)
    return Contraction(
        x=scratch(DType.f32, (batch, size, size, channels)),
        x_row=channels,
        weights=filter_matrices(weight, 1),
        y=scratch(DType.f32, (batch, size, size, filters)),
        y_row=filters,
        rows=batch * size * size,
        columns=filters,
        depth=channels,
        window=Axes(h=Axis(size, size, 3, 1, 1), w=Axis(size, size, 3, 1, 1)),
    )


#: Size of the map, channels in and out: the levels of a U-Net, more or less.
LEVELS = [
    (96, 64, 64), (48, 128, 96), (24, 250, 256), (12, 512, 500), (12, 500, 530),
    (24, 500, 256), (48, 250, 96), (96, 100, 64),
]  # fmt: skip


def names(
    jobs: list[Contraction], precision: str = "highest", choices: dict[str, str] | None = None
) -> list[str]:
    builder = Builder(Program([], []), Weights(), host_isa(), precision, choices)
    found = choice.choose_all(builder, jobs)
    return [found[job].algorithm.name for job in jobs]


def growth(jobs: list[Contraction]) -> int:
    """Bytes that the weights of a workload take beyond their own at the highest precision."""
    known = {each.name: each for each in algorithms()}
    return sum(known[name].growth(job) for name, job in zip(names(jobs), jobs, strict=True))


def test_weights_grow_no_more_than_by_half(monkeypatch):
    jobs = [layer(*level) for level in LEVELS]
    weights = sum(job.weights.tensor.nbytes for job in jobs)
    spent = []
    for allowed in (0.0, 0.1, 0.5, 0.8, 3.0):
        monkeypatch.setattr(choice, "GROWTH", 1 + allowed)
        monkeypatch.setattr(choice, "ALWAYS", 0)
        spent.append(growth(jobs) / weights)
        assert spent[-1] <= allowed
    assert spent == sorted(set(spent)) and spent[0] == 0  # what there is, is made use of
    assert choice.GROWTH == 4 and names(jobs) == names(jobs, "high")


def test_memory_goes_where_it_saves_most(monkeypatch):
    monkeypatch.setattr(choice, "ALWAYS", 0)
    jobs = [layer(*level) for level in LEVELS]
    taken = names(jobs)
    assert taken[0] == taken[-1] == "winograd_4x4" and taken[4] == "direct"
    for batch in (2, 7):  # nor does it hang on the batch
        assert names([layer(*level, batch) for level in LEVELS]) == taken
    assert names(jobs[::-1]) == taken[::-1]


def test_little_memory_is_always_there():
    jobs = [layer(*level) for level in LEVELS[:2] * 4]
    assert growth(jobs) > 0.5 * sum(job.weights.tensor.nbytes for job in jobs)
    assert names(jobs) == names(jobs, "high") == ["winograd_4x4"] * 8


def test_few_layers_get_algorithms_of_small_errors():
    jobs = [layer(*level) for level in LEVELS[:2] * 4]
    assert names(jobs[:7]) == ["winograd_2x2"] * 7
    assert names(jobs[:7], "high") == ["winograd_4x4"] * 7


def test_layers_that_share_weights_take_the_memory_once(monkeypatch):
    one = layer(24, 250, 256)
    monkeypatch.setattr(choice, "ALWAYS", int(0.8 * one.weights.tensor.nbytes))
    assert names([one]) == ["winograd_2x2"]
    again = replace(one, y=scratch(DType.f32, one.y.shape))
    assert names([one, again]) == ["winograd_2x2"] * 2
    assert names([one, layer(24, 250, 256)]) == ["direct"] * 2


def test_a_table_overrules_the_limit(monkeypatch):
    monkeypatch.setattr(choice, "ALWAYS", 0)
    jobs = [layer(*level) for level in LEVELS]
    kind = shape_class(jobs[4])
    assert names(jobs, choices={kind: "winograd_4x4"})[4] == "winograd_4x4"


def test_calls_tell_what_was_too_large(monkeypatch):
    graph, inputs = graph_and_inputs(*CASES["many channels, many pixels"][1:])
    calls = compiled(graph, precision="highest").plan(shapes_of(inputs), inputs).program.calls
    assert {(call.algorithm, call.too_large) for call in calls} == {("winograd_2x2", "")}
    monkeypatch.setattr(choice, "ALWAYS", 0)
    calls = compiled(graph, precision="highest").plan(shapes_of(inputs), inputs).program.calls
    assert {(call.algorithm, call.too_large) for call in calls} == {("direct", "winograd_2x2")}


def shapes_of(inputs: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in inputs.items()}


SAMPLES = {
    "convolution": CASES["many channels, one pixel"],
    "first layer": CASES["few channels"],
    "tiles": CASES["many channels, many pixels"],
    "depthwise": CASES["one channel a group"],
    "groups": CASES["groups of several channels"],
    "rows": ("direct", ("MatMul", [floats(7, 3, 300), floats(300, 19)], {}), (1,)),
    "one row": ("direct", ("MatMul", [floats(7, 300), floats(300, 19)], {}), (1,)),
    "heads": ("direct", ("MatMul", [floats(7, 3, 5, 300), floats(7, 3, 300, 9)], {}), ()),
    "bytes": CASES["bytes"],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_gives_the_same_alone_and_in_a_batch(name):
    _, (op, inputs, attributes), constants = SAMPLES[name]
    graph, _ = graph_and_inputs((op, inputs, attributes), constants)
    graph.types = {}
    graph.inputs, graph.outputs = (
        [Value(each.name, each.type.with_shape(("N", *each.shape[1:]))) for each in values]
        for values in (graph.inputs, graph.outputs)
    )
    fn = lc.compile(graph, threads=2)
    whole = {}
    for name in graph.input_names:
        array = inputs[int(name[1:])]
        whole[name] = rng(2).permutation(np.resize(array, (7, *array.shape[1:])))
    together = fn.run(whole)["y0"]
    for size in (1, 2):
        for i in range(8 - size):
            alone = fn.run({n: array[i : i + size] for n, array in whole.items()})["y0"]
            assert alone.tobytes() == together[i : i + size].tobytes()


# Where none fits


def test_where_no_algorithm_fits_the_node_falls_back(monkeypatch):
    _, case, constants = CASES["a matrix product"]
    graph, inputs = graph_and_inputs(case, constants)
    monkeypatch.setattr(choice, "algorithms", lambda: ())
    with pytest.warns(RuntimeWarning, match="NumPy runs what cannot be compiled:.*MatMul"):
        fn = lc.compile(graph)
    assert excess(fn.run(inputs)["y0"], case, "") <= 0


def test_an_error_tells_what_is_multiplied(monkeypatch):
    job = product_job(2, rng(0))
    builder = Builder(Program([], []), Weights(), host_isa())
    monkeypatch.setattr(choice, "algorithms", lambda: ())
    kinds = f"{job.x.dtype} by {job.weights.tensor.dtype}"
    with pytest.raises(UnsupportedError, match=f"no algorithm multiplies {kinds}"):
        builder.emit(job)

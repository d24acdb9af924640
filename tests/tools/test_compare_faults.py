"""Faults planted in a pass, in a kernel and in the plan are found, each by name.

Without a fault, the same comparisons find nothing (`test_compare.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ir
from layercc.cpu import programs
from layercc.cpu.algorithms import choice
from layercc.cpu.emit.builder import Builder
from layercc.jobs.contraction import Contraction
from layercc.jobs.normalization import Softmax
from layercc.jobs.pointwise import Pointwise
from layercc.jobs.recurrence import Recurrence
from layercc.lower.context import Context
from layercc.passes import (
    PIPELINE,
    channels_last,
    decompose_batch_normalization,
    fold_scale_and_shift,
    fuse_epilogues,
    recognize_gelu,
)
from layercc.program import Program
from layercc.runtime import table as runtime
from layercc.tools.compare import Comparison, compare
from layercc.tools.compare.rewrites import Chain, PassRun, first_fault
from tests.tools.faults import Patch, plant_emitter, plant_step, spoil_last
from tests.tools.networks import Maker, attention, cnn, lstm, residual


def dig(graph: ir.Graph, **options: Any) -> Comparison:
    """The comparison with float64, and what is found inside layercc."""
    return compare(graph, passes=True, **options)


# --- passes


def plant_scale(patch: Patch) -> None:
    """Scales folded into weights are off by a thousandth."""
    right = fold_scale_and_shift._scaled
    patch.setattr(fold_scale_and_shift, "_scaled", lambda *given: right(*given) * np.float32(1.001))


def plant_scale_once(patch: Patch) -> None:
    """The same, at one of several places."""
    right = fold_scale_and_shift._scaled

    def wrong(node: ir.Node, array: np.ndarray, by: np.ndarray) -> np.ndarray:
        made = right(node, array, by)
        return made * np.float32(1.001) if "block2.norm1" in node.outputs[0] else made

    patch.setattr(fold_scale_and_shift, "_scaled", wrong)


def plant_epsilon(patch: Patch) -> None:
    """Batch normalisation without its epsilon, which is 1e-5 by default, and made larger here."""
    right = decompose_batch_normalization.attribute

    def wrong(node: ir.Node, name: str) -> Any:
        return 0.01 if name == "epsilon" else right(node, name)

    patch.setattr(decompose_batch_normalization, "attribute", wrong)


def plant_lost_bias(patch: Patch) -> None:
    """What is fused behind a contraction loses its bias."""
    right = fuse_epilogues.group

    def wrong(types: Any, kind: str, nodes: list[ir.Node], outputs: Any) -> ir.Node:
        lost = [replace(n, op="Clip", inputs=n.inputs[:1]) if n.op == "Add" else n for n in nodes]
        return right(types, kind, lost, outputs)

    patch.setattr(fuse_epilogues, "group", wrong)


def plant_layout(patch: Patch) -> None:
    """Height and width change places."""

    def wrong(rank: int) -> tuple[int, ...]:
        return (0, *range(rank - 1, 1, -1), 1)

    patch.setattr(channels_last, "channels_last_layout", wrong)


def plant_gelu(patch: Patch) -> None:
    """The GELU of the error function is taken for its approximation."""
    patch.setattr(
        recognize_gelu, "_KINDS", (("tanh", recognize_gelu._product(recognize_gelu._ERF)),)
    )


@pytest.mark.parametrize(
    ("plant", "network", "name", "value"),
    [
        (plant_scale, cnn, "fold_scale_and_shift", "norm1"),
        (plant_scale, residual, "fold_scale_and_shift", "stem.norm"),
        (plant_scale_once, residual, "fold_scale_and_shift", "block2.norm1"),
        (plant_epsilon, cnn, "decompose_batch_normalization", "norm1"),
        (plant_lost_bias, attention, "fuse_epilogues", "query"),
        (plant_layout, cnn, "channels_last", "norm1"),
        (plant_gelu, attention, "recognize_gelu", "gelu"),
    ],
)
def test_a_fault_in_a_pass(
    monkeypatch: Patch,
    plant: Callable[[Patch], None],
    network: Callable[[], ir.Graph],
    name: str,
    value: str,
) -> None:
    plant(monkeypatch)
    found = dig(network())
    assert found.verdict == "pass", str(found)
    assert found.found["pass"] == name
    assert value in found.found["value"]
    assert name in str(found)
    assert not found.same


@pytest.mark.parametrize("plant", [plant_lost_bias, plant_gelu])
def test_a_fault_that_is_gone_where_layers_are_cut_is_looked_for_inside(
    monkeypatch: Patch, plant: Callable[[Patch], None]
) -> None:
    plant(monkeypatch)
    found = compare(attention())
    assert found.culprit is None
    assert found.verdict == "pass"
    assert any("cut between layers" in step for step in found.steps)


def test_a_pass_that_changes_an_element_type(monkeypatch: Patch) -> None:
    right = recognize_gelu._gelu

    def wrong(editor: Any, node: ir.Node) -> Any:
        made = right(editor, node)
        return made if made is None else editor.emit("Cast", (made,), {"to": 11}, like=node)

    monkeypatch.setattr(recognize_gelu, "_gelu", wrong)
    graph = attention()
    graph.nodes = graph.nodes[: next(i for i, n in enumerate(graph.nodes) if n.name == "gelu") + 1]
    graph.outputs = [ir.Value("gelu", graph.types["gelu"])]
    found = dig(graph)
    assert found.verdict == "pass" and found.found["pass"] == "recognize_gelu"
    assert "dtype f64 and not f32" in found.said


def test_a_pass_that_leaves_a_graph_that_cannot_run() -> None:
    """Weights of another shape, which no type in the graph tells."""
    graph = residual()
    broken = graph.copy()
    broken.constants["block1.conv1.weight"] = graph.constants["block1.conv1.weight"][:, :2]
    culprit = next(each for each in PIPELINE if each.name == "fold_constants")
    chain = Chain([PassRun(culprit, graph, broken)])
    for memory in (1 << 20, 1):
        found, _ = first_fault(chain, {"x": np.ones((1, 3, 9, 9), np.float32)}, memory)
        assert found is not None and found.difference.kind == "fails"
        assert "pass fold_constants changes what the graph computes: all of it" in str(found)
        assert "the graph cannot be run any more: Conv 'block1.conv1'" in str(found)


# --- kernels


def wrong_activation(emit: Any, builder: Builder, job: Pointwise) -> None:
    """Sigmoid is computed as the hyperbolic tangent."""
    emit(builder, replace(job, expression=plant_step(job.expression, "sigmoid", "tanh")))


def wrong_constant(emit: Any, builder: Builder, job: Pointwise) -> None:
    """The slope of LeakyRelu is off by a hundredth."""
    operands, steps, results = job.expression
    steps = tuple(
        (op, reads, tuple((key, value * 1.01) for key, value in attributes), kind)
        for op, reads, attributes, kind in steps
    )
    emit(builder, replace(job, expression=(operands, steps, results)))


def wrong_tail(emit: Any, builder: Builder, job: Any) -> None:
    """The last element of rows of odd length is wrong."""
    emit(builder, job)
    tensor = job.outputs[0] if isinstance(job, Pointwise) else job.y
    if tensor.size % 2:
        spoil_last(builder, tensor, 0.125)


def wrong_tasks(emit: Any, builder: Builder, job: Contraction) -> None:
    """An element is wrong where there are several tasks."""
    emit(builder, job)
    if builder.program.calls[-1].tasks > 1:
        spoil_last(builder, job.y, 0.125)


def wrong_nan(emit: Any, builder: Builder, job: Any) -> None:
    """One element is NaN."""
    emit(builder, job)
    spoil_last(builder, job.y, np.nan)


def wrong_gates(emit: Any, builder: Builder, job: Recurrence) -> None:
    """The gates' Sigmoid is computed as the hyperbolic tangent."""
    functions = tuple(
        tuple(plant_step(each, "sigmoid", "tanh") for each in one) for one in job.activations
    )
    emit(builder, replace(job, activations=functions))


def _pointwise(op: str, size: int) -> ir.Graph:
    make = Maker("pointwise")
    x = make.input("x", (1, size))
    return make.done(make.node(op, [x], "y"))


@pytest.mark.parametrize(
    ("kind", "fault", "network", "node", "kernel"),
    [
        (Pointwise, wrong_activation, lambda: _pointwise("Sigmoid", 12), "y", "tanh(a)"),
        (Pointwise, wrong_constant, lambda: _pointwise("LeakyRelu", 12), "y", "leaky_relu(a"),
        (Pointwise, wrong_tail, lambda: _pointwise("Tanh", 13), "y", "pointwise"),
        (Contraction, wrong_tasks, lambda: cnn(37), "conv1", "contraction"),
        (Softmax, wrong_nan, cnn, "probabilities", "softmax"),
        (Recurrence, wrong_gates, lstm, "lstm", "lstm_cell"),
    ],
)
def test_a_fault_in_a_kernel(
    monkeypatch: Patch,
    kind: Any,
    fault: Any,
    network: Callable[[], ir.Graph],
    node: str,
    kernel: str,
) -> None:
    plant_emitter(monkeypatch, kind, fault)
    found = dig(network())
    assert found.culprit is not None and found.culprit.pair.left in found.steps[0]
    assert node in found.culprit.pair.node.name
    assert found.verdict == "kernel", str(found)
    assert any(kernel in each for each in found.found["kernels"]), found.found


def test_a_fault_is_found_where_values_take_too_much_memory(monkeypatch: Patch) -> None:
    plant_emitter(monkeypatch, Softmax, wrong_nan)
    found = dig(cnn(), memory=1000)
    assert found.verdict == "kernel" and found.found["node"] == "probabilities"
    monkeypatch.undo()
    plant_scale(monkeypatch)
    found = dig(cnn(), memory=1000)
    assert found.verdict == "pass" and found.found["pass"] == "fold_scale_and_shift"
    assert found.found["before"] and found.found["after"]


def test_the_other_algorithms_of_a_faulty_kernel_are_tried(monkeypatch: Patch) -> None:
    right = choice.algorithms()

    def wrong(builder: Builder, job: Contraction) -> None:
        next(each for each in right if each.name == "joined_taps").emit(builder, job)
        spoil_last(builder, job.y, 0.125)

    faulty = tuple(replace(a, emit=wrong) if a.name == "joined_taps" else a for a in right)
    monkeypatch.setattr(choice, "algorithms", lambda: faulty)
    found = dig(cnn())
    assert found.verdict == "kernel", str(found)
    assert found.found["algorithm"] == "joined_taps"
    assert found.found["algorithms"] == {"direct": "good"}
    assert "algorithm joined_taps for f32,f32" in found.said and "direct is good" in found.said


def test_a_fault_that_only_the_layer_alone_has(monkeypatch: Patch) -> None:
    """In the model as it is, the bias is added where the sum is made; a kernel of its own, which
    is at fault, only adds it where layers are cut."""
    plant_emitter(monkeypatch, Pointwise, wrong_tail)
    make = Maker("fused")
    graph = make.done(make.dense(make.input("x", (1, 13)), "dense", (13, 13)))
    found = dig(graph)
    assert found.culprit is not None and not any(d.departs for d in found.outputs.values())
    assert found.verdict == "kernel" and found.found["node"] == "dense"
    assert any("alone" in step for step in found.steps)


# --- the plan


def test_a_memory_plan_that_lays_values_over_each_other(monkeypatch: Patch) -> None:
    right = programs.plan_memory

    def wrong(program: Program) -> None:
        right(program)
        for call in program.calls:
            for buffer in call.buffers():
                buffer.offset = 0 if buffer.space == "arena" else buffer.offset

    monkeypatch.setattr(programs, "plan_memory", wrong)
    found = dig(residual())
    assert found.verdict == "plan", str(found)
    assert found.found["what"] == "memory"
    assert ["block1.relu1", "stem.relu"] in [sorted(pair) for pair in found.found["nodes"]]


def _taken_over_too_early(self: Context, tensor: Any) -> bool:
    """A kernel writes over an input that is still to be read."""
    return bool(tensor.buffer.space == "arena" and not tensor.offset)


def test_memory_taken_over_too_early(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Context, "_dies_here", _taken_over_too_early)
    make = Maker("twice")
    x = make.conv(make.input("x", (1, 3, 9, 9)), "conv", (3, 6))
    turned = make.node("Tanh", [x], "tanh")
    found = dig(make.done(make.node("MatMul", [turned, x], "out")))
    assert any(each.departs for each in found.outputs.values())
    assert found.verdict == "plan", str(found)
    assert found.found["what"] == "prefix" and found.found["node"] == "out"


def test_inner_values_that_are_wrong_though_outputs_are_right(monkeypatch: Patch) -> None:
    """They are outputs, and memory of theirs is taken over, where layers are compared only."""
    monkeypatch.setattr(Context, "_dies_here", _taken_over_too_early)
    found = dig(residual())
    assert not any(each.departs for each in found.outputs.values())
    assert found.culprit is None
    assert found.verdict == "plan", str(found)
    assert found.found["what"] == "prefix"
    assert any("inner values" in step for step in found.steps)


def test_threads_that_get_in_each_others_way(monkeypatch: Patch) -> None:
    right = runtime.Instance.run

    def wrong(self: Any, inputs: Any, threads: int) -> list[np.ndarray]:
        made = right(self, inputs, threads)
        if threads > 1 and self.rows > 5:
            made[0].reshape(-1)[-1] += 1
        return made

    monkeypatch.setattr(runtime.Instance, "run", wrong)
    found = dig(residual(), threads=2)
    assert found.verdict == "plan", str(found)
    assert found.found["what"] == "race" and "on 2 threads" in found.said


def test_threads_that_get_in_each_others_way_in_one_kernel(monkeypatch: Patch) -> None:
    right = runtime.Instance.run

    def wrong(self: Any, inputs: Any, threads: int) -> list[np.ndarray]:
        made = right(self, inputs, threads)
        if threads > 1:
            made[0].reshape(-1)[-1] += 1
        return made

    monkeypatch.setattr(runtime.Instance, "run", wrong)
    found = dig(cnn(), threads=2)
    assert found.verdict == "kernel", str(found)
    assert found.found["raced"] is True and "threads get in each other's way" in found.said

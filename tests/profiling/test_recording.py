"""Recorded runs: the same outputs, and every task of every call once."""

# mypy: ignore-errors

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import layercc as lc
from layercc.cpu import trampoline
from layercc.cpu.runtime import recorder
from layercc.recording import CallInfo, Collector, LiveRange, Recording
from layercc.runtime.arenas import address_of
from tests.numpy_target import NumpyTarget
from tests.profiling.models import check, compiled, floats, inputs_of, lenet, record, wide


def outputs_of(fn, arrays):
    made = fn(*arrays)
    return made if isinstance(made, tuple) else (made,)


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 32])
@pytest.mark.parametrize("name", ["lenet", "wide", "partitioned", "loop"])
def test_outputs_and_tasks(name: str, size: int, threads: int) -> None:
    fn, arrays = compiled(name, threads), inputs_of(name, size)
    wanted = outputs_of(fn, arrays)
    for _ in range(3):
        found, recording = record(fn, arrays)
        assert_same(found, wanted)
        check(recording)
        assert set(recording.events["thread"].tolist()) <= set(range(threads))
    assert_same(outputs_of(fn, arrays), wanted)  # what was recorded leaves nothing behind


@pytest.mark.parametrize("clock", ["counter", "system"])
def test_clocks(clock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processor's counter cannot be trusted, the system's clock is read."""
    made = recorder.Clock(clock)
    monkeypatch.setattr(recorder, "clock", lambda: made)
    fn = lc.compile(lenet(), threads=2)
    _, recording = record(fn, inputs_of("lenet", 3))
    check(recording)
    events = recording.events
    assert (events["end"] > 0).all() and (events["end"] <= recording.seconds).all()


def test_which_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder.platform, "machine", lambda: "riscv64")
    assert not recorder.counter_is_steady()
    monkeypatch.setattr(recorder.platform, "machine", lambda: "arm64")
    assert recorder.counter_is_steady()
    monkeypatch.setattr(recorder.platform, "machine", lambda: "x86_64")
    for flags, steady in (("tsc constant_tsc nonstop_tsc", True), ("tsc constant_tsc", False)):
        lines = f"processor : 0\nflags\t\t: fpu {flags} avx2\n"
        monkeypatch.setattr(recorder.Path, "read_text", lambda _, lines=lines: lines)
        assert recorder.counter_is_steady() == steady


@pytest.mark.parametrize(
    ("machine", "instruction"), [("x86_64", "rdtsc"), ("aarch64", "CNTVCT_EL0")]
)
def test_the_counter_of_a_processor(machine: str, instruction: str) -> None:
    from llvmlite import binding, ir

    from layercc.cpu.counter import read_counter

    module = ir.Module()
    module.triple = f"{machine}-unknown-linux-gnu"
    function = ir.Function(module, ir.FunctionType(ir.IntType(64), []), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(builder.sub(read_counter(builder, machine), read_counter(builder, machine)))
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple(module.triple).create_target_machine()
    assembly = target.emit_assembly(binding.parse_assembly(str(module)))
    assert assembly.count(instruction) == 2


def test_of_very_many_tasks_some_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_MOST_RECORDS", 8)
    monkeypatch.setattr(recorder, "_LEAST_RECORDS", 4)
    fn = lc.compile(wide(), threads=2)
    arrays = [floats(97, 256)]
    wanted = outputs_of(compiled("wide", 2), arrays)
    found, recording = record(fn, arrays)
    assert_same(found, wanted)
    check(recording)
    for index, call in enumerate(recording.calls):
        own = recording.events[recording.events["call"] == index]
        assert len(own) <= 4
        assert (own["timed"] == 1).all() or len(own) == 1
        assert call.tasks <= 4 or len(own) >= 2 or own["timed"][0] == call.tasks
    assert max(call.tasks for call in recording.calls) > 8  # else nothing was tested


def test_which_tasks_a_trampoline_times() -> None:
    """Those with no bit of the mask; the others run all the same."""
    clock = recorder.clock()
    inner, outer = np.zeros((2, trampoline.BLOCK_WORDS), np.int64)
    ran = np.zeros(trampoline.RECORD_WORDS, np.int64)
    records = np.zeros((2, trampoline.RECORD_WORDS), np.int64)
    inner[trampoline.RECORDS] = address_of(ran)  # the kernel: one that takes the time
    outer[trampoline.FUNCTION] = clock.call.address
    outer[trampoline.ARGUMENTS] = address_of(inner)
    outer[trampoline.RECORDS] = address_of(records)
    outer[trampoline.MASK], outer[trampoline.SHIFT] = 3, 2
    run = recorder._CALL_TYPE(clock.task.address)
    for task in (1, 2, 3, 5, 6, 7):
        ran[:] = 0
        run(task, address_of(outer))
        assert ran[trampoline.START] and not records.any()
    run(4, address_of(outer))
    assert not records[0].any() and records[1].all()
    start, end = records[1, trampoline.START], records[1, trampoline.END]
    assert start <= ran[trampoline.START] <= ran[trampoline.END] <= end


def test_the_table_is_the_plans_own_again() -> None:
    fn = compiled("lenet", 2)
    arrays = inputs_of("lenet", 3)
    record(fn, arrays)
    plan = fn._planner.plan_for(arrays)
    (instance,) = (arena.instances[plan.number] for arena in plan.arenas[-1:])
    assert instance.table_address == address_of(instance.table)
    assert instance.rows == len(plan.program.calls)


def test_two_threads_record_at_once() -> None:
    fn = compiled("wide", 2)
    batches = [inputs_of("wide", 37), inputs_of("wide", 150)]
    wanted = [outputs_of(fn, arrays) for arrays in batches]
    faults = []

    def work(index: int) -> None:
        try:
            for _ in range(50):
                found, recording = record(fn, batches[index])
                assert_same(found, wanted[index])
                check(recording)
                assert set(recording.events["thread"].tolist()) <= {0, 1}
        except BaseException as fault:  # shown by the test's own thread
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if faults:
        raise faults[0]


def test_workers_show() -> None:
    """A worker takes part sooner or later, and has a number of its own."""
    fn, arrays = compiled("wide", 2), inputs_of("wide", 2000)
    for _ in range(1000):
        _, recording = record(fn, arrays)
        if recording.events["thread"].max() > 0:
            break
    assert set(recording.events["thread"].tolist()) == {0, 1}


def test_numbers_of_threads_stay() -> None:
    threads = recorder._Threads()
    own, a, b = 5_000_000, 9_000_000, 7_000_000
    assert threads.numbers(np.array([own, own + 400, own - 90]), own) == 0
    assert threads.numbers(np.array([own, a, own + 64, a]), own).tolist() == [0, 1, 0, 1]
    assert threads.numbers(np.array([b, a]), own).tolist() == [2, 1]
    other = own + 10_000_000  # another caller, the same workers
    assert threads.numbers(np.array([other, b, a]), other).tolist() == [0, 2, 1]


def test_a_value_that_cannot_be_used_raises_as_in_a_call() -> None:
    fn = lc.compile(
        lc.parse_graph("graph g(x: f32[4, 2], i: i64[N]) -> (y) { y = Gather(x, i) {axis=0} }")
    )
    x = floats(4, 2)
    good, bad = [x, np.array([1, 2])], [x, np.array([1, 7])]
    wanted = fn(*good)
    record(fn, good)
    with pytest.raises(lc.InputError) as plain:
        fn(*bad)
    with pytest.raises(lc.InputError) as recorded:
        record(fn, bad)
    assert str(plain.value) == str(recorded.value)
    for _ in range(2):  # the table is the plan's own again
        np.testing.assert_array_equal(fn(*good), wanted)
        np.testing.assert_array_equal(record(fn, good)[0][0], wanted)


def test_what_numpy_runs_is_a_call() -> None:
    _, recording = record(compiled("partitioned", 1), inputs_of("partitioned", 5))
    kernels = {call.node: call.kernel for call in recording.calls}
    assert kernels["y"] == "NumPy"
    (fallback,) = (call for call in recording.calls if call.kernel == "NumPy")
    assert (fallback.op, fallback.kind, fallback.sources) == ("NonZero", "fallback", ("y",))
    assert {name for call in recording.calls for name in call.sources} >= {"r", "s", "q", "z"}
    assert call_seconds(recording) <= recording.seconds


def test_a_body_is_visited_once_a_trip() -> None:
    _, recording = record(compiled("loop", 1), inputs_of("loop", 2))
    visits = {
        call.node: len(set(recording.events["visit"][recording.events["call"] == index].tolist()))
        for index, call in enumerate(recording.calls)
    }
    loop = next(call for call in recording.calls if call.op == "Loop")
    assert visits[loop.node] > 5  # before each trip, and behind the last
    assert any(call.op == "MatMul" for call in recording.calls)
    # each trip has another shape, and so a plan of its own
    assert sum(call.op == "MatMul" and call.flops > 0 for call in recording.calls) == 5
    assert call_seconds(recording) <= recording.seconds


def call_seconds(recording: Recording) -> float:
    """All visits to all calls, which do not overlap."""
    total = 0.0
    events = recording.events
    for call, visit in {(int(e["call"]), int(e["visit"])) for e in events}:
        own = events[(events["call"] == call) & (events["visit"] == visit)]
        total += own["end"].max() - own["start"].min()
    return total


def test_collecting() -> None:
    """Parts move to where they ran; the same calls again are visits; memory lies side by side."""

    def part(name: str, begun: float) -> Recording:
        made = Recording.of_one_call(CallInfo(name), begun, 0.25)
        memory = (LiveRange(name, 64, 0, 0, 0),)
        return Recording(made.read, begun, 0.25, made.calls, memory, 128, 7)

    collector = Collector(10.0)
    for name, begun in (("a", 10.0), ("b", 11.0), ("a", 12.0)):
        collector.add(part(name, begun))
    made = collector.finish(13.0)
    assert [call.node for call in made.calls] == ["a", "b"]
    assert made.seconds == 3.0
    assert [tuple(event) for event in made.events[["call", "visit", "start", "end"]]] == [
        (0, 0, 0.0, 0.25), (0, 1, 2.0, 2.25), (1, 0, 1.0, 1.25),
    ]  # fmt: skip
    assert [(each.name, each.offset, each.first) for each in made.memory] == [
        ("a", 0, 0), ("b", 128, 1),
    ]  # fmt: skip
    assert (made.arena_bytes, made.constant_bytes) == (256, 14)


def test_a_step_is_what_its_parts_leave() -> None:
    collector = Collector(0.0)
    with collector.step(CallInfo("loop")):
        begun = time.perf_counter()
        collector.add(Recording.of_one_call(CallInfo("body"), begun, 0.5))
    made = collector.finish(1.0)
    own = made.events[made.events["call"] == 1]
    body = made.events[made.events["call"] == 0]
    assert [call.node for call in made.calls] == ["body", "loop"]
    assert own["end"][0] == pytest.approx(body["start"][0])
    assert own["start"][1] == pytest.approx(body["end"][0])


@pytest.mark.filterwarnings("ignore:.*NumPy runs:RuntimeWarning")
def test_a_target_that_knows_no_better() -> None:
    fn = lc.compile(lenet(), target=NumpyTarget())
    arrays = inputs_of("lenet", 2)
    found, recording = record(fn, arrays)
    assert_same(found, outputs_of(fn, arrays))
    check(recording)
    assert "NumpyPlan" in {call.kernel for call in recording.calls}

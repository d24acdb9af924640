"""The executor and the thread pool: every task once, every call after the one before it."""

# mypy: ignore-errors

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from layercc.cpu.isa import host_isa
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.declaration import INT, kernel_family, pointer
from layercc.runtime import threads
from layercc.runtime.threads import run_table


@kernel_family
def test_chain():
    """``y[task] = 5 y[task] + x[(7 task + 3) mod n]``: reads what any task of a call wrote."""

    def body(task: INT, x: pointer("i64"), n: INT, y: pointer("i64"), delay: INT):
        value = x[(task * 7 + 3) % n]
        for _ in range(delay * (task % 3)):
            value = value * 3 ^ value >> 7
        y[task] = y[task] * 5 + value + task

    return body


test_chain.__test__ = False


class Chain:
    """A table whose every call reads the output of the call before, and its own."""

    def __init__(self, counts, delay=0):
        kernel = default_kernels(host_isa()).get(test_chain.key())
        rows = max([1, *counts])
        self.buffers = np.arange((len(counts) + 1) * rows, dtype=np.int64).reshape(-1, rows)
        self.words = np.zeros((len(counts), 4), np.int64)
        self.table = np.zeros((len(counts), 4), np.int64)
        previous = rows
        for i, count in enumerate(counts):
            source, target = self.buffers[i].ctypes.data, self.buffers[i + 1].ctypes.data
            self.words[i] = source, previous, target, delay
            self.table[i] = kernel.address, count, self.words[i].ctypes.data, 0
            previous = max(count, 1)

    def run(self, n_threads):
        run_table(self.table.ctypes.data, len(self.table), n_threads)


def check(counts, n_threads, runs, delay=0, between=lambda: None):
    """Run a chain on threads and another on none; their buffers must agree to the bit."""
    shared, alone = Chain(counts, delay), Chain(counts, delay)
    for _ in range(runs):
        shared.run(n_threads)
        between()
    for _ in range(runs):
        alone.run(1)
    np.testing.assert_array_equal(shared.buffers, alone.buffers)


def test_against_numpy():
    counts = [4, 1, 7, 0, 2]
    chain = Chain(counts)
    expected = chain.buffers.copy()
    chain.run(2)
    n = expected.shape[1]
    for i, count in enumerate(counts):
        task = np.arange(count)
        expected[i + 1, :count] = (
            expected[i + 1, :count] * 5 + expected[i, (task * 7 + 3) % n] + task
        )
        n = max(count, 1)
    np.testing.assert_array_equal(chain.buffers, expected)


TABLES = [
    [],
    [1],
    [0],
    [2],
    [1] * 5,
    [2] * 40,
    [1, 2, 1, 3, 1, 1, 7, 0, 64, 2, 1, 5],
    [1000, 1, 1000, 3],
]


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("counts", TABLES, ids=lambda counts: f"{len(counts)} calls")
def test_tables(counts, n_threads):
    check(counts, n_threads, runs=300)


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_random_tables(n_threads):
    random = np.random.default_rng(n_threads)
    for _ in range(30):
        counts = random.choice([1, 1, 2, 3, 5, 17, 64], size=random.integers(1, 30))
        check([int(count) for count in counts], n_threads, 50, delay=int(random.integers(0, 60)))


def test_many_runs():
    check([2, 1, 3, 2, 1, 1, 8], 2, runs=20_000)


def test_sleeping_workers_wake():
    random = np.random.default_rng(0)
    check([3, 1, 5], 3, 300, delay=400, between=lambda: time.sleep(random.choice([0, 2e-4, 1e-3])))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processor sets are Linux's")
def test_workers_keep_the_processors_they_may_use():
    check([8, 1, 8, 8], 4, runs=300)  # workers look where they run, and may move
    allowed = os.sched_getaffinity(0)
    for worker in threading.enumerate():
        if worker.name.startswith("layercc-") and worker.native_id is not None:
            assert os.sched_getaffinity(worker.native_id) == allowed


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processor sets are Linux's")
@pytest.mark.parametrize("processors", ["one", "all"])
def test_workers_that_lose_their_processor(processors):
    """Others want the processors too, so that workers stop in the middle of tasks."""
    output, _ = run_script(f"""
        import os, subprocess, sys, threading
        allowed = os.sched_getaffinity(0)
        if {processors == "one"}:
            allowed = {{min(allowed)}}
            os.sched_setaffinity(0, allowed)
        spin = "while True: pass"
        others = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(len(allowed))]
        try:
            t.check([8, 1, 8, 8] * 5, 3, runs=50, delay=3000)
        finally:
            for other in others:
                other.kill()
        workers = [w for w in threading.enumerate() if w.name.startswith("layercc-")]
        assert all(os.sched_getaffinity(w.native_id) == allowed for w in workers)
        print(len(workers))
    """)
    assert output == ["2"]


def test_changing_thread_counts():
    shared, alone = Chain([5, 2, 9]), Chain([5, 2, 9])
    for n_threads in [1, 8, 2, 3, 1, 2, 8] * 100:
        shared.run(n_threads)
        alone.run(1)
    np.testing.assert_array_equal(shared.buffers, alone.buffers)


def test_workers_take_part():
    """Two tasks that wait for each other end only if two threads run them."""
    kernel = default_kernels(host_isa()).get(test_meeting.key())
    flags = np.zeros(2 * 16, np.int64)
    words = np.array([flags.ctypes.data, 2_000_000_000], np.int64)
    table = np.array([[kernel.address, 2, words.ctypes.data, 0]], np.int64)
    run_table(table.ctypes.data, 1, 2)
    assert list(flags[[1, 17]]) == [1, 1]

    flags[:] = 0
    words[1] = 100_000  # patience
    table[0, 3] = 1  # too short to share: the caller runs one task after the other
    run_table(table.ctypes.data, 1, 2)
    assert list(flags[[1, 17]]) == [0, 1]


@kernel_family
def test_meeting():
    """Say "here" in ``flags[16 task]``, then spin until the other task did or patience ends."""
    from layercc.cpu.atomics import load, store_release, yield_thread

    def body(task: INT, flags: pointer("i64"), patience: INT):
        store_release(flags, 16 * task, 1)
        while patience > 0:
            if load(flags, 16 * (1 - task)) == 1:
                flags[16 * task + 1] = 1
                break
            patience -= 1000
            yield_thread()

    return body


test_meeting.__test__ = False


@pytest.mark.parametrize("n_threads", [2, 3])
def test_concurrent_callers(n_threads):
    """One caller gets the pool, the others run alone; all are right."""
    failures = []

    def caller(seed):
        try:
            counts = np.random.default_rng(seed).choice([1, 2, 5, 9], size=12)
            check([int(count) for count in counts], n_threads, 1000, delay=20)
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(5)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(120)
        assert not thread.is_alive()
    assert not failures


def run_script(script):
    """Run a script that may import this module as ``t``; its output, and how long it took."""
    here = str(Path(__file__).parent)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "import test_threads as t\n" + textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split(), time.monotonic() - start


@pytest.mark.parametrize("pause", [0, 0.01], ids=["spinning", "asleep"])
def test_exit_with_idle_workers(pause):
    output, seconds = run_script(f"""
        import time
        t.check([4, 4], 3, 10)
        time.sleep({pause})
        print("ran")
    """)
    assert output == ["ran"] and seconds < 20


def test_exit_while_a_daemon_thread_runs():
    output, seconds = run_script("""
        import threading, time
        chain = t.Chain([4, 1, 4] * 20, delay=1000)
        def forever():
            while True:
                chain.run(3)
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)
        print("ran")
    """)
    assert output == ["ran"] and seconds < 20


def test_run_while_the_interpreter_exits():
    """Exit handlers that are older than the pool run after it was shut down."""
    output, _ = run_script("""
        import atexit
        atexit.register(lambda: (t.check([3, 5], 4, 20), print("late")))
        t.threads.atexit.unregister(t.threads._shut_down)
        t.threads.atexit.register(t.threads._shut_down)
        t.check([3, 5], 2, 20)
    """)
    assert output == ["late"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork():
    output, _ = run_script("""
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        t.check([4, 1, 4], 3, 50)
        child = os.fork()
        t.check([4, 1, 4], 3, 200, delay=50)
        if child == 0:
            assert len(t.threads._workers) == 2
            t.check([9, 9], 2, 200)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print("both")
    """)
    assert output == ["both"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_while_another_thread_runs():
    output, _ = run_script("""
        import os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        chain, stop = t.Chain([4, 1, 4] * 20, delay=200), []
        def run():
            while not stop:
                chain.run(3)
        runner = threading.Thread(target=run)
        runner.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                t.check([9, 9, 1], 2, 50)
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        stop.append(True)
        runner.join()
        print("all")
    """)
    assert output == ["all"]


def test_threads_that_cannot_be_started(monkeypatch, caplog):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    wanted = threads._size + 2
    monkeypatch.setattr(threads.threading.Thread, "start", refuse)
    check([5, 1, 5], wanted, 10)
    assert "can't start new thread" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(threads, "_size", len(threads._workers) + 1)

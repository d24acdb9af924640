"""What memory a model keeps between calls."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import layercc as lc
from layercc.runtime import arenas
from layercc.runtime.arenas import LARGE_ARENA, PATIENCE, Arena, Arenas
from layercc.session import plans

TEXT = """graph g(x: f32[N, M]) -> (y) {
    s = Softmax(x)
    t = Transpose(s)
    y = Softmax(t)
}"""
LARGE, SMALL = (520, 521), (3, 5)  # just large enough
#: Runs after which an arena that is not needed has gone: how often that is looked at counts, too.
GONE = 2 * PATIENCE


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def array(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(model, shape, seed=0):
    x = array(shape, seed)
    np.testing.assert_allclose(model(x), softmax(softmax(x).T), rtol=1e-5, atol=1e-7)


@pytest.fixture
def model():
    return lc.compile(lc.parse_graph(TEXT), threads=1)


@pytest.fixture
def made(monkeypatch):
    """Weak references to the arenas that are made."""
    found = []
    original = Arena.__init__

    def init(self, nbytes):
        original(self, nbytes)
        found.append(weakref.ref(self))

    monkeypatch.setattr(Arena, "__init__", init)
    return found


def test_the_arena_of_one_large_call_goes(model, made):
    check(model, LARGE)
    held = model._planner._backend._arenas
    assert held.nbytes >= LARGE_ARENA
    gc.disable()  # memory is to go at once, not when the collector comes
    try:
        for seed in range(GONE):
            check(model, SMALL, seed)
        assert held.nbytes < LARGE_ARENA
        assert sum(ref() is not None for ref in made) == 1
    finally:
        gc.enable()
    check(model, LARGE)
    check(model, SMALL)


@pytest.mark.parametrize("every", [1, 2, PATIENCE // 2])
def test_a_large_arena_that_is_needed_now_and_then_stays(model, made, every):
    for step in range(2 * GONE):
        model(array(LARGE if step % every == 0 else SMALL))
    assert sum(ref() is not None and ref().nbytes >= LARGE_ARENA for ref in made) == 1
    assert sum(ref() is None for ref in made) <= 1  # a small one, before the first large call


def test_arenas_of_a_burst_of_threads_go(model):
    """They lie below the one that later calls use."""
    held = model._planner._backend._arenas
    shapes = {"x": LARGE}
    plan = model.plan(shapes)
    for arena in [held.new(plan.program.arena_bytes) for _ in range(5)]:
        held.append(arena)
    held.append(held.new(64 * 5))
    for _ in range(GONE):
        check(model, SMALL)
    assert len(held) == 1 and held.nbytes < LARGE_ARENA


def test_a_call_costs_no_more_where_no_arena_is_large(model):
    check(model, SMALL)
    held = model._planner._backend._arenas
    assert type(held).append is list.append
    check(model, LARGE)
    assert type(held).append is not list.append
    for _ in range(GONE):
        check(model, SMALL)
    assert type(held).append is list.append


def test_small_arenas_stay(model, made):
    for _ in range(GONE):
        check(model, SMALL)
        check(model, (30, 50))
    assert sum(ref() is not None for ref in made) == 1


def test_arenas_go_with_the_model(made):
    gc.disable()  # at once, not when the collector comes
    try:
        model = lc.compile(lc.parse_graph(TEXT), threads=1)
        check(model, LARGE)
        assert any(ref() is not None for ref in made)
        del model
        assert all(ref() is None for ref in made)
    finally:
        gc.enable()


def test_threads_with_all_sizes(model, monkeypatch):
    monkeypatch.setattr(arenas, "PATIENCE", 5)
    faults = []

    def work(number):
        try:
            for step in range(60):
                check(model, LARGE if (step + number) % 9 == 0 else (3 + step % 4, 5), step)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    for _ in range(20):
        check(model, SMALL)
    assert model._planner._backend._arenas.nbytes < LARGE_ARENA


def test_an_arena_given_back_while_another_is_made_is_watched():
    held = Arenas()
    first = held.new(LARGE_ARENA)
    held.append(first)
    second = held.new(2 * LARGE_ARENA)
    for _ in range(GONE):
        held.append(held.pop())
        first.needed[0] = True
    assert [*held] == [first]
    held.append(second)
    assert type(held).append is not list.append


def test_plans_are_kept_by_their_bytes(model, monkeypatch):
    check(model, SMALL)
    (plan,) = [p for p in model._planner.plans.values() if p.program.inputs[0].shape == SMALL]
    assert plan.nbytes > 0
    monkeypatch.setattr(plans, "_MOST_PLAN_BYTES", 3 * plan.nbytes)
    for rows in range(2, 12):
        check(model, (rows, 5))
    assert len(model._planner.plans) == 3
    monkeypatch.setattr(plans, "_MOST_PLAN_BYTES", 0)
    for rows in (2, 3, 2):
        check(model, (rows, 7))
    assert len(model._planner.plans) == 1


def test_tables_count_among_the_bytes_of_a_plan():
    """A table that a plan has for itself, as large as a dim."""
    graph = lc.parse_graph("""graph g(x: f32[N, 2]) -> (y) {
        const pads: i64[4] = [3, 0, 3, 0]
        y = Pad(x, pads) {mode="reflect"}
    }""")
    model = lc.compile(graph, threads=1)
    few, many = (model.plan({"x": (rows, 2)}).nbytes for rows in (10, 10_000))
    assert many - few >= 4 * 9_000

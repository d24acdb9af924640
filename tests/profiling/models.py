"""Small models to profile, and what every recording must fulfil."""

# mypy: ignore-errors

from __future__ import annotations

import functools
import warnings

import numpy as np

import layercc as lc
from layercc.recording import Recording

RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def lenet() -> lc.Graph:
    """Several calls of one task, and of many."""
    return lc.Sequential([
        lc.Input((28, 28, 1)),
        lc.Conv2D(6, 5, padding="same", activation="relu"), lc.MaxPooling2D(2),
        lc.Conv2D(16, 5, activation="relu"), lc.AveragePooling2D(2),
        lc.Flatten(), lc.Dense(20, activation="tanh"), lc.Dense(10, activation="softmax"),
    ])  # fmt: skip


def wide() -> lc.Graph:
    """Calls that are worth sharing."""
    return lc.parse_graph(
        "graph wide(x: f32[N, 256]) -> (y) { const w: f32[256, 256] = random(1)"
        " a = MatMul(x, w)  b = Tanh(a)  y = MatMul(b, w) }"
    )


PARTITIONED = """graph g(x: f32[N, 2]) -> (y, z) {
  r = Relu(x)
  y = NonZero(r)
  s = Cast(y) {to=1}
  q = Exp(s)
  z = Mul(q, q)
}"""
LOOP = """graph g(x: f32[N, 4], limit: f32[], n: i64[]) -> (last, sums) {
  const yes: bool[] = true
  const w: f32[4, 4] = random(2)
  r = Relu(x)
  last, sums = Loop(n, yes, r) body (i: i64[], c: bool[], v: f32[M, 4]) -> (more, next, total) {
    const axis: i64[1] = [0]
    m = MatMul(v, w)
    t = Tanh(m)
    next = Concat(t, x) {axis=0}
    total = ReduceSum(next, axis) {keepdims=0}
    most = ReduceMax(next) {keepdims=0}
    more = Less(most, limit)
  }
}"""


@functools.cache
def compiled(name: str, threads: int) -> lc.CompiledModel:
    """One of the models above, compiled once."""
    text = {"partitioned": PARTITIONED, "loop": LOOP}.get(name)
    made = lc.parse_graph(text) if text else {"lenet": lenet, "wide": wide}[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return lc.compile(made, threads=threads)


def inputs_of(name: str, size: int) -> list[np.ndarray]:
    """Arrays for a model, `size` being the symbolic dim."""
    return {
        "lenet": lambda: [floats(size, 28, 28, 1)],
        "wide": lambda: [floats(size, 256)],
        "partitioned": lambda: [floats(size, 2)],
        "loop": lambda: [floats(size, 4), np.float32(99), np.array(5)],
    }[name]()


def record(fn: lc.CompiledModel, arrays: list[np.ndarray]) -> tuple[list[np.ndarray], Recording]:
    """A recorded run."""
    return fn._planner.record(fn._inputs.converted(arrays), fn.threads)


def check(recording: Recording) -> None:
    """Every task of every call is there once a visit, and none ends before it begins."""
    events = recording.events
    assert (events["start"] <= events["end"]).all()
    assert (events["thread"] >= 0).all()
    assert set(events["call"].tolist()) == set(range(len(recording.calls)))
    for index, call in enumerate(recording.calls):
        own = events[events["call"] == index]
        for visit in set(own["visit"].tolist()):
            assert own["tasks"][own["visit"] == visit].sum() == call.tasks

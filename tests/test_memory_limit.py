"""Programs that memory cannot hold are refused before anything is allocated."""

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from layercc import memory_limit
from tests.support import one_node

ATTENTION = """
    graph scores(q: f32[N, 1], k: f32[1, N]) -> (y) {
      scores = MatMul(q, k)
      y = Softmax(scores)
    }
"""


def test_an_output_too_large_names_its_node() -> None:
    graph = one_node("Tile", [np.ones(3, np.float32), np.array([1 << 36])], constants=[1])
    with pytest.raises(lc.MemoryLimitError, match=r"Tile.*'y0' f32\[206158430208\] takes 825 GB"):
        lc.compile(graph)


def test_what_fits_at_one_shape_is_refused_at_another(monkeypatch: pytest.MonkeyPatch) -> None:
    fn = lc.compile(lc.parse_graph(ATTENTION))
    assert fn(np.ones((2, 1), np.float32), np.ones((1, 2), np.float32)).shape == (2, 2)
    monkeypatch.setattr(memory_limit, "available_bytes", lambda: 90 << 20)
    long = np.ones(1 << 12, np.float32)
    with pytest.raises(lc.MemoryLimitError, match=r"67\.1 MB for values .* 67\.1 MB for outputs"):
        fn(long[:, None], long[None])


def test_what_is_left_of_a_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "memory_left", lambda: None)
    assert 1 << 20 < memory_limit.available_bytes() < 1 << 60
    monkeypatch.setattr(memory_limit, "memory_left", lambda: 550)
    assert memory_limit.available_bytes() == 550
    monkeypatch.setattr(memory_limit, "memory_left", lambda: -1)
    assert memory_limit.available_bytes() == 0


@pytest.mark.parametrize("shape", [(2**62, 2**62, 0), (0, 2**61), (2**32, 0, 2**32)])
def test_an_empty_output_whose_other_dims_are_too_large(shape: tuple[int, ...]) -> None:
    """NumPy has no array of such a shape."""
    inputs = [np.ones((0, 3), np.float32), np.array(shape)]
    graph = one_node("Reshape", inputs, {"allowzero": 1}, constants=[1])
    with pytest.raises(lc.MemoryLimitError, match=r"Reshape 'y0': output 'y0' .* is empty"):
        lc.compile(graph)

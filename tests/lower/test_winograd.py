"""Winograd's convolutions against float64 references and against the direct sum."""

from __future__ import annotations

import numpy as np
import pytest

from ir.graph import Node
from tests.lower.test_contraction import conv_arrays, random_arrays
from tests.support import graph_of, reference_node, run_graph, run_node

pytestmark = pytest.mark.every_isa

#: The error's norm over the result's, on random inputs: three times what
#: `python -m benchmarks.winograd --points` finds for sums of 128 channels.
BOUNDS = {2: 6e-7, 4: 1.5e-6, 6: 6e-6}

LAST = {"channels_last": 1}
SAME = {**LAST, "pads": [1, 1, 1, 1]}

WINDOWS = {
    # size of the input, pads
    "whole tiles": ((14, 26), [0, 0, 0, 0]),
    "one pixel": ((1, 1), [1, 1, 1, 1]),
    "one output": ((3, 3), [0, 0, 0, 0]),
    "a row": ((1, 37), [1, 1, 1, 1]),
    "a column": ((29, 3), [0, 0, 0, 0]),
    "primes": ((7, 13), [1, 1, 1, 1]),
    "asymmetric pads": ((5, 11), [2, 0, 1, 3]),
    "pads at the end": ((11, 5), [0, 0, 2, 2]),
    "pads beyond the window": ((3, 2), [5, 4, 3, 7]),
    "several blocks": ((53, 47), [1, 1, 1, 1]),
}


def check(size, x, w, attributes, threads=2):
    (found,) = run_node(
        "Conv", [x, w], attributes, constants=(1,), threads=threads, algorithm=name_of(size)
    )
    (wanted,) = reference_node("Conv", [x, w], attributes)
    assert found.shape == wanted.shape and found.dtype == np.float32
    assert_near(size, found, wanted)


def assert_near(size, found, wanted):
    """In the norm, and no element much further off than the others."""
    gap = np.abs(found - wanted)
    scale = np.sqrt(np.mean(wanted**2)) if wanted.size else 0.0
    assert np.sqrt(np.sum(gap**2)) <= BOUNDS[size] * np.sqrt(np.sum(wanted**2))
    assert gap.max(initial=0.0) <= 8 * BOUNDS[size] * scale


def name_of(size):
    return f"winograd_{size}x{size}"


#: Outputs of a tile along one dim.
every_size = pytest.mark.parametrize("size", BOUNDS)


@every_size
@pytest.mark.parametrize("window", WINDOWS)
def test_windows(size, window):
    dims, pads = WINDOWS[window]
    x, w = conv_arrays(window, dims, 19, 37, (3, 3), bias=False)
    check(size, x, w, {**LAST, "pads": pads})


@every_size
@pytest.mark.parametrize(("channels", "filters"), [(16, 37), (31, 33), (65, 38), (130, 100)])
def test_channels(size, channels, filters):
    x, w = conv_arrays((channels, filters), (9, 7), channels, filters, (3, 3), bias=False)
    check(size, x, w, SAME)


@every_size
@pytest.mark.parametrize(("group", "channels", "filters"), [(2, 34, 74), (3, 60, 114)])
def test_groups(size, group, channels, filters):
    x, w = conv_arrays(group, (9, 7), channels, filters, (3, 3), group, bias=False)
    check(size, x, w, {**SAME, "group": group})


@every_size
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_batches(size, batch):
    x, w = conv_arrays("batch", (5, 6), 17, 37, (3, 3), batch=batch, bias=False)
    check(size, x, w, SAME)


@every_size
def test_pixels_of_no_image(size):
    x, w = conv_arrays("none", (0, 5), 17, 37, (3, 3), bias=False)
    check(size, x, w, {**LAST, "pads": [2, 1, 1, 1]})


DEEP = {
    # size of the input, kernel, attributes
    "same": ((5, 9, 7), (3, 3, 3), {"pads": [1] * 6}),
    "one plane": ((1, 7, 11), (3, 3, 3), {"pads": [1] * 6}),
    "stride and dilation along the depth": (
        (11, 5, 6), (3, 3, 3), {"pads": [2, 1, 0, 3, 1, 2], "strides": [2, 1, 1],
                                "dilations": [2, 1, 1]}),
    "one tap": ((4, 9, 5), (1, 3, 3), {"pads": [0, 1, 1, 0, 1, 1]}),
    "pads beyond the window": ((2, 3, 5), (2, 3, 3), {"pads": [3, 1, 1, 2, 1, 1]}),
}  # fmt: skip


@every_size
@pytest.mark.parametrize("name", DEEP)
def test_windows_over_three_dims(size, name):
    dims, kernel, attributes = DEEP[name]
    x, w = conv_arrays(name, dims, 19, 37, kernel, bias=False)
    check(size, x, w, {**LAST, **attributes})


@every_size
def test_planes_in_groups_and_batches_on_any_threads(size):
    x, w = conv_arrays("planes", (4, 13, 10), 40, 74, (3, 3, 3), 2, batch=3, bias=False)
    attributes = {**LAST, "pads": [1] * 6, "group": 2}
    given = {"constants": (1,), "algorithm": name_of(size)}
    (together,) = run_node("Conv", [x, w], attributes, threads=1, **given)
    assert_near(size, together, reference_node("Conv", [x, w], attributes)[0])
    for threads in (2, 3):
        (found,) = run_node("Conv", [x, w], attributes, threads=threads, **given)
        assert found.tobytes() == together.tobytes()
    for i in range(3):
        (alone,) = run_node("Conv", [x[i : i + 1], w], attributes, threads=2, **given)
        assert alone.tobytes() == together[i : i + 1].tobytes()


@every_size
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_special_values_of_a_plane(size, value):
    x, w = conv_arrays("special plane", (5, 9, 11), 19, 37, (3, 3, 3), bias=False)
    x[1, 3, 4, 4, 18] = value
    found = special(size, x, w, {**LAST, "pads": [1] * 6})
    met = np.zeros(found.shape[:-1], bool)
    met[1, 2:5, 3:6, 3:6] = True
    assert not np.isfinite(found[met]).any() and np.isfinite(found[~met]).all()


def run_fused(size, x, w, b, r, attributes, threads=1):
    """Relu(Conv(x, w) + b + r); channels first."""
    arrays = {"x": x, "w": w, "b": b, "r": r}
    nodes = [
        Node("Conv", ("x", "w", "b"), ("s",), attributes),
        Node("Add", ("s", "r"), ("t",)),
        Node("Relu", ("t",), ("y",)),
    ]
    graph = graph_of(nodes, arrays, ["y"], ["w", "b"])
    given = {"x": x, "r": r}
    return run_graph(graph, given, passes=True, threads=threads, algorithm=name_of(size))["y"]


@every_size
@pytest.mark.parametrize(("group", "filters"), [(1, 37), (2, 74), (1, 64)])
def test_epilogues(size, group, filters):
    shapes = [(2, 34, 7, 9), (filters, 34 // group, 3, 3), (filters,), (2, filters, 8, 8)]
    x, w, b, r = random_arrays(("epilogue", group), *shapes)
    attributes = {"group": group, "pads": [1, 0, 2, 1]}
    (plain,) = reference_node("Conv", [x, w, b], attributes)
    found = run_fused(size, x, w, b, r, attributes)
    assert_near(size, found, np.maximum(plain + r, 0))


@every_size
def test_results_are_the_same_for_any_number_of_threads_and_in_any_batch(size):
    x, w = conv_arrays("threads", (30, 31), 40, 37, (3, 3), batch=3, bias=False)

    def run(x, threads):
        return run_node("Conv", [x, w], SAME, constants=(1,), threads=threads,
                        algorithm=name_of(size))[0]  # fmt: skip

    together = run(x, 1)
    assert {run(x, threads).tobytes() for threads in (2, 3, 8)} == {together.tobytes()}
    for i in range(len(x)):
        assert run(x[i : i + 1], 1).tobytes() == together[i : i + 1].tobytes()


@every_size
def test_any_split_into_blocks_and_calls_gives_the_same(size):
    """A single image is shared between threads by panels, with a call for its inputs; a large batch
    by images."""
    x, w = conv_arrays("split", (9, 11), 40, 100, (3, 3), batch=9, bias=False)
    given = {"constants": (1,), "threads": 2, "algorithm": name_of(size)}
    (together,) = run_node("Conv", [x, w], SAME, **given)
    for i in (0, 8):
        (alone,) = run_node("Conv", [x[i : i + 1], w], SAME, **given)
        assert alone.tobytes() == together[i : i + 1].tobytes()


# Values that are no numbers


def special(size, x, w, attributes):
    """What is not finite is what the direct sum gives; the rest is as near as ever."""
    given = {"constants": (1,), "algorithm": name_of(size)}
    (found,) = run_node("Conv", [x, w], attributes, **given)
    with np.errstate(invalid="ignore", over="ignore"):
        (direct,) = run_node("Conv", [x, w], attributes, constants=(1,), algorithm="direct")
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(found), kind(direct))
    finite = np.isfinite(direct)
    gap = np.where(finite, found, 0).astype(np.float64) - np.where(finite, direct, 0)
    assert np.linalg.norm(gap) <= BOUNDS[size] * np.linalg.norm(direct[finite].astype(np.float64))
    return found


@every_size
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "place", [(0, 0, 0, 0), (1, 3, 4, 18), (0, 8, 10, 5), (1, slice(2, 5), 7, 3), slice(None)]
)
def test_special_values_of_the_input(size, value, place):
    """Only outputs whose windows meet the pixel have it; padding makes no NaN of an infinity."""
    x, w = conv_arrays("special", (9, 11), 19, 37, (3, 3), bias=False)
    x[place] = value
    found = special(size, x, w, SAME)
    assert not np.isfinite(found).all()


@every_size
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_of_the_weights(size, value):
    """A column of them; the others are as they would be."""
    x, w = conv_arrays("weights", (9, 11), 19, 37, (3, 3), bias=False)
    w[20, 7, 0, 2] = value
    found = special(size, x, w, SAME)
    assert np.isfinite(np.delete(found, 20, axis=-1)).all()


@every_size
def test_an_infinity_times_zero(size):
    x, w = conv_arrays("zero", (9, 11), 19, 37, (3, 3), bias=False)
    x[0, 4, 4, 4] = np.inf
    w[5] = 0
    found = special(size, x, w, SAME)
    assert np.isnan(found[0, 3:6, 3:6, 5]).all() and np.isfinite(found[0, 2, :, 5]).all()


@every_size
@pytest.mark.parametrize("grouped", [False, True])
def test_special_values_meet_their_epilogue_group_and_batch(size, grouped):
    group, filters = (2, 74) if grouped else (1, 37)
    shapes = [(2, 34, 9, 9), (filters, 34 // group, 3, 3), (filters,), (2, filters, 9, 9)]
    x, w, b, r = random_arrays(("special epilogue", group), *shapes)
    x[1, 30, 4, 5] = np.inf
    x[0, 2, 0, 0] = np.nan
    attributes = {"group": group, "pads": [1, 1, 1, 1]}
    found = run_fused(size, x, w, b, r, attributes, threads=2)
    with np.errstate(invalid="ignore"):
        (plain,) = reference_node("Conv", [x, w, b], attributes)
        wanted = np.maximum(plain + r, 0)
    for kind in (np.isnan, np.isposinf):
        np.testing.assert_array_equal(kind(found), kind(wanted))


@every_size
@pytest.mark.parametrize("exponent", [-120, 100, 120, 126, 127])
def test_numbers_of_any_size(size, exponent):
    """Transforms overflow before the sums do; then the direct sum is taken."""
    x = np.zeros((1, 9, 11, 19), np.float32)
    w = np.zeros((37, 19, 3, 3), np.float32)
    x[0, :, :, 2] = np.float32(2.0) ** exponent
    x[0, 4, 5, 2] *= -1
    w[:, 2, 1, 1] = 1
    w[3, 2, 0, 0] = 0.5
    found = special(size, x, w, SAME)
    np.testing.assert_allclose(found[..., 0], x[..., 2], rtol=1e-5)

"""Limits as data: the roofline's bound, and the way to JSON and back."""

# mypy: ignore-errors

import json
import math

import pytest

from layercc.limits import Limits

LIMITS = Limits(
    "a device",
    2,
    {"f32": 100.0, "i8": 400.0},
    {"L1": 50.0, "memory": 10.0},
    {"L1": 8, "L2": 64},
)


@pytest.mark.parametrize(
    ("flops", "nbytes", "dtype", "seconds"),
    [
        (200, 0, "f32", 2.0),
        (200, 30, "f32", 3.0),
        (200, 10, "f32", 2.0),
        (200, 0, "bf16", 2.0),  # computed in f32
        (200, 0, "f16", 2.0),
        (200, 0, "i8", 0.5),
        (200, 0, "u8", 0.5),
        (200, 30, "f64", 3.0),  # no rate is known: memory alone
        (200, 0, "no such type", 0.0),
        (0, 0, "f32", 0.0),
    ],
)
def test_seconds(flops, nbytes, dtype, seconds):
    assert LIMITS.seconds(flops, nbytes, dtype) == seconds


@pytest.mark.parametrize(("level", "seconds"), [("L1", 2.0), ("memory", 10.0), ("L3", 1.0)])
def test_levels(level, seconds):
    assert LIMITS.seconds(100, 100, level=level) == seconds


@pytest.mark.parametrize(
    ("nbytes", "level"), [(0, "L1"), (8, "L1"), (9, "L2"), (64, "L2"), (65, "memory")]
)
def test_nearest_level(nbytes, level):
    assert LIMITS.nearest_level(nbytes) == level
    assert Limits("", 1, {}, {}).nearest_level(nbytes) == "memory"


def test_a_rate_of_its_own_counts():
    limits = Limits("", 1, {"f32": 100.0, "bf16": 200.0}, {})
    assert limits.seconds(200, 1e9, "bf16") == 1.0
    assert limits.peak("bf16") == 200 and limits.peak("f16") == 100 and limits.peak("f64") is None


def test_round_trip():
    assert Limits.from_dict(json.loads(json.dumps(LIMITS.to_dict()))) == LIMITS


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 0},
        {"threads": "many"},
        {"flops": {"f32": -1.0}},
        {"flops": {"f32": 0.0}},
        {"flops": {"f32": math.nan}},
        {"flops": {"f32": None}},
        {"flops": [1.0]},
        {"bytes_per_second": {"memory": math.inf}},
        {"bytes_per_second": None},
        {"holds": {"L1": 0}},
        {"holds": None},
    ],
)
def test_foreign_data(change):
    with pytest.raises(ValueError):
        Limits.from_dict(LIMITS.to_dict() | change)


@pytest.mark.parametrize("data", [None, 1, [], {}, "text", {"device": "", "threads": 1}])
def test_foreign_layout(data):
    with pytest.raises(ValueError, match="these are no limits"):
        Limits.from_dict(data)

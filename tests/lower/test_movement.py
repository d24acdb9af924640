"""Ops that move elements against their NumPy references: every element must be the same."""

# mypy: ignore-errors

import ml_dtypes
import numpy as np
import pytest

from tests.support import reference_node, run_node


def sample(*shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    if dtype is bool:
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def ints(*values):
    return np.array(values, np.int64)


A = sample(3, 5, 7)
B = sample(2, 17, 1, 5)
IMAGE = sample(2, 4, 6, 24)
LONG = sample(3, 1 << 17)

# op, inputs, attributes, number of outputs, which inputs are known before running
CASES = {
    "Transpose": ("Transpose", [A], {"perm": [2, 0, 1]}, 1, ()),
    "Transpose inner": ("Transpose", [sample(3, 33, 18)], {"perm": [0, 2, 1]}, 1, ()),
    "Transpose heads": ("Transpose", [sample(2, 9, 3, 8)], {"perm": [0, 2, 1, 3]}, 1, ()),
    "Transpose of many dims": (
        "Transpose", [sample(2, 3, 2, 3, 2, 3, 2, 2)], {"perm": [7, 5, 3, 1, 6, 4, 2, 0]}, 1, ()
    ),
    "Transpose reversed": ("Transpose", [sample(37, 3, 50)], {}, 1, ()),
    "Transpose large": ("Transpose", [sample(2, 150, 270)], {"perm": [0, 2, 1]}, 1, ()),
    "Transpose to pixels": ("Transpose", [sample(2, 3, 40, 50)], {"perm": [0, 2, 3, 1]}, 1, ()),
    "Transpose to planes": ("Transpose", [sample(2, 40, 50, 3)], {"perm": [0, 3, 1, 2]}, 1, ()),
    "Transpose three rows": ("Transpose", [sample(2, 3, 5, 9)], {"perm": [0, 3, 2, 1]}, 1, ()),
    "Transpose many small": (
        "Transpose", [sample(90, 5, 4, 6, 7)], {"perm": [1, 4, 0, 3, 2]}, 1, ()
    ),
    "Transpose scalar": ("Transpose", [np.array(3, np.float32)], {}, 1, ()),
    "Transpose empty": ("Transpose", [sample(0, 3)], {}, 1, ()),
    "Reshape": ("Reshape", [A, ints(7, -1)], {}, 1, (1,)),
    "Reshape of an empty batch": ("Reshape", [sample(0, 5, 7), ints(0, -1)], {}, 1, (1,)),
    "Concat first": ("Concat", [A, sample(2, 5, 7), A], {"axis": 0}, 1, ()),
    "Concat last": ("Concat", [A, sample(3, 5, 1), sample(3, 5, 0)], {"axis": -1}, 1, ()),
    "Concat twice the same": ("Concat", [A, A], {"axis": 1}, 1, ()),
    "Concat of long rows": ("Concat", [LONG, LONG], {"axis": 1}, 1, ()),
    "Split": ("Split", [A, ints(1, 0, 4)], {"axis": 1}, 3, (1,)),
    "Split first": ("Split", [A], {"axis": 0, "num_outputs": 2}, 2, ()),
    "Split last": ("Split", [A], {"axis": -1}, 4, ()),
    "Slice": ("Slice", [A, ints(1, -4), ints(9, 6), ints(1, 2), ints(2, 1)], {}, 1, (1, 2, 3, 4)),
    "Slice backwards": (
        "Slice", [A, ints(-1, 3), ints(-99, 0), ints(2, 1), ints(-2, -1)], {}, 1, (1, 2, 3, 4)
    ),
    "Slice backwards from before the first": (
        "Slice", [A, ints(-99), ints(-99), ints(1), ints(-1)], {}, 1, (1, 2, 3, 4)
    ),
    "Slice of rows": ("Slice", [A, ints(1), ints(3)], {}, 1, (1, 2)),
    "Slice to nothing": ("Slice", [A, ints(2), ints(2)], {}, 1, (1, 2)),
    "Pad": ("Pad", [A, ints(1, 0, 2, 0, 3, 1), np.array(7, np.float32)], {}, 1, (1,)),
    "Pad with zeros and cuts": ("Pad", [A, ints(-1, 2, 0, 1, -3, 0)], {}, 1, (1,)),
    "Pad axes": ("Pad", [A, ints(1, 2), None, ints(-1)], {}, 1, (1, 3)),
    "Pad nothing": ("Pad", [A, ints(0, 0, 0, 0, 0, 0)], {}, 1, (1,)),
    "Pad reflect": ("Pad", [A, ints(1, 4, 2, 2, 0, 6)], {"mode": "reflect"}, 1, (1,)),
    "Pad edge": ("Pad", [A, ints(1, -2, 2, 2, 0, 6)], {"mode": "edge"}, 1, (1,)),
    "Pad wrap": ("Pad", [A, ints(1, 7, 2, 0, 0, 9)], {"mode": "wrap"}, 1, (1,)),
    "Expand": ("Expand", [B, ints(3, 1, 17, 6, 5)], {}, 1, (1,)),
    "Expand to the same": ("Expand", [B, ints(1)], {}, 1, (1,)),
    "Tile": ("Tile", [B, ints(2, 1, 3, 2)], {}, 1, (1,)),
    "Tile to nothing": ("Tile", [B, ints(2, 0, 3, 2)], {}, 1, (1,)),
    "CenterCropPad": ("CenterCropPad", [A, ints(6, 2, 8)], {}, 1, (1,)),
    "Gather rows": ("Gather", [A, ints(2, 0, -1, 2)], {}, 1, ()),
    "Gather last": ("Gather", [A, ints(6, -7, 3).reshape(1, 3)], {"axis": 2}, 1, ()),
    "Gather one": ("Gather", [A, np.array(-1)], {"axis": 1}, 1, (1,)),
    "Gather one row": ("Gather", [A, np.array(-1)], {"axis": 0}, 1, (1,)),
    "Gather i32": ("Gather", [A, np.array([[1, 2]], np.int32)], {"axis": 1}, 1, ()),
    "Gather nothing": ("Gather", [A, ints()], {}, 1, ()),
    "GatherElements": (
        "GatherElements", [A, sample(2, 9, 4, dtype=np.int64) % 5], {"axis": 1}, 1, ()
    ),
    "GatherElements last": (
        "GatherElements", [A, -1 - sample(3, 2, 9, dtype=np.int32) % 7], {"axis": -1}, 1, ()
    ),
    "GatherND": ("GatherND", [A, ints(0, 1, 2, -1, -3, 4).reshape(3, 1, 2)], {}, 1, ()),
    "GatherND batch": ("GatherND", [A, ints(0, 4, -2).reshape(3, 1)], {"batch_dims": 1}, 1, ()),
    "GatherND two batch dims": (
        "GatherND", [A, sample(3, 5, 2, 1, dtype=np.int64) % 7], {"batch_dims": 2}, 1, ()
    ),
    "ScatterElements": (
        "ScatterElements", [A, ints(4, 4, -1, 0).reshape(1, 4, 1), sample(1, 4, 1)], {"axis": 1},
        1, (),
    ),
    "ScatterND": (
        "ScatterND", [A, ints(2, 0, 2).reshape(3, 1), sample(3, 5, 7)], {}, 1, ()
    ),
    "ScatterND elements": (
        "ScatterND", [A, ints(0, 1, 2, -1, -3, 4).reshape(2, 3), sample(2)], {}, 1, ()
    ),
    "TensorScatter": ("TensorScatter", [sample(2, 3, 7, 4), sample(2, 3, 2, 4), ints(5, 0)], {},
                      1, ()),
    "TensorScatter circular": (
        "TensorScatter", [sample(2, 7, 4), sample(2, 3, 4), ints(6, 4)], {"mode": "circular"}, 1, ()
    ),
    "TensorScatter from 0": (
        "TensorScatter", [sample(2, 5, 4), sample(2, 5, 1)], {"axis": -1}, 1, ()
    ),
    "OneHot": ("OneHot", [ints(1, -1, 9, 4).reshape(2, 2), ints(5), ints(3, 8)], {"axis": 1}, 1,
               (1,)),
    "OneHot of floats": (
        "OneHot", [np.float32([1, 2, 0]), np.float32([3]), np.float32([0, 1])], {}, 1, (1,)
    ),
    "Trilu": ("Trilu", [A, np.array(-1)], {}, 1, ()),
    "Trilu lower": ("Trilu", [A, np.array(2)], {"upper": 0}, 1, ()),
    "Trilu lower, k the largest": ("Trilu", [A, np.array(2**63 - 1)], {"upper": 0}, 1, ()),
    "Trilu upper, k the largest": ("Trilu", [A, np.array(2**63 - 1)], {}, 1, ()),
    "Trilu lower, k the smallest": ("Trilu", [A, np.array(-(2**63))], {"upper": 0}, 1, ()),
    "Trilu far": ("Trilu", [A, np.array(-100)], {"upper": 0}, 1, ()),
    "ReverseSequence": ("ReverseSequence", [A, ints(1, 3, 0, 2, 3)], {}, 1, ()),
    "ReverseSequence batch first": (
        "ReverseSequence", [A, ints(7, 1, 4)], {"batch_axis": 0, "time_axis": 2}, 1, ()
    ),
    "EyeLike": ("EyeLike", [sample(4, 6)], {"k": 2}, 1, ()),
    "ConstantOfShape": ("ConstantOfShape", [ints(3, 4)], {"value": np.float32([2])}, 1, (0,)),
    "Range": ("Range", [np.array(2), np.array(11), np.array(3)], {}, 1, (0, 1, 2)),
}  # fmt: skip
for _op in ("DepthToSpace", "SpaceToDepth"):
    for _mode in ("DCR", "CRD"):
        for _last in (0, 1):
            _x = IMAGE if _last else np.ascontiguousarray(IMAGE.transpose(0, 3, 1, 2))
            _attributes = {"blocksize": 2, "mode": _mode, "channels_last": _last}
            CASES[f"{_op} {_mode} {_last}"] = (_op, [_x], _attributes, 1, ())


@pytest.mark.parametrize("name", CASES)
def test_movement(name):
    op, inputs, attributes, outputs, known = CASES[name]
    made = run_node(op, inputs, attributes, outputs, constants=known, threads=2)
    wanted = reference_node(op, inputs, attributes, outputs, constants=known, exact=False)
    for got, expected in zip(made, wanted, strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        np.testing.assert_array_equal(got, expected)


def test_missing_dim_of_an_empty_batch():
    (made,) = run_node("Reshape", [sample(0, 5, 7), ints(0, 5, -1)], {}, 1, constants=(1,))
    assert made.shape == (0, 5, 7)


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.float16, ml_dtypes.bfloat16, np.int32, np.float64, np.complex64]
)
def test_element_types(dtype):
    x, indices = sample(4, 6, dtype=dtype), ints(3, 0, 1)
    for op, inputs, known in (
        ("Transpose", [x], ()),
        ("Transpose", [sample(35, 70, dtype=dtype)], ()),
        ("Gather", [x, indices], ()),
        ("Pad", [x, ints(1, 1, 0, 2)], (1,)),
    ):
        (made,) = run_node(op, inputs, constants=known)
        (expected,) = reference_node(op, inputs, constants=known, exact=False)
        np.testing.assert_array_equal(made.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8])
def test_scatter_reductions(reduction, dtype):
    x, updates = sample(4, 5, dtype=dtype), sample(6, 5, dtype=dtype)
    if np.dtype(dtype).kind == "f":
        updates[0, 0], x[2, 1] = np.nan, np.nan
    rows = ints(2, 0, 2, -1, 1, 2)
    for op, indices in (
        ("ScatterND", rows.reshape(6, 1)),
        ("ScatterElements", np.repeat(rows.reshape(6, 1), 5, axis=1)),
    ):
        inputs, given = [x, indices, updates], {"reduction": reduction}
        (made,) = run_node(op, inputs, given)
        (expected,) = reference_node(op, inputs, given, exact=False)
        np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(("shape", "axis", "k"), [
    ((3, 31), -1, 5), ((2, 17, 6), 1, 17), ((40,), 0, 1), ((3, 8), 1, 0), ((0, 4), 1, 2),
])  # fmt: skip
def test_top_k(shape, axis, k, largest):
    x = np.round(sample(*shape) * 3)  # many are equal
    if x.size > 9:
        x.flat[[1, 5]] = np.nan, -np.inf
    inputs, given = [x, ints(k)], {"axis": axis, "largest": largest}
    made = run_node("TopK", inputs, given, 2, constants=(1,))
    wanted = reference_node("TopK", inputs, given, 2, constants=(1,), exact=False)
    for got, expected in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_top_k_of_integers():
    x = sample(5, 20, dtype=np.uint8)
    made = run_node("TopK", [x, ints(4)], {"axis": 0}, 2, constants=(1,))
    wanted = reference_node("TopK", [x, ints(4)], {"axis": 0}, 2, constants=(1,), exact=False)
    for got, expected in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(got, expected)

"""What the shape rules say when inputs do not fit: the shapes seen, and what would fit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from ir.dims import symbol
from ir.dtypes import DType
from ir.inference import infer
from tests.ir.single_node import one_node, tensor

N = symbol("N")


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


#: op, shapes of inputs, constant inputs after them, attributes, code, pattern of the message.
Case = tuple[str, list[Any], list[Any], dict[str, Any], str, str]
CASES: list[Case] = [
    ("Add", [(2, 3), (4,)], [], {}, "shape-mismatch", r"\[2, 3\] and \[4\] do not broadcast: 3"),
    ("Reshape", [(2, 3)], [i64(4, 2)], {}, "shape-mismatch", r"f32\[2, 3\], 6 .*\[4, 2\] has 8"),
    ("Reshape", [(2, 3)], [i64(4, -1)], {}, "shape-mismatch", r"6 elements.*does not divide"),
    ("Reshape", [(N, 3)], [i64(2, -1, -1)], {}, "bad-attribute", r"more than one -1"),
    ("Reshape", [(2,)], [i64(2, 0)], {}, "shape-mismatch", r"copies dim 1 of f32\[2\]"),
    ("Concat", [(2, 3), (2, 4)], [], {"axis": 0}, "shape-mismatch", r"dim 1 must be equal, 3"),
    ("Concat", [(2, 3), (2,)], [], {"axis": 0}, "shape-mismatch", r"ranks 2 and 1"),
    ("Concat", [(2, 3)], [], {"axis": 2}, "bad-attribute", r"axis 2 is outside.*rank 2"),
    ("Split", [(5, N)], [i64(2, 2)], {"axis": 0}, "shape-mismatch", r"sizes for 1 outputs"),
    ("Split", [(5, N)], [i64(2)], {"axis": 0}, "shape-mismatch", r"sums to 2.*5 would fit"),
    ("Slice", [(5,)], [i64(0), i64(1), i64(0), i64(0)], {}, "bad-attribute", r"step is 0"),
    ("Slice", [(5,)], [i64(0, 0), i64(1, 1)], {}, "shape-mismatch", r"up to the rank of f32\[5\]"),
    ("Pad", [(2, 2)], [i64(1, 1)], {}, "shape-mismatch", r"2 elements; 4, two an axis, would fit"),
    ("Pad", [(2,)], [i64(2, 0)], {"mode": "reflect"}, "shape-mismatch", r"needs 3 elements"),
    ("Pad", [(2,)], [i64(0, -3)], {}, "shape-mismatch", r"take more than dim 0 of f32\[2\] has"),
    ("Pad", [(2,)], [i64(0, 0)], {"mode": "up"}, "bad-attribute", r"constant, reflect, edge, wrap"),
    ("Squeeze", [(2, 1)], [i64(0)], {}, "shape-mismatch", r"dim 0 is 2, 1 would fit"),
    ("Squeeze", [(N, 1)], [], {}, "data-dependent", r"whether N is 1 is not known"),
    ("Unsqueeze", [(2,)], [i64(0, 0)], {}, "bad-attribute", r"an axis twice"),
    ("Transpose", [(2, 3)], [], {"perm": (0, 0)}, "bad-attribute", r"no permutation of the 2 axes"),
    ("Tile", [(2, 3)], [i64(2)], {}, "shape-mismatch", r"1 elements; 2, one a dim of f32\[2, 3\]"),
    ("Gather", [(3, 2)], [i64(3)], {}, "bad-index", r"holds 3 at \[0\]; -3\.\.2 would fit"),
    ("GatherND", [(3, 2)], [np.zeros((1, 3), np.int64)], {}, "shape-mismatch", r"tuples of 3"),
    ("TopK", [(3,)], [i64(4)], {}, "shape-mismatch", r"K is 4; dim 0 of f32\[3\] has 3"),
    ("DepthToSpace", [(1, 6, 2, 2)], [], {"blocksize": 2}, "shape-mismatch", r"6, is no multiple"),
    ("SpaceToDepth", [(1, 6, 3, N)], [], {"blocksize": 2}, "shape-mismatch", r"height, 3, is no"),
    ("Einsum", [(2, 3), (4, 5)], [], {"equation": "ij,jk"}, "shape-mismatch", r"'j' is both 3"),
    ("Einsum", [(2, 3)], [], {"equation": "ijk->i"}, "shape-mismatch", r"3 dims, its input has 2"),
    ("Det", [(2, 3)], [], {}, "shape-mismatch", r"square matrices would fit"),
    ("ReduceSum", [(2, 3)], [i64(2)], {}, "bad-attribute", r"axis 2 is outside a tensor of rank 2"),
    ("Expand", [(2, 3)], [i64(2, 4)], {}, "shape-mismatch", r"do not broadcast: 3 against 4"),
    ("QuantizeLinear", [(2, 3), (2,)], [], {}, "shape-mismatch", r"\[\], \[1\] or \[3\] would fit"),
    ("SwiGLU", [(2, 3), (1, 3)], [], {}, "shape-mismatch", r"the shape of .* would fit"),
    ("Cast", [(2,)], [], {"to": 8}, "bad-dtype", r"'to' is 8, no supported element type"),
    ("BitCast", [(2,)], [], {"to": 7}, "bad-dtype", r"a type of 32 bits would fit"),
    ("ArgMax", [(0, 2)], [], {}, "shape-mismatch", r"dim 0 has no elements"),
    ("Compress", [(2,)], [np.ones(3, bool)], {"axis": 0}, "shape-mismatch", r"3 elements.*only 2"),
    ("Attention", [(1, 2, 3, 0), (1, 2, 4, 0), (1, 2, 4, 5)], [], {}, "shape-mismatch",
     r"f32\[1, 2, 3, 0\], has no elements.*or a scale, would fit"),
    ("And", [(2,), (2,)], [], {}, "bad-dtype", r"input 'A' is f32; bool would fit"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[5][:24]}")
def test_message(case: Case) -> None:
    op, shapes, constants, attributes, code, pattern = case
    graph = one_node(op, [tensor(shape) for shape in shapes], constants, **attributes)
    (problem,) = infer(graph).errors
    assert problem.code == code
    assert (problem.node, problem.op) == ("y0", op)
    assert re.search(pattern, problem.message), problem.message


def test_dtypes_must_agree() -> None:
    graph = one_node("Add", [tensor([2]), tensor([2], DType.i64)])
    (problem,) = infer(graph).errors
    assert problem.code == "bad-dtype"
    assert "'A' (f32) and 'B' (i64) must have the same element type" in problem.message

"""Kernels of numba.cuda's words alone give the same in its simulator as on the interpreter of PTX.

They are pointwise groups, copies, transposes, fills and reductions of columns. The others exchange
values within warps, or have PTX of their own, which the simulator does not know.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np

from layercc.cuda.architecture import architecture_named
from layercc.cuda.codegen.compiler import compile_kernel
from layercc.cuda.kernels.movement import fill, strided_copy, transpose
from layercc.cuda.kernels.pointwise import pointwise
from layercc.cuda.kernels.reduce import reduce_columns
from tests.cuda.ptx.machine import launch
from tests.cuda.ptx.memory import Memory

RNG = np.random.default_rng(0)
#: (a - b) * a, at least 0.
PRODUCT = (
    ("f32", "f32"),
    (
        ("subtract", (0, 1), (), "f32"),
        ("multiply", (2, 0), (), "f32"),
        ("relu", (3,), (), "f32"),
    ),
    (4,),
)
INTEGERS = (("i32", "i32"), (("add", (0, 1), (), "i32"),), (2,))
SAME = (("f32",), (), (0,))
MEAN = (("f32", "f64"), (("divide", (0, 1), (), "f32"),), (2,))


def floats(*shape: int) -> np.ndarray:
    made = RNG.standard_normal(shape).astype(np.float32)
    made.flat[:3] = np.nan, np.inf, -np.inf
    return made.reshape(-1)


def launches() -> list:
    """Keys, modules, blocks and arguments; arrays named y are results."""
    n, zeros = 1027, lambda size, dtype="f4": np.zeros(size, dtype)
    a, b, row = floats(n), floats(n), floats(13)
    whole = RNG.integers(-(2**31), 2**31, n, np.int32)
    matrix = floats(3, 35, 41)
    columns = floats(2, 19, 37)
    found = [
        (pointwise.key(PRODUCT, (1, 1), 1, 1), 5, {"x0": a, "x1": b, "y0": zeros(n), "n": n}),
        (pointwise.key(PRODUCT, (1, 1), 1, 4), 2, {"x0": a, "x1": b, "y0": zeros(n), "n": n}),
        (
            pointwise.key(PRODUCT, (1, 1), 2, 1), 5,
            {"x0": a, "x1": row, "y0": zeros(n), "n": n, "size1": 13, "x0_stride0": 13,
             "x1_stride0": 0},
        ),
        (
            pointwise.key(INTEGERS, (1, 0), 1, 1), 5,
            {"x0": whole, "x1": whole[:1].copy(), "y0": zeros(n, "i4"), "n": n},
        ),
        (
            strided_copy.key("f32", 2, 1), 1,
            {"x": a, "y": zeros(99), "n": 99, "size0": 9, "s0": 1, "t0": 11, "size1": 11,
             "s1": 9, "t1": 1},
        ),
        (
            strided_copy.key("f32", 2, 4), 1,
            {"x": a, "y": zeros(160), "n": 160, "size0": 8, "s0": 24, "t0": 20, "size1": 20,
             "s1": 1, "t1": 1},
        ),
        (
            transpose.key("f32", 1), 3 * 2 * 2,
            {"x": matrix, "y": zeros(matrix.size), "rows": 35, "columns": 41, "row": 41,
             "column": 35, "row_blocks": 2, "column_blocks": 2, "size0": 3, "s0": 35 * 41,
             "t0": 35 * 41},
        ),
        (fill.key("f32", True), 2, {"y": zeros(300), "n": 300, "value": row[5:6].copy()}),
        (fill.key("i32", False), 2, {"y": np.ones(300, "i4"), "n": 300}),
    ]  # fmt: skip
    for combine, post in (("sum", MEAN), ("max", (("f32", "f64"), (), (0,)))):
        given = {"x": columns, "y": zeros(2 * 37), "outer": 2, "reduced": 19, "inner": 37,
                 "column_blocks": 2, "count": 19.0}  # fmt: skip
        found.append((reduce_columns.key(SAME, post, combine), 4, given))
    return [
        (key, f"layercc.cuda.kernels.{place}", blocks, given)
        for (key, blocks, given), place in zip(found, _modules(found), strict=True)
    ]


def _modules(found: list) -> list[str]:
    names = {"pointwise": "pointwise", "reduce_columns": "reduce"}
    return [names.get(key.family.removeprefix("gpu."), "movement") for key, *_ in found]


def by_ptx(key, blocks, given) -> dict[str, np.ndarray]:
    """What the interpreter leaves in the arrays."""
    kernel = compile_kernel(key, architecture_named("sm_80"), None)
    memory = Memory()
    places = {
        name: memory.put(value) for name, value in given.items() if isinstance(value, np.ndarray)
    }
    words = [places.get(item.name, given.get(item.name, 0)) for item in kernel.signature]
    launch(kernel.code.decode(), memory, (blocks, 1, 1), int(kernel.facts["threads"]), words)
    return {
        name: memory.read(at, given[name].shape, given[name].dtype) for name, at in places.items()
    }


def test_the_simulator_gives_the_same(tmp_path):
    wanted = launches()
    file = tmp_path / "launches"
    file.write_bytes(pickle.dumps(wanted))
    subprocess.run(
        [sys.executable, "-m", "tests.cuda.simulated", str(file)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        check=True,
    )
    simulated = pickle.loads(file.read_bytes())
    for (key, _, blocks, before), (*_, after) in zip(wanted, simulated, strict=True):
        for name, array in by_ptx(key, blocks, before).items():
            np.testing.assert_array_equal(after[name], array, err_msg=f"{key} {name}")
            if name.startswith("y"):
                assert not np.array_equal(after[name], before[name], equal_nan=True), key

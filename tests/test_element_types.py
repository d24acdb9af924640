# mypy: ignore-errors
"""An element type is one row of `ir.dtypes.DType`, and one of `layercc.kernels.element_types`."""

import ast

import ml_dtypes
import numpy as np
import pytest

from ir.dtypes import DTYPE_SETS, NARROW_FLOATS, ONNX_DTYPES, DType
from layercc.cpu.emit.movement import moved_as
from layercc.kernels import intrinsics
from layercc.kernels.declaration import INT, pointer
from layercc.kernels.element_types import ELEMENT_TYPES, FLOATS, SCALAR, ElementType
from layercc.kernels.expressions import build, load, store
from layercc.kernels.helper import jit
from tests.cpu.native_calls import NativeFunction
from tests.test_structure import modules

NAMES = frozenset(DType.__members__)

#: Files that list some of these names otherwise, and why none of them has to know a new type.
LISTS = {
    "layercc.kernels.element_types": "its own table of what processors compute in",
    "layercc.kernels.narrowing": "how each of those that float32 cannot hold is narrowed",
    "layercc.kernels.declaration": "what an argument word of a kernel holds",
    "layercc.cpu.runtime.plan": "the same",
    "layercc.cpu.microkernel": "LLVM's types of the floats that processors compute in",
    "layercc.cpu.depthwise_tile": "the same",
    "layercc.kernels.math_intrinsics": "Numba's types of those",
    "layercc.cpu.kernels.microbenchmarks": "which products have a peak of their own",
    "layercc.cpu.tiles": "what products of words, pairs and fours, are summed in",
    "layercc.cuda.dlpack": "DLPack's numbers of its types",
    "layercc.cuda.torch_tensors": "PyTorch's names of its types",
    "layercc.cuda.kernels.selection": "infinity and NaN of halves, sorted by their bits",
    "layercc.cuda.kernels.implicit_gemm": "the pieces that tensor cores multiply",
    "layercc.cuda.algorithms.tensor_cores": "the same",
    "layercc.cuda.card": "which products have a peak of their own",
    "layercc.cuda.limits": "the peaks of their products",
    "layercc.cuda.tensor_cores": "what tensor cores multiply",
    "layercc.frontends.onnx.tensors": "the types that do not lie in int32_data, as all new ones do",
    "layercc.frontends.torch.tensors": "PyTorch's names of its types",
    "layercc.frontends.torch.ops.indexing": "what PyTorch takes for a mask",
    "layercc.tools.compare.weights": "the types that weights are often rounded to",
    "layercc.tools.left_to_numpy": "which ops have no kernels at which types",
}


def listed(tree: ast.AST) -> set[str]:
    """The types named by a display of constants (tuple, list, set, dict): two or more."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            items = [*node.keys, *node.values]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            items = node.elts
        else:
            continue
        names = {
            each.value if isinstance(each, ast.Constant) else each.attr
            for each in items
            if (isinstance(each, ast.Constant) and each.value in NAMES)
            or (
                isinstance(each, ast.Attribute)
                and isinstance(each.value, ast.Name)
                and each.value.id == "DType"
            )
        }
        if len(names) > 1:
            found |= names
    return found


def test_no_other_file_lists_element_types():
    found = {
        module: names
        for module, path in modules().items()
        if (names := listed(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found.keys() == LISTS.keys()


def test_lists_are_found():
    lists = (
        "x in ('f32', 'f16')",
        "{DType.i8: 1, DType.u8: 2}",
        "{'bool', DType.i4}",
        "['i4', 'u4']",
    )
    assert all(len(listed(ast.parse(text))) == 2 for text in lists)
    assert not listed(ast.parse("steps = (('add', (0, 1), (), 'f32'), ('neg', (2,), (), 'f32'))"))


def test_the_tables_agree():
    assert len(ONNX_DTYPES) == len(DType)
    for name, scalar in SCALAR.items():
        assert DType[name].value == np.dtype(scalar)
    for name, row in ELEMENT_TYPES.items():
        dtype = DType[name]
        assert np.dtype(SCALAR[row.stored]).itemsize == dtype.itemsize
        assert (row.bits or 8 * dtype.itemsize) == dtype.bits
        assert row.computed in SCALAR and row.summed in SCALAR
        assert (row.computed in FLOATS) == (dtype.kind == "float")
        assert DType[row.summed].kind == (dtype.kind if dtype.kind != "bool" else "unsigned")
        if row.coded:
            assert hasattr(intrinsics, f"{row.computed}_from_{name}")
            assert hasattr(intrinsics, f"{name}_from_{row.computed}")
    assert DTYPE_SETS["any"] - {DType[name] for name in ELEMENT_TYPES} == (
        NARROW_FLOATS | DTYPE_SETS["complex"]
    )


@pytest.mark.parametrize("dtype", DType)
def test_elements_are_moved_by_their_size(dtype):
    if dtype.itemsize <= 8:
        assert DType[moved_as(dtype)].itemsize == dtype.itemsize


@pytest.fixture
def another(monkeypatch):
    """Adds a row to the table of kernels, for one test."""

    def forget() -> None:
        for cached in (load, store, build):
            cached.cache_clear()

    forget()
    yield lambda row: monkeypatch.setitem(ELEMENT_TYPES, row.name, row)
    forget()


def converting(source: str, target: str):
    """Native code that converts elements, as movement and pointwise kernels read and write them."""
    read, write = load(source), store(target)
    convert = build(((source,), (("identity", (0,), (), target),), (1,)))

    def body(task: INT, x: pointer(source), y: pointer(target), n: INT):
        for i in range(n):
            write(y, i, convert(read(x, i)))

    return NativeFunction(body)


def test_a_coded_float_takes_a_row_and_two_helpers(another, monkeypatch):
    """f8e5m2, the upper half of f16; its rounding is left out here."""
    half, narrow = intrinsics.f32_from_f16, intrinsics.f16_from_f32

    @jit
    def decode(bits):
        return half(np.uint16(bits << 8))

    @jit
    def encode(value):
        return np.uint8(narrow(value) >> 8)

    monkeypatch.setattr(intrinsics, "f32_from_f8e5m2", decode, raising=False)
    monkeypatch.setattr(intrinsics, "f8e5m2_from_f32", encode, raising=False)
    another(ElementType("f8e5m2", "u8", "f32", "f64"))
    codes = np.arange(256, dtype=np.uint8)
    codes = codes[~np.isnan(codes.view(ml_dtypes.float8_e5m2).astype(np.float32))]
    wanted = codes.view(ml_dtypes.float8_e5m2).astype(np.float32)
    found, back = np.zeros_like(wanted), np.zeros_like(codes)
    converting("f8e5m2", "f32")(0, codes, found, len(codes))
    np.testing.assert_array_equal(found, wanted)
    converting("f32", "f8e5m2")(0, found, back, len(codes))
    np.testing.assert_array_equal(back, codes)


@pytest.mark.parametrize(("stored", "low", "high"), [("i8", -4, 3), ("u8", 0, 7)])
def test_an_integer_of_few_bits_takes_a_row(another, stored, low, high):
    another(ElementType("three", stored, stored, f"{stored[0]}64", bits=3))
    every = np.arange(256, dtype=np.uint8).view(SCALAR[stored])
    found = np.zeros(256, np.int64)
    converting("three", "i64")(0, every, found, 256)
    wanted = (every.astype(np.int64) - low) % 8 + low
    np.testing.assert_array_equal(found, wanted)
    assert (found.min(), found.max()) == (low, high)
    back = np.zeros(256, SCALAR[stored])
    converting("i64", "three")(0, np.arange(-128, 128), back, 256)
    np.testing.assert_array_equal(back, (np.arange(-128, 128) - low) % 8 + low)

"""Compiling Python kernels to object code."""

# mypy: ignore-errors

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from layercc.cpu.isa import host_isa
from layercc.cpu.numba_target import compile_library
from layercc.cpu.objects import undefined_symbols
from layercc.kernels.declaration import F32, F64, I32, INT, pointer, record
from layercc.kernels.helper import jit
from layercc.kernels.intrinsics import (
    address,
    bits_f32,
    f32_from_bits,
    offset,
    pointer_at,
    prefetch,
    stack_array,
)
from tests.cpu.isas import check_under, isas_of_this_machine
from tests.cpu.native_calls import NativeFunction

HALF = np.float32(0.5)


def multiply_add(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT, factor: F32):
    for i in range(n):
        y[i] = factor * x[i] + y[i]


@pytest.fixture(scope="module")
def native_multiply_add():
    return NativeFunction(multiply_add)


@pytest.mark.parametrize("n", [0, 1, 17, 1000])
def test_words_become_arguments(native_multiply_add, n):
    x = np.arange(n, dtype=np.float32)
    y = np.ones(n + 1, np.float32)
    native_multiply_add(0, x, y, n, 2.0)
    np.testing.assert_array_equal(y, np.append(2 * x + 1, 1))


def test_vector_width(native_multiply_add):
    registers = {"avx512": "zmm", "avx2": "ymm", "portable": "xmm", "neon": ".4s"}
    assert registers[host_isa().name] in native_multiply_add.assembly


def test_contraction_only(native_multiply_add):
    """Multiply and add fuse, unless told not to; sums keep their order."""
    fused = {"avx512": "vfmadd", "avx2": "vfmadd", "neon": "fmla"}.get(host_isa().name)
    if fused is None:
        pytest.skip("no fused multiply-add in the portable ISA")
    assert fused in native_multiply_add.assembly

    @jit(contract=False)
    def separate(factor, x, y):
        return factor * x + y

    def apart(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT, factor: F32):
        for i in range(n):
            y[i] = separate(factor, x[i], y[i])

    assert fused not in NativeFunction(apart).assembly

    @jit
    def together(factor, x, y):
        return factor * x + y

    @jit(contract=False)
    def caller(factor, x, y):
        return together(factor, x, y)

    def called(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT, factor: F32):
        for i in range(n):
            y[i] = caller(factor, x[i], y[i])

    assert fused in NativeFunction(called).assembly  # whoever calls it, and compiles it first

    @jit(contract=False)
    def product(x, y):
        return x * y

    def mixed(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT, factor: F32):
        for i in range(n):
            y[i] = product(factor, x[i]) + y[i]

    assert fused not in NativeFunction(mixed).assembly

    def total(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT):
        result = np.float32(0)
        for i in range(n):
            result += x[i]
        y[0] = result

    x = np.random.default_rng(0).standard_normal(1001).astype(np.float32)
    y = np.empty(1, np.float32)
    NativeFunction(total)(0, x, y, x.size)
    assert y[0] == np.cumsum(x)[-1]  # cumsum adds in order; NumPy's sum is pairwise


def test_scalar_arguments_and_task():
    def body(task: INT, y: pointer("f64"), single: F32, double: F64, n: INT, short: I32):
        y[0] = task
        y[1] = single
        y[2] = double
        y[3] = n
        y[4] = short

    y = np.empty(5)
    NativeFunction(body)(7, y, 0.1, 0.1, -(2**62), -(2**31))
    np.testing.assert_array_equal(y, [7, np.float32(0.1), 0.1, -(2.0**62), -(2.0**31)])


def test_records():
    """Named tuples of fields, within each other and in tuples; among the words they are flat."""
    point = record("Point", x=INT, y=INT)
    line = record("Line", start=point, end=point)
    vector = record("Vector", data=pointer("f64"), scale=F32)

    @jit
    def length(line):
        return line.end.x - line.start.x + line.end.y - line.start.y

    def body(task: INT, line: line, none: (), n: INT, vectors: (vector,) * 2, out: pointer("f64")):
        out[0] = length(line) * n + len(none)
        for i in range(n):
            for vector in vectors:
                out[1 + i] += vector.data[i] * vector.scale
        out[1] += vectors[1].scale

    x, y, out = np.array([1.0, 2]), np.array([10.0, 20]), np.zeros(3)
    call = NativeFunction(body, noalias=("out", "vectors.0.data"))
    assert [word.name for word in call.signature] == [
        "line.start.x", "line.start.y", "line.end.x", "line.end.y",
        "n", "vectors.0.data", "vectors.0.scale", "vectors.1.data", "vectors.1.scale", "out",
    ]  # fmt: skip
    call(0, 1, 2, 30, 400, 2, x, 0.5, y, 3, out)
    np.testing.assert_array_equal(out, [2 * (29 + 398), 0.5 + 30 + 3, 1 + 60])


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype"),
    [("i8", "i1"), ("u8", "u1"), ("bool", "u1"), ("i16", "i2"), ("bf16", "u2"), ("u32", "u4"),
     ("i64", "i8"), ("f64", "f8")],
)  # fmt: skip
def test_pointer_types(dtype, numpy_dtype):
    def body(task: INT, x: pointer(dtype), y: pointer(dtype), n: INT):
        for i in range(n):
            y[n - 1 - i] = x[i]

    x = np.arange(100, 133).astype(numpy_dtype)
    y = np.empty_like(x)
    NativeFunction(body)(0, x, y, x.size)
    np.testing.assert_array_equal(y, x[::-1])


def test_pointer_intrinsics():
    def body(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT):
        scratch = stack_array(64, "f32")
        for i in range(n):
            prefetch(offset(x, i + 16))
            scratch[i] = x[i] * HALF
        second = pointer_at(address(y) + 4, "f32")
        for i in range(n):
            offset(second, i)[0] = scratch[n - 1 - i]
        y[0] = f32_from_bits(bits_f32(x[0]) ^ 0x80000000)
        y[n + 1] = address(scratch) % 64

    x = np.arange(1, 41, dtype=np.float32)
    y = np.empty(42, np.float32)
    NativeFunction(body)(0, x, y, 40)
    np.testing.assert_array_equal(y, [-1, *(x[::-1] / 2), 0])


def test_noalias_removes_the_check():
    def body(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT):
        for i in range(n):
            y[i] = x[i] + x[0]

    plain, promised = NativeFunction(body), NativeFunction(body, noalias=("y",))
    assert len(promised.assembly) < len(plain.assembly)
    x = np.arange(37, dtype=np.float32) + 1
    for function in (plain, promised):
        y = np.empty_like(x)
        function(0, x, y, x.size)
        np.testing.assert_array_equal(y, x + 1)
    plain(0, x, x, x.size)  # in place: x[0] changes on the way
    np.testing.assert_array_equal(x, [2, *(np.arange(1, 37) + 3)])


def test_users_functions_are_helpers():
    """A plain function, and one compiled for Numba's own target, are compiled for ours."""

    @njit
    def relu(x):
        return max(x, np.float32(0))

    def leaky(x):
        return relu(x) - np.float32(0.25) * relu(-x)

    def body(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT):
        for i in range(n):
            y[i] = leaky(x[i])

    x = np.linspace(-2, 2, 33, dtype=np.float32)
    y = np.empty_like(x)
    NativeFunction(body)(0, x, y, x.size)
    np.testing.assert_array_equal(y, np.where(x > 0, x, x / 4))


def test_math_functions():
    def body(task: INT, x: pointer("f64"), y: pointer("f64"), n: INT):
        for i in range(n):
            y[i] = math.exp(x[i]) + np.tanh(x[i]) + math.floor(x[i]) + x[i] // 0.3

    x = np.linspace(-3, 3, 29)
    y = np.empty_like(x)
    function = NativeFunction(body)
    function(0, x, y, x.size)
    expected = np.exp(x) + np.tanh(x) + np.floor(x) + x // 0.3
    np.testing.assert_allclose(y, expected, rtol=1e-15)
    assert undefined_symbols(function.code) >= {"exp", "tanh"}


def test_division_by_zero_follows_ieee():
    def body(task: INT, x: pointer("f32"), y: pointer("f32")):
        y[0] = x[0] / x[1]

    y = np.empty(1, np.float32)
    NativeFunction(body)(0, np.array([1, 0], np.float32), y)
    assert y[0] == np.inf


def test_no_python_symbols(native_multiply_add):
    assert undefined_symbols(native_multiply_add.code) == set()
    assert undefined_symbols(b"no object") is None


def _raises(task: INT, x: pointer("f32")):
    if x[0] > 0:
        raise ValueError("positive")


def _allocates(task: INT, x: pointer("f32")):
    x[0] = np.zeros(3)[1]


def _calls_numba_runtime(task: INT, x: pointer("f32")):
    x[0] = math.gamma(x[0])


def _returns(task: INT, x: pointer("f32")):
    return x[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_raises, "a kernel cannot raise ValueError"),
        (_allocates, "zeros"),
        (_calls_numba_runtime, "needs symbols that no C library has: numba_gamma"),
        (_returns, "returns float32"),
    ],
)
def test_refused(body, message):
    with pytest.raises(Exception, match=message):
        NativeFunction(body)


@pytest.mark.parametrize("isa", isas_of_this_machine())
def test_half_formats(isa):
    check_under(isa, "half_formats.py")


def test_ir_is_independent_of_numba_configuration():
    """NUMBA_CPU_NAME and the like are for the user's own functions."""
    script = (
        f"import sys; sys.path[:0] = [{os.path.dirname(__file__)!r}]\n"
        "from test_numba_target import multiply_add, compile_library\n"
        "from layercc.cpu.isa import host_isa\n"
        "from layercc.kernels.declaration import KernelFamily\n"
        "parameters = KernelFamily(multiply_add).parameters(multiply_add)\n"
        "print(compile_library(multiply_add, parameters, 'entry', host_isa()).get_asm_str())"
    )
    assemblies = []
    for settings in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "0"}):
        environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assemblies.append(done.stdout)
    assert assemblies[0] == assemblies[1]


def test_compile_library_names_its_entry():
    from layercc.kernels.declaration import KernelFamily

    parameters = KernelFamily(multiply_add).parameters(multiply_add)
    library = compile_library(multiply_add, parameters, "an_entry", host_isa())
    assert "an_entry:" in library.get_asm_str()

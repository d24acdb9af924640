"""Elementary functions of kernels against float64, in units in the last place (ulp)."""

# mypy: ignore-errors

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from layercc.cpu.isa import host_isa
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.declaration import INT, kernel_family, pointer
from tests.cpu.native_calls import ENTRY, NativeFunction, argument_words


@kernel_family
def apply_primitive(name: str, dtype: str):
    """y[i] = name(x[i])."""
    from layercc.kernels.math import primitive

    function = primitive(name, dtype)

    def body(task: INT, x: pointer(dtype), y: pointer(dtype), n: INT):
        for i in range(n):
            y[i] = function(x[i])

    return body


@kernel_family
def apply_power():
    """y[i] = a[i] ** b[i], the exponent in float64."""
    from layercc.kernels.math import primitive

    power = primitive("power", "f32")

    def body(task: INT, a: pointer("f32"), b: pointer("f64"), y: pointer("f32"), n: INT):
        for i in range(n):
            y[i] = power(a[i], b[i])

    return body


def run(key, *values):
    kernel = default_kernels(host_isa()).get(key)
    words = argument_words(kernel.signature, values)
    ENTRY(kernel.address)(0, words.ctypes.data)


def apply(name, x, dtype="f32"):
    y = np.empty_like(x)
    run(apply_primitive.key(name, dtype), x, y, x.size)
    return y


def ulps(got, exact):
    """Distance from the exact values in ulp of float32; infinite where one is NaN or infinite."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        size = np.maximum(np.abs(exact), 2.0**-126)
        distance = np.abs(got.astype(np.float64) - exact) / 2.0 ** (np.floor(np.log2(size)) - 23)
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


def samples():
    """Floats of every exponent and sign, specials, and many of ordinary size."""
    spread = np.arange(0, 2**32, 40009, dtype=np.uint64).astype(np.uint32).view(np.float32)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-45, -1e-45, 88.72, 88.73, -103.9]
    near = [np.linspace(-r, r, 40001, dtype=np.float32) for r in (1, 20, 110)]
    return np.concatenate([spread, np.float32(special), *near])


def sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


def erf(x):
    return np.array([math.erf(v) for v in x])


BOUNDS = {
    "exp": (np.exp, 1.0),
    "expm1": (np.expm1, 1.5),
    "tanh": (np.tanh, 2.3),
    "sigmoid": (sigmoid, 2.3),
    "log": (np.log, 0.85),
    "log1p": (np.log1p, 0.9),
    "erf": (erf, 1.4),
    "sin": (np.sin, 0.51),
    "cos": (np.cos, 0.51),
    "tan": (np.tan, 0.51),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_accuracy(name):
    reference, bound = BOUNDS[name]
    x = samples()
    y = apply(name, x)
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    distance = ulps(y, exact)
    worst = distance.argmax()
    assert distance[worst] <= bound, f"{name}({x[worst]!r}) = {y[worst]!r}, not {exact[worst]!r}"
    zero = (x == 0) & (exact == 0)
    np.testing.assert_array_equal(np.signbit(y[zero]), np.signbit(exact[zero]))


def test_exp_nonpositive():
    x = samples()
    x = x[~(x > 0)]
    y = apply("exp_nonpositive", x)
    with np.errstate(all="ignore"):
        exact = np.exp(x.astype(np.float64))
    normal = ~(x < -87.33)
    assert ulps(y[normal], exact[normal]).max() <= 1.0
    assert (y[~normal] == 0).all()


def test_huge_angles():
    """Where the range reduction is hardest: close to multiples of pi/2, and near the limit."""
    x = np.float32([16367173.0 * 2.0**72, 13176795.0, 3.4028235e38, 1e30, 2.0**127])
    for name, reference in (("sin", np.sin), ("cos", np.cos)):
        assert ulps(apply(name, x), reference(x.astype(np.float64))).max() <= 0.51


def test_power_accuracy():
    random = np.random.default_rng(0)
    a = np.exp(random.uniform(-80, 80, 100000)).astype(np.float32)
    b = random.uniform(-3, 3, a.size)
    y = np.empty_like(a)
    run(apply_power.key(), a, b, y, a.size)
    with np.errstate(all="ignore"):
        assert ulps(y, a.astype(np.float64) ** b).max() <= 0.51


def test_power_specials():
    """As C's pow for every pair of special values."""
    values = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, -3.0, 2.5, np.inf, -np.inf, np.nan, 1e-45]
    a, b = (v.ravel() for v in np.meshgrid(np.float32(values), np.float64(values)))
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    y = np.empty_like(a)
    run(apply_power.key(), a, b, y, a.size)
    with np.errstate(all="ignore"):
        want = np.power(a.astype(np.float64), b).astype(np.float32)
    np.testing.assert_array_equal(y, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(y[number]), np.signbit(want[number]))


@pytest.mark.parametrize("name", ["exp", "tanh", "erf", "log", "sin"])
def test_loops_are_vector_code(name):
    """Loops over these use full-width registers and call nothing."""
    from layercc.kernels.math import primitive

    function = primitive(name, "f32")

    def loop(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT):
        for i in range(n):
            y[i] = function(x[i])

    assembly = NativeFunction(loop).assembly
    multiply = {"avx512": "%zmm", "avx2": "%ymm", "portable": "mulp", "neon": "v0.4s"}
    assert multiply[host_isa().name] in assembly
    assert "call" not in assembly


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_other_instruction_sets(isa):
    """The same bounds hold without fused multiply-adds."""
    if host_isa().name not in ("avx512", "avx2"):
        pytest.skip("this machine has one instruction set")
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "accuracy or angles or specials", str(here)],
        cwd=here.parents[2],
        env={**os.environ, "LAYERCC_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

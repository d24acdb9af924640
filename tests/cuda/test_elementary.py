"""What stands for the C library on a GPU, against extended precision."""

# mypy: ignore-errors

import math

import numpy as np
import pytest

from layercc.cuda.architecture import architecture_named
from layercc.cuda.codegen.compiler import compile_kernel
from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, pointer
from tests.cuda.ptx.machine import launch
from tests.cuda.ptx.memory import Memory

RNG = np.random.default_rng(0)
WIDE = np.longdouble
pytestmark = [
    pytest.mark.skipif(np.finfo(WIDE).nmant < 63, reason="there is no extended precision"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@gpu_kernel_family(threads=256)
def applied(name: str, dtype: str, operands: int):
    """z[i] = name(x[i]), or name(x[i], y[i])."""
    from numba import cuda

    from layercc.kernels.math import primitive

    function = primitive(name, dtype)

    def body(x: pointer(dtype), y: pointer(dtype), z: pointer(dtype), n: I32):
        i = cuda.grid(1)
        if i < n:
            if operands == 1:
                z[i] = function(x[i])
            else:
                z[i] = function(x[i], y[i])

    return body


def apply(name: str, *given: np.ndarray) -> np.ndarray:
    """The function on the interpreter's device."""
    x, y = given[0], given[-1]
    dtype = f"f{8 * x.itemsize}"
    made = compile_kernel(applied.key(name, dtype, len(given)), architecture_named("sm_90a"), None)
    assert not made.facts.get("refused"), made.facts
    memory = Memory()
    places = [memory.put(x), memory.put(y), memory.allocate(x.nbytes)]
    launch(made.code.decode(), memory, (-(-x.size // 256), 1, 1), 256, [*places, x.size])
    return memory.read(places[-1], x.shape, x.dtype)


def ulps(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The error of each number: 0 where both are the same infinity or NaN, infinite where one is
    and the other is not, or where a zero has the wrong sign."""
    near = exact.astype(found.dtype)
    unit = np.spacing(np.maximum(np.abs(near), np.finfo(found.dtype).tiny)).astype(WIDE)
    off = np.abs(found.astype(WIDE) - exact) / unit
    same = (found == near) | (np.isnan(found) & np.isnan(near))
    off = np.where(np.isfinite(near), off, np.where(same, 0, np.inf))
    return np.where((near == 0) & (np.signbit(found) != np.signbit(near)), np.inf, off)


def same_numbers(found: np.ndarray, exact: np.ndarray) -> None:
    """Equal, with their signs but those of NaN."""
    np.testing.assert_array_equal(found, exact)
    known = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(exact)[known])


def numbers(least: float, most: float, count: int = 1500) -> np.ndarray:
    """Evenly and by magnitude, both signs where the range has them, and what is special."""
    even = RNG.uniform(least, most, count)
    sizes = 2.0 ** RNG.uniform(-60, np.log2(max(abs(least), most)), count)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1.0, -1.0, 0.5]
    signed = sizes * RNG.choice([-1, 1] if least < 0 else [1], count)
    return np.concatenate([even, signed, special])


#: Function of kernels → that of NumPy, range, and the greatest error.
FUNCTIONS = {
    "exp": ("exp", -750, 750, 1), "expm1": ("expm1", -750, 750, 2), "log": ("log", 0, 1e300, 1),
    "log1p": ("log1p", -1, 1e300, 1.5), "tanh": ("tanh", -30, 30, 2.5),
    "sinh": ("sinh", -712, 712, 2), "cosh": ("cosh", -712, 712, 2),
    "asinh": ("arcsinh", -1e300, 1e300, 2), "acosh": ("arccosh", 0, 1e300, 2),
    "atanh": ("arctanh", -1, 1, 2), "sin": ("sin", -1e7, 1e7, 1), "cos": ("cos", -1e7, 1e7, 1),
    "tan": ("tan", -1e7, 1e7, 2), "asin": ("arcsin", -1.1, 1.1, 2),
    "acos": ("arccos", -1.1, 1.1, 2), "atan": ("arctan", -50, 50, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    other, least, most, limit = FUNCTIONS[name]
    x = numbers(least, most)
    if name in ("log", "log1p", "acosh"):
        x = np.concatenate([x, RNG.uniform(-2, 4, 1000), 1 + RNG.uniform(-1e-8, 1e-8, 100)])
    off = ulps(apply(name, x), getattr(np, other)(x.astype(WIDE)))
    assert not np.isnan(off).any(), x[np.isnan(off)]
    assert off.max() <= limit, (x[off.argmax()], off.max())


def test_sines_of_large_numbers():
    """Up to the largest."""
    x = 2.0 ** RNG.uniform(15, 1024, 1500)
    for name in ("sin", "cos"):
        exact = np.array([getattr(math, name)(v) for v in x], WIDE)  # off by half a unit itself
        assert ulps(apply(name, x), exact).max() <= 1.5


def test_the_cosine_next_to_a_zero():
    """Of the number of float64 that is nearest to a multiple of pi/2 (Kahan)."""
    x = np.full(1, 6381956970095103.0 * 2.0**797)
    assert apply("cos", x)[0] == -4.687165924254627611e-19


def test_error_function():
    x = numbers(-7, 7)
    exact = np.array([math.erf(v) for v in x], WIDE)
    assert ulps(apply("erf", x), exact).max() <= 2


def test_power():
    x, y = numbers(-50, 50), numbers(-60, 60)
    y[::3] = np.rint(y[::3])
    x[2::7] = 1 + RNG.uniform(-1e-9, 1e-9, len(x[2::7]))
    y[2::7] = 10.0 ** RNG.uniform(0, 12, len(y[2::7]))
    off = ulps(apply("power", x, y), np.power(x.astype(WIDE), y.astype(WIDE)))
    assert off.max() <= 1, (x[off.argmax()], y[off.argmax()], off.max())


def test_powers_of_special_numbers():
    special = np.array(
        [0.0, -0.0, 1, -1, 2, -2, 3, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e308, -1e308]
    )
    x, y = (v.reshape(-1) for v in np.meshgrid(special, special))
    same_numbers(apply("power", x, y), np.power(x, y))


def test_powers_of_integers_are_exact():
    x, y = (v.reshape(-1) for v in np.meshgrid(np.arange(-20, 21), np.arange(13)))
    exact = [float(int(a) ** int(b)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_array_equal(apply("power", x.astype(float), y.astype(float)), exact)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_remainders(kind):
    x = np.concatenate([numbers(-1e3, 1e3), numbers(-1e30, 1e30)]).astype(kind)
    y = np.roll(numbers(-7, 7), 3)
    y = np.concatenate([y, y * 1e-20]).astype(kind)
    same_numbers(apply("fmod", x, y), np.fmod(x, y))


@pytest.mark.parametrize("name", ["asin", "acosh", "sinh"])
def test_functions_of_single_precision(name):
    x = numbers(*((-1.1, 1.1) if name == "asin" else (-80, 80))).astype(np.float32)
    exact = getattr(np, FUNCTIONS[name][0])(x.astype(np.float64))
    assert ulps(apply(name, x), exact.astype(WIDE)).max() <= 0.6

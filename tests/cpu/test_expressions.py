"""Expressions inside kernels: data types, literals, attributes, functions of users."""

# mypy: ignore-errors

import math

import ml_dtypes
import numpy as np
import pytest

from ir import scalar
from ir.dtypes import DType
from layercc.cpu.isa import host_isa
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.declaration import INT, KernelKey, kernel_family, pointer
from layercc.kernels.expressions import ABSENT, build, passing, readable
from tests.cpu.native_calls import ENTRY, NativeFunction, argument_words


@kernel_family
def evaluate(expression: tuple):
    """One input, any number of outputs; y0, y1 are the first and last of them."""
    from layercc.kernels.expressions import build, load, store

    (dtype, *_), steps, outputs = expression
    dtypes = (dtype, *(step[-1] for step in steps))
    first, last = (dtypes[outputs[i]] for i in (0, -1))
    function = build(expression)
    load_x, store_first, store_last = load(dtype), store(first), store(last)
    several = len(outputs) > 1

    def body(task: INT, x: pointer(dtype), y0: pointer(first), y1: pointer(last), n: INT):
        for i in range(n):
            if several:
                a, b = function(load_x(x, i))
                store_first(y0, i, a)
                store_last(y1, i, b)
            else:
                store_first(y0, i, function(load_x(x, i)))

    return body


def run(expression, x):
    """Outputs of an expression of one input."""
    (dtype,), steps, outputs = expression
    dtypes = (dtype, *(step[-1] for step in steps))
    made = [np.zeros(x.shape, DType[dtypes[value]].value) for value in outputs]
    kernel = default_kernels(host_isa()).get(evaluate.key(expression))
    words = argument_words(kernel.signature, [x, made[0], made[-1], x.size])
    ENTRY(kernel.address)(0, words.ctypes.data)
    return made


def one(name, dtype, result=None, **attributes):
    return ((dtype,), ((name, (0,), tuple(attributes.items()), result or dtype),), (1,))


def halve_twice(x):
    """A user's function: a literal, a global, a helper and functions of math and NumPy."""
    return _half(_half(x)) + math.tanh(x) * np.exp(-abs(x)) + _OFFSET


def _half(x):
    return x * 0.5


_OFFSET = 0.25


def steps_by_branch(x):
    """A user's function that cannot be traced: it branches on its argument."""
    if x > 1:
        return x * 2
    return x - 1


def test_identity():
    x = np.float32([1, -0.0, np.nan])
    assert build(passing("f32"))
    np.testing.assert_array_equal(run(one("identity", "f32"), x)[0], x)


def test_attributes_and_defaults():
    x = np.float32([-2, 0, 3, np.nan])
    np.testing.assert_array_equal(
        run(one("leaky_relu", "f32", alpha=0.25), x)[0], np.float32([-0.5, 0, 3, np.nan])
    )
    np.testing.assert_allclose(run(one("leaky_relu", "f32"), x)[0][:1], [-0.02], rtol=1e-6)


def test_absent_operands():
    expression = (
        ("f32",),
        (
            ("constant", (), (("value", 1.0),), "f32"),
            ("clip", (0, ABSENT, 1), (), "f32"),
        ),
        (2,),
    )
    x = np.float32([-5, 0.5, 7, np.nan])
    np.testing.assert_array_equal(run(expression, x)[0], np.minimum(x, 1))


def test_several_outputs():
    expression = (
        ("f32",),
        (("negative", (0,), (), "f32"), ("greater", (0, 1), (), "bool")),
        (1, 2),
    )
    x = np.float32([-1, 2, 0])
    low, positive = run(expression, x)
    np.testing.assert_array_equal(low, -x)
    np.testing.assert_array_equal(positive, x > 0)


CASTS = [
    ("f32", "i8", [1.9, -1.9, 300.0, -129.0, 0.0]),
    ("f32", "u8", [1.9, 255.9, 256.0, 3e5, 0.0]),
    ("f32", "i64", [1.9, -1.9, 2.0**40, -(2.0**40), 0.0]),
    ("f32", "bool", [0.0, -0.0, 1e-45, np.nan, -np.inf]),
    ("f32", "f16", [65519.0, 65520.0, 1e-8, 1 / 3, np.nan]),
    ("f32", "bf16", [3.4e38, 1 / 3, 1e-45, np.inf, np.nan]),
    ("f16", "f32", [65504.0, 6e-8, np.inf, np.nan, -0.0]),
    ("bool", "f32", [True, False]),
    ("i32", "i8", [127, 128, -129, 70000]),
    ("i32", "f32", [1, -1, 2**31 - 1, 16777217]),
    ("u64", "f32", [1, 2**63, 2**63 + 2**40]),
    ("i64", "bool", [0, 1, 2**40]),
]


@pytest.mark.parametrize(("source", "target", "values"), CASTS)
def test_casts(source, target, values):
    with np.errstate(all="ignore"):
        x = np.array(values).astype(DType[source].value)
        want = x.astype(DType[target].value)
    (made,) = run(one("identity", source, target), x)
    np.testing.assert_array_equal(made.astype(np.float64), want.astype(np.float64))


def test_explicit_rounding_inside():
    """A cast to f16 rounds even where the value goes on as f32."""
    expression = (
        ("f32",),
        (("identity", (0,), (), "f16"), ("identity", (1,), (), "f32")),
        (2,),
    )
    x = np.float32([1 / 3, 1e-9, 70000])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(run(expression, x)[0], x.astype(np.float16).astype("f4"))


@pytest.mark.parametrize("dtype", ["i8", "u8", "i32", "u64"])
def test_integers_wrap(dtype):
    numpy = DType[dtype].value
    limits = np.iinfo(numpy)
    x = np.array([limits.min, limits.max, 0, 1, 100], numpy)
    with np.errstate(over="ignore"):
        for name in ("negative", "absolute", "sign", "bitwise_not", "relu"):
            want = getattr(scalar, name)(x)
            np.testing.assert_array_equal(run(one(name, dtype), x)[0], want)
        expression = ((dtype,), (("multiply", (0, 0), (), dtype), ("add", (1, 0), (), dtype)), (2,))
        np.testing.assert_array_equal(run(expression, x)[0], x * x + x)


def test_literals_do_not_widen():
    """A float32 expression with literals is vector code of float32."""
    function = build(one("gelu", "f32"))

    def loop(task: INT, x: pointer("f32"), y: pointer("f32"), n: INT):
        for i in range(n):
            y[i] = function(x[i])

    assembly = NativeFunction(loop).assembly
    assert "cvtps2pd" not in assembly and "call" not in assembly
    if host_isa().name == "avx512":
        assert "%zmm" in assembly


@pytest.mark.parametrize("function", [halve_twice, steps_by_branch])
def test_function_of_a_user(function):
    x = np.linspace(-3, 3, 41, dtype=np.float32)
    name = f"{function.__module__}:{function.__qualname__}"
    want = [function(float(v)) for v in x]
    np.testing.assert_allclose(run(one(name, "f32"), x)[0], want, rtol=2e-6, atol=1e-6)


def test_halves_are_computed_in_single_precision():
    x = np.array([0.1, 1.5, -2.0, np.nan], ml_dtypes.bfloat16)
    want = np.tanh(x.astype(np.float32)).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(
        run(one("tanh", "bf16"), x)[0].astype("f4"), want.astype(np.float32)
    )


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        (one("no_such_function", "f32"), AttributeError),
        ((("bool",), (("multiply", (0, 0), (), "bool"),), (1,)), TypeError),
        (((), (("add", (), (), "f32"),), (0,)), TypeError),
    ],
)
def test_faults(expression, error):
    with pytest.raises(error):
        build(expression)


def test_keys_with_several_expressions_are_readable():
    """An LSTM's cell has three, which are no expression themselves."""
    one = ("f32",), (("tanh", (0,), (), "f32"),), (1,)
    assert readable(KernelKey("rnn", ("f32", one))) == "rnn[f32, tanh(a)]"
    assert readable(KernelKey("lstm", ("f32", (one, one, one), (), True))) == (
        "lstm[f32, (tanh(a), tanh(a), tanh(a)), (), True]"
    )

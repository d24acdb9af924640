"""Checks roundings in kernels: fused multiply-adds, half-precision chains, casts.

``python roundings.py`` checks under the ISA that LAYERCC_ISA names; the tests run it so, once an
ISA.
"""

# mypy: ignore-errors

import sys

import numpy as np

from ir.dtypes import ONNX_DTYPES, DType
from ir.graph import Node
from layercc.cpu.isa import host_isa
from tests.cpu.formulas import (
    CHAINS,
    PRODUCTS,
    assert_same_bits,
    graph_of_formulas,
    in_one_kernel,
    operands,
    random_formula,
    reference,
)
from tests.support import graph_of, run_graph

CODES = {dtype: code for code, dtype in ONNX_DTYPES.items()}
#: Casts from these types a first rounding to float32 or float64 would spoil.
SOURCES = (DType.f64, DType.i32, DType.u32, DType.i64, DType.u64)
_DIGITS = {DType.f16: 11, DType.bf16: 8, DType.f32: 24}


def check_formulas(formulas, dtype):
    """All formulas in one kernel, against NumPy."""
    graph, arrays = graph_of_formulas(formulas, operands(dtype))
    made = run_graph(in_one_kernel(graph), arrays)
    for number, (name, want) in enumerate(reference(graph, arrays).items()):
        assert_same_bits(made[name], want, f"formula {number} in {dtype}")


def check_casts(source):
    """Values around the middle between two numbers of each smaller float type, and others."""
    x = np.concatenate([values_to_cast(source, digits) for digits in _DIGITS.values()])
    nodes = [Node("Cast", ("x",), (str(target),), {"to": CODES[target]}) for target in _DIGITS]
    graph = in_one_kernel(graph_of(nodes, {"x": x}, list(map(str, _DIGITS))))
    made = run_graph(graph, {"x": x})
    for target in _DIGITS:
        want = rounded_once(x, target)
        assert_same_bits(made[str(target)], want, f"{source} as {target}")


def values_to_cast(source, digits):
    """Numbers of `source` at, and right beside, a tie of a format with this many digits."""
    rng = np.random.default_rng(digits)
    if source.value.kind == "f":
        ties = (rng.integers(2**digits, 2 ** (digits + 1), 3000) * 2 + 1) / 2.0
        exponents = rng.integers(-180, 160, 3000) if source is DType.f64 else rng.integers(-30, 20)
        ties = ties * 2.0 ** (exponents - digits)
        beside = [ties * (1 + sign * 2.0**-at) for at in (30, 40, 52) for sign in (1, -1)]
        denormal = rng.integers(1, 2**12, 1000) * 2.0**-26  # of f16
        least = rng.integers(1, 2**12, 1000) * 2.0**-135  # of bf16
        near = [tie * (1 + side) for tie in (denormal, least) for side in (0, 2**-45, -(2**-45))]
        edges = [65519.999999999, 65520, 1 + 2**-11 + 2**-40, 3.3961775e38, np.nan, np.inf, 0.0]
        with np.errstate(all="ignore"):
            x = np.concatenate([ties, *beside, *near, edges]).astype(source.value)
        return np.concatenate([x, -x])
    info = np.iinfo(source.value)
    made = []
    for _ in range(3000):
        # digits + 1 bits, the last of them the tie, then zeros or a last one
        width = int(rng.integers(digits + 2, info.bits))
        head = int(rng.integers(2**digits, 2 ** (digits + 1))) | 1
        value = head << (width - digits - 1)
        made += [value, value + 1, value - 1]
    made = [v for v in made if v <= info.max]
    if info.min < 0:
        made += [-v for v in made]
    return np.array([*made, 0, 1, 65519, 65520, info.min, info.max], source.value)


def rounded_once(x, target):
    """By exact integer arithmetic: to nearest, ties to even, in the format of `target`."""
    digits = _DIGITS[target]
    least, most = {DType.f16: (-24, 16), DType.bf16: (-133, 128), DType.f32: (-149, 128)}[target]
    made = []
    for value in x.tolist():
        if value != value or value in (np.inf, -np.inf) or value == 0:
            made.append(float(value))
            continue
        top, bottom = abs(value).as_integer_ratio()
        exponent = max(top.bit_length() - bottom.bit_length() - digits - 1, least)
        while True:  # the unit in the last place
            scaled = (top << -exponent, bottom) if exponent < 0 else (top, bottom << exponent)
            whole, rest = divmod(*scaled)
            if whole < 2**digits:
                break
            exponent += 1
        whole += 2 * rest > scaled[1] or (2 * rest == scaled[1] and whole % 2)
        size = float(whole) * 2.0**exponent
        made.append(np.copysign(np.inf if size >= 2.0**most else size, value))
    with np.errstate(over="ignore"):
        return np.array(made).astype(np.float32).astype(target.value)  # exact


def main():
    for dtype in (DType.f32, DType.f64):
        check_formulas(PRODUCTS, dtype)
    for dtype in (DType.f32, DType.bf16):
        check_formulas([random_formula(seed) for seed in range(3)], dtype)
    for dtype in (DType.f16, DType.bf16):
        check_formulas(CHAINS, dtype)
    for source in SOURCES:
        check_casts(source)
    print("checked under", host_isa().name)


if __name__ == "__main__":
    sys.exit(main())

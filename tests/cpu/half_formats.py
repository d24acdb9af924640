"""Checks f16 and bf16 conversions against NumPy and ml_dtypes.

``python half_formats.py`` checks under the ISA that LAYERCC_ISA names; the tests run it so, once
an ISA. Every 16-bit pattern is loaded; stores are tried on every value halfway between two
neighbours, its own neighbours, and a spread of all float32 patterns.
"""

# mypy: ignore-errors

import ml_dtypes
import numpy as np

from layercc.cpu.isa import host_isa
from layercc.kernels.declaration import INT, pointer
from layercc.kernels.expressions import load, store
from tests.cpu.native_calls import NativeFunction

load_f16, load_bf16, store_f16, store_bf16 = load("f16"), load("bf16"), store("f16"), store("bf16")


def load_f16_all(task: INT, x: pointer("f16"), y: pointer("f32"), n: INT):
    for i in range(n):
        y[i] = load_f16(x, i)


def load_bf16_all(task: INT, x: pointer("bf16"), y: pointer("f32"), n: INT):
    for i in range(n):
        y[i] = load_bf16(x, i)


def store_f16_all(task: INT, x: pointer("f32"), y: pointer("f16"), n: INT):
    for i in range(n):
        store_f16(y, i, x[i])


def store_bf16_all(task: INT, x: pointer("f32"), y: pointer("bf16"), n: INT):
    for i in range(n):
        store_bf16(y, i, x[i])


def _values_to_round(dtype):
    patterns = np.arange(1 << 16, dtype=np.uint16)
    exact = patterns.view(dtype).astype(np.float32)
    with np.errstate(all="ignore"):
        halfway = ((exact[:-1].astype(np.float64) + exact[1:]) / 2).astype(np.float32)
    below, above = (np.nextafter(halfway, np.float32(limit)) for limit in (-np.inf, np.inf))
    spread = (np.arange(1 << 20, dtype=np.uint64) * 4093).astype(np.uint32).view(np.float32)
    return np.concatenate([exact, halfway, below, above, spread])


def check(dtype, load, store):
    patterns = np.arange(1 << 16, dtype=np.uint16)
    loaded = np.empty(patterns.size, np.float32)
    load(0, patterns, loaded, patterns.size)
    np.testing.assert_array_equal(loaded, patterns.view(dtype).astype(np.float32))
    signs = np.signbit(loaded) == np.signbit(patterns.view(dtype).astype(np.float32))
    assert (signs | np.isnan(loaded)).all()

    values = _values_to_round(dtype)
    stored = np.empty(values.size, np.uint16)
    store(0, values, stored, values.size)
    with np.errstate(all="ignore"):
        expected = values.astype(dtype)
    not_nan = ~np.isnan(values)
    np.testing.assert_array_equal(stored[not_nan], expected.view(np.uint16)[not_nan])
    assert np.isnan(stored.view(dtype).astype(np.float32)[~not_nan]).all()


def main():
    check(np.float16, NativeFunction(load_f16_all), NativeFunction(store_f16_all))
    check(ml_dtypes.bfloat16, NativeFunction(load_bf16_all), NativeFunction(store_bf16_all))
    print("checked under", host_isa().name)


if __name__ == "__main__":
    main()

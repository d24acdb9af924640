"""Code for several instruction sets in one process, and for machines that are not this one."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

import layercc as lc
from layercc.cpu.isa import host_isa, is_executable, isa_named
from layercc.cpu.kernels.contraction import contraction
from layercc.cpu.kernels.copy import copy
from layercc.cpu.runtime.native import compile_kernel, default_kernels

BLOCK = """
graph block(x: f32[N, 5, 7, 7]) -> (y) {
  const w: f32[5, 5, 3, 3] = @weights("w")
  const r: f16[] = 0.5
  c = Conv(x, w) {pads = [1, 1, 1, 1]}
  s = Add(c, x)
  p = Relu(s)
  h = Cast(p) {to = 10}
  g = Mul(h, r)
  f = Cast(g) {to = 1}
  m = ReduceMean(f)
  y = Sub(f, m)
}
"""


def block() -> lc.Graph:
    weights = np.random.default_rng(0).standard_normal((5, 5, 3, 3)).astype(np.float32)
    return lc.parse_graph(BLOCK, weights={"w": weights})


def test_models_for_several_instruction_sets_run_side_by_side() -> None:
    x = np.random.default_rng(1).standard_normal((2, 5, 7, 7)).astype(np.float32)
    expected = lc.interpret(block(), {"x": x})["y"]
    names = {"avx512", "avx2", "neon", "portable"}
    ran = 0
    for isa in [host_isa(), *map(isa_named, sorted(names & set(_known())))]:
        if is_executable(isa):
            fn = lc.compile(block(), target=lc.CpuTarget(isa), threads=2)
            np.testing.assert_allclose(fn(x), expected, rtol=1e-3, atol=1e-3)
            ran += 1
    assert ran >= 2  # every processor has at least the portable one besides its own


def _known() -> list[str]:
    found = []
    for name in ("avx512", "avx2", "neon", "portable"):
        try:
            isa_named(name)
        except ValueError:
            continue
        found.append(name)
    return found


def test_helpers_are_compiled_for_each_instruction_set() -> None:
    """A conversion of halves is an instruction for one and arithmetic for another."""
    wide, narrow = host_isa(), isa_named("portable")
    if wide == narrow:
        pytest.skip("this machine has the portable instruction set only")
    expression = (("f32",), (("identity", (0,), (), "f32"),), (1,))
    key = contraction.key("f32", 1, expression, ())
    first = compile_kernel(key, wide).code
    other = compile_kernel(key, narrow).code
    assert first != other
    assert compile_kernel(key, wide).code == first  # in whatever order they come


def test_kernels_of_instruction_sets_are_kept_apart() -> None:
    key = copy.key("f32")
    wide, narrow = default_kernels(host_isa()), default_kernels(isa_named("portable"))
    assert wide is default_kernels(host_isa())
    if wide is not narrow:
        assert wide.get(key).address != narrow.get(key).address


def test_code_for_another_machine_is_made_but_not_run() -> None:
    lacking = replace(host_isa(), features=(*host_isa().features, "avx10.1-512"))
    assert not is_executable(lacking)
    isa = replace(isa_named("portable"), name="elsewhere")
    fn = lc.compile(block(), target=lc.CpuTarget(isa))
    assert fn.plan({"x": (1, 5, 7, 7)}).program.calls
    with pytest.raises(lc.LayerccError, match=r"for cpu \(elsewhere\), which this machine"):
        fn(np.zeros((1, 5, 7, 7), np.float32))


def test_options_are_pickled_with_the_model() -> None:
    fn = lc.compile(block(), target=lc.CpuTarget("portable"), precision="high", threads=1)
    again = pickle.loads(pickle.dumps(fn))
    assert again.options == fn.options
    assert again.options.target.resolved().name == "portable"
    assert again.options.precision == "high"


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("tpu", lc.UnsupportedError, "target 'tpu' is not known"),
        (5, TypeError, "a name or a Target would fit; a int was given"),
    ],
)
def test_targets_that_are_none(target: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        lc.compile(block(), target=target)  # type: ignore[arg-type]


def test_an_unknown_instruction_set() -> None:
    with pytest.raises(ValueError, match=r"no instruction set 'mmx'; .*portable are known"):
        lc.CpuTarget("mmx")

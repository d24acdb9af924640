"""Choosing an instruction set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from layercc.cpu.isa import choose_isa, cpu_flags, host_isa

AVX2 = frozenset(["avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm", "xsave"])
AVX512 = AVX2 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])


@pytest.mark.parametrize(
    ("flags", "machine", "wanted", "name", "vector_bytes"),
    [
        (frozenset(), "x86_64", None, "portable", 16),
        (AVX2, "x86_64", None, "avx2", 32),
        (AVX2 - {"fma"}, "x86_64", None, "portable", 16),
        (AVX512, "x86_64", None, "avx512", 64),
        (AVX512 - {"avx512vl"}, "x86_64", None, "avx2", 32),
        (AVX512, "x86_64", "avx2", "avx2", 32),
        (AVX512, "x86_64", "portable", "portable", 16),
        (frozenset({"asimd", "asimddp"}), "aarch64", None, "neon", 16),
        (frozenset({"asimd"}), "aarch64", "portable", "portable", 16),
        (frozenset(), "riscv64", None, "portable", 16),
    ],
)
def test_choice(flags, machine, wanted, name, vector_bytes):
    isa = choose_isa(flags, machine, wanted)
    assert (isa.name, isa.vector_bytes) == (name, vector_bytes)


def test_extensions():
    isa = choose_isa(AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "x86_64")
    assert isa.features == ("amx-bf16", "amx-tile", "avx512bf16")
    assert isa.has("amx-bf16") and not isa.has("amx-int8")
    assert isa.feature_string == "+amx-bf16,+amx-tile,+avx512bf16,-prefer-256-bit"
    assert choose_isa(frozenset({"asimd", "asimddp"}), "aarch64").features == ("neon", "dotprod")


def test_asking_for_too_much():
    with pytest.raises(ValueError, match="LAYERCC_ISA=avx512: this processor lacks avx512bw"):
        choose_isa(AVX2, "x86_64", "avx512")
    with pytest.raises(ValueError, match="layercc knows avx512, avx2, portable"):
        choose_isa(AVX2, "x86_64", "sse9")


def test_environment_variable():
    script = "from layercc.cpu.isa import host_isa; print(host_isa().name)"
    environment = {**os.environ, "LAYERCC_ISA": "portable"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "portable"


def test_host():
    assert cpu_flags()
    assert host_isa() is host_isa()

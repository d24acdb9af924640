"""Which vector instructions kernels may use on this machine.

layercc reads the processor's flags itself and decides the CPU name and feature string that LLVM
compiles for, so that the code does not depend on process-wide Numba settings. ``LAYERCC_ISA``
restricts the choice: ``avx2`` or ``portable`` on a machine with more.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

ENVIRONMENT_VARIABLE = "LAYERCC_ISA"


@dataclass(frozen=True)
class Isa:
    """An instruction set, as kernels and the code generator see it.

    ``features`` holds LLVM's names of the optional extensions that may be used on top of what
    ``cpu`` implies (``avx512bf16``, ``avx512vnni``, ``amx-tile``, ``dotprod``, …).
    """

    name: str
    vector_bytes: int
    vector_registers: int
    cpu: str
    features: tuple[str, ...]

    def has(self, feature: str) -> bool:
        """Whether the LLVM feature ``feature`` may be used beyond the base of this ISA."""
        return feature in self.features

    @property
    def feature_string(self) -> str:
        """The feature string for LLVM's target machine."""
        parts = [f"+{feature}" for feature in self.features]
        if self.name == "avx512":
            parts.append("-prefer-256-bit")  # LLVM would stop at 256-bit vectors otherwise
        return ",".join(parts)

    @property
    def half_conversion(self) -> bool:
        """Whether f16 to f32 and back is an instruction rather than a library call."""
        return self.name in ("avx512", "avx2", "neon")

    def __str__(self) -> str:
        return f"{self.name} ({self.cpu} {self.feature_string})".replace(" )", ")")


# Flags as /proc/cpuinfo spells them. The base flags are what x86-64-v3 and -v4 imply.
_AVX2_BASE = frozenset({"avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm", "xsave"})
_AVX512_BASE = _AVX2_BASE | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_AVX2_EXTRA = {"avx_vnni": "avxvnni"}
_AVX512_EXTRA = {
    "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16",
    "avx512_fp16": "avx512fp16",
    "avx512vbmi": "avx512vbmi",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512ifma": "avx512ifma",
    "avx512_bitalg": "avx512bitalg",
    "avx512_vpopcntdq": "avx512vpopcntdq",
    "avx_vnni": "avxvnni",
    "gfni": "gfni",
    "amx_tile": "amx-tile",
    "amx_bf16": "amx-bf16",
    "amx_int8": "amx-int8",
    "amx_fp16": "amx-fp16",
}
_NEON_EXTRA = {
    "asimddp": "dotprod",
    "asimdhp": "fullfp16",
    "bf16": "bf16",
    "i8mm": "i8mm",
}


def _portable(_flags: frozenset[str]) -> Isa:
    # On x86-64 this is SSE2, which every such processor has.
    cpu = "x86-64" if _machine() == "x86_64" else "generic"
    return Isa("portable", 16, 16, cpu, ())


def _avx2(flags: frozenset[str]) -> Isa:
    return Isa("avx2", 32, 16, "x86-64-v3", _present(_AVX2_EXTRA, flags))


def _avx512(flags: frozenset[str]) -> Isa:
    return Isa("avx512", 64, 32, "x86-64-v4", _present(_AVX512_EXTRA, flags))


def _neon(flags: frozenset[str]) -> Isa:
    return Isa("neon", 16, 32, "generic", ("neon", *_present(_NEON_EXTRA, flags)))


def _present(table: dict[str, str], flags: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(name for flag, name in table.items() if flag in flags))


# Best first: name, flags needed, constructor.
_Choice = tuple[str, frozenset[str], Callable[[frozenset[str]], Isa]]
_CHOICES: dict[str, tuple[_Choice, ...]] = {
    "x86_64": (
        ("avx512", _AVX512_BASE, _avx512),
        ("avx2", _AVX2_BASE, _avx2),
        ("portable", frozenset(), _portable),
    ),
    "aarch64": (
        ("neon", frozenset({"asimd"}), _neon),
        ("portable", frozenset(), _portable),
    ),
}


def _machine() -> str:
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@functools.cache
def cpu_flags() -> frozenset[str]:
    """The processor's flags, spelled as Linux does in /proc/cpuinfo."""
    system = platform.system()
    if system == "Linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
        return _flags_from_llvm()
    if system == "Darwin":
        return _flags_from_sysctl()
    return _flags_from_llvm()


def _flags_from_sysctl() -> frozenset[str]:
    """Flags on macOS: every Apple arm64 processor has NEON, dot products and half precision."""
    if _machine() == "aarch64":
        listing = _sysctl("hw.optional.arm")
        flags = {"asimd", "asimddp", "asimdhp"}
        for key, flag in (("FEAT_BF16", "bf16"), ("FEAT_I8MM", "i8mm")):
            if f"{key}: 1" in listing:
                flags.add(flag)
        return frozenset(flags)
    words = _sysctl("machdep.cpu.features") + _sysctl("machdep.cpu.leaf7_features")
    flags = {word.lower() for word in words.replace(":", " ").split()}
    spelled = {"avx1.0": "avx", "lzcnt": "abm"}
    return frozenset(spelled.get(flag, flag) for flag in flags)


def _sysctl(name: str) -> str:
    import subprocess  # other systems need none

    done = subprocess.run(["sysctl", name], capture_output=True, text=True, check=False)
    return done.stdout


def _flags_from_llvm() -> frozenset[str]:
    """Flags as LLVM sees the host, respelled as Linux does."""
    import llvmlite.binding as llvm

    respelled = {name: flag for flag, name in (_AVX512_EXTRA | _AVX2_EXTRA | _NEON_EXTRA).items()}
    respelled |= {"bmi": "bmi1", "lzcnt": "abm", "neon": "asimd"}
    host = llvm.get_host_cpu_features()
    return frozenset(respelled.get(name, name) for name, present in host.items() if present)


def choose_isa(flags: frozenset[str], machine: str, wanted: str | None = None) -> Isa:
    """The best ISA for a processor with ``flags``, or the ISA named ``wanted``.

    Raises ValueError where ``wanted`` is unknown for ``machine`` or needs flags it lacks.
    """
    choices = _CHOICES.get(machine, (("portable", frozenset[str](), _portable),))
    if wanted is None:
        return next(make(flags) for _, needs, make in choices if needs <= flags)
    for name, needs, make in choices:
        if name == wanted:
            if missing := needs - flags:
                raise ValueError(
                    f"{ENVIRONMENT_VARIABLE}={wanted}: this processor lacks "
                    f"{', '.join(sorted(missing))}"
                )
            return make(flags)
    known = ", ".join(name for name, _, _ in choices)
    raise ValueError(f"{ENVIRONMENT_VARIABLE}={wanted}: on {machine} layercc knows {known}")


def isa_named(name: str) -> Isa:
    """The ISA of this name, for processors of this machine's kind, with the extensions that this
    machine has of those that go with it. The machine need not have the ISA itself.

    Raises ValueError for a name that is not known.
    """
    choices = _CHOICES.get(_machine(), ())
    for known, needs, make in choices:
        if known == name:
            return make(cpu_flags() | needs)
    names = ", ".join(known for known, _, _ in choices)
    raise ValueError(f"no instruction set {name!r}; {names} are known for {_machine()}")


def is_executable(isa: Isa) -> bool:
    """Whether this machine runs code for an ISA."""
    for name, needs, make in _CHOICES.get(_machine(), ()):
        if name == isa.name:
            return needs <= cpu_flags() and set(isa.features) <= set(make(cpu_flags()).features)
    return False


def known_isas() -> tuple[Isa, ...]:
    """The ISAs for processors of this machine's kind, best first, as `isa_named` makes them."""
    return tuple(isa_named(name) for name, _, _ in _CHOICES.get(_machine(), ()))


def best_isa() -> Isa:
    """The best ISA that this machine has."""
    return choose_isa(cpu_flags(), _machine())


@functools.cache
def host_isa() -> Isa:
    """The best ISA that this machine has and the environment allows; read once."""
    return choose_isa(cpu_flags(), _machine(), os.environ.get(ENVIRONMENT_VARIABLE) or None)

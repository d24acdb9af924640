"""A kernel's key → its code, with what is to be known of it.

Importing this module imports Numba.
"""

from __future__ import annotations

import re

from layercc.cuda.architecture import Architecture
from layercc.cuda.codegen.assembler import Assembler, assemble
from layercc.cuda.codegen.ptx import NotForGpu, compile_to_ptx
from layercc.cuda.family import gpu_family_of, symbol_of
from layercc.kernels.cache import CompiledKernel
from layercc.kernels.declaration import KernelKey

_SHARED = re.compile(r"\.shared\s+\.align\s+\d+\s+\.b8\s+[\w$]+\[(\d+)\]")


def compile_kernel(
    key: KernelKey, architecture: Architecture, assembler: Assembler | None
) -> CompiledKernel:
    """A kernel as a cubin, or as PTX where there is no assembler; its facts are

    - form: `cubin` or `ptx`
    - threads: of a block
    - shared, dynamic: shared memory of a block, in bytes, and how much of it is dynamic
    - registers of a thread and spilled bytes, of a cubin
    - refused: why it cannot be had for a GPU, if that is so; then there is no code.
    """
    family = gpu_family_of(key)
    symbol = symbol_of(key)
    block = family.block(key)
    facts: dict[str, str | int] = {"threads": block.threads, "dynamic": block.dynamic_shared}
    try:
        body = family.body(key, None)
        signature = family.signature(body)
        ptx = compile_to_ptx(
            body,
            family.parameters(body),
            symbol,
            architecture,
            threads=block.threads,
            blocks=block.blocks,
            noalias=family.noalias,
        )
        if assembler is None:
            static = sum(map(int, _SHARED.findall(ptx)))
            facts |= {"form": "ptx", "shared": static + block.dynamic_shared}
            return CompiledKernel(key, signature, symbol, ptx.encode("ascii"), facts)
        cubin, taken = assemble(ptx, architecture, assembler)
    except NotForGpu as error:
        return CompiledKernel(key, (), symbol, b"", {"refused": str(error)})
    except Exception as error:
        error.add_note(f"while building the kernel {key} for {architecture.name}")
        raise
    facts |= {
        "form": "cubin",
        "shared": taken.shared + block.dynamic_shared,
        "registers": taken.registers,
        "spilled": taken.spilled,
    }
    return CompiledKernel(key, signature, symbol, cubin, facts)

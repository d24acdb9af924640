"""Python kernels to relocatable object code for a CPU, through layercc's own Numba target.

The target itself is `layercc.kernels.front_end`; here it compiles for an instruction set.
``layercc.cpu.codegen`` has what is behind, ``layercc.kernels.wrapper`` the C function around a
kernel.

Importing this module imports Numba: kernel files do so only inside their families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from layercc.cpu.codegen import Codegen
from layercc.cpu.isa import Isa
from layercc.cpu.objects import check_symbols
from layercc.kernels.declaration import Abi, Annotation
from layercc.kernels.front_end import (
    TARGET_NAME,
    KernelContext,
    KernelTyping,
    compile_body,
    compiling,
)
from layercc.kernels.numba_types import numba_type, types
from layercc.kernels.wrapper import Wrapper


class _Context(KernelContext):
    """Intrinsics find the instruction set at `context.isa`."""

    def __init__(self, typing_context: Any, isa: Isa) -> None:
        self.isa = isa
        self.half_conversion = isa.half_conversion
        super().__init__(typing_context)

    def new_codegen(self) -> Any:
        return Codegen(TARGET_NAME, self.isa)


@dataclass(frozen=True)
class _Machine:
    """An instruction set as `layercc.kernels.front_end` sees it."""

    isa: Isa

    def typing_context(self) -> Any:
        return KernelTyping()

    def target_context(self, typing_context: Any) -> Any:
        return _Context(typing_context, self.isa)


def compile_to_object(
    body: Callable[..., None],
    parameters: Mapping[str, Annotation],
    entry: str,
    isa: Isa,
    *,
    noalias: tuple[str, ...] = (),
    abi: Abi = "words",
    unroll: bool = True,
) -> bytes:
    """Compile ``body`` for ``isa`` to an object file that exports one C function, ``entry``.

    With ``abi="words"`` the function is ``void entry(int64_t task, const int64_t *words)``, the
    words holding the arguments as ``parameters`` says; with ``abi="direct"`` it takes the
    arguments, records field by field.
    Raises Numba's errors where ``body`` cannot be compiled, and RuntimeError where the code needs
    symbols that are not the C library's.
    """
    library = compile_library(body, parameters, entry, isa, noalias=noalias, abi=abi, unroll=unroll)
    return library.object_code


def compile_library(
    body: Callable[..., None],
    parameters: Mapping[str, Annotation],
    entry: str,
    isa: Isa,
    *,
    noalias: tuple[str, ...] = (),
    abi: Abi = "words",
    unroll: bool = True,
) -> Any:
    """As ``compile_to_object``, but give Numba's code library (IR, assembly, object)."""
    arguments = [numba_type(annotation) for annotation in parameters.values()]
    if abi == "words":
        arguments.insert(0, types.int64)
    machine = _Machine(isa)
    with compiling(machine):
        result = compile_body(body, arguments, entry, machine)
        context = result.target_context
        library = context.codegen().create_library(entry)
        library.entry = entry
        library.unroll = unroll
        wrapper = Wrapper(context, result.fndesc, parameters, entry, noalias)
        library.add_ir_module(wrapper.words() if abi == "words" else wrapper.direct())
        library.add_linking_library(result.library)
        library.finalize()
    check_symbols(library.object_code, entry)
    return library

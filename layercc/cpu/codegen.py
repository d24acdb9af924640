"""What layercc's Numba target makes of LLVM IR: object code for an instruction set.

Importing this module imports Numba.
"""

from __future__ import annotations

import functools
from typing import Any

import llvmlite.binding as llvm
from numba.core.codegen import AOTCodeLibrary, CPUCodegen

from layercc.cpu.isa import Isa


class Library(AOTCodeLibrary):
    """IR of one function and of all it calls. Only a kernel's own library is optimised."""

    entry: str | None = None
    unroll = True

    @functools.cached_property
    def object_code(self) -> bytes:
        return bytes(self.emit_native_object())

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        if self.entry is None:
            return
        module = self._final_module
        for value in (*module.functions, *module.global_variables):
            if not value.is_declaration and value.name != self.entry:
                value.linkage = "internal"
        passes, builder = self._codegen._module_pass_manager(unroll=self.unroll)
        passes.run(module, builder)


class Codegen(CPUCodegen):
    """Position-independent code for `isa`, returned as objects rather than run."""

    _library_class = Library

    def __init__(self, name: str, isa: Isa) -> None:
        self._isa = isa
        super().__init__(name)

    def _init(self, llvm_module: Any) -> None:
        isa = self._isa
        target = llvm.Target.from_triple(llvm.get_process_triple())
        self._tm_features = isa.feature_string
        self._tm = target.create_target_machine(
            cpu=isa.cpu, features=isa.feature_string, opt=3, reloc="pic", codemodel="default"
        )
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)

    def _module_pass_manager(self, unroll: bool = True, **_: Any) -> Any:
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        options.loop_unrolling = unroll
        options.slp_vectorization = False  # it tears explicit vector code apart
        builder = llvm.create_pass_builder(self._tm, options)
        return builder.getModulePassManager(), builder

    def _add_module(self, module: Any) -> None:
        """Objects are emitted on demand; there is no engine to add modules to."""

"""Python kernels to PTX.

Importing this module imports Numba.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.core.codegen import AOTCodeLibrary, CPUCodegen

from layercc.cuda.architecture import Architecture
from layercc.cuda.codegen import words
from layercc.kernels.declaration import Annotation
from layercc.kernels.front_end import (
    TARGET_NAME,
    KernelContext,
    KernelTyping,
    compile_body,
    compiling,
)
from layercc.kernels.numba_types import numba_type
from layercc.kernels.wrapper import Wrapper

_TRIPLE = "nvptx64-nvidia-cuda"
#: What LLVM can make for NVPTX of its own intrinsics, by the name up to the types; of others it
#: ends the process.
_SELECTABLE = (
    "abs assume bswap ceil copysign ctlz ctpop cttz fabs floor fma fshl fshr is lifetime maximum "
    "maxnum memcpy memmove memset minimum minnum nearbyint nvvm rint round roundeven sadd scmp "
    "smax smin sqrt ssub trunc uadd umax umin umul usub"
)

#: Arithmetic that ptxas may fuse, since it names no rounding. LLVM has fused what may be; said or
#: not, the rounding is to nearest.
_LOOSE = re.compile(r"\b(add|sub|mul)\.(f32|f64)\b")
_REMAINDER = re.compile(r"= frem ")


class NotForGpu(Exception):
    """A kernel needs what there is on a CPU only, or what NVPTX cannot express."""


class _Library(AOTCodeLibrary):
    """Unoptimised IR of one function and of all it calls."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        """The kernel is optimised whole, in `_emit`."""


class _Codegen(CPUCodegen):
    """Modules for NVPTX."""

    _library_class = _Library

    def __init__(self, name: str, architecture: Architecture) -> None:
        self._architecture = architecture
        super().__init__(name)

    def _init(self, llvm_module: Any) -> None:
        self._tm_features = ""
        self._tm = _target_machine(self._architecture)
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)

    def _create_empty_module(self, name: str) -> Any:
        module = ir.Module(cgutils.normalize_ir_text(name))
        module.triple = _TRIPLE
        module.data_layout = str(_target_machine(self._architecture).target_data)
        return module

    def _add_module(self, module: Any) -> None:
        """There is no engine to add modules to."""


@functools.cache
def _target_machine(architecture: Architecture) -> Any:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    features = f"+ptx{architecture.ptx.replace('.', '')}"
    return llvm.Target.from_triple(_TRIPLE).create_target_machine(
        cpu=architecture.name, features=features, opt=3
    )


class _Typing(KernelTyping):
    """Typing that knows numba.cuda's words."""

    def load_additional_registries(self) -> None:
        super().load_additional_registries()
        self.install_registry(words.typing_registry)

    def resolve_value_type(self, val: Any) -> Any:
        try:
            own = words.OWN.get(val)
        except TypeError:  # not hashable
            own = None
        return super().resolve_value_type(val if own is None else own)


class _Context(KernelContext):
    half_conversion = True
    nonconst_module_attrs = words.VARYING

    def __init__(self, typing_context: Any, architecture: Architecture) -> None:
        self.architecture = architecture
        super().__init__(typing_context)

    def new_codegen(self) -> Any:
        return _Codegen(TARGET_NAME, self.architecture)

    def load_additional_registries(self) -> None:
        super().load_additional_registries()
        self.install_registry(words.registry)


@dataclass(frozen=True)
class _Machine:
    """An architecture as `layercc.kernels.front_end` sees it."""

    architecture: Architecture

    def typing_context(self) -> Any:
        return _Typing()

    def target_context(self, typing_context: Any) -> Any:
        return _Context(typing_context, self.architecture)


def compile_to_ptx(
    body: Callable[..., None],
    parameters: Mapping[str, Annotation],
    entry: str,
    architecture: Architecture,
    *,
    threads: int,
    blocks: int = 1,
    noalias: tuple[str, ...] = (),
) -> str:
    """PTX with one kernel, `entry`, that takes the arguments one by one, records field by field.

    `threads` are those of a block, and `blocks` are to fit on a multiprocessor at once.
    Raises Numba's errors where `body` cannot be compiled, NotForGpu where the code needs what a GPU
    lacks, RuntimeError where LLVM wrote another version of PTX than was asked for.
    """
    arguments = [numba_type(annotation) for annotation in parameters.values()]
    machine = _Machine(architecture)
    with compiling(machine):
        result = compile_body(body, arguments, entry, machine)
        context = result.target_context
        module = Wrapper(context, result.fndesc, parameters, entry, noalias).direct()
        _declare_kernel(module, entry, threads, blocks)
        library = context.codegen().create_library(entry)
        library.add_ir_module(module)
        library.add_linking_library(result.library)
        library.finalize()
        text = _LOOSE.sub(r"\1.rn.\2", _emit(library._final_module, entry, architecture))
    written = re.search(r"^\.version (\S+)", text, re.MULTILINE)
    if written is None or written[1] != architecture.ptx:
        got = "none" if written is None else written[1]
        raise RuntimeError(f"LLVM wrote PTX version {got}, not {architecture.ptx}")
    return text


def _declare_kernel(module: Any, entry: str, threads: int, blocks: int) -> None:
    """Marks the entry as a kernel, in the form that all versions of LLVM read."""
    function = module.get_global(entry)
    for name, value in (("kernel", 1), ("maxntidx", threads), ("minctasm", blocks)):
        node = module.add_metadata([function, name, ir.IntType(32)(value)])
        module.add_named_metadata("nvvm.annotations", node)


def _emit(linked: Any, entry: str, architecture: Architecture) -> str:
    """Optimises a module that has all there is of a kernel, and writes its PTX."""
    machine = _target_machine(architecture)
    module = llvm.parse_assembly(str(linked))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != entry:
            value.linkage = "internal"
    for function in module.functions:
        if not function.is_declaration:
            # LLVM takes it away again where no barrier, shuffle or matrix product is inside.
            function.add_function_attribute("convergent")
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = False
    options.slp_vectorization = False
    options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    _refuse_foreign(module)
    return machine.emit_assembly(module)


def _refuse_foreign(module: Any) -> None:
    """Raises NotForGpu for a call of what is not in the module and that NVPTX has not, and for
    remainders of floats, which it takes from a rounded quotient."""
    if _REMAINDER.search(str(module)):
        raise NotForGpu("it needs fmod, which NVPTX has not to the last bit")
    for function in module.functions:
        if not function.is_declaration:
            continue
        parts = function.name.split(".")
        if parts[0] != "llvm":
            raise NotForGpu(f"it calls {function.name}, which there is on a CPU only")
        if parts[1] not in _SELECTABLE.split():
            raise NotForGpu(f"it needs {function.name}, which NVPTX has not")

"""layercc's own Numba target: Python kernels to relocatable object code.

The target is Numba's CPU target with four differences:

- it compiles for the ISA that ``layercc.cpu.isa`` chose, whatever Numba is configured for;
- floating point keeps its laws, except that ``a * b + c`` may be contracted to an FMA;
- no reference counting, no exceptions and no wrappers callable from Python, so that the object
  code depends on nothing but the C library;
- helper functions are carried as unoptimised IR and LLVM optimises each kernel once, whole.

Importing this module imports Numba: kernel files do so only inside their families.
"""

from __future__ import annotations

import functools
import os
import types as python_types
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import callconv, cpu, fastmathpass, typing
from numba.core import types as _types
from numba.core.codegen import AOTCodeLibrary, CPUCodegen, initialize_llvm
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu_options import FastMathOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.errors import UnsupportedError
from numba.core.target_extension import (
    CPU,
    dispatcher_registry,
    jit_registry,
    target_override,
    target_registry,
)
from numba.core.typed_passes import DumpParforDiagnostics, InlineOverloads, NopythonRewrites
from numba.core.typing.npydecl import NumpyRulesArrayOperator
from numba.core.untyped_passes import (
    InlineClosureLikes,
    InlineInlinables,
    LiteralUnroll,
    MakeFunctionToJitFunction,
    WithLifting,
)
from numba.extending import is_jitted

from layercc.cpu.isa import host_isa
from layercc.cpu.kernel import Abi, Annotation, Kind, Record, words_of
from layercc.cpu.objects import check_symbols

TARGET_NAME = "layercc"

numba_types: Any = _types

_STORAGE = {
    "f32": numba_types.float32,
    "f64": numba_types.float64,
    "f16": numba_types.uint16,
    "bf16": numba_types.uint16,
    "bool": numba_types.uint8,
    "i8": numba_types.int8,
    "u8": numba_types.uint8,
    "i16": numba_types.int16,
    "u16": numba_types.uint16,
    "i32": numba_types.int32,
    "u32": numba_types.uint32,
    "i64": numba_types.int64,
    "u64": numba_types.uint64,
}
_SCALARS = {
    "int": numba_types.int64,
    "f64": numba_types.float64,
    "f32": numba_types.float32,
}
_INT64 = ir.IntType(64)
_NUMBA_FOLDER = os.path.dirname(numba.__file__)


def storage_type(dtype: str) -> Any:
    """The Numba scalar type in which elements of ``dtype`` are stored."""
    return _STORAGE[dtype]


def numba_type(annotation: Annotation) -> Any:
    """The Numba type of an argument annotated with ``annotation``."""
    if isinstance(annotation, Record):
        types = [numba_type(part) for _, part in annotation.fields]
        return numba_types.BaseTuple.from_types(types, _named_tuple(annotation))
    if isinstance(annotation, tuple):
        return numba_types.BaseTuple.from_types([numba_type(part) for part in annotation])
    if annotation.word == "pointer":
        return numba_types.CPointer(_STORAGE[annotation.dtype])
    return _SCALARS[annotation.word]


@functools.cache
def _named_tuple(record: Record) -> Any:
    return namedtuple(record.name, [name for name, _ in record.fields])


class _Library(AOTCodeLibrary):
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


class _Codegen(CPUCodegen):
    """Position-independent code for the host ISA, returned as objects rather than run."""

    _library_class = _Library

    def _init(self, llvm_module: Any) -> None:
        isa = host_isa()
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


class _CallConvention(callconv.CPUCallConv):
    """Numba's own, but for ``raise``: nobody would see the exception."""

    def return_user_exc(
        self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None, func_name: Any = None
    ) -> None:
        # Numba's built-ins raise too (a zero step of a range, say), without a place in the source
        # or in Numba's own files; there the kernel just returns.
        if loc is not None and not loc.filename.startswith(_NUMBA_FOLDER):
            raise UnsupportedError(f"a kernel cannot raise {getattr(exc, '__name__', exc)}", loc)
        super().return_user_exc(builder, exc, exc_args, loc, func_name)


class _Context(cpu.CPUContext):
    """Lowering for kernels: Numba's scalar built-ins, without its runtime."""

    def init(self) -> None:
        self.is32bit = False
        initialize_llvm()
        self._internal_codegen = _Codegen(TARGET_NAME)

    @property
    def call_conv(self) -> Any:
        return _CallConvention(self)

    def load_additional_registries(self) -> None:
        from numba.core import inline_closurecall, optional  # noqa: F401
        from numba.cpython import (  # noqa: F401
            builtins,
            cmathimpl,
            iterators,
            mathimpl,
            numbers,
            rangeobj,
            slicing,
            tupleobj,
        )
        from numba.misc import literal  # noqa: F401
        from numba.np import npyimpl

        self.install_registry(cmathimpl.registry)
        self.install_registry(mathimpl.registry)
        self.install_registry(npyimpl.registry)

    def post_lowering(self, mod: Any, library: Any) -> None:
        if self.fastmath:
            fastmathpass.rewrite_module(mod, self.fastmath)

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        """A token that stands for the function; nothing is executable in this process."""
        return _FunctionToken(fndesc.qualname)


class _FunctionToken:
    def __init__(self, name: str) -> None:
        self.name = name


class _TypingContext(typing.Context):
    """Typing in which a user's Numba or plain Python function is a helper like our own."""

    def insert_function(self, ft: Any) -> None:
        # Operators on arrays: asked about every operation on scalars, and slow to say no.
        if NumpyRulesArrayOperator not in type(ft).__mro__:
            super().insert_function(ft)

    def resolve_value_type(self, val: Any) -> Any:
        if is_jitted(val) and not isinstance(val, KernelDispatcher):
            return numba_types.Dispatcher(_adopt(val.py_func))
        try:
            return super().resolve_value_type(val)
        except ValueError:
            if isinstance(val, python_types.FunctionType):
                return numba_types.Dispatcher(_adopt(val))
            raise


class _Options(cpu.CPUTargetOptions):
    def finalize(self, flags: Any, options: dict[str, Any]) -> None:
        flags.enable_pyobject = False
        flags.enable_looplift = False
        flags.enable_pyobject_looplift = False
        flags.nrt = False
        flags.debuginfo = False
        flags.dbg_extend_lifetimes = False
        flags.boundscheck = False
        flags.error_model = "numpy"
        flags.no_cpython_wrapper = True
        flags.no_cfunc_wrapper = True
        flags.release_gil = True
        flags.inherit_if_not_set("fastmath", default=FastMathOptions({"contract"}))
        if not flags.is_set("forceinline"):
            flags.forceinline = True
        flags.dbg_optnone = False


class _Compiler(CompilerBase):
    """Numba's pipeline without the passes that find nothing to do in kernels, yet take time."""

    def define_pipelines(self) -> list[Any]:
        skipped = {
            DumpParforDiagnostics, InlineInlinables, InlineOverloads, LiteralUnroll,
            NopythonRewrites, WithLifting,
        }  # fmt: skip
        constants = self.state.func_id.func.__code__.co_consts
        if not any(isinstance(constant, python_types.CodeType) for constant in constants):
            skipped |= {InlineClosureLikes, MakeFunctionToJitFunction}
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        kept = [entry for entry in pipeline.passes if entry[0] not in skipped]
        pipeline = type(pipeline)("kernel")
        for entry in kept:
            pipeline.add_pass(*entry)
        pipeline.finalize()
        return [pipeline]


class _Descriptor(TargetDescriptor):
    options = _Options

    @functools.cached_property
    def typing_context(self) -> _TypingContext:
        return _TypingContext()

    @functools.cached_property
    def target_context(self) -> _Context:
        return _Context(self.typing_context, TARGET_NAME)


class LayerccCPU(CPU):
    """The target's place in Numba's hierarchy: overloads for "cpu" and "generic" apply."""


class KernelDispatcher(Dispatcher):
    """A helper function of kernels: compiled for argument types as kernels call it."""

    targetdescr = _Descriptor(TARGET_NAME)

    def compile(self, sig: Any) -> Any:
        return self.compile_result(tuple(sig)).entry_point

    def compile_result(self, args: tuple[Any, ...]) -> Any:
        """Numba's compile result for argument types ``args``."""
        with target_override(TARGET_NAME), global_compiler_lock:
            if args not in self.overloads:
                compiler: Any = self._compiler  # type: ignore[attr-defined]
                self.overloads[args] = compiler.compile(args, None)
            return self.overloads[args]

    def get_overload(self, sig: Any) -> Any:
        return self.compile(sig)


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make ``function`` a helper that kernels, and other helpers, may call.

    Options: ``inline`` (True) forces it into its caller; ``contract`` (True) allows a multiply
    and an add to become one FMA.
    """
    options.pop("nopython", None)
    inline = options.pop("inline", True)
    contract = options.pop("contract", True)
    target_options: dict[str, Any] = {"forceinline": inline in (True, "never"), **options}
    if not contract:
        target_options["fastmath"] = False

    def decorate(function: Callable[..., Any]) -> KernelDispatcher:
        return KernelDispatcher(function, targetoptions=target_options, pipeline_class=_Compiler)

    return decorate if function is None else decorate(function)


_adopted: WeakKeyDictionary[Callable[..., Any], KernelDispatcher] = WeakKeyDictionary()


def _adopt(function: Callable[..., Any]) -> KernelDispatcher:
    if function not in _adopted:
        _adopted[function] = jit(function)
    return _adopted[function]


target_registry[TARGET_NAME] = LayerccCPU
dispatcher_registry[LayerccCPU] = KernelDispatcher
jit_registry[LayerccCPU] = jit


def compile_to_object(
    body: Callable[..., None],
    parameters: Mapping[str, Annotation],
    entry: str,
    *,
    noalias: tuple[str, ...] = (),
    abi: Abi = "words",
    unroll: bool = True,
) -> bytes:
    """Compile ``body`` to an object file that exports one C function, ``entry``.

    With ``abi="words"`` the function is ``void entry(int64_t task, const int64_t *words)``, the
    words holding the arguments as ``parameters`` says; with ``abi="direct"`` it takes the
    arguments, records field by field.
    Raises Numba's errors where ``body`` cannot be compiled, and RuntimeError where the code needs
    symbols that are not the C library's.
    """
    library = compile_library(body, parameters, entry, noalias=noalias, abi=abi, unroll=unroll)
    return library.object_code


def compile_library(
    body: Callable[..., None],
    parameters: Mapping[str, Annotation],
    entry: str,
    *,
    noalias: tuple[str, ...] = (),
    abi: Abi = "words",
    unroll: bool = True,
) -> Any:
    """As ``compile_to_object``, but give Numba's code library (IR, assembly, object)."""
    types = [numba_type(annotation) for annotation in parameters.values()]
    if abi == "words":
        types.insert(0, numba_types.int64)
    with target_override(TARGET_NAME), global_compiler_lock:
        result = jit(body).compile_result(tuple(types))
        if result.signature.return_type != numba_types.none:
            raise TypeError(f"kernel {entry} returns {result.signature.return_type}, not nothing")
        context = result.target_context
        library = context.codegen().create_library(entry)
        library.entry = entry
        library.unroll = unroll
        wrapper = _Wrapper(context, result.fndesc, parameters, entry, noalias)
        library.add_ir_module(wrapper.words() if abi == "words" else wrapper.direct())
        library.add_linking_library(result.library)
        library.finalize()
    check_symbols(library.object_code, entry)
    return library


class _Wrapper:
    """The C function around a Numba-compiled body, in LLVM IR."""

    def __init__(
        self,
        context: Any,
        fndesc: Any,
        parameters: Mapping[str, Annotation],
        entry: str,
        noalias: tuple[str, ...],
    ) -> None:
        self.context = context
        self.fndesc = fndesc
        self.parameters = parameters
        self.signature = [
            word for name, given in parameters.items() for word in words_of(name, given)
        ]
        self.entry = entry
        self.noalias = noalias
        self.module = context.create_module(entry)

    def words(self) -> Any:
        """``void entry(i64 task, i64* words)``."""
        adapter = self._adapter(f"{self.entry}.arguments", leading=[_INT64])
        # Inlined before its body is simplified, it would lose what noalias says.
        adapter.attributes.add("noinline" if self.noalias else "alwaysinline")
        adapter.linkage = "internal"
        entry = self._function(self.entry, [_INT64, _INT64.as_pointer()])
        task, words = entry.args
        builder = ir.IRBuilder(entry.append_basic_block("entry"))
        values = [task]
        for index, argument in enumerate(self.signature):
            word = builder.load(builder.gep(words, [_INT64(index)]))
            values.append(self._from_word(builder, word, argument.kind))
        builder.call(adapter, values)
        builder.ret_void()
        return self.module

    def direct(self) -> Any:
        """``void entry(arguments…)``."""
        self._adapter(self.entry, leading=[])
        return self.module

    def _adapter(self, name: str, leading: list[Any]) -> Any:
        """A function that takes one plain argument a word and calls the body as Numba would.

        It is where ``noalias`` is said: Numba's own option would say it of every pointer.
        """
        types = [self.context.get_value_type(numba_type(item.kind)) for item in self.signature]
        adapter = self._function(name, [*leading, *types])
        for argument, value in zip(self.signature, adapter.args[len(leading) :], strict=True):
            if argument.name in self.noalias:
                value.add_attribute("noalias")
        convention = self.context.call_conv
        callee_type = convention.get_function_type(self.fndesc.restype, self.fndesc.argtypes)
        callee = ir.Function(self.module, callee_type, self.fndesc.llvm_func_name)
        builder = ir.IRBuilder(adapter.append_basic_block("entry"))
        words = iter(adapter.args)
        values = [next(words) for _ in leading]
        values += [self._assembled(builder, given, words) for given in self.parameters.values()]
        convention.call_function(builder, callee, self.fndesc.restype, self.fndesc.argtypes, values)
        builder.ret_void()
        return adapter

    def _assembled(self, builder: Any, annotation: Annotation, words: Iterator[Any]) -> Any:
        """The value of an argument, made of the next words."""
        if isinstance(annotation, Kind):
            return next(words)
        if isinstance(annotation, Record):
            parts = tuple(part for _, part in annotation.fields)
        else:
            parts = annotation
        values = [self._assembled(builder, part, words) for part in parts]
        return self.context.make_tuple(builder, numba_type(annotation), values)

    def _function(self, name: str, arguments: list[Any]) -> Any:
        return ir.Function(self.module, ir.FunctionType(ir.VoidType(), arguments), name)

    def _from_word(self, builder: Any, word: Any, kind: Kind) -> Any:
        if kind.word == "int":
            return word
        if kind.word == "pointer":
            return builder.inttoptr(word, self.context.get_value_type(numba_type(kind)))
        value = builder.bitcast(word, ir.DoubleType())
        return value if kind.word == "f64" else builder.fptrunc(value, ir.FloatType())

"""layercc's own Numba target: how Numba sees kernels, whatever they are compiled for.

It is Numba's CPU target with these differences:

- it compiles for a `Machine` that is given with each kernel, whatever Numba is configured for:
  contexts, and what helpers have been compiled to, are kept for each of them;
- floating point keeps its laws, except that ``a * b + c`` may be contracted to an FMA;
- no reference counting, no exceptions and no wrappers callable from Python, so that the code
  depends on nothing but what the machine's own code library allows;
- helper functions are carried as unoptimised IR and LLVM optimises each kernel once, whole.

This file has typing, lowering, the decorator for helpers, and compilation of a body to IR. What is
made of the IR is each target's own: `layercc.cpu.numba_target` makes object files.

Importing this module imports Numba: kernel files do so only inside their families.
"""

from __future__ import annotations

import contextlib
import functools
import os
import types as python_types
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from copy import copy
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numba
from numba.core import cgutils, cpu, fastmathpass, typing
from numba.core.callconv import RETCODE_USEREXC, CPUCallConv
from numba.core.codegen import initialize_llvm
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

from layercc.kernels.helper import Helper
from layercc.kernels.numba_types import types
from layercc.kernels.raised import record

TARGET_NAME = "layercc"

_NUMBA_FOLDER = os.path.dirname(numba.__file__)


class Machine(Protocol):
    """What is compiled for: a hashable value that makes Numba's contexts for itself."""

    def __hash__(self) -> int: ...

    def typing_context(self) -> Any:
        """A new `KernelTyping`."""

    def target_context(self, typing_context: Any) -> Any:
        """A new `KernelContext`."""


#: Whether what is being compiled may raise: whoever calls it looks whether it did.
_may_raise: ContextVar[bool] = ContextVar("may_raise", default=False)
#: What is being compiled for.
_compiling_for: ContextVar[Machine] = ContextVar("compiling_for")


class CallConvention(CPUCallConv):
    """Numba's own, but for ``raise``: nobody would see the exception.

    Of functions that may raise (`layercc.kernels.guarded`), it is a record among the constants.
    """

    def return_user_exc(
        self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None, func_name: Any = None
    ) -> None:
        if _may_raise.get() and not getattr(builder, "_in_try_block", False):
            self._return_record(builder, exc, exc_args, loc, func_name)
            return
        # Numba's built-ins raise too (a zero step of a range, say), without a place in the source
        # or in Numba's own files; there the kernel just returns.
        if loc is not None and not loc.filename.startswith(_NUMBA_FOLDER):
            raise UnsupportedError(f"a kernel cannot raise {getattr(exc, '__name__', exc)}", loc)
        super().return_user_exc(builder, exc, exc_args, loc, func_name)

    def _return_record(
        self, builder: Any, exc: Any, exc_args: Any, loc: Any, func_name: Any
    ) -> None:
        """Returns from the function with the address of what it raises."""
        kind = getattr(exc, "__name__", "an exception")
        message = ", ".join(map(str, exc_args or ()))
        own = loc is not None and not loc.filename.startswith(_NUMBA_FOLDER)
        where = {"function": func_name, "file": loc.filename, "line": loc.line} if own else {}
        data = cgutils.make_bytearray(record(kind, message, **where))
        constant = cgutils.global_constant(builder.module, "raised", data)
        place = self._get_excinfo_argument(builder.function)
        builder.store(builder.bitcast(constant, place.type.pointee), place)
        self._return_errcode_raw(builder, RETCODE_USEREXC)


class KernelContext(cpu.CPUContext):
    """Lowering for kernels: Numba's scalar built-ins, without its runtime.

    `half_conversion` tells intrinsics whether LLVM may convert f16 by itself.
    """

    half_conversion = False

    def __init__(self, typing_context: Any) -> None:
        super().__init__(typing_context, TARGET_NAME)

    def new_codegen(self) -> Any:
        """What makes code of IR."""
        raise NotImplementedError

    def init(self) -> None:
        self.is32bit = False
        initialize_llvm()
        self._internal_codegen = self.new_codegen()

    @property
    def call_conv(self) -> Any:
        return CallConvention(self)

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


class KernelTyping(typing.Context):
    """Typing in which a user's Numba or plain Python function is a helper like our own."""

    def insert_function(self, ft: Any) -> None:
        # Operators on arrays: asked about every operation on scalars, and slow to say no.
        if NumpyRulesArrayOperator not in type(ft).__mro__:
            super().insert_function(ft)

    def resolve_value_type(self, val: Any) -> Any:
        if isinstance(val, KernelDispatcher):
            return val.numba_type
        if isinstance(val, Helper):
            return dispatcher_of(val).numba_type
        if is_jitted(val):
            return _of_user(val.py_func).numba_type
        try:
            return super().resolve_value_type(val)
        except ValueError:
            function = getattr(val, "py_func", val)  # of an op that a user defined
            if isinstance(function, python_types.FunctionType):
                return _of_user(function).numba_type
            raise


class _Options(cpu.CPUTargetOptions):
    def finalize(self, flags: Any, options: dict[str, Any]) -> None:
        flags.enable_pyobject = False
        flags.enable_looplift = False
        flags.enable_pyobject_looplift = False
        flags.nrt = False
        flags.debuginfo = False
        flags.dbg_extend_lifetimes = False
        flags.boundscheck = bool(options.get("boundscheck"))
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
    """What Numba wants to know of a target, for one machine."""

    options = _Options

    def __init__(self, machine: Machine) -> None:
        super().__init__(TARGET_NAME)
        self.machine = machine

    @functools.cached_property
    def typing_context(self) -> Any:
        return self.machine.typing_context()

    @functools.cached_property
    def target_context(self) -> Any:
        return self.machine.target_context(self.typing_context)


_descriptor_of = functools.cache(_Descriptor)


class _Idle:
    """Stands for a descriptor where Numba asks for contexts though nothing is being compiled, as
    it does when a dispatcher is made."""

    options = _Options
    typing_context = KernelTyping()
    target_context = None


class _DescriptorInHand:
    """A class attribute: the descriptor of the machine that is being compiled for."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        machine = _compiling_for.get(None)
        return _Idle if machine is None else _descriptor_of(machine)


class LayerccCPU(CPU):
    """The target's place in Numba's hierarchy: overloads for "cpu" and "generic" apply."""


class KernelDispatcher(Dispatcher):
    """A helper function of kernels: compiled for argument types as kernels call it."""

    targetdescr = _DescriptorInHand()
    may_raise = False

    @property
    def numba_type(self) -> Any:
        return self._type  # type: ignore[attr-defined]

    @property
    def overloads(self) -> Any:
        """Argument types → Numba's compile result, for the machine in hand."""
        return self._overloads.setdefault(_compiling_for.get(None), {})

    @overloads.setter
    def overloads(self, _: Any) -> None:
        """Numba's dispatcher sets an empty dict when it is made."""
        self._overloads: dict[Machine | None, dict[tuple[Any, ...], Any]] = {}

    def compile(self, sig: Any) -> Any:
        return self.compile_result(tuple(sig)).entry_point

    def compile_result(self, args: tuple[Any, ...]) -> Any:
        """Numba's compile result for argument types ``args``."""
        with target_override(TARGET_NAME), global_compiler_lock:
            if args not in self.overloads:
                compiler: Any = copy(self._compiler)  # type: ignore[attr-defined]
                compiler.targetdescr = _descriptor_of(_compiling_for.get())
                before = _may_raise.set(self.may_raise or _may_raise.get())
                try:
                    self.overloads[args] = compiler.compile(args, None)
                finally:
                    _may_raise.reset(before)
            return self.overloads[args]

    def get_overload(self, sig: Any) -> Any:
        return self.compile(sig)


def _dispatcher(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """What Numba sees of a helper; Numba itself asks for its own overloads this way."""
    options.pop("nopython", None)
    inline = options.pop("inline", True)
    contract = options.pop("contract", True)
    # set in any case: else Numba takes what the caller has that is compiled first
    options.setdefault("fastmath", {"contract"} if contract else False)
    target_options: dict[str, Any] = {"forceinline": inline in (True, "never"), **options}

    def decorate(function: Callable[..., Any]) -> KernelDispatcher:
        return KernelDispatcher(function, targetoptions=target_options, pipeline_class=_Compiler)

    return decorate if function is None else decorate(function)


_dispatchers: WeakKeyDictionary[Callable[..., Any], KernelDispatcher] = WeakKeyDictionary()
_guarded: WeakKeyDictionary[Callable[..., Any], KernelDispatcher] = WeakKeyDictionary()


def dispatcher_of(helper: Helper) -> KernelDispatcher:
    """The dispatcher of a helper, always the same."""
    if helper not in _dispatchers:
        _dispatchers[helper] = _dispatcher(
            helper.py_func, inline=helper.inline, contract=helper.contract, **helper.options
        )
    return _dispatchers[helper]


def _of_user(function: Callable[..., Any]) -> KernelDispatcher:
    """The dispatcher of a user's function: products and sums of it stay apart."""
    if _may_raise.get():
        return guarded_dispatcher(function)
    if function not in _dispatchers:
        _dispatchers[function] = _dispatcher(function, contract=False)
    return _dispatchers[function]


def guarded_dispatcher(function: Callable[..., Any]) -> KernelDispatcher:
    """The dispatcher of a user's function, and of those that it calls, that may raise, and whose
    indices are checked."""
    if function not in _guarded:
        made = _dispatcher(function, contract=False, boundscheck=True)
        made.may_raise = True
        _guarded[function] = made
    return _guarded[function]


@contextlib.contextmanager
def compiling(machine: Machine) -> Iterator[None]:
    """Inside, Numba compiles for a machine; no other thread does."""
    before = _compiling_for.set(machine)
    try:
        with target_override(TARGET_NAME), global_compiler_lock:
            yield
    finally:
        _compiling_for.reset(before)


def compile_body(
    body: Callable[..., None], arguments: Iterable[Any], entry: str, machine: Machine
) -> Any:
    """Numba's compile result of a kernel's body for arguments of these Numba types.

    Raises Numba's errors where it cannot be compiled, TypeError where it returns something.
    """
    with compiling(machine):
        result = _dispatcher(body).compile_result(tuple(arguments))
    if result.signature.return_type != types.none:
        raise TypeError(f"kernel {entry} returns {result.signature.return_type}, not nothing")
    return result


target_registry[TARGET_NAME] = LayerccCPU
dispatcher_registry[LayerccCPU] = KernelDispatcher
jit_registry[LayerccCPU] = _dispatcher

# mypy: ignore-errors
"""Calls of a user's function of arrays from a kernel: it may raise, and its indices are checked.

Importing this module imports Numba; kernel files import it inside their families.
"""

from __future__ import annotations

import functools
from typing import Any

import numba.np.arraymath
import numba.np.arrayobj  # arrays, which kernels else do without
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from layercc.kernels.front_end import guarded_dispatcher
from layercc.kernels.numba_types import storage_type

_I64 = ir.IntType(64)


@functools.cache
def array_at(dtype: str, writable: bool) -> Any:
    """A helper ``array(pointer, shape)``: the dense array of that shape, a tuple of int64."""
    element = types.boolean if dtype == "bool" else storage_type(dtype)

    @intrinsic
    def array(typingctx: Any, pointer: Any, shape: Any) -> Any:
        made = types.Array(element, len(shape), "C", readonly=not writable)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _array(context, builder, made, *args)

        return made(pointer, shape), codegen

    return array


def _array(context: Any, builder: Any, kind: Any, pointer: Any, shape: Any) -> Any:
    data_type = context.get_data_type(kind.dtype)
    size = context.get_constant(types.intp, context.get_abi_sizeof(data_type))
    sizes = cgutils.unpack_tuple(builder, shape)
    strides, step = [], size
    for dim in reversed(sizes):
        strides.insert(0, step)
        step = builder.mul(step, dim)
    array = numba.np.arrayobj.make_array(kind)(context, builder)
    numba.np.arrayobj.populate_array(
        array,
        data=builder.bitcast(pointer, data_type.as_pointer()),
        shape=sizes,
        strides=strides,
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()


def guarded(function: Any) -> Any:
    """A helper ``call(arguments)`` that calls `function` of a user's with a tuple of arguments.

    It gives 0, or the address of what the function raised (`layercc.kernels.raised`).
    """
    dispatcher = guarded_dispatcher(function)

    @intrinsic
    def call(typingctx: Any, arguments: Any) -> Any:
        result = dispatcher.compile_result(tuple(arguments.types))
        if result.signature.return_type != types.none:
            raise TypingError(
                f"{function.__qualname__} returns {result.signature.return_type}; it should write "
                "into its outputs and return nothing"
            )

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            fndesc, convention = result.fndesc, context.call_conv
            callee = context.declare_function(builder.module, fndesc)
            context.active_code_library.add_linking_library(result.library)
            values = cgutils.unpack_tuple(builder, args[0])
            values = [
                context.cast(builder, value, given, wanted)
                for value, given, wanted in zip(
                    values, signature.args[0].types, fndesc.argtypes, strict=True
                )
            ]
            status, _ = convention.call_function(
                builder, callee, fndesc.restype, fndesc.argtypes, values
            )
            raised = builder.ptrtoint(status.excinfoptr, _I64)
            return builder.select(status.is_error, raised, _I64(0))

        return types.int64(arguments), codegen

    return call

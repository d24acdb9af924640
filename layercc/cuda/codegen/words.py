"""numba.cuda's words in layercc's own Numba target, and what stands for the C library's functions.

Numba declares them (`numba.cuda.cudadecl`); here they are lowered to what LLVM's NVPTX knows. Known
are `threadIdx`, `blockIdx`, `blockDim`, `gridDim`, `laneid`, `grid`, `gridsize`, `syncthreads`,
`syncwarp`, `shared.array` of a constant length (0: dynamic memory), `shfl_sync` and its kin, `fma`;
and functions under `@cuda.jit`. Numba's own lowering of some of these asks for NVVM, which is not
needed here.

Importing this module imports Numba.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda
from numba.core import cgutils, datamodel
from numba.core.imputils import Registry
from numba.core.typing.npydecl import parse_dtype
from numba.core.typing.templates import Registry as TypingRegistry
from numba.cuda import cudadecl, cudaimpl, intrinsics, nvvmutils, stubs
from numba.cuda.models import Dim3Model
from numba.cuda.types import Dim3, dim3
from numba.extending import intrinsic

from layercc.cuda import elementary, trigonometry
from layercc.cuda import math_f64 as own_f64
from layercc.kernels import math_f32, math_f64, math_intrinsics
from layercc.kernels.helper import jit
from layercc.kernels.numba_types import types

registry = Registry("layercc.cuda")
typing_registry = TypingRegistry()
for _template in (
    cudadecl.CudaModuleTemplate,
    cudadecl.CudaSharedModuleTemplate,
    cudadecl.Dim3_attrs,
):
    typing_registry.register_attr(_template)

#: Address spaces of NVPTX.
GLOBAL, SHARED = 1, 3
_I32 = ir.IntType(32)
_SHARED_ALIGNMENT = 16  # bytes: the widest access
_names = itertools.count()

datamodel.register_default(Dim3)(Dim3Model)

_MODULE = types.Module(cuda)
_PLACES = {
    "threadIdx": cudaimpl.cuda_threadIdx,
    "blockIdx": cudaimpl.cuda_blockIdx,
    "blockDim": cudaimpl.cuda_blockDim,
    "gridDim": cudaimpl.cuda_gridDim,
    "laneid": cudaimpl.cuda_laneid,
}
for _word, _lowering in _PLACES.items():
    registry.lower_getattr(_MODULE, _word)(_lowering)
#: Attributes of numba.cuda that differ from thread to thread, for Numba to lower rather than read.
VARYING = frozenset((_MODULE, _word) for _word in _PLACES)
for _axis in "xyz":
    registry.lower_getattr(dim3, _axis)(getattr(cudaimpl, f"dim3_{_axis}"))
registry.lower(stubs.syncwarp)(cudaimpl.ptx_syncwarp)
registry.lower(stubs.syncwarp, types.i4)(cudaimpl.ptx_syncwarp_mask)
registry.lower(stubs.fma, types.Any, types.Any, types.Any)(cudaimpl.ptx_fma)


@registry.lower(cuda.shared.array, types.IntegerLiteral, types.Any)
def _shared_array(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    length = signature.args[0].literal_value
    dtype = parse_dtype(signature.args[1])
    array_type = signature.return_type
    element = context.get_data_type(dtype)
    memory = cgutils.add_global_variable(
        builder.module, ir.ArrayType(element, length), f"shared_{next(_names)}", SHARED
    )
    memory.align = _SHARED_ALIGNMENT
    if length:
        memory.linkage = "internal"
        memory.initializer = ir.Constant(memory.type.pointee, ir.Undefined)
    else:
        memory.linkage = "external"  # what the launch asks for
    start = builder.addrspacecast(memory, ir.IntType(8).as_pointer(), "generic")
    array = context.make_array(array_type)(context, builder)
    size = context.get_abi_sizeof(element)
    context.populate_array(
        array,
        data=builder.bitcast(start, array.data.type),
        shape=[context.get_constant(types.intp, length)],
        strides=[context.get_constant(types.intp, size)],
        itemsize=context.get_constant(types.intp, size),
        meminfo=None,
    )
    return array._getvalue()


def _shuffle(kind: str, clamp: int) -> Any:
    """The intrinsic `(mask, value, lane)` for 32 or 64 bits: what another lane of the warp has."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask, lane = (
            context.cast(builder, args[i], signature.args[i], types.int32) for i in (0, 2)
        )
        bits = signature.return_type.bitwidth
        whole = ir.IntType(bits)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I32, [_I32] * 4), f"llvm.nvvm.shfl.sync.{kind}.i32"
        )
        value = builder.bitcast(args[1], whole)
        result = whole(0)
        for start in range(0, bits, 32):
            part = builder.lshr(value, whole(start))
            part = builder.trunc(part, _I32) if bits > 32 else part
            part = builder.call(function, [mask, part, lane, _I32(clamp)])
            part = builder.zext(part, whole) if bits > 32 else part
            result = builder.or_(result, builder.shl(part, whole(start)))
        return builder.bitcast(result, context.get_value_type(signature.return_type))

    @intrinsic
    def shuffle(typingctx: Any, mask: Any, value: Any, lane: Any) -> Any:
        known = isinstance(value, types.Number) and value.bitwidth in (32, 64)
        return (value(mask, value, lane), codegen) if known else None

    return shuffle


def _sreg(builder: Any, name: str) -> Any:
    return builder.sext(nvvmutils.call_sreg(builder, name), ir.IntType(64))


@intrinsic
def _syncthreads(typingctx: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.nvvm.barrier0"
        )
        builder.call(function, [])
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def _grid(typingctx: Any, ndim: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.mul(_sreg(builder, "ntid.x"), _sreg(builder, "ctaid.x"))
        return builder.add(start, _sreg(builder, "tid.x"))

    known = isinstance(ndim, types.IntegerLiteral) and ndim.literal_value == 1
    return (types.int64(ndim), codegen) if known else None


@intrinsic
def _gridsize(typingctx: Any, ndim: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.mul(_sreg(builder, "ntid.x"), _sreg(builder, "nctaid.x"))

    known = isinstance(ndim, types.IntegerLiteral) and ndim.literal_value == 1
    return (types.int64(ndim), codegen) if known else None


_LIBRARY = {
    own_f64: ("exp", "expm1", "log", "log1p", "tanh"),
    elementary: ("power", "sinh", "cosh", "asinh", "acosh", "atanh", "erf"),
    trigonometry: ("sin", "cos", "tan", "asin", "acos", "atan"),
}
_OF_SINGLES = ("asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh")


def _library() -> dict[Any, Any]:
    """What kernels call of the C library → the same without one."""
    found = {math_intrinsics.remainder_of_division: elementary.remainder_of_division}
    for module, names in _LIBRARY.items():
        found |= {getattr(math_f64, name): getattr(module, name) for name in names}
    for name in _OF_SINGLES:
        found[getattr(math_f32, name)] = _rounded(found[getattr(math_f64, name)])
    return found


def _rounded(function: Any) -> Any:
    """A function of float64 for float32."""

    def rounded(x: Any) -> Any:
        return np.float32(function(np.float64(x)))

    return jit(rounded)


#: numba.cuda's words that are for its own target only, and functions of the C library → the same
#: for this one.
OWN = _library() | {
    intrinsics.syncthreads: _syncthreads,
    intrinsics.grid: _grid,
    intrinsics.gridsize: _gridsize,
    cuda.shfl_sync: _shuffle("idx", 31),
    cuda.shfl_up_sync: _shuffle("up", 0),
    cuda.shfl_down_sync: _shuffle("down", 31),
    cuda.shfl_xor_sync: _shuffle("bfly", 31),
}

# mypy: ignore-errors
"""Tensor cores and what feeds them: matrix products of a warp, loads of their operands, and copies
from global to shared memory that land later.

Each is one instruction of the PTX ISA, or several for a tile of registers. Addresses of shared
memory are its own, 32 bits wide (`shared_address`). All lanes of a warp must come to `ldmatrix` and
`mma` together; copies are each thread's own.

The lanes of a warp hold a matrix in registers of 32 bits, in which elements that are neighbours
along the depth lie side by side: e = 4, 2 or 1 of them for 8-bit types, 16-bit types and tf32. With
g = lane // 4 and t = lane % 4 (PTX ISA, "Matrix fragments for mma"):

    A, 16 rows × 8e terms: register 2h + r is of row g + 8r, terms 4eh + et onwards
    B, 8e terms × 8 columns: register h is of column g, terms 4eh + et onwards
    C, 16 rows × 8 columns: register 2r + i is of row g + 8r, column 2t + i

`ldmatrix` gives just these for matrices in shared memory whose rows, of 16 bytes, are rows of A or
columns of B, so that neighbours are along the depth; `ldmatrix_transposed`, for 16-bit types, where
they are along the other dim.

Importing this module imports Numba; kernel files import it inside their families.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from layercc.cuda.codegen.words import GLOBAL, SHARED
from layercc.cuda.intrinsics import constant_of

_I32, _I64, _F32, _VOID = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.VoidType()
_LETTERS = {_I32: "r", _I64: "l", _F32: "f"}
#: Kinds of products: the shape and the types of the instruction, and that of the sums.
MMA = {
    "bf16": ("m16n8k16", "f32.bf16.bf16.f32", types.float32),
    "f16": ("m16n8k16", "f32.f16.f16.f32", types.float32),
    "tf32": ("m16n8k8", "f32.tf32.tf32.f32", types.float32),
    "s8.s8": ("m16n8k32", "s32.s8.s8.s32", types.int32),
    "s8.u8": ("m16n8k32", "s32.s8.u8.s32", types.int32),
    "u8.s8": ("m16n8k32", "s32.u8.s8.s32", types.int32),
    "u8.u8": ("m16n8k32", "s32.u8.u8.s32", types.int32),
}


def assembly(builder: Any, text: str, out: Any, count: int, values: Any, memory: bool) -> list[Any]:
    """One instruction: `count` results of type `out` in $0..., then `values`. Those that touch
    `memory` keep their place among each other; all are convergent."""
    result = _VOID if not count else out if count == 1 else ir.LiteralStructType([out] * count)
    constraints = ["=" + _LETTERS[out]] * count
    constraints += [_LETTERS[value.type] for value in values]
    constraints += ["~{memory}"] * memory
    kind = ir.FunctionType(result, [value.type for value in values])
    code = ir.InlineAsm(kind, text, ",".join(constraints), side_effect=memory)
    call = builder.call(code, values, attrs=("convergent",))
    return [call] if count == 1 else [builder.extract_value(call, i) for i in range(count)]


def unsigned(context: Any, builder: Any, signature: Any, args: Any, index: int) -> Any:
    """An argument of an intrinsic as uint32."""
    return context.cast(builder, args[index], signature.args[index], types.uint32)


def mma_text(kind: str) -> str:
    """The instruction for one product of matrices: results, then A, B and C."""
    shape, dtypes, _ = MMA[kind]
    registers = "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13}"
    return f"mma.sync.aligned.{shape}.row.col.{dtypes} {registers};"


@intrinsic
def shared_address(typingctx: Any, pointer: Any) -> Any:
    """Where a pointer to shared memory points, as uint32 in bytes from its beginning."""
    if not isinstance(pointer, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        inside = ir.PointerType(args[0].type.pointee, SHARED)
        place = builder.addrspacecast(args[0], inside)
        return builder.trunc(builder.ptrtoint(place, _I64), _I32)

    return types.uint32(pointer), codegen


def _ldmatrix(transposed: str) -> Any:
    def typing(typingctx: Any, address: Any, count: Any) -> Any:
        matrices = constant_of(count, "ldmatrix")
        if not isinstance(address, types.Integer) or matrices not in (1, 2, 4):
            return None
        result = types.UniTuple(types.uint32, matrices)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            registers = ", ".join(f"${i}" for i in range(matrices))
            text = (
                f"ldmatrix.sync.aligned.m8n8.x{matrices}{transposed}.shared.b16 "
                f"{{{registers}}}, [${matrices}];"
            )
            place = unsigned(context, builder, signature, args, 0)
            parts = assembly(builder, text, _I32, matrices, [place], memory=True)
            return context.make_tuple(builder, result, parts)

        return result(address, count), codegen

    typing.__doc__ = """`count` (1, 2 or 4) matrices of 8 rows of 16 bytes, a register each.

    Lane 8 i + r gives the address of row r of matrix i, a multiple of 16."""
    return intrinsic(prefer_literal=True)(typing)


ldmatrix, ldmatrix_transposed = _ldmatrix(""), _ldmatrix(".trans")


@intrinsic(prefer_literal=True)
def cp_async(typingctx: Any, target: Any, source: Any, size: Any, valid: Any) -> Any:
    """Copies `valid` bytes from global memory to an address of shared memory, and zeros behind them
    up to `size` (4, 8 or 16); both places are aligned to that. Nothing is read if `valid` is 0.

    It lands when its group does: see `cp_async_wait`.
    """
    nbytes = constant_of(size, "cp_async")
    pointer = isinstance(source, types.CPointer)
    if not pointer or not isinstance(target, types.Integer) or nbytes not in (4, 8, 16):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = unsigned(context, builder, signature, args, 0)
        cache = "cg" if nbytes == 16 else "ca"  # not by way of the first level, if it can be had so
        text = f"cp.async.{cache}.shared.global [$0], [$1], {nbytes}, $2;"
        filled = unsigned(context, builder, signature, args, 3)
        there = builder.addrspacecast(args[1], ir.PointerType(args[1].type.pointee, GLOBAL))
        values = [place, builder.ptrtoint(there, _I64), filled]
        assembly(builder, text, _I32, 0, values, memory=True)
        return context.get_dummy_value()

    return types.void(target, source, size, valid), codegen


@intrinsic
def cp_async_commit(typingctx: Any) -> Any:
    """Makes a group of this thread's copies since the last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        assembly(builder, "cp.async.commit_group;", _I32, 0, [], memory=True)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic(prefer_literal=True)
def cp_async_wait(typingctx: Any, pending: Any) -> Any:
    """Waits until all but the last `pending` (a constant) of this thread's groups have landed. What
    other threads have copied is seen behind a barrier."""
    groups = constant_of(pending, "cp_async_wait")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        assembly(builder, f"cp.async.wait_group {groups};", _I32, 0, [], memory=True)
        return context.get_dummy_value()

    return types.void(pending), codegen


@intrinsic(prefer_literal=True)
def mma(typingctx: Any, kind: Any, c: Any, a: Any, b: Any) -> Any:
    """c + a · b, of a tile in registers; `kind` is a constant, one of `MMA`. The low 13 bits of
    tf32 do not count.

    `a` has four registers (uint32) for each 16 rows, `b` two for each 8 columns, and `c` four for
    each 16 rows by 8 columns, row by row of such.
    """
    if not isinstance(kind, types.StringLiteral) or kind.literal_value not in MMA:
        raise TypingError(f"mma: the kind must be a constant, one of {', '.join(MMA)}")
    _, _, total = MMA[kind.literal_value]
    rows, columns = a.count // 4, b.count // 2
    if c != types.UniTuple(total, 4 * rows * columns) or a.count % 4 or b.count % 2:
        raise TypingError(f"mma: {c} is no sum of {a} by {b}")
    text = mma_text(kind.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, result, left, right = args
        out = context.get_value_type(total)
        for i in range(rows):
            one = [builder.extract_value(left, 4 * i + r) for r in range(4)]
            for j in range(columns):
                other = [builder.extract_value(right, 2 * j + r) for r in range(2)]
                start = 4 * (i * columns + j)
                before = [builder.extract_value(result, start + r) for r in range(4)]
                values = [*one, *other, *before]
                made = assembly(builder, text, out, 4, values, memory=False)
                for r in range(4):
                    result = builder.insert_value(result, made[r], start + r)
        return result

    return c(kind, c, a, b), codegen


def _packed(instruction: str, doc: str) -> Any:
    def typing(typingctx: Any, low: Any, high: Any) -> Any:
        if low != types.float32 or high != types.float32:
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = [args[1], args[0]]
            return assembly(builder, f"{instruction} $0, $1, $2;", _I32, 1, values, memory=False)[0]

        return types.uint32(low, high), codegen

    typing.__doc__ = doc
    return intrinsic(typing)


pack_bf16 = _packed("cvt.rn.bf16x2.f32", "Two float32, rounded to bfloat16, in one register.")
pack_f16 = _packed("cvt.rn.f16x2.f32", "Two float32, rounded to float16, in one register.")


@intrinsic
def tf32(typingctx: Any, value: Any) -> Any:
    """The bits of a float32 rounded to TF32, as `mma` takes them: 10 bits behind the leading one,
    ties away from zero."""
    if value != types.float32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return assembly(builder, "cvt.rna.tf32.f32 $0, $1;", _I32, 1, [args[0]], memory=False)[0]

    return types.uint32(value), codegen

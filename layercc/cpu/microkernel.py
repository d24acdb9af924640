"""The batch-reduce GEMM microkernel: one register tile of every contraction.

    C[i, j] += Σ_k A_i[k] · B[k, j]        i < rows, j < vectors · lanes

`A_i` are `rows` addresses, one for each row of the tile, so A is read in place whatever its
strides are (im2col without a copy, as in XNNPACK's indirect GEMM). B is packed: `vectors · lanes`
consecutive elements for each k. C is a packed scratch tile; it is in registers while k runs.

The loop is written out as vector instructions in LLVM IR, since no compiler is trusted to find
this shape by itself. On AVX-512 the 6×4 tile takes 24 accumulators, 4 registers of B, and reads A
with broadcasting loads inside the multiply-adds.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from layercc.cpu.tiles import ITEMSIZE, lanes, tile_rows

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_ELEMENTS = {"f32": ir.FloatType(), "f64": ir.DoubleType()}


def make_accumulate(dtype: str, vectors: int) -> Any:
    """The intrinsic `accumulate(rows, addresses, b, depth, tile, fresh)` for kernels.

    `rows` (int64, 1 to `tile_rows(vectors)`): rows of the tile in use. `addresses`: pointer to
    that many int64 addresses of A. `b`: packed panel. `depth`: the extent of k. `tile`: pointer to
    rows × vectors × lanes accumulators, aligned to a vector; where `fresh` (bool) is true they
    start from zero.
    """
    most = tile_rows(vectors)

    @intrinsic
    def accumulate(typingctx, rows, addresses, b, depth, tile, fresh):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            count, *operands = args
            module = builder.module
            done = builder.append_basic_block("tile.done")
            switch = builder.switch(count, done)
            for size in range(1, most + 1):
                block = builder.append_basic_block(f"tile.{size}")
                switch.add_case(_I64(size), block)
                with builder.goto_block(block):
                    function = _tile_function(module, dtype, size, vectors)
                    builder.call(function, operands)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(rows, addresses, b, depth, tile, fresh), codegen

    return accumulate


def _tile_function(module: Any, dtype: str, rows: int, vectors: int) -> Any:
    """The microkernel for exactly `rows` rows, as an internal function of `module`."""
    length = lanes(dtype)
    name = f"brgemm_{dtype}_{rows}x{vectors * length}"
    if name in module.globals:
        return module.globals[name]
    element = _ELEMENTS[dtype]
    vector = ir.VectorType(element, length)
    signature = ir.FunctionType(
        ir.VoidType(),
        [_I64.as_pointer(), element.as_pointer(), _I64, element.as_pointer(), ir.IntType(1)],
    )
    function = ir.Function(module, signature, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    addresses, panel, depth, tile, fresh = function.args
    for argument in (addresses, panel, tile):
        argument.add_attribute("noalias")
    fma = cgutils.get_or_insert_function(
        module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{length}{dtype}"
    )
    width = vectors * length
    alignment = length * ITEMSIZE[dtype]

    entry = function.append_basic_block("entry")
    resume = function.append_basic_block("resume")
    begin = function.append_basic_block("begin")
    loop = function.append_basic_block("depth")
    end = function.append_basic_block("end")
    builder = ir.IRBuilder(entry)

    def place(i: int, v: int) -> Any:
        at = builder.gep(tile, [_I64(i * width + v * length)])
        return builder.bitcast(at, vector.as_pointer())

    sources = [
        builder.inttoptr(builder.load(builder.gep(addresses, [_I64(i)])), element.as_pointer())
        for i in range(rows)
    ]
    builder.cbranch(fresh, begin, resume)

    builder.position_at_end(resume)
    held = [
        [builder.load(place(i, v), align=alignment) for v in range(vectors)] for i in range(rows)
    ]
    builder.branch(begin)

    builder.position_at_end(begin)
    nothing = ir.Constant(vector, [0.0] * length)
    start = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    for i in range(rows):
        for v in range(vectors):
            start[i][v].add_incoming(nothing, entry)
            start[i][v].add_incoming(held[i][v], resume)
    builder.cbranch(builder.icmp_signed(">", depth, _I64(0)), loop, end)

    builder.position_at_end(loop)
    k = builder.phi(_I64)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    row_of_b = builder.gep(panel, [builder.mul(k, _I64(width))])
    b = [
        builder.load(
            builder.bitcast(builder.gep(row_of_b, [_I64(v * length)]), vector.as_pointer()),
            align=alignment,
        )
        for v in range(vectors)
    ]
    zero = ir.Constant(ir.VectorType(_I32, length), [0] * length)
    undefined = ir.Constant(vector, ir.Undefined)
    new = []
    for i in range(rows):
        scalar = builder.load(builder.gep(sources[i], [k]))
        single = builder.insert_element(undefined, scalar, _I32(0))
        a = builder.shuffle_vector(single, undefined, zero)
        new.append([builder.call(fma, [a, b[v], sums[i][v]]) for v in range(vectors)])
    following = builder.add(k, _I64(1))
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, end)
    k.add_incoming(_I64(0), begin)
    k.add_incoming(following, loop)
    for i in range(rows):
        for v in range(vectors):
            sums[i][v].add_incoming(start[i][v], begin)
            sums[i][v].add_incoming(new[i][v], loop)

    builder.position_at_end(end)
    for i in range(rows):
        for v in range(vectors):
            result = builder.phi(vector)
            result.add_incoming(start[i][v], begin)
            result.add_incoming(new[i][v], loop)
            start[i][v] = result
    for i in range(rows):
        for v in range(vectors):
            builder.store(start[i][v], place(i, v), align=alignment)
    builder.ret_void()
    return function

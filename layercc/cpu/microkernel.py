"""The batch-reduce GEMM microkernel: one register tile of every contraction.

    C[i, j] += Σ_t Σ_k A_ti[k] · B_t[k, j]        i < rows, j < vectors · lanes

`A_ti` are addresses, one for each tap and row of the tile, so A is read in place whatever its
strides are (im2col without a copy, as in XNNPACK's indirect GEMM). B is packed: `vectors · lanes`
consecutive elements for each k, tap after tap. C is a packed scratch tile; what is added to it is
summed up in registers while t and k run, from zero: a long sum is one of shorter sums, whose
rounding errors are smaller (blocked summation; Higham, "Accuracy and Stability of Numerical
Algorithms", section 4.2).

The loop is written out as vector instructions in LLVM IR, since no compiler is trusted to find
this shape by itself. On AVX-512 the 6×4 tile takes 24 accumulators, 4 registers of B, and reads A
with broadcasting loads inside the multiply-adds.

Products and sums of integers wrap around, and so their sign does not matter. Elements may be words
(`layercc.cpu.tiles`). The product of PAIRS is the sum of two products, in i32 (on x86 one
instruction, `vpmaddwd` or `vpdpwssd`, for a vector of them). The product of QUADS, four bytes,
unsigned in A and signed in B, is the exact sum of four (`vpdpbusd`; where there is none, that of
two pairs of i16).

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from layercc.cpu.isa import Isa
from layercc.cpu.tiles import ITEMSIZE, QUADS, WORDS, lanes, multiplies_quads, tile_rows

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_I16 = ir.IntType(16)
_FLOATS = {"f32": ir.FloatType(), "f64": ir.DoubleType()}


def make_accumulate(isa: Isa, element: str, vectors: int) -> Any:
    """The intrinsic for kernels: `accumulate(rows, addresses, step, taps, b, depth, tile, fresh)`.

    `rows` (int64, 1 to `tile_rows(isa, vectors)`): rows of the tile in use. `addresses`: pointer to
    that many int64 addresses of A for the first tap; those of the next tap are `step` further on.
    `b`: packed panel. `depth`: the extent of k. `tile`: pointer to rows × vectors × lanes
    accumulators, aligned to a vector; where `fresh` (bool) is true they are overwritten, else
    added to.
    """
    most = tile_rows(isa, vectors)

    @intrinsic
    def accumulate(  # type: ignore[no-untyped-def]
        typingctx, rows, addresses, step, taps, b, depth, tile, fresh
    ):
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            count, *operands = args
            module = builder.module
            done = builder.append_basic_block("tile.done")
            switch = builder.switch(count, done)
            for size in range(1, most + 1):
                block = builder.append_basic_block(f"tile.{size}")
                switch.add_case(_I64(size), block)
                with builder.goto_block(block):
                    builder.call(_tile_function(module, isa, element, size, vectors), operands)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(rows, addresses, step, taps, b, depth, tile, fresh), codegen

    return accumulate


def _tile_function(module: Any, isa: Isa, element: str, rows: int, vectors: int) -> Any:
    """The microkernel for exactly `rows` rows, as an internal function of `module`."""
    length = lanes(isa, element)
    name = f"brgemm_{element}_{rows}x{vectors * length}"
    if name in module.globals:
        return module.globals[name]
    return _Tile(module, name, isa, element, rows, vectors).function


class _Tile:
    """Builds one microkernel: accumulators are loaded, run through two loops, and stored."""

    def __init__(
        self, module: Any, name: str, isa: Isa, element: str, rows: int, vectors: int
    ) -> None:
        self.rows, self.vectors, self.length = rows, vectors, lanes(isa, element)
        scalar = _FLOATS.get(element) or ir.IntType(8 * ITEMSIZE[element])
        self.vector = ir.VectorType(scalar, self.length)
        self.alignment = self.length * ITEMSIZE[element]
        self.element = element
        fused = fused_name(isa, element)
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        self.fused = fused and cgutils.get_or_insert_function(module, signature, fused)
        data, index = scalar.as_pointer(), _I64.as_pointer()
        arguments = [index, _I64, _I64, data, _I64, data, ir.IntType(1)]
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")
        self._build()

    def _build(self) -> None:
        function = self.function
        addresses, step, taps, panel, depth, tile, fresh = function.args
        for argument in (addresses, panel, tile):
            argument.add_attribute("noalias")
        names = ("entry", "tap", "depth", "tap.end", "end", "add", "put")
        entry, tap, loop, tap_end, end, add, put = map(function.append_basic_block, names)
        builder = self.builder = ir.IRBuilder(entry)
        zeros = [ir.Constant(self.vector, None)] * (self.rows * self.vectors)
        some = builder.and_(
            builder.icmp_signed(">", taps, _I64(0)), builder.icmp_signed(">", depth, _I64(0))
        )
        builder.cbranch(some, tap, end)

        builder.position_at_end(tap)
        t, at, b = builder.phi(_I64), builder.phi(addresses.type), builder.phi(panel.type)
        before = self._phis()
        sources = [
            builder.inttoptr(builder.load(builder.gep(at, [_I64(i)])), panel.type)
            for i in range(self.rows)
        ]
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(_I64)
        sums = self._phis()
        after = self._multiply_add(sources, b, k, sums)
        next_k = builder.add(k, _I64(1))
        builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, tap_end)
        _connect([k, *sums], [_I64(0), *before], tap, [next_k, *after], loop)

        builder.position_at_end(tap_end)
        next_t = builder.add(t, _I64(1))
        next_at = builder.gep(at, [step])
        next_b = builder.gep(b, [builder.mul(depth, _I64(self.vectors * self.length))])
        builder.cbranch(builder.icmp_signed("<", next_t, taps), tap, end)
        _connect(
            [t, at, b, *before],
            [_I64(0), addresses, panel, *zeros],
            entry,
            [next_t, next_at, next_b, *after],
            tap_end,
        )

        builder.position_at_end(end)
        results = self._phis()
        _connect(results, zeros, entry, after, tap_end)
        builder.cbranch(fresh, put, add)

        builder.position_at_end(add)
        places = self._places(tile)
        held = [builder.load(place, align=self.alignment) for place in places]
        plus = builder.fadd if self.element in _FLOATS else builder.add
        for value, before, place in zip(results, held, places, strict=True):
            builder.store(plus(before, value), place, align=self.alignment)
        builder.ret_void()

        builder.position_at_end(put)
        for value, place in zip(results, self._places(tile), strict=True):
            builder.store(value, place, align=self.alignment)
        builder.ret_void()

    def _multiply_add(self, sources: list, b: Any, k: Any, sums: list) -> list:
        """One step of k: every accumulator plus its product, row by row."""
        builder, vector = self.builder, self.vector
        row = builder.gep(b, [builder.mul(k, _I64(self.vectors * self.length))])
        factors = [
            builder.load(self._vector_at(row, v * self.length), align=self.alignment)
            for v in range(self.vectors)
        ]
        undefined = ir.Constant(vector, ir.Undefined)
        first_lane = ir.Constant(ir.VectorType(_I32, self.length), [0] * self.length)
        result = []
        for i, source in enumerate(sources):
            scalar = builder.load(builder.gep(source, [k]))
            single = builder.insert_element(undefined, scalar, _I32(0))
            a = builder.shuffle_vector(single, undefined, first_lane)
            for v, factor in enumerate(factors):
                result.append(self._fused(a, factor, sums[i * self.vectors + v]))
        return result

    def _fused(self, a: Any, b: Any, total: Any) -> Any:
        """a · b + total, for each lane."""
        builder = self.builder
        if self.element == QUADS:
            if self.fused:
                return builder.call(self.fused, [total, a, b])
            for x, y in zip(self._halves(a, "lshr"), self._halves(b, "ashr"), strict=True):
                total = builder.add(total, sum_of_pairs(builder, x, y))
            return total
        if self.fused:
            return builder.call(self.fused, [a, b, total])
        if self.element not in WORDS:
            return builder.add(total, builder.mul(a, b))
        pairs = ir.VectorType(_I16, 2 * self.length)
        return builder.add(
            total, sum_of_pairs(builder, builder.bitcast(a, pairs), builder.bitcast(b, pairs))
        )

    def _halves(self, operand: Any, shift: str) -> tuple[Any, Any]:
        """The even and the odd bytes of an operand, as vectors of i16; `shift` gives the sign."""
        builder = self.builder
        kind = ir.VectorType(_I16, 2 * self.length)
        eight = ir.Constant(kind, [8] * kind.count)
        right = getattr(builder, shift)
        halves = builder.bitcast(operand, kind)
        return right(builder.shl(halves, eight), eight), right(halves, eight)

    def _phis(self) -> list:
        return [self.builder.phi(self.vector) for _ in range(self.rows * self.vectors)]

    def _places(self, tile: Any) -> list:
        return [self._vector_at(tile, i * self.length) for i in range(self.rows * self.vectors)]

    def _vector_at(self, pointer: Any, element: int) -> Any:
        place = self.builder.gep(pointer, [_I64(element)])
        return self.builder.bitcast(place, self.vector.as_pointer())


def sum_of_pairs(builder: Any, a: Any, b: Any) -> Any:
    """The products of vectors of i16, neighbours added, as i32."""
    length = a.type.count
    wide = ir.VectorType(_I32, length)
    sums = ir.VectorType(_I32, length // 2)
    products = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    low, high = (
        builder.shuffle_vector(products, products, ir.Constant(sums, list(range(i, length, 2))))
        for i in (0, 1)
    )
    return builder.add(low, high)


def fused_name(isa: Isa, element: str) -> str:
    """LLVM's name of the function that multiplies and adds vectors of `element`, or "": none."""
    if element in _FLOATS:
        return f"llvm.fmuladd.v{lanes(isa, element)}{element}"
    if element == QUADS and multiplies_quads(isa):
        return f"llvm.x86.avx512.vpdpbusd.{8 * isa.vector_bytes}"
    return ""


def _connect(phis: list, first: list, first_block: Any, again: list, again_block: Any) -> None:
    """Gives each phi its value from either block."""
    for phi, one, other in zip(phis, first, again, strict=True):
        phi.add_incoming(one, first_block)
        phi.add_incoming(other, again_block)

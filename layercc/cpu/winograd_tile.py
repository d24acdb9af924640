"""The transforms of Winograd's convolution, on vectors of channels.

Both are products with a small constant matrix on either side, written out as additions and
multiply-adds of vectors in LLVM IR. Nothing is done for a coefficient of 0, so what is not finite
reaches just the results that depend on it; two rows, or columns, that are alike but for signs
share their sums.

Importing this module imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from layercc.cpu.cook_toom import SIZES, transforms
from layercc.cpu.isa import Isa
from layercc.cpu.tiles import lanes

_I64 = ir.IntType(64)
_F32 = ir.FloatType()
_BYTES = 4


def make_transform_input(isa: Isa) -> Any:
    """The intrinsic `transform_input(size, pixels, channels, target, plane)` for kernels.

    `size` (int64): one of `SIZES`. `pixels`: pointer to the int64 addresses of the tile's pixels,
    row by row. `channels` (int64): of each, no fewer than a vector holds. Product p of
    `inputs · tile · inputsᵀ` goes to `target + p * plane`, where `target` is a pointer to float32
    and `plane` an int64.
    """

    @intrinsic
    def transform_input(typingctx, size, pixels, channels, target, plane):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _by_size(builder, args, lambda size: _input_function(builder.module, isa, size))
            return context.get_dummy_value()

        return types.void(size, pixels, channels, target, plane), codegen

    return transform_input


def make_transform_output(isa: Isa, vectors: int) -> Any:
    """The intrinsic `transform_output(size, tile, plane)` for kernels; `vectors` wide.

    `size` (int64): one of `SIZES`. Product p lies at `tile + p * plane`, aligned to a vector;
    output o of `outputs · products · outputsᵀ` is written to `tile + o * plane`. The result, an
    int64, is 0 where all outputs are finite, else 1.
    """

    @intrinsic
    def transform_output(typingctx, size, tile, plane):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _by_size(
                builder, args, lambda size: _output_function(builder.module, isa, size, vectors)
            )

        return types.int64(size, tile, plane), codegen

    return transform_output


def _by_size(builder: Any, args: Sequence[Any], function_of: Callable[[int], Any]) -> Any:
    """Calls the function for the size that is the first argument with the others; its result."""
    size, *operands = args
    done = builder.append_basic_block("size.done")
    switch = builder.switch(size, done)
    results = [(_I64(0), builder.block)]
    for each in SIZES:
        block = builder.append_basic_block(f"size.{each}")
        switch.add_case(_I64(each), block)
        with builder.goto_block(block):
            results.append((builder.call(function_of(each), operands), builder.block))
            builder.branch(done)
    builder.position_at_end(done)
    if results[-1][0].type != _I64:
        return None
    result = builder.phi(_I64)
    for value, block in results:
        result.add_incoming(value, block)
    return result


def _input_function(module: Any, isa: Isa, outputs: int) -> Any:
    name = f"winograd_input_{outputs}"
    if name in module.globals:
        return module.globals[name]
    matrix = transforms(outputs).inputs
    side = len(matrix)
    arguments = [_I64.as_pointer(), _I64, _F32.as_pointer(), _I64]
    function, (pixels, channels, target, plane) = _function(module, name, ir.VoidType(), arguments)
    entry, loop, end = (function.append_basic_block(n) for n in ("entry", "channels", "end"))
    builder = ir.IRBuilder(entry)
    vectors = _Vectors(builder, module, lanes(isa, "f32"))
    sources = [
        builder.inttoptr(builder.load(builder.gep(pixels, [_I64(i)])), _F32.as_pointer())
        for i in range(side * side)
    ]
    places = [builder.gep(target, [builder.mul(plane, _I64(i))]) for i in range(side * side)]
    step = _I64(vectors.length)
    last = builder.sub(channels, step)
    builder.branch(loop)

    # The last vector overlaps the one before it where channels do not fill it.
    builder.position_at_end(loop)
    at = builder.phi(_I64)
    tile = [vectors.load(builder.gep(source, [at])) for source in sources]
    made = _on_both_sides(vectors, matrix, [tile[i : i + side] for i in range(0, side**2, side)])
    for place, value in zip(places, made, strict=True):
        vectors.store(value, builder.gep(place, [at]))
    following = builder.add(at, step)
    within = builder.icmp_signed("<", following, last)
    after = builder.select(within, following, last)
    builder.cbranch(builder.icmp_signed("<", at, last), loop, end)
    at.add_incoming(_I64(0), entry)
    at.add_incoming(after, loop)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def _output_function(module: Any, isa: Isa, outputs: int, width: int) -> Any:
    name = f"winograd_output_{outputs}x{width}"
    if name in module.globals:
        return module.globals[name]
    matrix = transforms(outputs).outputs
    side = len(matrix[0])
    function, (tile, plane) = _function(module, name, _I64, [_F32.as_pointer(), _I64])
    builder = ir.IRBuilder(entry := function.append_basic_block("entry"))
    vectors = _Vectors(builder, module, lanes(isa, "f32"))
    places = [builder.gep(tile, [builder.mul(plane, _I64(i))]) for i in range(side * side)]
    loop, end = (function.append_basic_block(n) for n in ("columns", "end"))
    builder.branch(loop)

    builder.position_at_end(loop)
    at, before = builder.phi(_I64), builder.phi(vectors.kind)
    aligned = vectors.length * _BYTES
    products = [vectors.load(builder.gep(place, [at]), aligned) for place in places]
    rows = [products[i : i + side] for i in range(0, side**2, side)]
    check = before  # 0, but NaN where an output is not finite
    for place, value in zip(places, _on_both_sides(vectors, matrix, rows), strict=False):
        vectors.store(value, builder.gep(place, [at]), aligned)
        check = vectors.add_product(check, 0.0, value)
    following = builder.add(at, _I64(vectors.length))
    more = builder.icmp_signed("<", following, _I64(width * vectors.length))
    builder.cbranch(more, loop, end)
    at.add_incoming(_I64(0), entry)
    at.add_incoming(following, loop)
    before.add_incoming(ir.Constant(vectors.kind, None), entry)
    before.add_incoming(check, loop)

    builder.position_at_end(end)
    odd = builder.fcmp_unordered("uno", check, check)
    bits = builder.bitcast(odd, ir.IntType(vectors.length))
    found = builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))
    builder.ret(builder.zext(found, _I64))
    return function


def _function(module: Any, name: str, result: Any, arguments: list) -> tuple[Any, Sequence[Any]]:
    function = ir.Function(module, ir.FunctionType(result, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    return function, function.args


class _Vectors:
    """Arithmetic on vectors of float32."""

    def __init__(self, builder: Any, module: Any, length: int) -> None:
        self.builder = builder
        self.length = length
        self.kind = ir.VectorType(_F32, length)
        signature = ir.FunctionType(self.kind, [self.kind] * 3)
        name = f"llvm.fmuladd.v{length}f32"
        self._fused = cgutils.get_or_insert_function(module, signature, name)

    def load(self, place: Any, align: int = _BYTES) -> Any:
        return self.builder.load(self.builder.bitcast(place, self.kind.as_pointer()), align=align)

    def store(self, value: Any, place: Any, align: int = _BYTES) -> None:
        self.builder.store(value, self.builder.bitcast(place, self.kind.as_pointer()), align=align)

    def add_product(self, total: Any, factor: float, x: Any) -> Any:
        """total + factor · x."""
        return self.builder.call(self._fused, [x, self._constant(factor), total])

    def sum(self, terms: Sequence[tuple[float, Any]]) -> Any:
        """Σ factor · x over at least one term, those with a factor of 1 first."""
        builder = self.builder
        (factor, total), *rest = sorted(terms, key=lambda term: (abs(term[0]) != 1, term[0] < 0))
        if factor != 1:
            total = builder.fmul(total, self._constant(factor))
        for factor, x in rest:
            if factor == 1:
                total = builder.fadd(total, x)
            elif factor == -1:
                total = builder.fsub(total, x)
            else:
                total = self.add_product(total, factor, x)
        return total

    def _constant(self, value: float) -> Any:
        return ir.Constant(self.kind, [value] * self.length)


def _on_both_sides(vectors: _Vectors, matrix: Sequence, rows: list[list]) -> list:
    """`matrix · rows · matrixᵀ`, row by row."""
    columns = [_product(vectors, matrix, column) for column in zip(*rows, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in _product(vectors, matrix, row)]


def _product(vectors: _Vectors, matrix: Sequence, given: Sequence) -> list:
    """`matrix · given`; columns, and rows, alike but for signs share their sums."""
    rows: list[list[tuple[float, Any]]] = [[] for _ in matrix]
    columns = list(zip(*matrix, strict=True))
    for j, other in _alike(columns):
        if other is None:
            x = [given[j]]
            signs = [0] * len(matrix)
        else:
            builder = vectors.builder
            x = [builder.fadd(given[j], given[other]), builder.fsub(given[j], given[other])]
            signs = [int(a != b) for a, b in zip(columns[j], columns[other], strict=True)]
        for row, factor, sign in zip(rows, columns[j], signs, strict=True):
            if factor:
                row.append((float(factor), x[sign]))
    made: dict[int, Any] = {}
    for i, other in _alike(matrix):
        if other is None:
            made[i] = vectors.sum(rows[i])
            continue
        pairs = [(a, b) for a, b in zip(matrix[i], matrix[other], strict=True) if a]
        same = vectors.sum([t for t, (a, b) in zip(rows[i], pairs, strict=True) if a == b])
        opposite = vectors.sum([t for t, (a, b) in zip(rows[i], pairs, strict=True) if a != b])
        made[i] = vectors.builder.fadd(same, opposite)
        made[other] = vectors.builder.fsub(same, opposite)
    return [made[i] for i in range(len(matrix))]


def _alike(rows: Sequence[Sequence]) -> list[tuple[int, int | None]]:
    """Pairs of rows that are alike but for signs, some of which differ and some do not; and the
    other rows, alone."""
    made: list[tuple[int, int | None]] = []
    taken = set()
    for i, row in enumerate(rows):
        if i in taken:
            continue
        partner = None
        for j in range(i + 1, len(rows)):
            pairs = [(a, b) for a, b in zip(row, rows[j], strict=True) if a or b]
            if all(abs(a) == abs(b) for a, b in pairs) and len({a == b for a, b in pairs}) == 2:
                partner = j
                taken.add(j)
                break
        made.append((i, partner))
    return made

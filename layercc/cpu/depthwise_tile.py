"""The depthwise microkernel: one register tile of output pixels × channels.

    C[p, j] = Σ_r Σ_t Σ_k X_r[(p · step + t) · pixel + j'ₖ] · W_r[t, k, j]     p < pixels, t < run

where `j'ₖ` is channel k < mixed of the group of `mixed` channels that j is in: j itself, if it is
alone. `r` counts rows of the window, `t` the taps along the width that are read together:
neighbouring output pixels share input pixels, so each is loaded once a row and used for all taps
that meet it (register blocking as in XNNPACK's depthwise kernels). Written out as vector
instructions in LLVM IR, since no compiler is trusted to keep the tile in registers.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from layercc.cpu.isa import Isa
from layercc.cpu.tiles import ITEMSIZE, vector_length

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_ELEMENTS = {"f32": ir.FloatType(), "f64": ir.DoubleType()}


def make_depthwise(
    isa: Isa,
    dtype: str,
    most: int,
    vectors: int,
    run: int,
    step: int,
    target_row: int,
    partial: bool,
    mixed: int,
) -> Any:
    """The intrinsic `tile(pixels, rows, x, offsets, w, places, pixel, wide, channels, target)`.

    `pixels` (int64, 1 to `most`): output pixels of the tile. `x`, `w`: pointers to elements;
    `offsets[r]` and `places[r]` (int64) are where row r of the window starts in them. `pixel`:
    elements between input pixels; `wide`: between the weights of neighbouring taps, or of
    neighbouring channels of the `mixed` of a tap. `target`:
    pointer to results, a row of `target_row` for each pixel, aligned to a vector. With `partial`
    only `channels` (int64) elements of X are read from each pixel, and the others taken as 0.
    """

    @intrinsic
    def tile(typingctx, pixels, rows, x, offsets, w, places, pixel, wide, channels, target):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            count, *operands = args
            done = builder.append_basic_block("tile.done")
            switch = builder.switch(count, done)
            for size in range(1, most + 1):
                block = builder.append_basic_block(f"tile.{size}")
                switch.add_case(_I64(size), block)
                with builder.goto_block(block):
                    shape = (size, vectors, run, step, target_row, partial, mixed)
                    builder.call(_tile_function(builder.module, isa, dtype, *shape), operands)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        signature = types.void(pixels, rows, x, offsets, w, places, pixel, wide, channels, target)
        return signature, codegen

    return tile


def _tile_function(
    module: Any,
    isa: Isa,
    dtype: str,
    pixels: int,
    vectors: int,
    run: int,
    step: int,
    target_row: int,
    partial: bool,
    mixed: int,
) -> Any:
    """The microkernel for exactly `pixels` pixels, as an internal function of `module`."""
    length = vector_length(isa, dtype, mixed)
    name = f"depthwise_{dtype}_{pixels}x{vectors}_{run}_{step}_{partial}_{mixed}"
    if name in module.globals:
        return module.globals[name]
    element = _ELEMENTS[dtype]
    vector = ir.VectorType(element, length)
    pointer, indices = element.as_pointer(), _I64.as_pointer()
    arguments = [_I64, pointer, indices, pointer, indices, _I64, _I64, _I64, pointer]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    rows, x, offsets, w, places, pixel, wide, channels, target = function.args
    target.add_attribute("noalias")
    fma = cgutils.get_or_insert_function(
        module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{length}{dtype}"
    )
    alignment = length * ITEMSIZE[dtype]
    entry = function.append_basic_block("entry")
    loop = function.append_basic_block("row")
    end = function.append_basic_block("end")
    builder = ir.IRBuilder(entry)
    nothing = ir.Constant(vector, [0.0] * length)
    mask: Any = _mask(builder, channels, length) if partial else None
    # Distances between the pixels read are the same for all rows.
    reach = (pixels - 1) * step + run
    steps = [builder.mul(pixel, _I64(i)) for i in range(reach)]
    taps = [builder.mul(wide, _I64(t)) for t in range(run * mixed)]
    within = [[lane // mixed * mixed + k for lane in range(length)] for k in range(mixed)]
    picks = [ir.Constant(ir.VectorType(_I32, length), lanes_of_k) for lanes_of_k in within]
    builder.cbranch(builder.icmp_signed(">", rows, _I64(0)), loop, end)

    def read(at: Any, align: int, masked: bool) -> Any:
        place = builder.bitcast(at, vector.as_pointer())
        if not masked:
            return builder.load(place, align=align)
        load = cgutils.get_or_insert_function(
            module,
            ir.FunctionType(vector, [vector.as_pointer(), _I32, mask.type, vector]),
            f"llvm.masked.load.v{length}{dtype}.p0",
        )
        return builder.call(load, [place, _I32(align), mask, nothing])

    builder.position_at_end(loop)
    row = builder.phi(_I64)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(pixels)]
    source = builder.gep(x, [builder.load(builder.gep(offsets, [row]))])
    weights = builder.gep(w, [builder.load(builder.gep(places, [row]))])
    factors = [
        [
            read(builder.gep(weights, [builder.add(tap, _I64(v * length))]), alignment, False)
            for v in range(vectors)
        ]
        for tap in taps
    ]
    new: list[list[Any]] = [list(of_pixel) for of_pixel in sums]
    for i in range(reach):
        meets = [(t, (i - t) // step) for t in range(run) if (i - t) % step == 0]
        meets = [(t, p) for t, p in meets if 0 <= p < pixels]
        if not meets:
            continue
        for v in range(vectors):
            place = builder.gep(source, [builder.add(steps[i], _I64(v * length))])
            value = read(place, ITEMSIZE[dtype], partial)
            for k, pick in enumerate(picks):
                factor = value if mixed == 1 else builder.shuffle_vector(value, value, pick)
                for t, p in meets:
                    new[p][v] = builder.call(fma, [factor, factors[t * mixed + k][v], new[p][v]])
    following = builder.add(row, _I64(1))
    builder.cbranch(builder.icmp_signed("<", following, rows), loop, end)
    row.add_incoming(_I64(0), entry)
    row.add_incoming(following, loop)
    for p in range(pixels):
        for v in range(vectors):
            sums[p][v].add_incoming(nothing, entry)
            sums[p][v].add_incoming(new[p][v], loop)

    builder.position_at_end(end)
    results = []
    for p in range(pixels):
        for v in range(vectors):
            result = builder.phi(vector)
            result.add_incoming(nothing, entry)
            result.add_incoming(new[p][v], loop)
            results.append((p * target_row + v * length, result))
    for place, result in results:
        at = builder.bitcast(builder.gep(target, [_I64(place)]), vector.as_pointer())
        builder.store(result, at, align=alignment)
    builder.ret_void()
    return function


def _mask(builder: Any, count: Any, length: int) -> Any:
    """True for the first `count` lanes."""
    numbers = ir.VectorType(_I32, length)
    undefined = ir.Constant(numbers, ir.Undefined)
    zeros = ir.Constant(numbers, [0] * length)
    single = builder.insert_element(undefined, builder.trunc(count, _I32), _I32(0))
    limit = builder.shuffle_vector(single, undefined, zeros)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(length))), limit)

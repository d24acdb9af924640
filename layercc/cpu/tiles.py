"""Register tiles of the contraction microkernel: shapes that fit the vector registers.

Known to lowering (which packs weights in panels of a tile's width) as well as to the microkernel.
"""

from __future__ import annotations

from layercc.cpu.isa import Isa
from layercc.kernels.element_types import MULTIPLIED, SIZES

#: Words of narrow integers, whose products are summed up in 32 bits: two i16, and four bytes, which
#: are unsigned in the left operand and signed in the right one.
PAIRS, QUADS = "i16x2", "i8x4"
#: Two bf16, whose products are summed up in f32. No contraction multiplies them yet.
BF16_PAIRS = "bf16x2"
#: The element types in which words lie in memory, and in which they are summed up.
WORDS = {PAIRS: "i32", QUADS: "u32"}
#: Bytes of an element, or word, of the operands and sums.
ITEMSIZE = {name: SIZES[WORDS.get(name, name)] for name in (*MULTIPLIED, *WORDS)}

# Width in vectors → rows, and the share of the multiply-add peak that such a tile reaches, measured
# on Zen 4 (32 registers); narrow tiles are bound by loads.
_TILES_32 = {1: (8, 0.55), 2: (8, 0.85), 3: (8, 0.97), 4: (6, 1.0)}
_TILES_16 = {1: (6, 0.7), 2: (6, 1.0)}


def _tiles(isa: Isa) -> dict[int, tuple[int, float]]:
    return _TILES_32 if isa.vector_registers >= 32 else _TILES_16


def lanes(isa: Isa, element: str) -> int:
    """Elements, or words, in a vector register."""
    return isa.vector_bytes // ITEMSIZE[element]


def multiplies_quads(isa: Isa) -> bool:
    """Whether one instruction multiplies QUADS and adds to a sum (VNNI)."""
    return isa.has("avx512vnni" if isa.vector_bytes == 64 else "avxvnni")


def tile_rows(isa: Isa, vectors: int) -> int:
    """Rows of the register tile that is `vectors` vectors wide."""
    return _tiles(isa)[vectors][0]


def widest(isa: Isa) -> int:
    """The width, in vectors, of the widest tile, which is a power of two."""
    return max(_tiles(isa))


def choose_vectors(isa: Isa, columns: int, element: str) -> int:
    """The tile width, in vectors, that computes `columns` columns in the least time."""

    def time(vectors: int) -> float:
        width = vectors * lanes(isa, element)
        return -(-columns // width) * width / _tiles(isa)[vectors][1]

    return min(_tiles(isa), key=time)


def vector_length(isa: Isa, dtype: str, mixed: int) -> int:
    """Channels of a vector: whole groups of `mixed`, a power of two."""
    return max(lanes(isa, dtype), mixed)

# mypy: ignore-errors
"""Kernels that measure what a core can do: arithmetic in registers, and moving memory.

They do nothing else, so that how long they take tells the rate (`layercc.cpu.runtime.measuring`).
"""

from layercc.cpu.isa import Isa
from layercc.cpu.tiles import BF16_PAIRS, PAIRS, QUADS, WORDS, multiplies_quads
from layercc.kernels.declaration import INT, kernel_family, pointer
from layercc.kernels.element_types import SIZES

#: Products in a word, where there are several.
_PRODUCTS = {PAIRS: 2, QUADS: 4, BF16_PAIRS: 2}


def chain_elements(isa: Isa) -> dict[str, str]:
    """By element type, what an instruction set multiplies and adds fastest with exact sums (of bf16
    with sums in f32): a parameter of `multiply_add_chains`.

    bf16 is there where its products have an instruction; those of i8 go by pairs of i16 where
    they have none.
    """
    found = {"f32": "f32", "f64": "f64", "i8": QUADS if multiplies_quads(isa) else PAIRS}
    if isa.has("avx512bf16"):
        found["bf16"] = BF16_PAIRS
    return found


def chain_count(isa: Isa) -> int:
    """Chains of dependent steps: more than latency times issue width, fewer than registers."""
    return isa.vector_registers * 3 // 4


def chain_words(isa: Isa, element: str) -> int:
    """Words that all chains of an element hold."""
    return chain_count(isa) * isa.vector_bytes // SIZES[chain_type(element)]


def chain_type(element: str) -> str:
    """The type in which words of an element lie in memory."""
    return "f32" if element == BF16_PAIRS else WORDS.get(element, element)


def chain_operations(isa: Isa, element: str) -> int:
    """Multiplications and additions in one step of all chains."""
    return 2 * _PRODUCTS.get(element, 1) * chain_words(isa, element)


@kernel_family
def multiply_add_chains(element: str, isa: Isa):
    """Run the chains of `layercc.cpu.chains` from the values in `sums`, for `rounds` >= 1 steps.

    `operands` are two vectors; each task has `chain_words` words of its own in `sums`. Any number
    of tasks. Bound by arithmetic.
    """
    from layercc.cpu.chains import make_chains
    from layercc.kernels.intrinsics import offset

    run_chains = make_chains(isa, element, chain_count(isa))
    words = chain_words(isa, element)
    stored = pointer(chain_type(element))

    def body(task: INT, operands: stored, sums: stored, rounds: INT):
        run_chains(rounds, operands, offset(sums, task * words))

    return body


@kernel_family
def repeated_sum():
    """Read `count` words a task, `rounds` times; `y[task]` is the sum of all, modulo 2 ** 64.

    Bound by loads from where `count` words fit.
    """
    import numpy as np

    from layercc.kernels.intrinsics import offset

    def body(task: INT, x: pointer("u64"), y: pointer("u64"), count: INT, rounds: INT):
        source = offset(x, task * count)
        total = np.uint64(0)
        for _ in range(rounds):
            for i in range(count):
                total += source[i]
        y[task] = total

    return body


@kernel_family(noalias=("y",))
def repeated_copy():
    """Copy `count` words a task, `rounds` times; the number of the round, from 0, is added to them,
    lest all rounds but one be left out.

    Bound by loads and stores where twice `count` words fit.
    """
    import numpy as np

    from layercc.kernels.intrinsics import offset

    def body(task: INT, x: pointer("u64"), y: pointer("u64"), count: INT, rounds: INT):
        source = offset(x, task * count)
        target = offset(y, task * count)
        for number in range(rounds):
            added = np.uint64(number)
            for i in range(count):
                target[i] = source[i] + added

    return body

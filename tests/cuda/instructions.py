"""What the loops of a kernel are made of."""

from __future__ import annotations

from tests.cuda.ptx.parser import parse


def share(instructions: list[str]) -> float:
    """How many of them are products."""
    return sum("mma.sync" in each for each in instructions) / len(instructions)


def loops_of(code: str) -> list[list[str]]:
    """The instructions of each loop of a kernel that has products."""
    kernel = parse(code)
    texts = [f"{number} {each.text}" for number, each in enumerate(kernel.instructions)]
    loops = []
    for number, each in enumerate(kernel.instructions):
        start = kernel.labels.get(each.operands[0], number) if "bra" in each.op else number
        if start < number and any("mma.sync" in text for text in texts[start : number + 1]):
            loops.append(texts[start : number + 1])
    return loops

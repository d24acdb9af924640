"""The guarded plans of `tests/guarded.py` notice what they are meant to notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from layercc.cpu.isa import host_isa
from layercc.cpu.kernels.copy import copy
from layercc.cpu.runtime.native import default_kernels
from layercc.program import Address, Buffer, KernelCall, Port, Program
from tests.guarded import Edge, EdgePlan, GuardedPlan, OutsideAccess

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs mprotect")
ROOT = Path(__file__).parents[3]
X = np.arange(5.0)


def program(
    count: int, first: int = 0, source: str = "input", through_arena: bool = False
) -> Program:
    """Copies `count` of 5 elements, from the first on, by way of the arena or straight."""
    port = Port("x", X.dtype, X.shape)
    y = Buffer("output", 40, 0)
    between = Buffer("arena", 40) if through_arena else y
    given = Buffer("input" if source == "input" else "constant", 40, 0)
    copies = [(given, between)] + ([(between, y)] if through_arena else [])
    calls = [
        KernelCall(
            copy.key("f64"),
            1,
            {"x": Address(a, 8 * first), "y": Address(b, 8 * first), "n": count, "chunk": count},
        )
        for a, b in copies
    ]
    return Program([port], [port], calls, [X.copy()])


@pytest.mark.parametrize("through_arena", [False, True])
@pytest.mark.parametrize("source", ["input", "constant"])
def test_what_stays_inside_runs(source: str, through_arena: bool) -> None:
    plan = GuardedPlan(program(5, 0, source, through_arena), default_kernels(host_isa()))
    for _ in range(2):
        (y,) = plan.run([X], threads=1)
        np.testing.assert_array_equal(y, X)


@pytest.mark.parametrize("through_arena", [False, True])
def test_results_of_memory_that_nobody_wrote(through_arena: bool) -> None:
    plan = GuardedPlan(program(4, 0, "input", through_arena), default_kernels(host_isa()))
    with pytest.raises(OutsideAccess, match="memory that nobody wrote"):
        plan.run([X], threads=1)


@pytest.mark.parametrize(
    ("edge", "count", "first", "what"),
    [
        ("start", 6, 0, "an input or output"),
        ("end", 5, -1, "an input or output"),
    ],
)
def test_writes_beside_a_buffer(edge: Edge, count: int, first: int, what: str) -> None:
    """Within its pages, on the side that no guard page touches."""
    plan = EdgePlan(program(count, first), default_kernels(host_isa()), edge)
    with pytest.raises(OutsideAccess, match=what):
        plan.run([X], threads=1)


FAULTS = {
    "past the end of an input": ("6", "end"),
    "before an input": ("5, -1", "start"),
    "past the end of a constant": ("6, 0, 'constant'", "end"),
    "before a constant": ("5, -1, 'constant'", "start"),
    "past the end of the arena": ("6, 0, 'input', True", "end"),
    "before the arena": ("5, -1, 'input', True", "start"),
}


@pytest.mark.parametrize(("arguments", "edge"), FAULTS.values(), ids=FAULTS)
def test_accesses_outside_are_faults(arguments: str, edge: Edge) -> None:
    text = (
        "from tests.cpu.runtime.test_guarded import *\n"
        f"plan = EdgePlan(program({arguments}), default_kernels(host_isa()), {edge!r})\n"
        "plan.run([X], threads=1)\n"
    )
    made = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, check=False)
    assert made.returncode == -signal.SIGSEGV, made.stderr.decode()

"""No value of an integer input reaches memory that is not the model's, or passes for another one.

Each node runs in guarded memory on integers out of every range; `python -m tests.onnx.wild_values`
runs more of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs fork and mprotect"),
]
ROOT = Path(__file__).parents[2]
VARIANTS = 3
#: Ops whose integer inputs say what memory is read or written.
OPS = (
    "Attention", "CumProd", "CumSum", "Gather", "GatherElements", "GatherND", "GRU", "LSTM",
    "MaxUnpool", "OneHot", "Resize", "ReverseSequence", "RNN", "RoiAlign", "RotaryEmbedding",
    "ScatterElements", "ScatterND", "TensorScatter", "Trilu",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    """Outcome → the variants that came to it, and what was said."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.onnx.wild_values", *OPS, "--variants", str(VARIANTS)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=580,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    found = defaultdict(list)
    for line in made.stdout.splitlines():
        case, node, variant, outcome, message, integers = json.loads(line)
        found[outcome].append(f"{case} ({node}), variant {variant}: {message}; given {integers}")
    return found


@pytest.mark.parametrize("outcome", ["died", "crashed", "accepted", "unlike"])
def test_nothing(outcomes: dict[str, list[str]], outcome: str) -> None:
    assert outcomes[outcome] == []


def test_both_happen(outcomes: dict[str, list[str]]) -> None:
    """Values in range run, others are refused."""
    assert len(outcomes["ran"]) > 100
    assert len(outcomes["refused"]) > 100

"""Golden tests: what each pass makes of a graph, in text, and that it computes the same.

`golden/PASS.CASE.txt` holds a graph, a line of dashes, and the graph after PASS.
`pytest tests/passes --update-golden` writes the second half anew; add a case by writing the first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tests.own.own_ops  # noqa: F401  # composites
from ir.inference import infer
from ir.interpreter import interpret
from ir.parser import parse_graph
from ir.text import print_graph
from layercc.passes import PIPELINE, run_passes
from tests.passes.passes_support import random_inputs

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*.txt"), key=lambda path: path.stem)
SEPARATOR = "\n" + "-" * 80 + "\n\n"
PASSES = {each.name: each for each in PIPELINE}


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_pass_makes_the_golden_graph(path: Path, update_golden: bool) -> None:
    before, _, expected = path.read_text().partition(SEPARATOR)
    graph = parse_graph(before)
    after = run_passes(graph, [PASSES[path.stem.partition(".")[0]]], verify=True)
    text = print_graph(after)
    if update_golden:
        path.write_text(before + SEPARATOR + text)
    else:
        assert text == expected


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
@pytest.mark.parametrize("whole", [False, True], ids=["alone", "pipeline"])
def test_graph_computes_the_same_after(path: Path, whole: bool) -> None:
    graph = parse_graph(path.read_text().partition(SEPARATOR)[0])
    infer(graph).raise_for_errors()
    one_pass = PASSES[path.stem.partition(".")[0]]
    after = run_passes(graph, PIPELINE if whole else [one_pass], verify=True)
    inputs = random_inputs(graph, seed=1)
    random_outputs = {
        name for node in graph.nodes if node.op.startswith("Random") for name in node.outputs
    }
    expected, actual = interpret(graph, inputs), interpret(after, inputs)
    for name in graph.output_names:
        if random_outputs and name == "z":
            continue  # drawn anew in each run
        np.testing.assert_allclose(actual[name], expected[name], rtol=2e-5, atol=2e-6)


def test_every_pass_has_a_golden_test() -> None:
    covered = {path.stem.partition(".")[0] for path in CASES}
    assert covered == set(PASSES)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_second_run_of_the_pipeline_changes_nothing(path: Path) -> None:
    once = run_passes(parse_graph(path.read_text().partition(SEPARATOR)[0]))
    assert run_passes(once) is once

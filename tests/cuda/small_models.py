"""Small models on a CUDA device, each run twice and compared with the reference in float64.

python -m tests.cuda.small_models [NAME ...]
compute-sanitizer --tool racecheck --error-exitcode 9 python -m tests.cuda.small_models
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

import layercc as lc
from benchmarks.reference import reference_outputs
from layercc.compiler import as_graph
from tests.cuda.running import distance
from tests.cuda.test_models import MODELS

#: How far a result may be off, relative to its norm: as on the interpreter of PTX.
MOST = 1e-6


def check(name: str, target: str = "cuda", report: Callable[[str], None] = print) -> bool:
    """Whether a model is right, on arrays of the host and with results left on the device, and the
    same to the bit both times."""
    build, x = MODELS[name]
    graph = as_graph(build())
    (given,) = graph.input_names
    model = lc.compile(graph, target=target, example_inputs={given: x})
    (first,) = model.run({given: x}).values()
    (second,) = model.run({given: x}, device=True).values()
    (exact,) = reference_outputs(graph, {given: x})
    off, same = distance(first, exact), np.array_equal(first, second.numpy())
    report(f"{name}: {off:.1e} from float64, {'the same' if same else 'OTHER BITS'} again")
    return off <= MOST and same


def main(names: Sequence[str]) -> int:
    """Checks models, all if none is named; 1 if one is wrong."""
    right = [check(name) for name in names or MODELS]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

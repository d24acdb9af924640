"""One comparison under way: two sides, what belongs together in them, and their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ir.inference import Inference
from layercc.tools.compare.align import Alignment, align
from layercc.tools.compare.comparison import Comparison
from layercc.tools.compare.difference import Difference, compare_arrays
from layercc.tools.compare.extract import concrete
from layercc.tools.compare.layers import Layer, examine
from layercc.tools.compare.sides import Arrays, Side
from layercc.tools.compare.tolerance import Variances, tolerance, variances


class Run:
    """Two sides on the same inputs; `inputs` are by the names of the first. `passes`: a fault is
    looked for inside layercc in any case.

    Raises InputError where the models do not fit together.
    """

    def __init__(
        self,
        left: Side,
        right: Side,
        inputs: Mapping[str, np.ndarray],
        memory: int,
        passes: bool,
    ) -> None:
        self.left, self.right, self.memory, self.passes = left, right, memory, passes
        self.alignment: Alignment = align(left.graph, right.graph)
        ports = self.alignment.inputs
        self.inputs = dict(inputs)
        self.other_inputs = {ports[name]: array for name, array in inputs.items()}
        self.types: Inference = concrete(left.graph, inputs)
        self.bounds: Variances = variances(left.graph, self.types)
        dims = {name: array.shape for name, array in inputs.items()}
        self.result = Comparison(left.graph.name, left.label, right.label, dims)

    def outputs(self) -> dict[str, Difference]:
        """How the outputs of the models differ, as they are."""
        mine, theirs = self.left.run(self.inputs), self.right.run(self.other_inputs)
        self.result.notes += dict.fromkeys([*self.left.notes, *self.right.notes])
        return {
            name: self.output_difference(name, mine[name], theirs[other], self.right.exact)
            for name, other in self.alignment.outputs.items()
        }

    def output_difference(
        self, name: str, mine: np.ndarray, theirs: np.ndarray, exact: bool
    ) -> Difference:
        """How an output differs; `exact`: `theirs` is in float64, whatever the model says."""
        kind = self.types.types.get(name)
        dtype = kind.dtype.value if exact and kind is not None else None
        bound = tolerance(self.bounds.accumulated.get(name, 0.0))
        return compare_arrays(mine, theirs, bound, dtype=dtype)

    def layers(self) -> Iterator[tuple[Layer, Arrays]]:
        """What `examine` finds of the values that both sides can tell."""
        pairs = [
            pair
            for pair in self.alignment.pairs
            if pair.left in self.left.names and pair.right in self.right.names
        ]
        return examine(
            self.left,
            self.right,
            pairs,
            (self.inputs, self.other_inputs),
            self.alignment.inputs,
            self.bounds,
            self.types,
            self.memory,
        )

"""Compiled models that are called as the models that they were made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.structured import Structure, StructuredGraph
from layercc.options import Options
from layercc.session.model import CompiledModel
from layercc.session.specialization import Optimized


class StructuredModel(CompiledModel):
    """A `CompiledModel` that takes the arguments and returns the structure of another
    framework's model. `run` and `plan` know inputs and outputs by their flat names, as always.
    """

    graph: StructuredGraph

    def __init__(
        self,
        graph: StructuredGraph,
        options: Options,
        optimized: Optimized | None = None,
        example_inputs: Any = None,
        loaded: bool = False,
    ) -> None:
        assert graph.structure is not None
        self.structure: Structure = graph.structure
        examples = None
        if example_inputs is not None:
            examples = self.structure.flatten(*self.structure.arguments(example_inputs))
        super().__init__(graph, options, optimized, examples, loaded)

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        """Runs the model on the arguments that the original takes, tensors or arrays; returns
        arrays in the structure that it returns. Raises InputError when they do not fit."""
        return self.structure.restore(self._run(self.structure.flatten(arguments, keywords)))

    def call(self, arguments: Any, keywords: Any, convert: Callable[[np.ndarray], Any]) -> Any:
        """As a call of the model, with `convert` applied to each array that is returned."""
        made = self._run(self.structure.flatten(arguments, keywords))
        return self.structure.restore([convert(array) for array in made])

"""Front ends: models of other frameworks, read into `ir.Graph`.

`FRONT_ENDS` says who takes which object, without importing any framework.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ir.graph import Graph


class FrontEnd(NamedTuple):
    """A kind of model. `takes` tells it from others by its type alone; `reader` is the module and
    function that makes a graph of it; with `by_example` it needs inputs to trace the model with.
    """

    what: str
    takes: Callable[[Any], bool]
    reader: tuple[str, str]
    by_example: bool = False

    def read(self, model: Any, example_inputs: Any) -> Graph:
        """The model's graph. Raises as the reader does."""
        module, name = self.reader
        function = getattr(importlib.import_module(module), name)
        return function(model, example_inputs) if self.by_example else function(model)


def is_a(model: Any, package: str, *names: str) -> bool:
    """Whether `model` is an instance of a class of that package, known by its name."""
    return any(
        cls.__name__ in names and cls.__module__.partition(".")[0] == package
        for cls in type(model).__mro__
    )


FRONT_ENDS: tuple[FrontEnd, ...] = (
    FrontEnd(  # before PyTorch: on that back end, Keras' layers are modules
        "a keras.Model, the path of a .keras file",
        lambda model: (
            is_a(model, "keras", "Layer")
            or (isinstance(model, str | os.PathLike) and os.fspath(model).endswith(".keras"))
        ),
        ("layercc.frontends.keras", "from_keras"),
        by_example=True,
    ),
    FrontEnd(
        "a path to an ONNX file or an onnx.ModelProto",
        lambda model: (
            isinstance(model, str | os.PathLike | bytes) or type(model).__name__ == "ModelProto"
        ),
        ("layercc.frontends.onnx", "from_onnx"),
    ),
    FrontEnd(
        "a torch.nn.Module with example inputs, a torch.export.ExportedProgram",
        lambda model: is_a(model, "torch", "Module", "ExportedProgram"),
        ("layercc.frontends.torch", "from_torch"),
        by_example=True,
    ),
)


def read_model(model: Any, example_inputs: Any = None) -> Graph:
    """The graph of a model that one of the front ends takes. TypeError if none does."""
    for front_end in FRONT_ENDS:
        if front_end.takes(model):
            return front_end.read(model, example_inputs)
    fitting = "; ".join(front_end.what for front_end in FRONT_ENDS)
    raise TypeError(f"cannot compile a {type(model).__name__}; a graph; {fitting} would do")

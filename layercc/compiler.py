"""`lc.compile`: from a model in any form to a `CompiledModel`.

The way: read it (`as_graph`), check it (`checked`), optimize it, and hand it to a session, which
makes plans for the shapes and values of calls.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

from ir.arguments import expect_graph
from ir.declared import contradictions
from ir.defaults import bind_defaults
from ir.diagnostics import InvalidModelError
from ir.graph import Graph
from ir.inference import infer
from ir.inferred import Inference
from ir.verifier import verify
from layercc.frontends import read_model
from layercc.options import Options, Precision, target_of
from layercc.session.model import CompiledModel
from layercc.session.specialization import optimize
from layercc.target import Target

if TYPE_CHECKING:
    from ir.structured import StructuredGraph


def compile(
    model: Any,
    example_inputs: Any = None,
    *,
    target: str | Target = "cpu",
    precision: Precision = "highest",
    threads: int | None = None,
) -> CompiledModel:
    """Compiles a model to a callable.

    `model`: a graph, a path to an ONNX or `.keras` file, an `onnx.ModelProto`, a `keras.Model`, a
    `torch.nn.Module` or a `torch.export.ExportedProgram`. `example_inputs`: what a call would be
    given, in a tuple or list in the order of the inputs, by name in a dict, or a single array: a
    plan for their shapes (and values, where these decide shapes) is made now, so that the first
    such call finds it. Without them, it is one for the declared shapes, with small numbers for
    symbols. A module needs them: it
    is captured with them, at their shapes; `lc.from_torch` takes dynamic ones. A Keras model needs
    them if it does not know its inputs. What is compiled from these, or from their graphs, is
    called as the model is and returns what it returns, in arrays.
    `target`: `"cpu"` is the best that this machine has, `lc.CpuTarget("avx2")` a narrower
    instruction set. `threads`: how many to run on; all usable cores if None. `precision` is how
    much accuracy may be given for speed, as in `torch.set_float32_matmul_precision`. At
    `"highest"`, on each network that is measured, errors are no larger than PyTorch's eager mode
    has, or one and a half times onnxruntime's; at `"high"` and `"medium"` the norm of the error
    over that of the result is 2e-5 at most, and some convolutions take more memory. On a GPU,
    `"highest"` is as exact as plain float32 arithmetic, and `"medium"` multiplies bfloat16 (3e-3).

    NumPy runs nodes that have no kernel, or whose results' shapes depend on values; a
    RuntimeWarning names them. Another tells of a value whose declared shape is not its own.

    Raises InvalidModelError for a malformed model, or a value declared with another dtype than its
    own; ShapeError when shapes do not fit; UnsupportedError for ops that are not known, all of them
    listed, or another `target`; InputError for `example_inputs` that do not fit the inputs;
    TypeError for a model or a number of threads that is none, ValueError for fewer than one thread.
    """
    options = Options(target_of(target), precision, threads)
    graph = as_graph(model, example_inputs)
    bound = bind_defaults(graph)
    optimized = optimize(bound, checked(bound), options.target)
    if getattr(graph, "structure", None) is not None:  # as few have
        from layercc.session.structured import StructuredModel

        return StructuredModel(cast("StructuredGraph", graph), options, optimized, example_inputs)
    return CompiledModel(graph, options, optimized, example_inputs)


def checked(graph: Graph) -> Inference:
    """What is known of a graph before it runs; it remains open what depends on values.

    Warns of declared shapes that are not those of their values. Raises ShapeError where shapes do
    not fit, InvalidModelError where a declared dtype is not that of its value.
    """
    inference = infer(graph)
    faults = Inference(diagnostics=inference.faults)
    faults.raise_for_errors(f"graph {graph.name!r}")
    for problem in contradictions(graph, inference):
        if problem.severity == "error":
            raise InvalidModelError(f"graph {graph.name!r}: {problem}")
        warnings.warn(f"graph {graph.name!r}: {problem}", RuntimeWarning, stacklevel=3)
    return inference


def as_graph(model: Any, example_inputs: Any = None) -> Graph:
    """The IR of a model: a graph itself, or what a front end makes of it."""
    if isinstance(model, Graph):
        expect_graph(model, "model")
        verify(model)
        return model
    return read_model(model, example_inputs)

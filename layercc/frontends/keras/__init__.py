"""Keras 3: `from_keras` reads a model, on any back end of Keras, into `ir.Graph`.

Keras is imported when it is called.
"""

from __future__ import annotations

from typing import Any

from ir.structured import StructuredGraph

__all__ = ["from_keras"]


def from_keras(model: Any, example_inputs: Any = None) -> StructuredGraph:
    """Reads a `keras.Model` or `keras.layers.Layer`, or the path of a `.keras` file.

    `example_inputs`: what `model` is called with, for one that does not know its inputs, as
    subclassed models do not: `keras.Input`s, or arrays, whose first dims may be of any size. A
    tuple stands for several arguments, a list or dict for one of that form. Values do not matter.

    The model runs as in inference. Nodes are named by the paths of their layers
    (`encoder.conv1`), inputs by their `keras.Input`s. A dim of None is a symbol, the first one
    `N`. Layers that the builder has are translated to those; others are called on `KerasTensor`s,
    and the `keras.ops` that they use are translated. A file is loaded in Keras' safe mode, which
    refuses Python code in it.

    Raises UnsupportedError that lists all layers and ops without a translation, and where each is;
    InvalidModelError for a file that Keras does not load; TypeError for what is no model, or for
    one whose inputs are not known. ImportError if Keras is not installed.
    """
    try:
        import keras  # noqa: F401
    except ImportError as error:
        raise ImportError("from_keras needs Keras: pip install 'layercc[keras]'") from error
    from layercc.frontends.keras.importer import imported

    return imported(model, example_inputs)

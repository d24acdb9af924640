"""The table of layers in docs/layers.md has every class there is, and what the builder takes."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from ir.diagnostics import LayerccError
from ir.dtypes import DTYPE_SETS, DType
from layercc import layers
from layercc.frontends.keras.registry import REFUSED_LAYERS
from layercc.tools.layer_table import REFUSED_TORCH, TABLE

#: What `layercc.layers` has besides layers.
NO_LAYERS = {"Input", "Layer", "Model", "SymbolicTensor", "emit", "set_seed"}


def once(names: list[str]) -> set[str]:
    """The names as a set; none may be there twice."""
    assert not [name for name, count in Counter(names).items() if count > 1]
    return set(names)


BUILDER = once([row.builder for row in TABLE if row.builder])
KERAS = once([*(row.keras for row in TABLE if row.keras), *REFUSED_LAYERS])
TORCH = once([*(name for row in TABLE for name in row.torch), *REFUSED_TORCH])


def test_every_layer_of_the_builder_has_a_row():
    assert {name for name in layers.__all__ if callable(getattr(layers, name))} == (
        BUILDER | NO_LAYERS
    )


def test_what_a_layer_lacks_has_a_reason():
    assert all(row.why for row in TABLE if not row.builder)
    assert all(row.types in DTYPE_SETS for row in TABLE if row.builder and row.types)
    assert all(row.types or row.why for row in TABLE)


def test_activations_of_torch_are_there_by_name():
    from layercc.layers.activations import ACTIVATIONS

    known = {name.replace("_", "") for name in ACTIVATIONS}
    functions = [row.torch[0].lower() for row in TABLE if "`Activation`" in row.why]
    assert len(functions) > 9
    assert set(functions) <= known


@pytest.mark.keras
def test_every_layer_of_keras_has_a_row():
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    from tests.frontends.keras.test_layers import NOT_LAYERS

    every = {name: cls for name, cls in vars(keras.layers).items() if inspect.isclass(cls)}
    named = {cls.__name__ for cls in every.values()} & every.keys()
    aliases = {name for name, cls in every.items() if cls.__name__ in named - {name}}
    assert every.keys() - aliases - set(NOT_LAYERS) == KERAS


@pytest.mark.torch
def test_every_layer_of_torch_has_a_row():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.frontends.torch.test_modules import CASES, REFUSED

    classes = {name: getattr(torch.nn, name) for name in torch.nn.modules.__all__}
    base = torch.nn.Module
    forward = {
        name
        for name, cls in classes.items()
        if issubclass(cls, base) and cls.forward is not base.forward
    }
    assert forward == TORCH
    assert set(CASES) == TORCH - REFUSED_TORCH.keys()
    assert REFUSED_TORCH.keys() == REFUSED.keys() & forward


@pytest.mark.keras
def test_element_types_are_those_of_the_builder():
    pytest.importorskip("keras", reason="Keras is not installed")
    from tests.layers.test_keras import ROWS, apply, build, row

    more = [
        row("ActivityRegularization", (3,)),
        row("AlphaDropout", (3,), rate=0.5),
        row("Embedding", (3,), input_dim=5, output_dim=2),
        row("GaussianDropout", (3,), rate=0.5),
        row("Identity", (3,)),
        row("Lambda", (3,), function=lambda x: x),
        row("LocalResponseNormalization", (3, 4, 5)),
        row("Masking", (3, 4)),
        row("SpatialDropout1D", (3, 4), rate=0.5),
        row("SpatialDropout3D", (3, 4, 5, 2), rate=0.5),
    ]
    found: dict[str, set[DType]] = {}
    for case in [*ROWS, *more]:
        taken = found.setdefault(case.layer, set())
        for dtype in set(DType) - taken:
            inputs = [layers.Input(shape, dtype=dtype) for shape in case.shapes]
            try:
                apply(build(layers, case), case, inputs)
            except (LayerccError, OverflowError):  # of -1 in unsigned integers
                continue
            taken.add(dtype)
    said = {row.builder: DTYPE_SETS[row.types] for row in TABLE if row.builder and row.types}
    assert found == said

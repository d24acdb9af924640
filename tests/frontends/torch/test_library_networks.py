"""Networks of timm and transformers, small and with random weights, at two shapes each: by
`from_torch` and by `torch.compile`, beside eager mode."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.utils import _pytree as pytree  # noqa: E402

import layercc as lc  # noqa: E402
from benchmarks.torch_models import MODELS, Model  # noqa: E402
from layercc.cpu.runtime.native import Kernels  # noqa: E402
from layercc.integrations.dynamo import backend  # noqa: E402

LACKING = [name for name in ("timm", "transformers") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(bool(LACKING), reason=f"{', '.join(LACKING)} not installed"),
]


@pytest.fixture(autouse=True)
def strict():
    """Nothing is left to NumPy or PyTorch, of which a RuntimeWarning would tell."""
    torch._dynamo.reset()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> set[Any]:
    """The kernels that models have asked for."""
    asked: set[Any] = set()
    plain = Kernels.prepare

    def noted(self: Kernels, keys: Any, *rest: Any) -> Any:
        keys = list(keys)
        asked.update(keys)
        return plain(self, keys, *rest)

    monkeypatch.setattr(Kernels, "prepare", noted)
    return asked


def expected(model: Model, module: Any, inputs: Any) -> list[Any]:
    """Eager's results; caches that it writes are copies."""
    return pytree.tree_leaves(model.call(module, copy.deepcopy(inputs)))


def close(found: Any, wanted: list[Any]) -> None:
    for a, b in zip(pytree.tree_leaves(found), wanted, strict=True):
        torch.testing.assert_close(torch.as_tensor(a), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_eager_and_compiles_nothing_for_a_second_shape(name, kernels):
    model = MODELS[name]
    module = model.build(small=True)
    first, second = (model.inputs(*sizes) for sizes in model.small)
    compiled = lc.compile(lc.from_torch(module, first, dynamic_shapes=model.dynamic()))
    close(model.call(compiled, first), expected(model, module, first))
    known = set(kernels)
    assert known
    close(model.call(compiled, second), expected(model, module, second))
    assert kernels == known


@pytest.mark.parametrize("name", MODELS)
def test_torch_compile_agrees_with_eager(name):
    model = MODELS[name]
    module = model.build(small=True)
    compiled = torch.compile(module, backend=backend, dynamic=True)
    for inputs in (model.inputs(*sizes) for sizes in model.small):
        wanted = expected(model, module, inputs)
        close(model.call(compiled, copy.deepcopy(inputs)), wanted)

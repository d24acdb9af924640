"""`torch.compile(..., backend="layercc")`, by the function behind the entry point."""

from __future__ import annotations

import importlib
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

import layercc as lc  # noqa: E402
from layercc.integrations import dynamo  # noqa: E402
from layercc.integrations.dynamo import backend  # noqa: E402
from tests.frontends.torch.comparing import random  # noqa: E402
from tests.frontends.torch.test_networks import NETWORKS, network  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def fresh():
    """Each test captures its functions anew; nothing is left to PyTorch without a warning."""
    torch._dynamo.reset()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that are compiled."""
    graphs: list[Any] = []
    plain = dynamo.compile_model

    def noted(graph: Any, **options: Any) -> Any:
        graphs.append(graph)
        return plain(graph, **options)

    monkeypatch.setattr(dynamo, "compile_model", noted)
    return graphs


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-5)


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()


def test_the_entry_point_leads_here():
    project = Path(__file__).parents[3] / "pyproject.toml"
    entries = tomllib.loads(project.read_text())["project"]["entry-points"]
    module, _, name = entries["torch_dynamo_backends"]["layercc"].partition(":")
    assert getattr(importlib.import_module(module), name) is backend


def test_one_model_serves_dynamic_sizes(compilations):
    module = net()
    compiled = torch.compile(module, backend=backend, dynamic=True)
    for size in (3, 6, 7):
        close(compiled(random(size, 4)), module(random(size, 4)))
    assert len(compilations) == 1
    weight = next(a for n, a in compilations[0].constants.items() if a.shape == (5, 4))
    assert weight.ctypes.data == module[0].weight.data_ptr()


def test_sizes_that_change_once(compilations):
    module = net()
    compiled = torch.compile(module, backend=backend)
    for size in (3, 6, 7, 8):
        close(compiled(random(size, 4)), module(random(size, 4)))
    assert len(compilations) == 2  # Dynamo takes the first size as fixed


def test_written_parameters_are_seen():
    module = net()
    compiled = torch.compile(module, backend=backend)
    compiled(random(3, 4))
    module[0].weight.mul_(2)
    close(compiled(random(3, 4)), module(random(3, 4)))


@pytest.mark.parametrize("name", ["mobilenet", "bert", "vit", "gpt"])
def test_networks(name, compilations):
    make, inputs, others, _ = NETWORKS[name]
    module = network(make)
    compiled = torch.compile(module, backend=backend, dynamic=True)
    for given in (inputs, others):
        close(compiled(*given), module(*given))
    assert 1 <= len(compilations) <= 2  # another where Dynamo took two sizes for one


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("over_time", [None, torch.ones(5, 5).triu(1).bool()])
@pytest.mark.parametrize("padding", [None, torch.tensor([[False] * 5, [False] * 3 + [True] * 2])])
def test_encoder_layers_in_one_op(norm_first, over_time, padding):
    """Dynamo leaves them as PyTorch computes them in evaluation mode."""
    torch.manual_seed(0)
    activation = "gelu" if norm_first else "relu"
    module = nn.TransformerEncoderLayer(
        8, 2, 16, batch_first=True, norm_first=norm_first, activation=activation
    ).eval()
    compiled = torch.compile(module, backend=backend)
    given = (random(2, 5, 8), over_time, padding)
    close(compiled(*given), module(*given))


def test_self_attention_in_one_op():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()

    def function(x: Any) -> Any:
        return attention(x, x, x, need_weights=False)[0]

    close(torch.compile(function, backend=backend)(random(2, 5, 8)), function(random(2, 5, 8)))


def test_graph_breaks_and_numbers(compilations):
    def function(x: Any, n: int) -> Any:
        y = x * n
        if y.sum() > 0:
            return torch.relu(y) + x.shape[0], y.shape[0]
        return y - 1, n

    compiled = torch.compile(function, backend=backend)
    for n in (2, -3, 4, 5):
        found, expected = compiled(random(2 + abs(n), 4), n), function(random(2 + abs(n), 4), n)
        close(found[0], expected[0])
        assert found[1] == expected[1]
    assert len(compilations) >= 2


def test_gradients_are_refused():
    compiled = torch.compile(net(), backend=backend)
    with torch.enable_grad(), pytest.raises(lc.UnsupportedError, match="no gradients"):
        compiled(random(3, 4))


def test_pytorch_runs_what_is_refused():
    def function(x: Any) -> Any:
        return torch.special.i0(x) + 1

    compiled = torch.compile(function, backend=backend)
    with pytest.warns(RuntimeWarning, match=r"PyTorch runs a graph: (?s:.)*aten.i0.default"):
        close(compiled(random(3)), function(random(3)))


def test_options_are_those_of_compile(compilations):
    compiled = torch.compile(net(), backend=backend, options={"threads": 1, "precision": "high"})
    close(compiled(random(3, 4)), net()(random(3, 4)))
    assert len(compilations) == 1

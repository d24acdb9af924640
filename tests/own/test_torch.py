"""Module classes and custom ops of PyTorch that an op stands for."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.torch


class Snake(torch.nn.Module):
    def __init__(self, count):
        super().__init__()
        self.alpha = torch.nn.Parameter(torch.rand(count) + 0.5)
        self.scale = 2.0

    def forward(self, x):
        return self.scale * (x + torch.sin(self.alpha * x) ** 2 / self.alpha)


class Smoother(Snake):
    """Derives from a class that has an op."""


class Untraceable(torch.nn.Module):
    def forward(self, x, offset=None):
        y = x.detach().numpy()[:, ::2]
        return torch.from_numpy(y.copy()) + (0 if offset is None else offset)


class Gated(torch.nn.Module):
    def __init__(self, count):
        super().__init__()
        self.gate = torch.nn.Parameter(torch.randn(count, 3))
        self.up = torch.nn.Parameter(torch.randn(count, 3))

    def forward(self, x):
        return torch.nn.functional.silu(x @ self.gate) * (x @ self.up)


@torch.library.custom_op("layercc_tests::lagged", mutates_args=())
def lagged(x: torch.Tensor, step: int = 1) -> torch.Tensor:
    return x[:, step:] - x[:, :-step]


@lagged.register_fake
def _(x, step=1):
    return x.new_empty(x.shape[0], x.shape[1] - step)


@torch.library.custom_op("layercc_tests::unbound", mutates_args=())
def unbound(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


@unbound.register_fake
def _(x):
    return torch.empty_like(x)


@lc.op(domain="tests.torch", torch=Snake)
def snake(x, alpha, scale: float = 1.0):
    return scale * (x + np.sin(alpha * x) ** 2 / alpha)


@lc.op(domain="tests.torch", shape=lambda x, o=None: (x[0], (x[1] + 1) // 2), torch=Untraceable)
def every_second(x, out, offset=None):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[i, 2 * j]
            if offset is not None:
                out[i, j] += offset[j]


@lc.op(domain="tests.torch", composite=True, torch=Gated)
def gated(x, gate, up):
    return lc.activations.silu(x @ gate) * (x @ up)


@lc.op(domain="tests.torch", shape=lambda x, step: (x[0], x[1] - step), torch=lagged)
def lag(x, out, step=1):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[i, j + step] - x[i, j]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lift = torch.nn.Linear(6, 9)
        self.first = Snake(9)
        self.block = torch.nn.Sequential(Smoother(9), Untraceable())
        self.gated = Gated(5)

    def forward(self, x):
        y = self.block(self.first(self.lift(x)))
        return torch.ops.layercc_tests.lagged(self.gated(y), 2)


def test_modules_and_custom_ops_become_nodes():
    net = Net().eval()
    x = torch.randn(4, 6)
    graph = lc.from_torch(net, (x,), dynamic_shapes=("N", 6))
    assert [(node.name, node.op) for node in graph.nodes] == [
        ("lift", "Gemm"),
        ("first", "tests.torch.snake"),
        ("block.0", "tests.torch.snake"),
        ("block.1", "tests.torch.every_second"),
        ("gated", "tests.torch.gated"),
        ("lagged", "tests.torch.lag"),
    ]
    assert {"first.alpha", "block.0.alpha", "gated.gate", "gated.up"} <= set(graph.constants)
    assert graph.nodes[1].attributes == {"scale": 2.0}
    assert graph.nodes[5].attributes == {"step": 2}
    assert str(graph.outputs[0].type) == "f32[N, 1]"
    fn = lc.compile(graph, threads=1)
    for rows in (4, 1, 7):
        x = torch.randn(rows, 6)
        np.testing.assert_allclose(fn(x), net(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_an_optional_argument_of_forward():
    module = Untraceable()
    x, offset = torch.randn(3, 7), torch.randn(4)
    fn = lc.compile(module, (x, offset), threads=1)
    np.testing.assert_allclose(fn(x, offset), module(x, offset).numpy(), rtol=1e-6)
    assert module(x).shape == (3, 4)  # modules are as they were


def test_what_the_rule_of_a_module_refuses():
    class Wrapping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gated = Gated(5)

        def forward(self, x):
            return self.gated(x[:, :4])

    with pytest.raises(lc.ShapeError, match=r"op tests.torch.gated .*in gated \("):
        lc.from_torch(Wrapping(), (torch.randn(2, 5),))
    assert "call" not in Gated.forward.__qualname__


def test_a_module_without_what_its_op_takes():
    class Bare(torch.nn.Module):
        def forward(self, x):
            return x

    @lc.op(domain="tests.torch", torch=Bare)
    def scaled(x, factor):
        return x * factor

    with pytest.raises(
        TypeError, match=r"scaled \(.*\) takes 'factor'; Bare has no such attribute"
    ):
        lc.from_torch(Bare(), (torch.randn(2, 5),))


def test_unknown_custom_ops_are_listed_with_how_to_add_one():
    class Unbound(torch.nn.Module):
        def forward(self, x):
            return torch.ops.layercc_tests.unbound(x) + torch.ops.layercc_tests.unbound(-x)

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Unbound()

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(lc.UnsupportedError) as caught:
        lc.from_torch(Outer(), (torch.randn(2, 5),))
    text = str(caught.value)
    assert "layercc_tests.unbound.default ×2 in 'inner'" in text
    assert text.endswith(
        "@lc.op(torch='layercc_tests::unbound') on a function adds one: docs/own-layers.md"
    )


def test_one_class_for_one_op():
    with pytest.raises(lc.OpDefinitionError, match=r"is bound to tests.torch.snake of snake \("):

        @lc.op(domain="tests.torch", torch=Snake)
        def another(x, alpha):
            return x

    with pytest.raises(lc.OpDefinitionError, match="torch=3: a class, or a custom op"):

        @lc.op(domain="tests.torch", torch=3)
        def third(x):
            return x

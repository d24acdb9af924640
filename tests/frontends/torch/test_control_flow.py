"""`torch.cond`, `while_loop`, `scan` and `map` in modules, beside eager mode."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch._higher_order_ops.map import map as torch_map  # noqa: E402
from torch._higher_order_ops.scan import scan  # noqa: E402
from torch._higher_order_ops.while_loop import while_loop  # noqa: E402

import layercc as lc  # noqa: E402
from tests.frontends.torch.comparing import check, random  # noqa: E402

pytestmark = pytest.mark.torch


class Module(nn.Module):
    """A layer, and a function of it and the inputs."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = body
        self.layer = nn.Linear(3, 3)

    def forward(self, *inputs: Any) -> Any:
        return self.body(self.layer, *inputs)


def branch(layer: Any, x: Any) -> Any:
    return torch.cond(
        x.sum() > 0, lambda x: (layer(x), x * 2), lambda x: (x.cos(), x.clone()), (x,)
    )


def nested(layer: Any, x: Any) -> Any:
    def inner(x: Any) -> Any:
        return torch.cond(x.max() > 1, lambda x: x - 1, lambda x: x * 3, (x,)) + 1

    return torch.cond(x.sum() > 0, inner, lambda x: x.sin(), (x,))


def until(layer: Any, x: Any) -> Any:
    return while_loop(
        lambda i, x: (i < 7) & (x.abs().sum() > 0.1),
        lambda i, x: (i + 1, layer(x).tanh() * 0.5),
        (torch.tensor(0), x),
    )


def rows(layer: Any, xs: Any) -> Any:
    return torch_map(lambda x, scale: layer(x) * scale, xs, xs.sum())


def states(layer: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = layer(h) * 0.5 + x
        return h, (h * x).sum(-1)

    return scan(step, xs[:, 0] * 0, xs, dim=1, reverse=True)


@pytest.mark.parametrize(
    ("body", "op", "inputs", "sizes"),
    [
        (branch, "If", [random(2, 3).abs(), -random(4, 3).abs()], ("N", 3)),
        (nested, "If", [random(2, 3).abs(), -random(4, 3), random(4, 3).abs() * 0.1], ("N", 3)),
        (until, "Loop", [random(2, 3), random(4, 3) * 9, torch.zeros(4, 3)], ("N", 3)),
        (rows, "Scan", [random(4, 2, 3), random(1, 5, 3)], ("N", "M", 3)),
        (states, "Scan", [random(2, 4, 3), random(3, 7, 3)], ("N", "T", 3)),
    ],
)
def test_agrees_with_eager(body, op, inputs, sizes):
    first, *others = ((x,) for x in inputs)
    graph = check(Module(body), first, *others, dynamic=((sizes,),))
    assert op in [node.op for node in graph.nodes]


def test_a_number_that_a_loop_carries_is_refused():
    def count(layer: Any, x: Any) -> Any:
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, x))

    with pytest.raises(lc.UnsupportedError, match=r"while_loop \(that carries a number"):
        lc.from_torch(Module(count), (random(2, 3),))


def test_ops_without_translation_in_bodies_are_listed():
    def unknown(layer: Any, x: Any) -> Any:
        return torch.cond(x.sum() > 0, torch.special.i0, torch.special.i1, (x,))

    with pytest.raises(lc.UnsupportedError, match=r"(?s)2 ops.*aten.i0.default.*"):
        lc.from_torch(Module(unknown), (random(2, 3),))

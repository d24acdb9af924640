"""Every function of torch.nn.functional: in the tables of layers, in the one here, or the reason
why not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.nn import functional as F  # noqa: E402

from ir.diagnostics import LayerccError  # noqa: E402
from layercc.frontends.torch import from_torch  # noqa: E402
from tests.frontends.torch.comparing import check  # noqa: E402
from tests.frontends.torch.test_functions import Family  # noqa: E402
from tests.frontends.torch.test_modules import CASES, M2, M3  # noqa: E402

pytestmark = pytest.mark.torch

#: Functions that no layer calls, by what they are called with.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: lambda x, f=name: getattr(F, f)(x.clone())
       for name in ("celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_")},
    "threshold_": lambda x: F.threshold_(x.clone(), 0.1, 0.5),
    **{name: getattr(F, name) for name in ("relu6", "sigmoid", "tanh", "normalize")},
    "affine_grid": lambda x: F.affine_grid(x[:, 0, :2, :3], [2, 3, 4, 5], align_corners=False),
    "conv_tbc": lambda x: F.conv_tbc(x[0], x[0, :2, :8].mT, x[0, 0, 0], pad=1),
    "grid_sample": lambda x: F.grid_sample(x, x[:, 0, :, :2, None].tanh().expand(-1, -1, -1, 2)),
    "max_pool1d_with_indices": lambda x: F.max_pool1d_with_indices(x[0], 2),
    "max_pool2d_with_indices": lambda x: F.max_pool2d_with_indices(x, 2),
    "max_pool3d_with_indices": lambda x: F.max_pool3d_with_indices(x, 2),
    "fractional_max_pool3d_with_indices": lambda x: F.fractional_max_pool3d_with_indices(
        x, 2, output_size=(2, 3, 4), _random_samples=x[None, :, 0, 0, :3].sigmoid()),
    "native_channel_shuffle": lambda x: F.native_channel_shuffle(x[:, :2], 2),
    "one_hot": lambda x: F.one_hot(x.argmax(1), 3),
    "pdist": lambda x: F.pdist(x[0, 0]),
    "upsample": lambda x: F.upsample(x, 13, mode="bilinear"),
    "upsample_bilinear": lambda x: F.upsample_bilinear(x, 13),
    "upsample_nearest": lambda x: F.upsample_nearest(x, 13),
}  # fmt: skip


def scaled_mm(x: Any) -> Any:
    a = x.reshape(-1, 16)[:16].to(torch.float8_e4m3fn)
    each = F.ScalingType.TensorWise
    return F.scaled_mm(a, a.t(), x.new_ones(()), each, x.new_ones(()), each)


def grouped_mm(x: Any) -> Any:
    ends = torch.tensor([3, 5, 11], dtype=torch.int32)
    return F.grouped_mm(x[0, 0].bfloat16(), x[0, :, :8].bfloat16(), offs=ends)


#: Functions that are refused, a call of each, and what the error says.
REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "gumbel_softmax": (F.gumbel_softmax, "random numbers"),
    "grouped_mm": (grouped_mm, "aten._grouped_mm"),
    "scaled_mm": (scaled_mm, "aten._scaled_mm"),
}
#: Names that stand for no function to compare with, and why.
NO_FUNCTIONS = {
    "Optional": "of typing",
    "assert_int_or_pair": "a check of arguments",
    "boolean_dispatch": "makes functions of two others",
    "scaled_grouped_mm": "PyTorch has it on GPUs only",
    **dict.fromkeys(
        ("handle_torch_function", "has_torch_function", "has_torch_function_unary",
         "has_torch_function_variadic"), "how subclasses of tensors are called"),
}  # fmt: skip


def functions() -> set[str]:
    names = (name for name in dir(F) if not name.startswith("_"))
    found = {name for name in names if callable(getattr(F, name))}
    return {name for name in found if not inspect.isclass(getattr(F, name))}


def test_every_function_is_looked_at(monkeypatch):
    called: set[str] = set()

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            called.add(name)
            return function(*args, **keywords)

        return call

    for name in functions():
        monkeypatch.setattr(F, name, noting(name, getattr(F, name)))
    with torch.no_grad():
        for make, inputs in (case for cases in CASES.values() for case in cases):
            make().eval()(*inputs)
    monkeypatch.undo()
    assert functions() - called.union(FUNCTIONS, REFUSED, NO_FUNCTIONS) == set()
    assert not called & REFUSED.keys() and not NO_FUNCTIONS.keys() & {*FUNCTIONS, *REFUSED}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [2, 3])
def test_agrees_with_eager(dtype, rank):
    functions = {name: f for name, f in FUNCTIONS.items() if ("3d" in name) == (rank == 3)}
    x = M2 if rank == 2 else M3[0]
    check(Family(functions), (x.to(dtype),), compiled=False)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name):
    function, message = REFUSED[name]
    with pytest.raises(LayerccError, match=message):
        from_torch(Family({name: function}), (M2,))

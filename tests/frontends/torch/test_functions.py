"""Functions of tensors: what translations make of them, run by the reference interpreter beside
PyTorch's eager mode. Each family is one module that returns all of its results by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.nn import functional as F  # noqa: E402

from tests.frontends.torch.comparing import check, random  # noqa: E402

pytestmark = pytest.mark.torch

X, Y = random(3, 5, 7) * 3, random(3, 5, 7, seed=1) * 3
SPECIAL = torch.tensor([0.0, -0.0, 1.5, -2.5, float("inf"), -float("inf"), float("nan"), 3e38])
WHOLE = torch.tensor([[7, -7, 7, -7, 0, 12, -1]]).int()
DIVISORS = torch.tensor([[2, 2, -3, -3, 5, -5, 1]]).int()
IDX = torch.tensor([[2, 0, -1], [1, 1, 0]])

Functions = dict[str, Callable[..., Any]]


class Family(torch.nn.Module):
    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, *inputs: Any) -> dict[str, Any]:
        return {name: function(*inputs) for name, function in self.functions.items()}


def of_names(module: Any, *names: str) -> Functions:
    return {name: getattr(module, name) for name in names}


ARITHMETIC: Functions = {
    "add": lambda x, y: torch.add(x, y, alpha=2),
    "add_number": lambda x, y: x + 2,
    "sub": lambda x, y: torch.sub(x, y, alpha=0.5),
    "rsub": lambda x, y: 1 - x,
    "mul": lambda x, y: x * y * 3,
    "div": lambda x, y: x / y,
    "div_floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "div_trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "floor_div": lambda x, y: x // 0.7,
    "remainder": lambda x, y: x % y,
    "remainder_number": lambda x, y: x % -1.3,
    "fmod": torch.fmod,
    "pow": lambda x, y: x.abs() ** y,
    "pow_2": lambda x, y: x**2,
    "pow_3": lambda x, y: x**3,
    "pow_half": lambda x, y: x.abs() ** 0.5,
    "pow_number": lambda x, y: 1.7**y,
    "addcmul": lambda x, y: torch.addcmul(x, y, y, value=0.3),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.3),
    "lerp": lambda x, y: torch.lerp(x, y, 0.7),
    "lerp_tensor": lambda x, y: torch.lerp(x, y, torch.sigmoid(x)),
    **of_names(torch, "maximum", "minimum", "fmax", "fmin"),
    "where": lambda x, y: torch.where(x > 0, x, y),
    "where_number": lambda x, y: torch.where(x > 0, x, 1.0),
    "masked_fill": lambda x, y: x.masked_fill(y > 0, -1e9),
    "clamp": lambda x, y: x.clamp(-0.5, 0.7),
    "clamp_min": lambda x, y: x.clamp(min=-0.5),
    "clamp_tensor": lambda x, y: x.clamp(max=y),
    "clamp_crossed": lambda x, y: x.clamp(0.7, -0.5),
    "in_place": lambda x, y: x.clone().add_(y).mul_(2).relu_(),
    **of_names(torch, "heaviside", "copysign", "hypot", "atan2"),
    "xlogy": lambda x, y: torch.xlogy(x.abs(), y.abs()),
}  # fmt: skip
COMPARISONS: Functions = {
    **of_names(torch, "eq", "ne", "lt", "le", "gt", "ge"),
    "number": lambda x, y: x > 0,
    **of_names(torch, "logical_and", "logical_or", "logical_xor"),
    "not": lambda x, y: torch.logical_not(x),
    "isclose": lambda x, y: torch.isclose(x, y, rtol=0.5),
}  # fmt: skip
UNARY = (
    "abs", "neg", "exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asinh", "atan", "erf",
    "sigmoid", "ceil", "floor", "round", "trunc", "frac", "sign", "sgn", "square", "exp2", "expm1",
    "isnan", "isinf", "isfinite", "nan_to_num", "reciprocal", "relu", "deg2rad", "sinc", "signbit",
)  # fmt: skip
#: Without gelu and hardswish, which overflow in PyTorch where the result does not.
ACTIVATIONS = (
    "relu", "relu6", "silu", "elu", "celu", "selu", "leaky_relu", "hardtanh", "hardsigmoid",
    "softplus", "softsign", "tanhshrink", "softshrink", "hardshrink", "logsigmoid", "mish",
)  # fmt: skip
#: Of numbers small, large and out of range.
SPECIAL_FUNCTIONS: Functions = {
    "erfc": lambda x: torch.erfc(x),
    "erfc_large": lambda x: torch.erfc(x.abs() * 2).log(),
    "erfinv": lambda x: torch.erfinv(x / 4),
    "erfinv_near_one": lambda x: torch.erfinv(1 - (-x.abs()).exp()),
}  # fmt: skip
OF_POSITIVE = ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "acosh")
OF_UNIT = ("asin", "acos", "atanh", "logit")
INTEGERS: Functions = {
    "add": lambda i, k: i + k,
    "true_div": lambda i, k: i / k,
    "floor": lambda i, k: torch.div(i, k, rounding_mode="floor"),
    "trunc": lambda i, k: torch.div(i, k, rounding_mode="trunc"),
    "floor_divide": lambda i, k: i // k,
    "remainder": lambda i, k: i % k,
    "fmod": torch.fmod,
    "float_number": lambda i, k: i + 0.5,
    "exp": lambda i, k: torch.exp(i),
    "sqrt": lambda i, k: i.abs().sqrt(),
    "mean": lambda i, k: i.float().mean(),
    "sum": lambda i, k: i.sum(),
    "max": lambda i, k: i.max(),
    "prod": lambda i, k: i.prod(1),
    "and": lambda i, k: i & k,
    "or": lambda i, k: i | k,
    "xor": lambda i, k: i ^ 3,
    "not": lambda i, k: ~i,
    "ceil": lambda i, k: i.ceil(),
    "pow": lambda i, k: i**2,
    "compare": lambda i, k: i > 0.5,
    "wider": lambda i, k: i + k.long(),
    "zero_rank": lambda i, k: i + k.long().sum(),
    "bool_sum": lambda i, k: (i > k).sum(),
    "bool_add": lambda i, k: (i > k) + (k > 0),
    "bool_mul": lambda i, k: (i > k) * (k > 0),
    "bool_and": lambda i, k: (i > k) & (k > 0),
    "any": lambda i, k: (i > k).any(),
    "all": lambda i, k: (i > k).all(1, keepdim=True),
    "to": lambda i, k: i.to(torch.uint8),
    "half": lambda i, k: i.half(),
    "truth": lambda i, k: i.bool(),
    "cumsum": lambda i, k: i.cumsum(1),
    "median": lambda i, k: i.median(1),
    "nanmedian": lambda i, k: i.nanmedian(1),
    "clamp": lambda i, k: i.clamp(-3, 3),
    "isnan": lambda i, k: i.isnan(),
}  # fmt: skip
REDUCTIONS: Functions = {
    "sum": lambda x: x.sum(),
    "sum_dim": lambda x: x.sum(-1),
    "sum_dims": lambda x: x.sum((0, 2), keepdim=True),
    "sum_double": lambda x: x.sum(1, dtype=torch.float64),
    "mean": lambda x: x.mean(),
    "mean_dim": lambda x: x.mean((1, 2)),
    "prod": lambda x: x.prod(1),
    "amax": lambda x: x.amax((0, 1)),
    "amin": lambda x: x.amin(1, keepdim=True),
    "max": lambda x: x.max(1),
    "min": lambda x: x.min(-1, keepdim=True),
    "argmax": lambda x: x.argmax(),
    "argmax_dim": lambda x: x.argmax(1, keepdim=True),
    "argmin": lambda x: x.argmin(-1),
    "argmax_keep": lambda x: x.argmax(keepdim=True),
    "var": lambda x: x.var(),
    "var_dim": lambda x: x.var((0, 2), correction=0),
    "std": lambda x: x.std(1, keepdim=True),
    "std_mean": lambda x: torch.std_mean(x, 1),
    "logsumexp": lambda x: x.logsumexp(1),
    "norm": lambda x: x.norm(),
    "norm_1": lambda x: x.norm(1, dim=1),
    "norm_inf": lambda x: torch.linalg.vector_norm(x, float("inf"), dim=(0, 1)),
    "norm_3": lambda x: torch.linalg.vector_norm(x, 3, dim=1, keepdim=True),
    "norm_0": lambda x: torch.linalg.vector_norm(x, 0),
    "normalize": lambda x: F.normalize(x, dim=1),
    "cumsum": lambda x: x.cumsum(-1),
    "cumprod": lambda x: x.cumprod(1),
    "any": lambda x: x.any(1),
    "count_nonzero": lambda x: x.round().count_nonzero(1),
    "topk": lambda x: x.topk(3, dim=1),
    "topk_smallest": lambda x: x.topk(2, largest=False),
    "sort": lambda x: x.sort(1),
    "sort_descending": lambda x: x.sort(descending=True),
    "argsort": lambda x: x.argsort(-1),
    "kthvalue": lambda x: x.kthvalue(2, 1),
    "softmax": lambda x: x.softmax(0),
    "softmax_double": lambda x: F.softmax(x, 1, dtype=torch.float64),
    "log_softmax": lambda x: x.log_softmax(-1),
    "nansum": lambda x: x.nansum(1),
    "cdist": lambda x: torch.cdist(x, x[:, :2] + 1),
    "aminmax": lambda x: tuple(torch.aminmax(x, dim=1)),
    "scalar": lambda x: x[0, 0, 0].sum() + x[0, 0, 0].softmax(0) + x[0, 0, 0].max(),
}  # fmt: skip
MEDIANS: Functions = {
    "all": lambda x: x.median(),
    "dim": lambda x: x.median(1),
    "keep": lambda x: x.double().median(-1, keepdim=True),
    "scalar": lambda x: x[0, 0, 0].median(),
    "nan_all": lambda x: x.nanmedian(),
    "nan_dim": lambda x: x.nanmedian(1),
    "nan_keep": lambda x: x.double().nanmedian(-1, keepdim=True),
    "nan_scalar": lambda x: x[0, 0, 0].nanmedian(),
    "nan_none": lambda x: (x * float("nan")).nanmedian(1).values,
}  # fmt: skip
SHAPES: Functions = {
    "view": lambda x: x.view(5, -1, 3),
    "reshape": lambda x: x.transpose(0, 1).reshape(15, 7),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(1, (5, 1)),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "squeeze_all": lambda x: x[:1, :, :1].squeeze(),
    "squeeze_none": lambda x: x.squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(-2),
    "permute": lambda x: x.permute(2, 0, -2),
    "t": lambda x: x[0].t(),
    "mT": lambda x: x.mT,
    "movedim": lambda x: x.movedim(0, -1),
    "expand": lambda x: x[:, :1].expand(2, -1, 4, 7),
    "expand_as": lambda x: x[:, :, :1].expand_as(x),
    "repeat": lambda x: x.repeat(2, 1, 1, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=1),
    "tile": lambda x: x.tile(2),
    "cat": lambda x: torch.cat([x, x[:, :2]], 1),
    "cat_types": lambda x: torch.cat([x, torch.ones(3, 1, 7, dtype=torch.int64)], -2),
    "cat_empty": lambda x: torch.cat([torch.zeros(0), x], 1),
    "stack": lambda x: torch.stack([x, x + 1], -1),
    "hstack": lambda x: torch.hstack([x, x]),
    "split": lambda x: x.split(2, 1),
    "split_sizes": lambda x: x.split([1, 4], 1),
    "chunk": lambda x: x.chunk(3, -1),
    "tensor_split": lambda x: x.tensor_split(3, 2),
    "unbind": lambda x: x.unbind(0),
    "slice": lambda x: x[1:, ::2, -3:-1],
    "slice_beyond": lambda x: x[:, 2:99],
    "slice_empty": lambda x: x[:, 3:2],
    "select": lambda x: x[:, -1],
    "narrow": lambda x: x.narrow(1, 1, 3),
    "ellipsis": lambda x: x[..., None, 0],
    "flip": lambda x: x.flip(0, -1),
    "roll": lambda x: x.roll((1, -2), (0, 2)),
    "roll_flat": lambda x: x.roll(4),
    "tril": lambda x: x.tril(-1),
    "triu": lambda x: x.triu(1),
    "diagonal": lambda x: x.diagonal(1, 1, 2),
    "diagonal_below": lambda x: x.diagonal(-2, -2, -1),
    "unfold": lambda x: x.unfold(1, 3, 2),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[0, :, 0], indexing="xy"),
    "pad": lambda x: F.pad(x, (1, 2, -1, 0)),
    "pad_value": lambda x: F.pad(x, (1, 2), value=3.0),
    "pad_reflect": lambda x: F.pad(x, (2, 1), mode="reflect"),
    "pad_bool": lambda x: F.pad(x > 0, (1, 1), value=True),
    "slice_set": lambda x: _set(x, (slice(None), slice(1, 3)), 0.0),
    "select_set": lambda x: _set(x, (slice(None), -1), x[:, 0]),
    "step_set": lambda x: _set(x, (slice(None), slice(0, 5, 2)), 1.0),
    "full": lambda x: torch.full((2, 3), 1.5) + torch.zeros(3) + torch.ones(2, 1),
    "full_like": lambda x: torch.full_like(x, 2) + x.new_zeros(7) + x.new_full((1,), 3),
    "arange": lambda x: torch.arange(5) + torch.arange(1, 6) + torch.arange(0, 1, 0.2),
    "linspace": lambda x: torch.linspace(-1, 1, 7),
    "eye": lambda x: torch.eye(3, 4),
    "where_mask": lambda x: torch.ones(5, 5).tril().bool(),
    "masked": lambda x: x.masked_fill(torch.ones(5, 7).triu().bool(), float("-inf")),
    "one_hot": lambda x: F.one_hot(torch.arange(5) % 3, 4),
    "glu": lambda x: F.glu(x[..., :6]),
    "atleast": lambda x: torch.atleast_3d(x[0]),
    "broadcast": lambda x: torch.broadcast_tensors(x[:1], x[:, :1]),
    "take_along": lambda x: torch.take_along_dim(x, x.argsort(1), 1),
    "swap": lambda x: x.swapaxes(0, 1),
}  # fmt: skip


def _set(x: Any, where: Any, value: Any) -> Any:
    x = x.clone()
    x[where] = value
    return x


INDEXING: Functions = {
    "one": lambda x, i: x[i],
    "second": lambda x, i: x[:, i],
    "two": lambda x, i: x[i, i],
    "apart": lambda x, i: x[i, :, i],
    "last_two": lambda x, i: x[:, i, i],
    "broadcast": lambda x, i: x[i[:, :1], i[:1]],
    "mask": lambda x, i: x[torch.tensor([True, False, True])],
    "index_select": lambda x, i: x.index_select(1, i[0] % 3),
    "gather": lambda x, i: x.gather(1, i[None].clamp(0) % 5),
    "take_along": lambda x, i: torch.take_along_dim(x, i[:1, :, None].clamp(0), 1),
    "scatter": lambda x, i: x.scatter(1, i[None].clamp(0), x[:, :3] * 2),
    "scatter_value": lambda x, i: x.scatter(2, i[None].clamp(0), 5.0),
    "scatter_add": lambda x, i: x.scatter_add(1, i[None].clamp(0), x[:, :3]),
    "scatter_reduce": lambda x, i: x.scatter_reduce(1, i[None].clamp(0), x[:, :3], "amax"),
    "index_put": lambda x, i: _set(x, (i,), 7.0),
    "index_put_inner": lambda x, i: _set(x, (slice(None), i[0]), x[:, :3]),
    "index_put_apart": lambda x, i: _set(x, (i[0], slice(None), i[0]), x[:, :, 0]),
    "accumulate": lambda x, i: x.index_put((i,), x[0, 0, 0], accumulate=True),
    "index_add": lambda x, i: x.index_add(1, i[0] % 5, x[:, :3], alpha=2),
    "index_copy": lambda x, i: x.index_copy(1, torch.tensor([3, 1]), x[:, :2]),
    "index_fill": lambda x, i: x.index_fill(1, torch.tensor([3, 1]), 2.0),
    "embedding": lambda x, i: F.embedding(i.clamp(0), x[0]),
    "bucketize": lambda x, i: torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5])),
    "searchsorted": lambda x, i: torch.bucketize(x, torch.tensor([-1.0, 0.5]), right=True),
}  # fmt: skip
MATRICES: Functions = {
    "matmul": lambda x, y: x @ y.mT,
    "matmul_vector": lambda x, y: x @ y[0, 0],
    "vectors": lambda x, y: x[0, 0] @ y[0, 0],
    "mm": lambda x, y: torch.mm(x[0], y[0].t()),
    "mv": lambda x, y: torch.mv(x[0], y[0, 0]),
    "bmm": lambda x, y: torch.bmm(x, y.mT),
    "addmm": lambda x, y: torch.addmm(x[0, 0, :5], x[0], y[0].t(), beta=0.5, alpha=2),
    "baddbmm": lambda x, y: torch.baddbmm(x[:, :, :5], x, y.mT, beta=0.5),
    "outer": lambda x, y: torch.outer(x[0, 0], y[0, :, 0]),
    "einsum": lambda x, y: torch.einsum("bij,bkj->bik", x, y),
    "einsum_sum": lambda x, y: torch.einsum("b i j, b i j -> i", x, y),
    "tensordot": lambda x, y: torch.tensordot(x, y, dims=([0, 2], [0, 2])),
    "linear": lambda x, y: F.linear(x, y[0], x[0, :, 0]),
    "bilinear": lambda x, y: F.bilinear(x, y, torch.ones(2, 7, 7)),
    "kron": lambda x, y: torch.kron(x[0, :2, :2], y[0, :2, :2]),
    "attention": lambda x, y: F.scaled_dot_product_attention(x, y, x),
    "attention_causal": lambda x, y: F.scaled_dot_product_attention(x, y, x, is_causal=True),
    "attention_scale": lambda x, y: F.scaled_dot_product_attention(
        x[None], y[None], x[None], scale=1.5),
    "attention_mask": lambda x, y: F.scaled_dot_product_attention(x, y, x, x[0, :, :5] > 0),
    "attention_mask_of_queries": lambda x, y: F.scaled_dot_product_attention(
        x, y, x, x[:, :, :1] > 0),
    "attention_bias": lambda x, y: F.scaled_dot_product_attention(x, y, x, x[:, :, :5]),
    "attention_2d": lambda x, y: F.scaled_dot_product_attention(x[0], y[0], x[0]),
    "attention_5d": lambda x, y: F.scaled_dot_product_attention(
        x[None, None], y[None, None], x[None, None]),
    "attention_grouped": lambda x, y: F.scaled_dot_product_attention(
        x.repeat(2, 1, 1)[None], y[None], x[None], enable_gqa=True),
}  # fmt: skip
GRID = torch.rand(2, 4, 3, 2, generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2
IMAGES: Functions = {
    **{f"grid_{mode}_{padding}_{int(align)}": lambda x, m=mode, p=padding, a=align: F.grid_sample(
        x, GRID.clone(), m, p, a)
       for mode, padding, align in (("bilinear", "zeros", False), ("nearest", "border", True),
                                    ("bicubic", "reflection", False))},
    "affine_grid": lambda x: F.affine_grid(x[:, 0, :2, :3], (2, 3, 4, 5), align_corners=False),
    **{f"resize_{mode}_{size}": lambda x, m=mode, s=size: F.interpolate(x, s, mode=m)
       for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
       for size in (3, 13)},
    "resize_corners": lambda x: F.interpolate(x, (9, 3), mode="bicubic", align_corners=True),
    "resize_antialias": lambda x: F.interpolate(x, (4, 3), mode="bilinear", antialias=True),
    "resize_antialias_cubic": lambda x: F.interpolate(x, (4, 3), mode="bicubic", antialias=True),
    "resize_factor": lambda x: F.interpolate(x, scale_factor=(1.5, 0.75), mode="bilinear"),
    "resize_recomputed": lambda x: F.interpolate(
        x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
    "resize_nearest_factor": lambda x: F.interpolate(x, scale_factor=2.5),
    "pool_uneven": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "unfold": lambda x: F.unfold(x, 3, padding=1),
    "local_response": lambda x: F.local_response_norm(x, 3),
    "instance_norm": lambda x: F.instance_norm(x),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "max_pool_indices": lambda x: F.max_pool2d(x, 3, 2, return_indices=True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("functions", "inputs"),
    [
        pytest.param(ARITHMETIC, (X, Y), id="arithmetic"),
        pytest.param(ARITHMETIC, (X.double(), Y.double()[:, :1]), id="arithmetic in double"),
        pytest.param(COMPARISONS, (X.round(), Y.round()), id="comparisons"),
        pytest.param(COMPARISONS, (SPECIAL, SPECIAL.flip(0)), id="comparisons of special values"),
        pytest.param(of_names(torch, *UNARY), (X,), id="unary"),
        pytest.param(of_names(torch, *UNARY), (X.double(),), id="unary in double"),
        pytest.param(of_names(torch, *OF_POSITIVE), (X.abs() + 1,), id="of positive numbers"),
        pytest.param(of_names(torch, *OF_UNIT), (X.sigmoid() * 0.9,), id="of the unit interval"),
        pytest.param(of_names(torch, *UNARY), (SPECIAL,), id="unary of special values"),
        pytest.param(of_names(F, *ACTIVATIONS), (SPECIAL,), id="activations of special values"),
        pytest.param({"log1p": torch.log1p, "expm1": torch.expm1}, (X.double() * 1e-9,), id="tiny"),
        pytest.param(SPECIAL_FUNCTIONS, (X,), id="special functions"),
        pytest.param(SPECIAL_FUNCTIONS, (X.double(),), id="special functions in double"),
        pytest.param(SPECIAL_FUNCTIONS, (SPECIAL,), id="special functions of special values"),
        pytest.param(
            {"atan2": torch.atan2},
            (SPECIAL.repeat(8), SPECIAL.repeat_interleave(8)),
            id="angles of special values",
        ),
        pytest.param(MEDIANS, (X,), id="medians"),
        pytest.param(MEDIANS, (X.where(X < 4, float("nan")),), id="medians with NaN"),
        pytest.param(
            MEDIANS,
            (X.where(X < 0, float("nan")).where(X < 2, float("inf")),),
            id="medians with NaN and infinity",
        ),
        pytest.param(INTEGERS, (WHOLE, DIVISORS), id="integers"),
        pytest.param(REDUCTIONS, (X,), id="reductions"),
        pytest.param(SHAPES, (X,), id="shapes"),
        pytest.param({"mT": lambda x: x.mT}, (X,), id="transpose that nothing makes decomposed"),
        pytest.param(INDEXING, (X, IDX), id="indexing"),
        pytest.param(MATRICES, (X, Y), id="matrices"),
        pytest.param(IMAGES, (random(2, 3, 6, 7),), id="images"),
    ],
)
def test_agrees_with_eager(functions, inputs):
    check(Family(functions), inputs, compiled=False)

"""Every op of `keras.ops` that has a translation, in a layer of a user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import layercc.frontends.keras.ops  # noqa: F401  # fills the registry
from layercc.frontends.keras.registry import OPS
from tests.frontends.keras.comparing import check, keras, random, randomize

ops, K = keras.ops, keras.layers
pytestmark = pytest.mark.keras

X = random(2, 5, 4)
POSITIVE = np.abs(X) + 0.1
UNIT = np.tanh(X)
SPECIAL = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, 2.5, -2.5, 1e30]] * 2, np.float32)
INTEGERS = random(2, 5, 4, dtype="int32", seed=1) + np.int32(1)
IMAGE = random(2, 8, 6, 3)
W = np.random.default_rng(7).standard_normal((4, 3)).astype(np.float32)

Case = tuple[Callable[..., Any], list[np.ndarray]]


def each(names: str, *arrays: np.ndarray) -> dict[str, Case]:
    """Functions of `keras.ops` by their names, on the same inputs."""
    return {name: (getattr(ops, name), list(arrays)) for name in names.split()}


CASES: dict[str, Case] = {
    **each("cos cosh exp floor ceil negative sign sin sinh tan tanh arctan arcsinh abs square "
           "exp2 expm1 trunc round sigmoid relu relu6 silu softplus softsign selu log_sigmoid "
           "hard_sigmoid hard_silu hard_tanh leaky_relu elu celu gelu glu soft_shrink hard_shrink "
           "tanh_shrink sparse_sigmoid sparse_plus squareplus erf erfc deg2rad rad2deg copy real "
           "conj ravel zeros_like ones_like transpose logical_not stop_gradient array "
           "absolute conjugate", X),
    **each("log sqrt reciprocal rsqrt log1p log2 log10", POSITIVE),
    **each("arccos arcsin arctanh", UNIT),
    "arccosh": (ops.arccosh, [POSITIVE + 1]),
    **{f"{name} of special values": (getattr(ops, name), [SPECIAL])
       for name in ("isnan", "isinf", "isfinite", "log1p", "expm1", "relu", "abs")},
    **each("add subtract multiply divide true_divide maximum minimum power equal greater "
           "greater_equal less less_equal not_equal logical_and logical_or logical_xor logaddexp "
           "divide_no_nan floor_divide mod hypot", POSITIVE, POSITIVE[:, ::-1]),
    **{f"{name} of integers": (getattr(ops, name), [INTEGERS, INTEGERS[:, ::-1]])
       for name in ("add", "divide", "floor_divide", "mod", "bitwise_and", "bitwise_or",
                    "bitwise_xor", "equal", "maximum")},
    "mixed types": (lambda x, i: x * i + 1 - i / 2 + (i > 2), [X, INTEGERS]),
    "numbers": (lambda x: 2 / (1 - x) ** 2 % 3, [X]),
    "bitwise_not": (ops.bitwise_not, [INTEGERS]),
    "bitwise_invert": (ops.bitwise_invert, [INTEGERS]),
    "fabs": (ops.fabs, [X]) if hasattr(ops, "fabs") else (ops.abs, [X]),
    "fmod": (ops.fmod, [X, POSITIVE]) if hasattr(ops, "fmod") else (ops.mod, [X, POSITIVE]),
    "round to decimals": (lambda x: ops.round(x, 1), [X]),
    "clip": (lambda x: ops.clip(x, -0.5, 0.25), [X]),
    "where": (lambda x, y: ops.where(x > 0, x, ops.where(y, 0, y)), [X, POSITIVE]),
    "cast": (lambda x: ops.cast(x * 3, "int32"), [X]),
    "saturate_cast": (lambda x: ops.saturate_cast(x * 300, "uint8"), [X]),
    "full_like": (lambda x: ops.full_like(x, 3), [X]),
    "convert_to_tensor": (lambda x: ops.convert_to_tensor(x) + 1, [X]),
    "threshold": (lambda x: ops.threshold(x, 0.2, -1.0), [X]),
    "softmax": (lambda x: ops.softmax(x, axis=1), [X]),
    "softmax of axes": (lambda x: ops.softmax(x, axis=(1, 2)), [X]),
    "log_softmax": (ops.log_softmax, [X]),
    **{f"{name} {axis} {keepdims}": (
        lambda x, name=name, axis=axis, keepdims=keepdims: getattr(ops, name)(
            x, axis=axis, keepdims=keepdims), [X])
       for name in ("sum", "mean", "max", "min", "amax", "amin", "prod", "any", "all", "var",
                    "std", "logsumexp", "ptp")
       if hasattr(ops, name)
       for axis, keepdims in (((1, 2), False), (-1, True))
       if name != "ptp" or axis == -1},
    "sum of integers": (lambda x: ops.sum(x, axis=1), [INTEGERS]),
    "mean of all": (lambda x: x - ops.mean(x), [X]),
    "norm": (lambda x: ops.norm(x, axis=-1), [X]),
    "norm 1": (lambda x: ops.norm(x, ord=1, axis=1, keepdims=True), [X]),
    "norm of maxima": (lambda x: ops.norm(x, ord=np.inf, axis=1), [X]),
    "moments": (lambda x: ops.moments(x, axes=[1]), [X]),
    "count_nonzero": (lambda x: ops.cast(ops.count_nonzero(x > 0, axis=(1, 2)), "int32"), [X]),
    "argmax": (lambda x: ops.argmax(x, axis=1), [X]),
    "argmin": (lambda x: ops.argmin(x, axis=-1, keepdims=True), [X]),
    "cumsum": (lambda x: ops.cumsum(x, axis=1), [X]),
    "cumprod": (lambda x: ops.cumprod(x, axis=1), [X]),
    "top_k": (lambda x: [ops.cast(y, "float32") for y in ops.top_k(x, 2)], [X]),
    "sort": (lambda x: ops.sort(x, axis=1), [X]),
    "argsort": (ops.argsort, [X]),
    "average": (lambda x: ops.average(x, axis=-1, weights=W[:, 0] ** 2), [X]),
    "normalize": (ops.normalize, [X]),
    "reshape": (lambda x: ops.reshape(x, (-1, 2, 10)), [X]),
    "swapaxes": (lambda x: ops.swapaxes(x, 1, -1), [X]),
    "moveaxis": (lambda x: ops.moveaxis(x, (1, 2), (3, 1)), [IMAGE]),
    "expand_dims": (lambda x: ops.squeeze(ops.expand_dims(x, (1, -1)), axis=1), [X]),
    "concatenate": (lambda x, y: ops.concatenate([x, y, 2 * x], axis=1), [X, POSITIVE]),
    "append": (lambda x, y: ops.append(x, y, axis=-1), [X, POSITIVE]),
    "stack": (lambda x, y: ops.stack([x, y], axis=-1), [X, POSITIVE]),
    "hstack": (lambda x, y: ops.hstack([x, y]), [X, POSITIVE]),
    "vstack": (lambda x, y: ops.vstack([x, y]), [X, POSITIVE]),
    "unstack": (lambda x: ops.unstack(x, axis=1), [X]),
    "split": (lambda x: ops.split(x, [1, 3], axis=1), [X]),
    "split in parts": (lambda x: ops.split(x, 2, axis=-1), [X]),
    "array_split": (lambda x: ops.array_split(x, 3, axis=1), [X]),
    "flip": (lambda x: ops.flip(x, axis=(1, 2)), [X]),
    "fliplr": (ops.fliplr, [X]) if hasattr(ops, "fliplr") else (lambda x: ops.flip(x, 1), [X]),
    "flipud": (ops.flipud, [X]) if hasattr(ops, "flipud") else (lambda x: ops.flip(x, 0), [X]),
    "roll": (lambda x: ops.roll(x, -2, axis=1), [X]),
    "roll axes": (lambda x: ops.roll(x, (1, 2), axis=(1, 2)), [X]),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=2.0), [X]),
    "pad reflect": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), mode="reflect"), [X]),
    "tile": (lambda x: ops.tile(x, (1, 2, 3)), [X]),
    "repeat": (lambda x: ops.repeat(x, 3, axis=1), [X]),
    "repeat last": (lambda x: ops.repeat(x, 2, axis=-1), [X]),
    "broadcast_to": (lambda x: x + ops.broadcast_to(ops.mean(x, axis=(0, 1)), (5, 4)), [X]),
    "tril": (lambda x: ops.tril(x, 1) + ops.triu(x, -1), [X]),
    "depth_to_space": (lambda x: ops.depth_to_space(x, 2), [random(2, 3, 3, 8)]),
    "space_to_depth": (lambda x: ops.space_to_depth(x, 2), [random(2, 4, 6, 3)]),
    "items": (lambda x: x[:, 1, ..., None] + x[:, -1, :, None] - x[:, 1:4:2, ::2][:, 0, :1, None],
              [X]),
    "slice": (lambda x: ops.slice(x, (0, 1, 1), (2, 3, 2)), [X]),
    "take": (lambda x: ops.take(x, [2, 0, 2], axis=1), [X]),
    "take_along_axis": (lambda x, i: ops.take_along_axis(x, i - 1, axis=1), [X, INTEGERS % 4 + 1]),
    "one_hot": (lambda i: ops.one_hot(i - 1, 16), [INTEGERS]),
    "multi_hot": (lambda i: ops.multi_hot(i, 16), [INTEGERS[..., 0]]),
    "digitize": (lambda x: ops.digitize(x, np.array([-1.0, 0.0, 0.5])), [X]),
    "matmul": (lambda x: ops.matmul(x, W) @ ops.transpose(W), [X]),
    "dot": (lambda x: ops.dot(x, W), [X]),
    "tensordot": (lambda x: ops.tensordot(x, W, axes=[[2], [0]]), [X]),
    "tensordot of pairs": (lambda x: ops.tensordot(x, W, axes=1), [X]),
    "einsum": (lambda x, y: ops.einsum("bij,bkj->bik", x, y), [X, POSITIVE]),
    "outer": (lambda x: ops.outer(x[0, 0], np.arange(3, dtype="float32")), [X]),
    "layer_normalization": (lambda x: ops.layer_normalization(x, axis=-1), [X]),
    "rms_normalization": (lambda x: ops.rms_normalization(x, axis=-1), [X]),
    "batch_normalization": (
        lambda x: ops.batch_normalization(
            x, W[:, 0], W[:, 1] ** 2, axis=-1, offset=W[:, 2], scale=W[:, 1]), [X]),
    "attention": (
        lambda q, k: ops.dot_product_attention(q, k, k + 1),
        [random(2, 5, 3, 4), random(2, 6, 3, 4)]),
    "causal attention": (
        lambda q: ops.dot_product_attention(q, q, q, is_causal=True), [random(2, 5, 3, 4)]),
    "masked attention": (
        lambda q, m: ops.dot_product_attention(q, q, q, mask=m > 0),
        [random(2, 5, 3, 4), random(2, 1, 5, 5)]),
    "max_pool": (lambda x: ops.max_pool(x, 2, padding="same"), [IMAGE]),
    "average_pool": (lambda x: ops.average_pool(x, (2, 3), strides=1), [IMAGE]),
    "conv": (lambda x: ops.conv(x, random(3, 2, 3, 5), strides=2, padding="same"), [IMAGE]),
    "depthwise_conv": (lambda x: ops.depthwise_conv(x, random(3, 2, 3, 2)), [IMAGE]),
    "separable_conv": (
        lambda x: ops.separable_conv(x, random(3, 2, 3, 2), random(1, 1, 6, 4)), [IMAGE]),
    "resize": (lambda x: ops.image.resize(x, (5, 9)), [IMAGE]),
    "rgb_to_grayscale": (ops.image.rgb_to_grayscale, [IMAGE]),
    "crop_images": (
        lambda x: ops.image.crop_images(x, top_cropping=1, left_cropping=2, target_height=4,
                                        target_width=3), [IMAGE]),
    "pad_images": (
        lambda x: ops.image.pad_images(x, top_padding=1, left_padding=2, target_height=12,
                                       target_width=9), [IMAGE]),
    "stft": (lambda x: ops.stft(x, 8, 4, 8), [random(2, 32)]),
    "stft of frames": (lambda x: ops.stft(x, 6, 3, 8, center=False), [random(2, 3, 20)]),
}  # fmt: skip

MET: set[str] = set()


class Of(K.Layer):
    """A function of tensors as a layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, *tensors: Any) -> Any:
        made = self.function(*tensors)
        return list(made) if isinstance(made, tuple) else made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_op(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, arrays = CASES[name]
    for key, translation in OPS.items():
        monkeypatch.setitem(OPS, key, noted(key, translation))
    layer = Of(function)
    randomize(layer)
    check(layer, tuple(arrays), example=tuple(arrays), compiled=False)


def noted(key: str, translation: Callable[..., Any]) -> Callable[..., Any]:
    def translate(*args: Any, **kwargs: Any) -> Any:
        MET.add(key)
        return translation(*args, **kwargs)

    return translate


def test_every_translation_was_met(request: pytest.FixtureRequest) -> None:
    """Run behind the others; on its own, it says nothing."""
    if len(MET) < 50:
        pytest.skip("the other tests did not run")
    assert not set(OPS) - MET, sorted(set(OPS) - MET)

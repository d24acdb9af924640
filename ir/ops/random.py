"""Random numbers. References draw from NumPy's generator, seeded by the `seed` attribute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, product
from ir.dtypes import DType
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


def _generator(call: Call) -> np.random.Generator:
    if call.seed is None:
        return np.random.default_rng()
    return np.random.default_rng(np.float32(call.seed).view(np.uint32))


_BAD = "bad-attribute"


class _Random(Op):
    outputs = ("output: any",)
    deterministic = False

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.outputs[0].shape) * 10


class _OfShape(_Random):
    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [TensorType(call.element_type("dtype"), tuple(call.attribute("shape")))]


class _LikeInput(_Random):
    inputs = ("input: T",)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [call.type(0).with_dtype(call.element_type("dtype", call.dtype(0)))]


def _sizes(kind: TensorType) -> list[int]:
    return [int(dim) for dim in kind.shape]


class _Normal(_Random):
    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        if not (math.isfinite(call.mean) and 0 <= call.scale < math.inf):
            call.fail(f"no numbers have mean {call.mean} and deviation {call.scale}", _BAD)
        return super().infer(call)  # type: ignore[misc]

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> np.ndarray:  # type: ignore[override]
        (kind,) = cls.infer(call)
        made = _generator(call).normal(call.mean, call.scale, _sizes(kind))
        return np.asarray(made).astype(kind.dtype.value)


class _Uniform(_Random):
    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        if not math.isfinite(call.high - call.low):
            call.fail(f"no numbers are spread evenly from {call.low} to {call.high}", _BAD)
        return super().infer(call)  # type: ignore[misc]

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> np.ndarray:  # type: ignore[override]
        (kind,) = cls.infer(call)
        made = _generator(call).uniform(call.low, call.high, _sizes(kind))
        return np.asarray(made).astype(kind.dtype.value)


_NORMAL = {"mean": Attr("float", 0.0), "scale": Attr("float", 1.0), "seed": Attr("float", None)}
_UNIFORM = {"low": Attr("float", 0.0), "high": Attr("float", 1.0), "seed": Attr("float", None)}
_SHAPE = {"shape": Attr("ints"), "dtype": Attr("int", 1)}
_LIKE = {"dtype": Attr("int", None)}


@register
class RandomNormal(_Normal, _OfShape):
    """Normally distributed numbers."""

    attributes = {**_SHAPE, **_NORMAL}


@register
class RandomNormalLike(_Normal, _LikeInput):
    """Normally distributed numbers, as many as the input has elements."""

    attributes = {**_LIKE, **_NORMAL}


@register
class RandomUniform(_Uniform, _OfShape):
    """Uniformly distributed numbers."""

    attributes = {**_SHAPE, **_UNIFORM}


@register
class RandomUniformLike(_Uniform, _LikeInput):
    """Uniformly distributed numbers, as many as the input has elements."""

    attributes = {**_LIKE, **_UNIFORM}


@register
class Bernoulli(_LikeInput):
    """1 with the probability that the input gives, else 0."""

    constraints = {"T": "float"}
    attributes = {"dtype": Attr("int", None), "seed": Attr("float", None)}

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        made = _generator(call).random(x.shape) < x.astype(np.float64)
        return made.astype(call.element_type("dtype", call.dtype(0)).value)


@register
class Multinomial(_Random):
    """Draws classes, `sample_size` a row, with unnormalised log-probabilities as input."""

    inputs = ("input: T",)
    constraints = {"T": "float"}
    attributes = {
        "dtype": Attr("int", 6),
        "sample_size": Attr("int", 1),
        "seed": Attr("float", None),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.rank(0) != 2:
            call.fail(f"input is {call.type(0)}; [batch, classes] would fit")
        return [TensorType(call.element_type("dtype"), (call.shape(0)[0], call.sample_size))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        """The Gumbel-max trick: the argmax of log-probability plus Gumbel noise is a draw."""
        shape = (x.shape[0], call.sample_size, x.shape[1])
        noise = _generator(call).gumbel(size=shape)
        drawn = (x.astype(np.float64)[:, None, :] + noise).argmax(axis=-1)
        return drawn.astype(call.element_type("dtype").value)


@register
class Dropout(Op):
    """The input, and a mask of what was kept: all, unless `training_mode` is true."""

    inputs = ("data: T", "ratio: T1?", "training_mode: bool?")
    outputs = ("output: T", "mask: bool?")
    constraints = {"T": "any_float", "T1": "any_float"}
    attributes = {"seed": Attr("int", None)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [call.type(0), call.type(0).with_dtype(DType.bool)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, *more: Any) -> tuple[np.ndarray, np.ndarray]:
        ratio, training = (*more, None, None)[:2]
        rate = 0.5 if ratio is None else float(ratio.reshape(()))
        if training is None or not training.reshape(()) or rate == 0:
            return x, np.ones(x.shape, dtype=np.bool_)
        # the generator with which ONNX's node tests were made
        kept = np.random.RandomState(call.seed).uniform(0, 1, x.shape) >= rate
        return np.where(kept, x.astype(np.float64) / (1 - rate), 0).astype(x.dtype), kept

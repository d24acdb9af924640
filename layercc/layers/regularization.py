"""Layers that act in training only: in a compiled model they are the identity."""

from __future__ import annotations

from typing import Any, ClassVar

from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor


class _TrainingOnly(Layer):
    masking = True
    rank: ClassVar[int | None] = None  # of the input, if only one will do

    def __init__(self, rate: float = 0.0, *ignored: Any, **options: Any) -> None:
        options.pop("noise_shape", None)
        options.pop("data_format", None)
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(f"{type(self).__name__}: {rate!r} is no rate; 0 to 1 would fit")
        self.rate = rate

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if self.rank is not None:
            self.expect_rank(x, self.rank, "[batch, positions..., channels]")
        return x


class Dropout(_TrainingOnly):
    """Identity (in training: zeros at random)."""


class AlphaDropout(_TrainingOnly):
    """Identity (in training: random elements set to a negative value)."""


class GaussianDropout(_TrainingOnly):
    """Identity (in training: multiplied by noise)."""


class GaussianNoise(_TrainingOnly):
    """Identity (in training: noise added)."""

    def __init__(self, stddev: float = 0.0, *ignored: Any, **options: Any) -> None:
        super().__init__(stddev, **options)


class SpatialDropout1D(_TrainingOnly):
    """Identity (in training: whole channels zero at random)."""

    rank = 3


class SpatialDropout2D(_TrainingOnly):
    """Identity (in training: whole channels zero at random)."""

    rank = 4


class SpatialDropout3D(_TrainingOnly):
    """Identity (in training: whole channels zero at random)."""

    rank = 5


class ActivityRegularization(_TrainingOnly):
    """Identity (in training: adds to the loss)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.l1, self.l2 = l1, l2

"""Layers that change the resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layercc.layers.layer import unsupported
from layercc.layers.spatial import Sizes, Spatial
from layercc.layers.tensor import SymbolicTensor, emit, ints

#: Keras interpolation → attributes of Resize, with pixel centres at half integers.
MODES: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "bilinear": {"mode": "linear"},
    # as TensorFlow and JAX: pixels outside the image have no weight
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
}


class _UpSampling(Spatial):
    """Each element repeated `size` times along each spatial axis, or interpolated."""

    def __init__(
        self,
        size: Sizes = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Any,
    ) -> None:
        super().__init__(data_format, **options)
        self.size = self.sizes(size, "size")
        if interpolation not in MODES:
            raise unsupported(self, f"interpolation {interpolation!r}; there are {list(MODES)}")
        self.interpolation = interpolation

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        if self.interpolation == "nearest":  # repetition: exact whatever the rounding of positions
            settings: dict[str, Any] = {
                "mode": "nearest",
                "nearest_mode": "floor",
                "coordinate_transformation_mode": "asymmetric",
            }
        else:
            settings = MODES[self.interpolation]
        scales = np.array(self.size, np.float32)
        axes = tuple(range(2, x.rank))  # Resize counts axes channels-first, in either layout
        return emit("Resize", x, None, scales, **settings, axes=axes, **self.layout)


class UpSampling1D(_UpSampling):
    """Each step repeated `size` times."""

    spatial_rank = 1

    def __init__(self, size: int = 2, **options: Any) -> None:
        super().__init__(size, **options)


class UpSampling2D(_UpSampling):
    """Rows and columns repeated, or interpolated: `nearest`, `bilinear`, `bicubic`."""

    spatial_rank = 2


class UpSampling3D(_UpSampling):
    """Depth, rows and columns repeated."""

    spatial_rank = 3

    def __init__(self, size: Sizes = 2, data_format: str | None = None, **options: Any) -> None:
        super().__init__(size, data_format, **options)


class Resizing(Spatial):
    """Images to `height` × `width`: `bilinear`, `nearest`, or `bicubic` (a = -0.5)."""

    spatial_rank = 2

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        *,
        antialias: bool = False,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_format, **options)
        if crop_to_aspect_ratio or pad_to_aspect_ratio:
            raise unsupported(self, "crop_to_aspect_ratio and pad_to_aspect_ratio")
        if interpolation not in MODES:
            raise unsupported(self, f"interpolation {interpolation!r}; there are {list(MODES)}")
        self.height, self.width = height, width
        self.interpolation, self.antialias = interpolation, antialias

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        settings = dict(MODES[self.interpolation], axes=(2, 3))  # counted channels-first
        if self.antialias and self.interpolation != "nearest":
            settings["antialias"] = 1
        return emit(
            "Resize", x, None, None, ints(self.height, self.width), **settings, **self.layout
        )


class CenterCrop(Spatial):
    """The middle `height` × `width` of images that are at least that large."""

    spatial_rank = 2

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(data_format, **options)
        self.height, self.width = height, width

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        wanted: Sequence[int] = (self.height, self.width)
        starts: list[Any] = []
        for size, target in zip(self.spatial(x), wanted, strict=True):
            if not isinstance(size, int) or size < target:
                self.fail(f"the input is {x.type}; images of at least {list(wanted)} would fit")
            starts.append((size - target) // 2)
        first = self.first_spatial_axis
        ends = [start + target for start, target in zip(starts, wanted, strict=True)]
        return emit("Slice", x, ints(*starts), ints(*ends), ints(first, first + 1))

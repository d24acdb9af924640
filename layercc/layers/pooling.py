"""Pooling: windows, global, and adaptive, over one to three axes."""

from __future__ import annotations

from typing import Any, ClassVar

from ir.dtypes import DType
from layercc.layers.layer import cast
from layercc.layers.masking import zero
from layercc.layers.spatial import Sizes, Spatial, padding_attributes
from layercc.layers.tensor import SymbolicTensor, emit, ints


class Pooling(Spatial):
    """Base of window pools. `strides` are by default the pool size."""

    op: ClassVar[str]

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_format, name=name, **options)
        self.pool_size = self.sizes(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else self.sizes(strides, "strides")
        self.padding = self.check_padding(padding)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        pads = padding_attributes(
            self.padding, self.spatial(x), self.pool_size, self.strides, (1,) * self.spatial_rank
        )
        return emit(
            self.op, x, kernel_shape=self.pool_size, strides=self.strides, **pads, **self.layout
        )


class GlobalPooling(Spatial):
    """Base of pools over all positions; `keepdims` keeps the spatial axes, with size 1."""

    op: ClassVar[str]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Any
    ) -> None:
        super().__init__(data_format, **options)
        self.keepdims = keepdims

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        pooled = emit(self.op, x, **self.layout)
        return pooled if self.keepdims else emit("Flatten", pooled, axis=1)


class AdaptivePooling(Spatial):
    """Base of pools with a given output size: bin i of o covers floor(i·n/o) to ceil((i+1)·n/o).

    Axes where the input size is a multiple of the output size become one window pool.
    """

    op: ClassVar[str]
    reduction: ClassVar[str]

    def __init__(self, output_size: Sizes, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.output_size = self.sizes(output_size, "output_size")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        window = []
        for size, wanted in zip(self.spatial(x), self.output_size, strict=True):
            if not isinstance(size, int):
                self.fail(f"the input is {x.type}; known spatial sizes would fit")
            window.append(size // wanted if size % wanted == 0 else 1)
        if any(extent > 1 for extent in window):
            x = emit(self.op, x, kernel_shape=tuple(window), strides=tuple(window), **self.layout)
        for position, wanted in enumerate(self.output_size):
            size = self.spatial(x)[position]
            if size != wanted:
                x = self._pool_axis(x, self.first_spatial_axis + position, int(size), wanted)
        return x

    def _pool_axis(self, x: SymbolicTensor, axis: int, size: int, wanted: int) -> SymbolicTensor:
        bins = []
        for i in range(wanted):
            first, last = i * size // wanted, -(-(i + 1) * size // wanted)
            part = emit("Slice", x, ints(first), ints(last), ints(axis))
            bins.append(emit(self.reduction, part, ints(axis), keepdims=1))
        return emit("Concat", *bins, axis=axis)


class MaxPooling1D(Pooling):
    """Largest element of each window, over `[batch, steps, channels]`."""

    spatial_rank = 1
    op = "MaxPool"


class MaxPooling2D(Pooling):
    """Largest element of each window, over `[batch, height, width, channels]`."""

    spatial_rank = 2
    op = "MaxPool"


class MaxPooling3D(Pooling):
    """Largest element of each window, over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3
    op = "MaxPool"


class AveragePooling1D(Pooling):
    """Mean of each window, padding not counted, over `[batch, steps, channels]`."""

    spatial_rank = 1
    op = "AveragePool"


class AveragePooling2D(Pooling):
    """Mean of each window, padding not counted, over `[batch, height, width, channels]`."""

    spatial_rank = 2
    op = "AveragePool"


class AveragePooling3D(Pooling):
    """Mean of each window, padding not counted, over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3
    op = "AveragePool"


class GlobalMaxPooling1D(GlobalPooling):
    """Largest element of each channel, over `[batch, steps, channels]`."""

    spatial_rank = 1
    op = "GlobalMaxPool"


class GlobalMaxPooling2D(GlobalPooling):
    """Largest element of each channel, over `[batch, height, width, channels]`."""

    spatial_rank = 2
    op = "GlobalMaxPool"


class GlobalMaxPooling3D(GlobalPooling):
    """Largest element of each channel, over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3
    op = "GlobalMaxPool"


class GlobalAveragePooling1D(GlobalPooling):
    """Mean of each channel, over `[batch, steps, channels]`; of the steps that `mask` keeps."""

    spatial_rank = 1
    op = "GlobalAveragePool"

    def call(self, x: SymbolicTensor, mask: SymbolicTensor | None = None) -> SymbolicTensor:
        if mask is None:
            return super().call(x)
        self.expect_spatial(x)
        steps = self.first_spatial_axis
        kept = cast(emit("Unsqueeze", mask, ints(3 - steps)), DType.bool)
        total = emit("ReduceSum", emit("Where", kept, x, zero(x)), ints(steps), keepdims=1)
        mean = total / emit("ReduceSum", cast(kept, x.dtype), ints(steps), keepdims=1)
        return mean if self.keepdims else emit("Squeeze", mean, ints(steps))


class GlobalAveragePooling2D(GlobalPooling):
    """Mean of each channel, over `[batch, height, width, channels]`."""

    spatial_rank = 2
    op = "GlobalAveragePool"


class GlobalAveragePooling3D(GlobalPooling):
    """Mean of each channel, over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3
    op = "GlobalAveragePool"


class AdaptiveMaxPooling1D(AdaptivePooling):
    """Largest element of each bin, over `[batch, steps, channels]`."""

    spatial_rank = 1
    op = "MaxPool"
    reduction = "ReduceMax"


class AdaptiveMaxPooling2D(AdaptivePooling):
    """Largest element of each bin, over `[batch, height, width, channels]`."""

    spatial_rank = 2
    op = "MaxPool"
    reduction = "ReduceMax"


class AdaptiveMaxPooling3D(AdaptivePooling):
    """Largest element of each bin, over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3
    op = "MaxPool"
    reduction = "ReduceMax"


class AdaptiveAveragePooling1D(AdaptivePooling):
    """Mean of each bin, over `[batch, steps, channels]`."""

    spatial_rank = 1
    op = "AveragePool"
    reduction = "ReduceMean"


class AdaptiveAveragePooling2D(AdaptivePooling):
    """Mean of each bin, over `[batch, height, width, channels]`."""

    spatial_rank = 2
    op = "AveragePool"
    reduction = "ReduceMean"


class AdaptiveAveragePooling3D(AdaptivePooling):
    """Mean of each bin, over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3
    op = "AveragePool"
    reduction = "ReduceMean"
